//! Server-assigned event time.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// 100 ns ticks since the Unix epoch (17 digits today): strictly increasing inside a channel.
/// A decimal string in JSON, where it would exceed 2^53; a uint64 in MessagePack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    pub const TICKS_PER_MS: u64 = 10_000;

    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms * Self::TICKS_PER_MS)
    }

    pub fn as_unix_ms(self) -> u64 {
        self.0 / Self::TICKS_PER_MS
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(TimeVisitor)
        } else {
            deserializer.deserialize_u64(TimeVisitor)
        }
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time in 100 ns ticks, as a decimal string in JSON")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
        text.parse()
            .map(Time)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, ticks: u64) -> Result<Time, E> {
        Ok(Time(ticks))
    }
}
