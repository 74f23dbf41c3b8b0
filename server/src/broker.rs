//! The broker: gives each logged event its place, keeps the log, and delivers into the hub in order.
//!
//! It knows channels, entries and kinds; no users' rights, no connections, no wire forms.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parlor_protocol::{ChannelName, Epoch, Erasure, EventKind, Payload, Position, Tags, Time};
use sha2::{Digest as _, Sha256};

use crate::hub::{Beginning, ConnectionId, EphemeralBody, LogEntry};
use crate::kind::{ChannelKind, Durability};

mod content;
pub mod embedded;
mod random;
pub mod redis;

pub use self::redis::Redis;
pub use embedded::Embedded;

/// Entries of one page at most.
const PAGE_LEN_MAX: usize = 1_000;
/// A page in this process ends before the entry that would bring it above so many bytes, unless it would be empty. Redis ends
/// its own at as much (`redis/lua/read.lua`).
const PAGE_BYTES_MAX: usize = 1 << 20;

/// What a caller is told to wait when a store is away.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A log of channels. Built with the hub that it delivers into.
///
/// One process has the embedded broker; several share Redis, and then all of this holds across nodes.
///
/// Delivery: after `join` returned position P for a channel, every entry after P is given to
/// [`Hub::deliver`](crate::hub::Hub::deliver) once, in offset order, until `leave`; and an entry is delivered
/// before its publisher is answered.
pub trait Broker: Debug + Send + Sync + 'static {
    /// Appends one event. The order of calls on one thread is the order in the log: the call itself queues,
    /// the future only waits for the outcome. Dropping the future does not take the event back.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>>;

    /// Expresses interest in a channel and tells the log's top. Called after the hub holds the channel.
    fn join(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> BoxFuture<'static, Result<Position, Error>>;

    /// Fans out an event that is never logged, on every node. Best effort: dropped first under pressure.
    fn broadcast(&self, channel: &ChannelName, body: EphemeralBody);

    /// Ends the interest.
    fn leave(&self, channel: &ChannelName);

    /// Reads a page of the log, in one consistent view with its top.
    fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>>;

    /// Ends for good what some events said: payload, user, tags and id are gone from the log and from every node's memory.
    /// Their places stay, as tombstones: offsets, tags and times are what they were. An event of kind `erase` tells it to
    /// everybody, in the log's order; its place is the answer. What is not in the log (any more) is only told.
    ///
    /// Doing it again is harmless, and how an unknown outcome becomes known. Erasures themselves are passed over.
    fn erase(&self, erase: Erase) -> BoxFuture<'static, Result<Appended, Error>>;

    /// Gives it what is to be awaited after a time without the store, before anything is delivered on: this node learns
    /// what others decided meanwhile. A broker that is never away needs nothing.
    fn reload_with(&self, _reload: Reload) {}

    /// Whether appends can succeed; the text says why not.
    fn health(&self) -> Result<(), String>;

    /// Finishes what was accepted, then stops. Blocks: not for a shard's thread.
    fn shut_down(&self);
}

/// Resolves once this node knows what other nodes decided while it was away. It reads the log.
pub type Reload = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// One event to append.
#[derive(Clone, Debug)]
pub struct Append {
    pub channel: ChannelName,
    pub kind: Arc<ChannelKind>,
    pub event: EventKind,
    /// The sender's id for this publish and whose id it is: makes a retry inside the window safe.
    pub dedup: Option<Dedup>,
    pub user: Option<Arc<str>>,
    pub tags: Tags,
    pub payload: Payload,
    /// The connection that asked to receive its own event without data.
    pub no_echo_to: Option<ConnectionId>,
}

/// Which events to end.
#[derive(Clone, Debug)]
pub struct Erase {
    pub channel: ChannelName,
    pub kind: Arc<ChannelKind>,
    /// The life of the log that the offsets belong to.
    pub epoch: Epoch,
    /// Not above the log's top; ascending, at most
    /// [`ERASE_OFFSETS_MAX`](parlor_protocol::limits::ERASE_OFFSETS_MAX).
    pub offsets: Vec<u64>,
}

impl Erase {
    /// The event that tells it. The same erasure has the same id, so that a retry is told once.
    fn announcement(self) -> Append {
        let mut hasher = Sha256::new();
        hasher.update(self.epoch.0.to_be_bytes());
        for offset in &self.offsets {
            hasher.update(offset.to_be_bytes());
        }
        let mut id = [0; 8];
        id.copy_from_slice(&hasher.finalize()[..8]);
        let id = format!("{:016x}", u64::from_be_bytes(id));
        let erasure = Erasure {
            offsets: self.offsets,
        };
        Append {
            channel: self.channel,
            kind: self.kind,
            event: EventKind::Erase,
            dedup: Some(Dedup {
                // No user's and no key's.
                sender: "e:".into(),
                id: id.into(),
            }),
            user: None,
            tags: Tags::new(),
            payload: erasure.to_payload(),
            no_echo_to: None,
        }
    }
}

/// Names one publish: unique per (channel, sender, id).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dedup {
    /// User or API key, told apart by a prefix: `u:ann`, `k:backend`.
    pub sender: Arc<str>,
    pub id: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub position: Position,
    pub time: Time,
    pub durability: Durability,
    /// The id was known with the same content: this is the first one's place.
    pub duplicate: bool,
}

/// Which page of a log. Entries come in the order of the range's direction.
#[derive(Clone, Debug)]
pub struct Read {
    pub channel: ChannelName,
    pub kind: Arc<ChannelKind>,
    pub range: Range,
    /// Entries at most.
    pub limit: usize,
}

/// Bounds are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Oldest first, from behind this offset (0: the oldest retained).
    AfterOffset(u64),
    /// Oldest first, events younger than this time.
    AfterTime(Time),
    /// Newest first, from before this offset (`u64::MAX`: the newest).
    BeforeOffset(u64),
    /// Newest first, events older than this time.
    BeforeTime(Time),
}

#[derive(Clone, Debug)]
pub struct LogPage {
    pub entries: Vec<Arc<LogEntry>>,
    /// Whether the log holds more in this direction.
    pub more: bool,
    pub top: Position,
    /// The first retained offset; `top.offset + 1` when nothing is retained.
    pub oldest: u64,
    /// The names of the place before the log's first event, where it has another than its epoch.
    pub beginning: Option<Beginning>,
}

/// Why a broker did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The queue is full: nothing was done.
    #[error("too much waits to be written")]
    Busy { retry_after: Duration },
    /// Nothing was done, or (after a failed commit) the outcome is unknown to the caller but settled: not in the log.
    #[error("the log is unavailable: {reason}")]
    Unavailable {
        reason: String,
        retry_after: Duration,
    },
    #[error("this id was used for other content")]
    IdReused,
    #[error("the broker is shutting down")]
    Closed,
}

impl Error {
    /// How long to wait before the same is asked again; `None` where that helps nothing.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Unavailable { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::IdReused | Self::Closed => None,
        }
    }
}
