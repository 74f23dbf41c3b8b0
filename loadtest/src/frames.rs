//! WebSocket frames to and from bytes, for the client's side, without a buffer per connection.
//!
//! A connection keeps only an incomplete frame; whole ones are read where they lie, in the scratch buffer
//! that all connections of a thread share. tungstenite makes the handshake and parses the headers.

use std::io::Cursor;

use parlor_protocol::Form;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// What one connection has received of a frame that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    partial: Vec<u8>,
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Data(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// With the close code, if there is one.
    Close(Option<u16>),
}

/// The server sent something that this reader does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) &'static str);

impl Frames {
    /// Takes what was read from the socket and hands out each frame that is now complete.
    ///
    /// # Errors
    /// [`BadFrame`] ends the connection: after it nothing more can be understood.
    pub(crate) fn feed(
        &mut self,
        chunk: &[u8],
        mut take: impl FnMut(Frame<'_>) -> Result<(), BadFrame>,
    ) -> Result<(), BadFrame> {
        let rest = self.complete(chunk, &mut take)?;
        let used = whole_frames(rest, &mut take)?;
        self.partial.extend_from_slice(&rest[used..]);
        Ok(())
    }

    /// Takes from `chunk` what the incomplete frame lacks, and no more: what follows is read where it lies.
    fn complete<'a>(
        &mut self,
        mut chunk: &'a [u8],
        take: &mut impl FnMut(Frame<'_>) -> Result<(), BadFrame>,
    ) -> Result<&'a [u8], BadFrame> {
        while !self.partial.is_empty() && !chunk.is_empty() {
            // Without a whole header, byte by byte.
            let whole = head(&self.partial)?.map(|(_, start, length)| start + length);
            let lacking = whole.map_or(1, |whole| whole.saturating_sub(self.partial.len()));
            let (more, rest) = chunk.split_at(lacking.min(chunk.len()));
            self.partial.extend_from_slice(more);
            chunk = rest;
            if whole_frames(&self.partial, take)? > 0 {
                // Most connections are between two frames nearly always: no memory is kept for them.
                self.partial = Vec::new();
            }
        }
        Ok(chunk)
    }
}

/// A data frame with a command.
pub(crate) fn command(form: Form, payload: &[u8]) -> Vec<u8> {
    match form {
        Form::Json => text(payload),
        Form::MsgPack => binary(payload),
    }
}

/// A data frame of text.
pub(crate) fn text(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), payload)
}

/// A data frame of bytes.
pub(crate) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Binary), payload)
}

/// The answer to a WebSocket ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(Control::Pong), payload)
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    // Masks protect proxies from scripts in browsers. A mask of zeros is valid, costs the server the same,
    // and costs the generator nothing.
    let header = FrameHeader {
        opcode,
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
    header
        .format(payload.len() as u64, &mut bytes)
        .expect("a vec takes all bytes");
    bytes.extend_from_slice(payload);
    bytes
}

/// Hands out the whole frames at the start of `bytes`; returns where the incomplete rest begins.
fn whole_frames(
    bytes: &[u8],
    take: &mut impl FnMut(Frame<'_>) -> Result<(), BadFrame>,
) -> Result<usize, BadFrame> {
    let mut used = 0;
    while let Some((opcode, start, length)) = head(&bytes[used..])? {
        let Some(payload) = bytes[used + start..].get(..length) else {
            break;
        };
        take(match opcode {
            OpCode::Data(Data::Text | Data::Binary) => Frame::Data(payload),
            OpCode::Control(Control::Ping) => Frame::Ping(payload),
            OpCode::Control(Control::Pong) => Frame::Pong,
            OpCode::Control(Control::Close) => Frame::Close(close_code(payload)),
            OpCode::Data(_) | OpCode::Control(_) => return Err(BadFrame("unknown opcode")),
        })?;
        used += start + length;
    }
    Ok(used)
}

/// A frame's kind, where its payload starts, and how long that is. `None`: the header is not complete.
fn head(bytes: &[u8]) -> Result<Option<(OpCode, usize, usize)>, BadFrame> {
    // Nearly every frame of a load begins in one of these two ways, and there are millions of them in a second.
    match bytes {
        [TEXT, length @ 0..126, ..] => {
            return Ok(Some((OpCode::Data(Data::Text), 2, usize::from(*length))));
        }
        [TEXT, 126, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            return Ok(Some((OpCode::Data(Data::Text), 4, length)));
        }
        _ => {}
    }
    let mut cursor = Cursor::new(bytes);
    let Some((header, length)) =
        FrameHeader::parse(&mut cursor).map_err(|_| BadFrame("bad frame header"))?
    else {
        return Ok(None);
    };
    if length > FRAME_BYTES_MAX {
        return Err(BadFrame("frame too large"));
    }
    if !header.is_final || header.mask.is_some() || header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(BadFrame("fragmented, masked or compressed frame"));
    }
    Ok(Some((
        header.opcode,
        cursor.position() as usize,
        length as usize,
    )))
}

fn close_code(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

/// The largest frame taken from a server: nats-server puts all that waits into one.
const FRAME_BYTES_MAX: u64 = 64 << 20;
/// The first byte of a whole, uncompressed text frame.
const TEXT: u8 = 0x81;
/// Of a frame that a client sends.
const HEADER_BYTES_MAX: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server sends it: not masked.
    fn served(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        FrameHeader {
            opcode,
            ..FrameHeader::default()
        }
        .format(payload.len() as u64, &mut bytes)
        .unwrap();
        bytes.extend_from_slice(payload);
        bytes
    }

    fn served_text(payload: &str) -> Vec<u8> {
        served(OpCode::Data(Data::Text), payload.as_bytes())
    }

    fn read(chunks: &[&[u8]]) -> Result<Vec<String>, BadFrame> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames.feed(chunk, |frame| {
                seen.push(match frame {
                    Frame::Data(payload) => String::from_utf8_lossy(payload).into_owned(),
                    other => format!("{other:?}"),
                });
                Ok(())
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn frames_survive_any_cut() {
        let bytes = [
            served_text("one"),
            served_text(&"x".repeat(300)),
            served(OpCode::Data(Data::Binary), &[b'y'; 200]),
            served_text(""),
        ]
        .concat();
        let whole = read(&[&bytes]).unwrap();
        assert_eq!(whole.len(), 4);
        for cut in 0..bytes.len() {
            assert_eq!(
                read(&[&bytes[..cut], &bytes[cut..]]).unwrap(),
                whole,
                "cut at {cut}"
            );
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).unwrap(), whole);
    }

    #[test]
    fn control_frames_are_told_apart() {
        let bytes = [
            served(OpCode::Control(Control::Ping), b"hi"),
            served(OpCode::Control(Control::Close), &[15, 160]),
        ]
        .concat();
        assert_eq!(
            read(&[&bytes]).unwrap(),
            ["Ping([104, 105])", "Close(Some(4000))"]
        );
    }

    #[test]
    fn what_a_server_never_sends_is_refused() {
        assert!(read(&[&command(Form::Json, b"{}")]).is_err(), "masked");
        assert!(read(&[&[0x01, 0x00]]).is_err(), "fragmented");
        assert!(
            read(&[&[0x81, 0x7f, 0, 0, 0, 1, 0, 0, 0, 0]]).is_err(),
            "4 GiB"
        );
    }
}
