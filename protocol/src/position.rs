//! Where a reader stands in a channel's log, and the proof that it is still that log.
//!
//! On the wire a position is an opaque string: only the server reads it. Its parts are an epoch, an offset
//! and the tag of the entry at that offset, so that a rolled-back or restored log is recognised.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The random name of one life of a channel's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// The random mark of one log entry; 0 stands for "before the first entry".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(pub u64);

/// A place between two entries of a log: just behind the entry at `offset` (0: before the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: u64,
    pub tag: Tag,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::default();
        text.put64(self.0);
        f.write_str(text.as_str())
    }
}

impl FromStr for Epoch {
    type Err = NotAPosition;
    fn from_str(raw: &str) -> Result<Self, NotAPosition> {
        decode64(raw).map(Self)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::default();
        text.put64(self.epoch.0);
        text.put_offset(self.offset);
        text.put64(self.tag.0);
        f.write_str(text.as_str())
    }
}

impl FromStr for Position {
    type Err = NotAPosition;
    fn from_str(raw: &str) -> Result<Self, NotAPosition> {
        let mut parts = raw.split('.');
        let (Some(epoch), Some(offset), Some(tag), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAPosition);
        };
        Ok(Self {
            epoch: epoch.parse()?,
            offset: offset.parse().map_err(|_| NotAPosition)?,
            tag: Tag(decode64(tag)?),
        })
    }
}

/// The string is not a position that this server made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position")]
pub struct NotAPosition;

/// A position as text before it is given away in one piece: each event has one, and a `String` that grows bit by bit costs more
/// than the rest of it.
struct Text {
    bytes: [u8; TEXT_LEN_MAX],
    len: usize,
}

/// Eight bytes in base64, without padding.
const TEXT64_LEN: usize = 11;
/// Two of these, two dots, and the digits of the largest offset.
const TEXT_LEN_MAX: usize = 2 * TEXT64_LEN + 2 + 20;

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; TEXT_LEN_MAX],
            len: 0,
        }
    }
}

impl Text {
    fn put64(&mut self, value: u64) {
        let room = &mut self.bytes[self.len..self.len + TEXT64_LEN];
        self.len += URL_SAFE_NO_PAD
            .encode_slice(value.to_be_bytes(), room)
            .expect("eight bytes are eleven characters");
    }

    fn put_offset(&mut self, offset: u64) {
        let mut room = &mut self.bytes[self.len..];
        let before = room.len();
        write!(room, ".{offset}.").expect("there is room for the largest");
        self.len += before - room.len();
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).expect("nothing but ascii was put")
    }
}

fn decode64(raw: &str) -> Result<u64, NotAPosition> {
    let mut bytes = [0; 8];
    match URL_SAFE_NO_PAD.decode_slice(raw, &mut bytes) {
        Ok(8) => Ok(u64::from_be_bytes(bytes)),
        _ => Err(NotAPosition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_read_as_it_was_written() {
        for (epoch, offset, tag, text) in [
            (0, 0, 0, "AAAAAAAAAAA.0.AAAAAAAAAAA"),
            (1, 10, 2, "AAAAAAAAAAE.10.AAAAAAAAAAI"),
            (
                u64::MAX,
                u64::MAX,
                u64::MAX,
                "__________8.18446744073709551615.__________8",
            ),
        ] {
            let (epoch, tag) = (Epoch(epoch), Tag(tag));
            let position = Position { epoch, offset, tag };
            assert_eq!(position.to_string(), text);
            assert_eq!(text.parse(), Ok(position));
            assert_eq!(epoch.to_string(), text[..TEXT64_LEN]);
        }
    }
}
