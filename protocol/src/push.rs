//! What the server says unasked. On the wire: `{"event":{…}}`; a push never has an `id` beside it.

use serde::{Deserialize, Serialize};

use crate::channel::Alias;
use crate::codec::null::null_is_default;
use crate::event::Event;
use crate::reply::{Member, Subscribed};

#[derive(Clone, Debug, PartialEq)]
pub enum Push {
    /// An event of a subscribed channel: its fields stand beside `alias`.
    Event {
        alias: Alias,
        event: Event,
    },
    Advance(Advance),
    Presence(PresenceDiff),
    /// The server or a backend made a subscription.
    Subscribed(Subscribed),
    Unsubscribed(Unsubscribed),
    TokenExpiring(TokenExpiring),
    /// Whether the server can keep and pass on events; told when it changes.
    Status(Status),
    /// Precedes the close frame, since proxies eat close reasons.
    Disconnect(Disconnect),
    /// Answer with the command `pong`; any frame in time will do.
    Ping,
    /// A push that this build does not know: to be ignored.
    Unknown,
}

/// The subscriber does not get some events, by choice or policy: its position moves on all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    pub alias: Alias,
    /// The last offset that is passed over.
    pub offset: u64,
    pub position: String,
    /// `skipped` (slow reader, policy "skip to latest") or `filtered`; others may come.
    pub reason: String,
}

/// How a roster changed since the version before. One that names nobody carries totals only: a list is out of date from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceDiff {
    pub alias: Alias,
    /// One more than the previous diff's; after a skipped one take a new snapshot.
    pub version: u64,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub joined: Vec<Member>,
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub updated: Vec<Member>,
    /// Users who left.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub left: Vec<String>,
    pub users: u64,
    pub connections: u64,
}

/// The server ended a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {
    pub alias: Alias,
    pub channel: String,
    pub code: u16,
    pub reason: String,
    /// Whether the client should subscribe again, from its position.
    pub resubscribe: bool,
    /// First and last offset, in the life of the log that ended, of the events that had been acknowledged or
    /// delivered and are gone. Absent when none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_to: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenExpiring {
    pub expires_in_ms: u64,
}

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// True: nothing can be published or newly subscribed until it is over. Nothing is lost meanwhile: stay.
    pub degraded: bool,
}

/// Why the connection ends. The code's range says what to do, see [`CloseCode`](crate::CloseCode).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnect {
    pub code: u16,
    pub name: String,
    pub text: String,
    /// The server's advice: wait this long before coming back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Codes of `unsubscribed`: below 2500 the subscription is over, from 2500 on subscribe again from the position.
pub const UNSUBSCRIBED_BY_APPLICATION: u16 = 2000;
/// The token that allowed it was revoked, or has ended.
pub const UNSUBSCRIBED_REVOKED: u16 = 2001;
/// The log and the reader no longer fit: retention overtook it, or the log began a new life.
pub const UNSUBSCRIBED_RESUBSCRIBE: u16 = 2500;
/// The same, and events that had been acknowledged or delivered are gone: `lost_from` and `lost_to` name them.
pub const UNSUBSCRIBED_LOST: u16 = 2501;
