//! A WebSocket frame as it goes over the wire, header included, shared by all who receive it.
//!
//! Server frames are not masked (RFC 6455 §5.1), so one encoding serves every receiver of a wire form.

use std::sync::Arc;

use parlor_protocol::{Form, Push, codec};

const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
const FIN_CLOSE: u8 = 0x88;
const FIN_PONG: u8 = 0x8A;

/// Whole frames only; cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

impl Frame {
    /// A data frame of the form's type around an encoded payload.
    pub fn of_payload(form: Form, payload: &[u8]) -> Self {
        let opcode = match form {
            Form::Json => FIN_TEXT,
            Form::MsgPack => FIN_BINARY,
        };
        Self::with_header(opcode, payload)
    }

    pub fn of_push(form: Form, push: &Push) -> Self {
        Self::of_payload(form, &codec::encode_push(form, push))
    }

    /// A close frame. `reason` is cut to what a control frame can hold.
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.bytes().take(123));
        Self::with_header(FIN_CLOSE, &payload)
    }

    /// Frames back to back.
    pub fn join(frames: impl Iterator<Item = Self>) -> Self {
        let mut block = Vec::new();
        frames.for_each(|frame| block.extend_from_slice(frame.as_bytes()));
        Self(block.into())
    }

    /// Answers a ping: `payload` is the ping's, at most 125 bytes.
    pub fn pong(payload: &[u8]) -> Self {
        Self::with_header(FIN_PONG, payload)
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

    /// RFC 6455 §5.2: 7-bit, 16-bit or 64-bit length.
    fn with_header(opcode: u8, payload: &[u8]) -> Self {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        frame.push(opcode);
        match payload.len() {
            len @ 0..=125 => frame.push(len as u8),
            len @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        Self(frame.into())
    }
}
