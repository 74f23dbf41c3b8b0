//! Where a reader stands in a channel's log, and the proof that it is still that log.
//!
//! On the wire a position is an opaque string: only the server reads it. Its parts are an epoch, an offset
//! and the tag of the entry at that offset, so that a rolled-back or restored log is recognised.

use std::fmt;
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
        f.write_str(&encode64(self.0))
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
        write!(f, "{}.{}.{}", self.epoch, self.offset, encode64(self.tag.0))
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

fn encode64(value: u64) -> String {
    URL_SAFE_NO_PAD.encode(value.to_be_bytes())
}

fn decode64(raw: &str) -> Result<u64, NotAPosition> {
    let mut bytes = [0; 8];
    match URL_SAFE_NO_PAD.decode_slice(raw, &mut bytes) {
        Ok(8) => Ok(u64::from_be_bytes(bytes)),
        _ => Err(NotAPosition),
    }
}
