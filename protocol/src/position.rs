//! Where a reader stands in a channel's log, and the proof that it is still that log.
//!
//! On the wire a position is an opaque string: only the server reads it. Its parts are an epoch, an offset
//! and the tag of the entry at that offset, so that a rolled-back or restored log is recognised.

use std::fmt;
use std::io::{Cursor, Write as _};
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
        f.write_str(ascii(&encode64(self.0)))
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
        // Each event has one, and a `String` that grows bit by bit costs more than the rest of it: so it is given away in one piece.
        let (epoch, tag) = (encode64(self.epoch.0), encode64(self.tag.0));
        let mut text = Cursor::new([0; TEXT_LEN_MAX]);
        write!(text, "{}.{}.{}", ascii(&epoch), self.offset, ascii(&tag))
            .expect("there is room for the longest");
        let len = text.position() as usize;
        f.write_str(ascii(&text.get_ref()[..len]))
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

/// Eight bytes in base64, without padding.
const TEXT64_LEN: usize = 11;
/// Two of these, two dots, and the digits of the largest offset.
const TEXT_LEN_MAX: usize = 2 * TEXT64_LEN + 2 + 20;

fn encode64(value: u64) -> [u8; TEXT64_LEN] {
    let mut text = [0; TEXT64_LEN];
    URL_SAFE_NO_PAD
        .encode_slice(value.to_be_bytes(), &mut text)
        .expect("eight bytes are eleven characters");
    text
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("base64, digits and dots are ascii")
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
