//! What a subscriber of a channel can receive.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::payload::{Format, Payload};
use crate::time::Time;

/// Small labels beside a payload, at most [`TAGS_MAX`](crate::limits::TAGS_MAX).
pub type Tags = BTreeMap<String, String>;

/// What an event is about. Unknown kinds are carried on: they still advance the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Logged: the event that a person reads.
    Message,
    /// Not logged: fanned out once, dropped first under pressure.
    Signal,
    /// Logged: what some earlier events said is gone for good, and its data is an [`Erasure`].
    Erase,
    /// A kind that this build does not know.
    Other(String),
}

impl EventKind {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Message => "message",
            Self::Signal => "signal",
            Self::Erase => "erase",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for EventKind {
    fn from(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "signal" => Self::Signal,
            "erase" => Self::Erase,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// One event as it stands on the wire, in pushes and in history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// Dense per channel over its logged events, from 1. Absent on signals.
    pub offset: Option<u64>,
    /// Counts only messages, from 1. Absent on everything else.
    pub seq: Option<u64>,
    /// What to resume from after this event: opaque. Absent on signals.
    pub position: Option<String>,
    pub time: Time,
    /// The id that the publisher chose.
    pub id: Option<String>,
    /// The user who published; absent when a backend did.
    pub user: Option<String>,
    pub tags: Tags,
    /// Absent in the publisher's own copy when it asked for no echo, and in what was erased.
    pub payload: Option<Payload>,
    /// True only in that copy.
    pub own: bool,
    /// What it said is gone for good: only its place is left, without id, user, tags and data.
    pub erased: bool,
}

/// The data of an `erase` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The events of this channel's log that hold nothing any more.
    pub offsets: Vec<u64>,
}

impl Erasure {
    pub fn to_payload(&self) -> Payload {
        // Numbers in a list: neither can fail to be written.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Payload {
            format: Format::Json,
            bytes: Bytes::from(text),
        }
    }

    /// What an event of kind `erase` says; `None` when it does not say it so.
    pub fn parse(payload: &Payload) -> Option<Self> {
        serde_json::from_slice(&payload.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erasure_is_read_as_it_was_written() {
        let erasure = Erasure {
            offsets: vec![1, 9_007_199_254_740_991],
        };
        let payload = erasure.to_payload();
        assert_eq!(&payload.bytes[..], br#"{"offsets":[1,9007199254740991]}"#);
        assert_eq!(Erasure::parse(&payload), Some(erasure));
        let other = Payload {
            format: Format::Json,
            bytes: Bytes::from_static(b"[1]"),
        };
        assert_eq!(Erasure::parse(&other), None);
    }
}
