//! Names of channels, and the short alias that stands for one on a connection.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::limits::CHANNEL_NAME_BYTES_MAX;

/// A channel's name: 1–255 bytes of `A–Z a–z 0–9 _ - . : @ # = + , / ~`, case-sensitive.
///
/// Parsed once at the edge; whoever holds one has nothing left to check.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The only way in for what others say. Names that start with `$` are reserved and refused.
    ///
    /// # Errors
    /// `bad_channel` when the name is empty, too long, or has a byte outside the alphabet.
    pub fn parse(raw: &str) -> Result<Self, WireError> {
        if raw.is_empty() || raw.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(ErrorCode::BadChannel.with("channel names have 1 to 255 bytes"));
        }
        if !raw.bytes().all(is_name_byte) {
            return Err(ErrorCode::BadChannel
                .with("a channel name has a character outside A-Z a-z 0-9 _ - . : @ # = + , / ~"));
        }
        Ok(Self(Arc::from(raw)))
    }

    /// A name of the server's own: `$` and then bytes of the alphabet. No client can name such a channel.
    ///
    /// # Panics
    /// When it is not one: these names stand in the code.
    pub fn reserved(name: &'static str) -> Self {
        let parsed = Self::stored(name).filter(Self::is_reserved);
        parsed.expect("a reserved name is `$` and bytes of the alphabet")
    }

    /// A name as the server's own store holds it, reserved ones included; `None` when it is no name.
    pub fn stored(raw: &str) -> Option<Self> {
        let rest = raw.strip_prefix('$').unwrap_or(raw);
        let is_name = !rest.is_empty()
            && raw.len() <= CHANNEL_NAME_BYTES_MAX
            && rest.bytes().all(is_name_byte);
        is_name.then(|| Self(Arc::from(raw)))
    }

    /// Whether the channel is one of the server's own.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The number that stands for a channel in a connection's pushes. Given by the subscribe reply,
/// the same for every connection of a node, and meaningless after a reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alias(pub u32);

/// Whether `byte` may stand in a channel name.
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.:@#=+,/~".contains(&byte)
}
