//! A WebSocket frame as it goes over the wire, header included, shared by all who receive it.
//!
//! Server frames are not masked (RFC 6455 §5.1), so one encoding serves every receiver of a wire form.

use std::sync::Arc;

use parlor_protocol::{Form, Push, Reply, WireError, codec};

const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
const FIN_CLOSE: u8 = 0x88;
const FIN_PONG: u8 = 0x8A;

/// Of a header without a mask.
const HEADER_MAX: usize = 10;
/// Bytes for which a frame's room is taken at once: enough for a push with a short text.
const CAPACITY: usize = 256;

/// Whole frames only; cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

impl Frame {
    pub fn of_push(form: Form, push: &Push) -> Self {
        Self::build(data(form), |out| codec::append_push(out, form, push))
    }

    /// The answer to the command with this id.
    pub fn of_reply(form: Form, id: u32, result: &Result<Reply, WireError>) -> Self {
        Self::build(data(form), |out| {
            codec::append_reply(out, form, id, result);
        })
    }

    /// A close frame. `reason` is cut to what a control frame can hold.
    pub fn close(code: u16, reason: &str) -> Self {
        Self::build(FIN_CLOSE, |out| {
            out.extend(code.to_be_bytes());
            out.extend(reason.bytes().take(123));
        })
    }

    #[cfg(test)]
    pub(super) fn of_payload(form: Form, payload: &[u8]) -> Self {
        Self::build(data(form), |out| out.extend(payload))
    }

    /// Frames back to back.
    pub fn join(frames: impl Iterator<Item = Self>) -> Self {
        let mut block = Vec::new();
        frames.for_each(|frame| block.extend_from_slice(frame.as_bytes()));
        Self(block.into())
    }

    /// Answers a ping: `payload` is the ping's, at most 125 bytes.
    pub fn pong(payload: &[u8]) -> Self {
        Self::build(FIN_PONG, |out| out.extend(payload))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[expect(
        clippy::len_without_is_empty,
        reason = "a frame has a header, so it is never empty"
    )]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A header around what `put` appends: RFC 6455 §5.2, with a length of 7, 16 or 64 bits. The header's room is in front from
    /// the beginning, so that a payload is copied only once.
    fn build(opcode: u8, put: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut frame = Vec::with_capacity(CAPACITY);
        frame.resize(HEADER_MAX, 0);
        put(&mut frame);
        let len = frame.len() - HEADER_MAX;
        let length = (len as u64).to_be_bytes();
        let (short, extended) = match len {
            0..=125 => (len as u8, &length[8..]),
            126..=0xFFFF => (126, &length[6..]),
            _ => (127, &length[..]),
        };
        let start = HEADER_MAX - 2 - extended.len();
        frame[start..start + 2].copy_from_slice(&[opcode, short]);
        frame[start + 2..HEADER_MAX].copy_from_slice(extended);
        Self(frame[start..].into())
    }
}

/// The opcode of what a form's frames carry.
fn data(form: Form) -> u8 {
    match form {
        Form::Json => FIN_TEXT,
        Form::MsgPack => FIN_BINARY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Around every bound between two forms of a length.
    #[test]
    fn headers_are_those_of_rfc_6455() {
        let headers: [(usize, &[u8]); 6] = [
            (0, &[0x81, 0]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xFF, 0xFF]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (1 << 20, &[0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 0]),
        ];
        for (len, header) in headers {
            let payload = vec![b'x'; len];
            let frame = Frame::of_payload(Form::Json, &payload);
            assert!(frame.as_bytes() == [header, &payload].concat(), "{len}");
        }
    }
}
