//! What comes in on one connection, cut into messages (RFC 6455 §5). It reads; it answers nothing.
//!
//! All connections of a shard read through one scratch buffer, so an idle one holds no buffer of its own: only what was
//! read and not taken yet, such as the first half of a frame, stays with its connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Cursor};

use parlor_protocol::CloseCode;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{self, Control, Data, OpCode};

use crate::transport::socket::Socket;

/// Bytes that one read takes at most.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Frames and reads of one connection in a row; then others of the shard have their turn. A flood of empty fragments or
/// of pongs is thousands of frames in one read.
const STEPS_PER_TURN: u32 = 64;

/// RFC 6455 §5.5: payload bytes of a control frame.
const CONTROL_BYTES_MAX: u64 = 125;

/// The buffer that all connections of a shard read through.
pub(in crate::transport) struct Scratch(RefCell<Box<[u8]>>);

/// One connection's side of reading.
pub(super) struct Inlet {
    /// Bytes that were read.
    rest: Vec<u8>,
    /// How many of them are taken.
    taken: usize,
    /// The beginning of a message whose last part has not come.
    parts: Option<Box<Parts>>,
    bytes_max: usize,
    steps: u32,
}

/// One message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Why no message follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client broke a rule.
    Fault(CloseCode),
    /// The socket is gone.
    Gone,
}

#[derive(Debug)]
struct Parts {
    is_text: bool,
    bytes: Vec<u8>,
    /// How many of the bytes are known to be whole characters.
    checked: usize,
}

/// What one frame came to.
enum Step {
    Message(Incoming),
    Part,
    /// The rest of the frame has not come.
    Incomplete,
}

struct Frame {
    opcode: OpCode,
    is_final: bool,
    payload: Vec<u8>,
}

impl Scratch {
    pub(in crate::transport) fn new() -> Self {
        Self(RefCell::new(vec![0; SCRATCH_BYTES].into()))
    }

    /// Lends the buffer.
    pub(in crate::transport) fn with<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.0.borrow_mut())
    }
}

impl Inlet {
    /// `begun` is what was read behind the handshake; `bytes_max` bounds a message.
    pub(super) fn new(begun: Vec<u8>, bytes_max: usize) -> Self {
        Self {
            rest: begun,
            taken: 0,
            parts: None,
            bytes_max,
            steps: 0,
        }
    }

    /// The next message. Nothing is lost when the future is dropped.
    pub(super) async fn next(
        &mut self,
        socket: &Socket,
        scratch: &Scratch,
    ) -> Result<Incoming, Ended> {
        loop {
            self.steps += 1;
            if self.steps == STEPS_PER_TURN {
                self.steps = 0;
                // Waking the task directly would only put it behind those that are ready already: tokio looks for news from
                // other sockets when nobody is ready, or after 61 turns. Yielding lets it look first.
                tokio::task::yield_now().await;
            }
            match self.step().map_err(Ended::Fault)? {
                Step::Message(message) => return Ok(message),
                Step::Part => {}
                Step::Incomplete => match self.fill(socket, scratch).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Err(Ended::Gone),
                },
            }
        }
    }

    async fn fill(&mut self, socket: &Socket, scratch: &Scratch) -> io::Result<usize> {
        loop {
            poll_fn(|context| socket.poll_read_ready(context)).await?;
            let mut scratch = scratch.0.borrow_mut();
            match socket.try_read(&mut scratch) {
                Ok(read) => {
                    self.rest.drain(..std::mem::take(&mut self.taken));
                    self.rest.extend_from_slice(&scratch[..read]);
                    return Ok(read);
                }
                // Readiness was stale: asking again registers for the next event.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn step(&mut self) -> Result<Step, CloseCode> {
        let Some(frame) = self.take_frame()? else {
            return Ok(Step::Incomplete);
        };
        match frame.opcode {
            OpCode::Control(control) => take_control(control, frame.payload).map(Step::Message),
            OpCode::Data(data) => self.take_data(data, frame),
        }
    }

    /// The next frame, if all of it is there: unmasked, and within the limits.
    fn take_frame(&mut self) -> Result<Option<Frame>, CloseCode> {
        let mut cursor = Cursor::new(&self.rest[self.taken..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| CloseCode::ProtocolError)?;
        let Some((header, len)) = parsed else {
            return Ok(None);
        };
        let held = self.parts.as_ref().map_or(0, |parts| parts.bytes.len());
        let is_control = matches!(header.opcode, OpCode::Control(_));
        let room = if is_control {
            self.bytes_max
        } else {
            self.bytes_max - held
        };
        if len > room as u64 {
            return Err(CloseCode::FrameTooLarge);
        }
        let is_odd = header.rsv1 || header.rsv2 || header.rsv3;
        if is_odd || (is_control && (!header.is_final || len > CONTROL_BYTES_MAX)) {
            return Err(CloseCode::ProtocolError);
        }
        let mask = header.mask.ok_or(CloseCode::ProtocolError)?;
        let begin = self.taken + cursor.position() as usize;
        // Cannot overflow: both are bounded by the limit.
        let end = begin + len as usize;
        let Some(payload) = self.rest.get_mut(begin..end) else {
            return Ok(None);
        };
        unmask(payload, mask);
        let payload = payload.to_vec();
        self.taken = end;
        if end == self.rest.len() {
            self.rest = Vec::new();
            self.taken = 0;
        }
        Ok(Some(Frame {
            opcode: header.opcode,
            is_final: header.is_final,
            payload,
        }))
    }

    fn take_data(&mut self, data: Data, frame: Frame) -> Result<Step, CloseCode> {
        let mut parts = match (data, self.parts.take()) {
            (Data::Continue, Some(mut parts)) => {
                parts.bytes.extend_from_slice(&frame.payload);
                parts
            }
            (Data::Text | Data::Binary, None) => Box::new(Parts {
                is_text: data == Data::Text,
                bytes: frame.payload,
                checked: 0,
            }),
            _ => return Err(CloseCode::ProtocolError),
        };
        parts.check(frame.is_final)?;
        if !frame.is_final {
            self.parts = Some(parts);
            return Ok(Step::Part);
        }
        Ok(Step::Message(if parts.is_text {
            Incoming::Text(parts.bytes)
        } else {
            Incoming::Binary(parts.bytes)
        }))
    }
}

impl Parts {
    /// Text is UTF-8, each part as far as it goes (RFC 6455 §8.1): a character may be cut by the end of a part only.
    fn check(&mut self, is_whole: bool) -> Result<(), CloseCode> {
        if !self.is_text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_none() && !is_whole => {
                self.checked += error.valid_up_to()
            }
            Err(_) => return Err(CloseCode::BadUtf8),
        }
        Ok(())
    }
}

fn take_control(control: Control, payload: Vec<u8>) -> Result<Incoming, CloseCode> {
    match control {
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong),
        Control::Close => match &payload[..] {
            [] => Ok(Incoming::Close),
            [first, second, reason @ ..] => {
                let code = coding::CloseCode::from(u16::from_be_bytes([*first, *second]));
                if !code.is_allowed() {
                    return Err(CloseCode::ProtocolError);
                }
                std::str::from_utf8(reason).map_err(|_| CloseCode::BadUtf8)?;
                Ok(Incoming::Close)
            }
            [_] => Err(CloseCode::ProtocolError),
        },
        Control::Reserved(_) => Err(CloseCode::ProtocolError),
    }
}

/// RFC 6455 §5.3. Eight bytes at a time, which the compiler makes more of.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = payload.to_vec();
        masked
            .iter_mut()
            .zip(MASK.iter().cycle())
            .for_each(|(byte, key)| *byte ^= key);
        [&[first, 0x80 | payload.len() as u8], &MASK[..], &masked].concat()
    }

    fn all(inlet: &mut Inlet) -> Vec<Incoming> {
        let mut found = Vec::new();
        loop {
            match inlet.step().expect("frames within the rules") {
                Step::Message(message) => found.push(message),
                Step::Part => {}
                Step::Incomplete => return found,
            }
        }
    }

    #[test]
    fn however_the_bytes_are_cut_the_messages_are_the_same() {
        let text = "parlor: ein Gruß, 日本".as_bytes();
        let (head, tail) = text.split_at(16);
        let bytes = [
            frame(0x81, text),
            frame(0x01, head),
            frame(0x89, b"?"),
            frame(0x00, b""),
            frame(0x80, tail),
            frame(0x82, &[0xff]),
        ]
        .concat();
        let expected = [
            Incoming::Text(text.to_vec()),
            Incoming::Ping(b"?".to_vec()),
            Incoming::Text(text.to_vec()),
            Incoming::Binary(vec![0xff]),
        ];
        for step in 1..bytes.len() {
            let (mut inlet, mut found) = (Inlet::new(Vec::new(), 100), Vec::new());
            for piece in bytes.chunks(step) {
                inlet.rest.drain(..std::mem::take(&mut inlet.taken));
                inlet.rest.extend_from_slice(piece);
                found.extend(all(&mut inlet));
            }
            assert_eq!(found, expected, "in pieces of {step}");
            assert_eq!(
                inlet.rest.capacity(),
                0,
                "an idle connection holds no buffer"
            );
        }
    }

    #[test]
    fn the_bound_holds_over_all_parts_of_a_message() {
        let bytes = [
            frame(0x02, &[0; 60]),
            frame(0x00, &[0; 40]),
            frame(0x80, &[0]),
        ]
        .concat();
        let mut inlet = Inlet::new(bytes, 100);
        assert!(matches!(inlet.step(), Ok(Step::Part)));
        assert!(matches!(inlet.step(), Ok(Step::Part)));
        assert!(matches!(inlet.step(), Err(CloseCode::FrameTooLarge)));
    }
}
