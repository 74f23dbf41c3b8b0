//! What a subscriber of a channel can receive.

use std::collections::BTreeMap;

use crate::payload::Payload;
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
    /// A kind that this build does not know.
    Other(String),
}

impl EventKind {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Message => "message",
            Self::Signal => "signal",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for EventKind {
    fn from(name: &str) -> Self {
        match name {
            "message" => Self::Message,
            "signal" => Self::Signal,
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
    /// Absent in the publisher's own copy when it asked for no echo.
    pub payload: Option<Payload>,
    /// True only in that copy.
    pub own: bool,
}
