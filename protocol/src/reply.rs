//! What the server answers to a command. On the wire: `{"id":1,"publish":{…}}` or `{"id":1,"error":{…}}`.

use serde::{Deserialize, Serialize};

use crate::channel::Alias;
use crate::codec::null::null_is_default;
use crate::command::SessionKey;
use crate::error::WireError;
use crate::event::Event;
use crate::payload::Payload;
use crate::time::Time;

/// A successful answer, named like its command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Connect(Box<Connected>),
    Subscribe(Subscribed),
    Unsubscribe(Unsubscribed),
    Publish(Published),
    Signal(Signalled),
    History(Page),
    Presence(Members),
    PresenceSet(PresenceWasSet),
    Refresh(Refreshed),
    Ping(Pinged),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connected {
    /// Names this connection in logs and in the HTTP API.
    pub connection: String,
    pub session: SessionKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Server software and version.
    pub server: String,
    pub time: Time,
    pub ping_interval_ms: u32,
    /// What both sides know, of what the client asked for.
    #[serde(default)]
    pub features: Vec<String>,
    pub limits: ConnectionLimits,
    /// When the token ends, in ms from now; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// The server can neither keep nor pass on events at the moment: see the push `status`.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub degraded: bool,
    /// One outcome for each subscription of the command, in its order.
    #[serde(default)]
    pub subscriptions: Vec<SubscribeOutcome>,
}

/// The limits in force on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLimits {
    pub frame_bytes_max: u32,
    pub commands_per_frame_max: u32,
    pub channels_max: u32,
    pub payload_bytes_max: u32,
    pub history_page_max: u32,
    /// How long a publish id is remembered: never resend after it.
    pub dedup_window_ms: u64,
}

/// Outcome of one subscription inside `connect`: the reply, or `{"channel":…,"error":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SubscribeOutcome {
    Refused { channel: String, error: WireError },
    Subscribed(Subscribed),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    pub channel: String,
    /// Stands for the channel in this connection's pushes.
    pub alias: Alias,
    /// Where the live events start: the position of the log's top at this moment.
    pub position: String,
    pub offset: u64,
    /// Present when recovery was asked for. True: every missed logged event follows as a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<bool>,
    /// First and last offset of what follows when `recovered` (absent when nothing was missed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why not, when `recovered` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NotRecovered>,
    /// Whether presence diffs will be pushed.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub presence: bool,
    /// `memory`, `disk` or `replicated`: what an acknowledged publish here has survived.
    pub durability: String,
}

/// Others may come: one that this build does not know is read as [`Self::Expired`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRecovered {
    /// The log began a new life.
    EpochChanged,
    /// The log is not the one that the position came from (rolled back, restored).
    Diverged,
    /// More was missed than the server replays.
    TooMany,
    /// The identity may not read this channel's history.
    NotPermitted,
    /// The string is not a position of this server.
    BadPosition,
    /// Retention ended before some of what was missed.
    // Last, where serde wants the one that stands for all others.
    #[serde(other)]
    Expired,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribed {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub offset: u64,
    pub position: String,
    pub time: Time,
    /// `memory`, `disk` or `replicated`: what this publish has survived.
    pub durability: String,
    /// The same id and content had been published before: this is the first one's position.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub duplicate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    pub time: Time,
}

/// A page of history, in the order of the direction asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub events: Vec<Event>,
    /// Whether there is more in that direction.
    pub more: bool,
    /// The life of the log that the offsets belong to.
    pub epoch: String,
    /// The log's top.
    pub position: String,
    pub offset: u64,
}

/// A page of a channel's members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    pub members: Vec<Member>,
    pub users: u64,
    pub connections: u64,
    /// The roster's version when this page was made: apply diffs above it.
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A user who is in a channel, with all its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user: String,
    /// From the token's claims: JSON.
    pub info: Option<Payload>,
    /// From `presence_set`: JSON.
    pub state: Option<Payload>,
    /// The ids of the sessions that hold the entry.
    pub sessions: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceWasSet {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinged {
    pub time: Time,
}
