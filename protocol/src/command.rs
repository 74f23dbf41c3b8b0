//! What a client may ask. On the wire: `{"id":1,"publish":{…}}`.

use serde::{Deserialize, Serialize};

use crate::codec::null::null_is_default;
use crate::codec::object::{object_or_null, objects};
use crate::event::Tags;
use crate::payload::Payload;
use crate::time::Time;

/// A command with the number that its reply echoes. Without a number no reply is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    pub id: Option<u32>,
    pub command: Command,
}

/// Everything a client can say. Names on the wire are the snake_case variant names.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Connect(Connect),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    Publish(Publish),
    Signal(Signal),
    History(History),
    Presence(Presence),
    PresenceSet(PresenceSet),
    Refresh(Refresh),
    Ping(Ping),
    /// The answer to the server's `ping` push; never replied to.
    Pong(Pong),
}

impl Command {
    /// Its name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Publish(_) => "publish",
            Self::Signal(_) => "signal",
            Self::History(_) => "history",
            Self::Presence(_) => "presence",
            Self::PresenceSet(_) => "presence_set",
            Self::Refresh(_) => "refresh",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
        }
    }
}

/// The first command of a connection. Carries all subscriptions, so one round trip resumes everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who one is without a token: honoured in development mode only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object_or_null"
    )]
    pub client: Option<ClientInfo>,
    /// The session to take over, from an earlier connect reply.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "object_or_null"
    )]
    pub session: Option<SessionKey>,
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub features: Vec<String>,
    /// The wished interval of server pings; the server clamps it and answers with the one in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_interval_ms: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub subscriptions: Vec<Subscribe>,
}

/// Name and version of the client software, for the operator's logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    pub name: String,
    pub version: String,
}

/// Names a session and proves that it is one's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionKey {
    pub id: String,
    pub secret: String,
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    pub channel: String,
    /// A token for this channel alone, where the connection's own does not allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Absent: start with what comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Recover>,
    /// Whether presence diffs are wanted.
    #[serde(
        default,
        skip_serializing_if = "std::ops::Not::not",
        deserialize_with = "null_is_default"
    )]
    pub presence: bool,
}

impl Subscribe {
    /// From now on, without presence.
    pub fn new(channel: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            token: None,
            recover: None,
            presence: false,
        }
    }

    /// The same, with what to deliver before the live events.
    #[must_use]
    pub fn recover(mut self, recover: Recover) -> Self {
        self.recover = Some(recover);
        self
    }

    /// The same, with or without presence diffs.
    #[must_use]
    pub fn with_presence(mut self, presence: bool) -> Self {
        self.presence = presence;
        self
    }
}

/// What to deliver before the live events: `{"from":"…"}` or `{"latest":20}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recover {
    /// Everything after this position, or an explicit "no".
    From(String),
    /// The newest n logged events (as many as are retained).
    Latest(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    pub channel: String,
}

/// Log and fan out a message. `data` (JSON) or `data_b64` (binary) is required.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub channel: String,
    /// Chosen by the sender, unique per channel and sender: makes a retry safe.
    pub id: Option<String>,
    /// False: the publisher receives its own event without data. Default true.
    pub echo: bool,
    pub tags: Tags,
    pub payload: Payload,
}

/// Fan out an event that is never logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub channel: String,
    pub payload: Payload,
}

/// A page of a channel's log. With neither `offset` nor `time` it starts at the end that `direction` comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub channel: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub direction: Direction,
    /// Exclusive: events with a smaller (backward) or larger (forward) offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Exclusive: events before (backward) or after (forward) this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// How many events at most; clamped to the server's page limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl History {
    /// From the end that the direction comes from, as many as a page holds.
    pub fn new(channel: impl Into<String>, direction: Direction) -> Self {
        Self {
            channel: channel.into(),
            direction,
            offset: None,
            time: None,
            limit: None,
        }
    }
}

/// Events are returned in the order of the direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    #[default]
    Backward,
    Forward,
}

/// A page of who is in a channel; `limit` 0 asks for the counts alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    pub channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// From the previous page's `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Sets the calling user's state in a channel in which it is present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceSet {
    pub channel: String,
    /// A JSON payload; absent removes the state.
    pub state: Option<Payload>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    pub token: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {}
