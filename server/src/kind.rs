//! A channel's kind: the one configured pattern that its name matches, and the policy that comes with it.

use std::sync::Arc;
use std::time::Duration;

use parlor_protocol::ChannelName;

use crate::pattern::Pattern;

/// What an acknowledged publish has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Kept until the process ends.
    Memory,
    /// Survives a crash and a power cut.
    Disk,
    /// Survives the loss of the Redis primary, if the promoted replica is among those that confirmed.
    Replicated,
}

impl Durability {
    /// The word on the wire and in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Replicated => "replicated",
        }
    }
}

/// What a verb allows in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Subscribe,
    Publish,
    Signal,
    History,
    Presence,
    /// End for good what others said, through the HTTP API.
    Erase,
    /// Disconnect and (un)subscribe others, through the HTTP API.
    Manage,
}

impl Verb {
    pub const ALL: [Self; 7] = [
        Self::Subscribe,
        Self::Publish,
        Self::Signal,
        Self::History,
        Self::Presence,
        Self::Erase,
        Self::Manage,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Signal => "signal",
            Self::History => "history",
            Self::Presence => "presence",
            Self::Erase => "erase",
            Self::Manage => "manage",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == name)
    }
}

/// What happens when a subscriber's outbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlowPolicy {
    /// Close the connection with `slow`: the client resumes.
    #[default]
    Close,
    /// Drop the channel's waiting events for this subscriber and send `advance`.
    SkipToLatest,
}

/// The policy of all channels that match one pattern.
#[derive(Clone, Debug)]
pub struct ChannelKind {
    /// The name in the config.
    pub name: String,
    pub pattern: Pattern,
    pub durability: Durability,
    /// Retained events per channel.
    pub history_len_max: u64,
    /// How long an event is retained.
    pub history_age_max: Duration,
    pub presence: bool,
    pub slow: SlowPolicy,
    /// What anybody who is connected may do without a claim for it.
    pub allowed: Vec<Verb>,
    /// Publishes per second and connection; a burst of twice as many is allowed.
    pub publish_rate_max: u32,
}

/// All configured kinds. At most one matches a name: overlapping patterns are refused at start.
#[derive(Clone, Debug, Default)]
pub struct ChannelKinds(pub Vec<Arc<ChannelKind>>);

/// Two kinds would both match some channel name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the patterns of the channel kinds `{one}` and `{other}` overlap: a channel must match only one"
)]
pub struct Overlap {
    pub one: String,
    pub other: String,
}

impl ChannelKinds {
    /// # Errors
    /// [`Overlap`] when a channel name could match two of them.
    pub fn new(kinds: Vec<ChannelKind>) -> Result<Self, Overlap> {
        for (place, one) in kinds.iter().enumerate() {
            if let Some(other) = kinds[place + 1..]
                .iter()
                .find(|other| other.pattern.overlaps(&one.pattern))
            {
                return Err(Overlap {
                    one: one.name.clone(),
                    other: other.name.clone(),
                });
            }
        }
        Ok(Self(kinds.into_iter().map(Arc::new).collect()))
    }

    /// Whether anybody can be present anywhere.
    pub fn have_presence(&self) -> bool {
        self.0.iter().any(|kind| kind.presence)
    }

    pub fn of(&self, channel: &ChannelName) -> Option<&Arc<ChannelKind>> {
        self.0
            .iter()
            .find(|kind| kind.pattern.matches(channel.as_str()))
    }
}
