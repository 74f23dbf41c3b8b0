//! What nodes that share one registry of presence say to it, and hear from it. Data only.
//!
//! The registry holds, per channel, one entry per session (who owns it, whose it is) and one record per user (info and
//! state). It applies [`Change`]s one at a time and tells what came of them, as [`Applied`], to all nodes in one order.
//! Its rules, which every implementation keeps:
//!
//! - `Put` that claims takes the entry from whoever owns it: a client came here, so it left there. `Put` that only
//!   repeats yields to an entry of another process, and leaves the info of a known user as it is.
//! - `Remove` does something only to an entry of the same process (compare-and-delete): whoever lost the entry to
//!   another node cannot take it away.
//! - `State` does something only for a user who is in the channel.
//! - With a user's last entry its record goes.
//! - What changes nothing is not told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parlor_protocol::{ChannelName, Payload};

/// One incarnation of a node: a random name of its process and a count. A node whose lease lapsed goes on as the next
/// one, so that what others clear away of the one before is never its present.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The first incarnation of a process. The name must be random, and without a dot.
    pub fn first(process: &str) -> Self {
        Self(format!("{process}.1").into())
    }

    /// Reads what [`as_str`](Self::as_str) gave; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (process, count) = text.rsplit_once('.')?;
        let is_one = !process.is_empty() && count.parse::<u64>().is_ok();
        is_one.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The incarnation after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        let (process, count) = self.0.rsplit_once('.').unwrap_or((&*self.0, "0"));
        let count = count.parse::<u64>().unwrap_or(0).saturating_add(1);
        Self(format!("{process}.{count}").into())
    }

    /// Whether both are incarnations of one process.
    pub fn is_same_process(&self, other: &Self) -> bool {
        let process = |id: &Self| id.0.rfind('.').unwrap_or(id.0.len());
        self.0[..process(self)] == other.0[..process(other)]
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an entry ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The client said so: it is nowhere any more.
    Left,
    /// Its lease ended here. It may still live where it was before, or come back.
    Lapsed,
    /// Its node is dead.
    Reaped,
}

/// What a node wants changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put {
        session: Arc<str>,
        user: Arc<str>,
        info: Option<Payload>,
        /// An entry that needs no socket: it outlives its node for this long from now.
        lasts: Option<Duration>,
        /// A client asked for it; else the node repeats what it holds.
        claims: bool,
    },
    Remove {
        session: Arc<str>,
        why: Why,
    },
    State {
        user: Arc<str>,
        state: Option<Payload>,
        /// Repeated after a loss: a state that is there stays.
        if_absent: bool,
    },
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The entry is there, or has a new owner; the user's record is as told.
    Put(Row),
    Removed {
        session: Arc<str>,
        owner: NodeId,
        why: Why,
    },
    State {
        user: Arc<str>,
        state: Option<Payload>,
    },
}

/// An entry, together with its user's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub session: Arc<str>,
    pub owner: NodeId,
    /// It needs no socket, so the death of its node does not end it at once; the registry ends it in its time.
    pub has_deadline: bool,
    pub user: Arc<str>,
    pub info: Option<Payload>,
    pub state: Option<Payload>,
}

/// Some of a channel's entries as they were at a version. All pages together hold at least every entry that was
/// there from the first page to the last.
#[derive(Clone, Debug)]
pub struct Page {
    /// The channel's version when the page was read: it holds everything up to here, and nothing younger.
    pub version: u64,
    pub rows: Vec<Row>,
    /// Asks for the next page.
    pub next: Option<Cursor>,
}

/// Where the next page starts; only the registry knows what it means.
pub type Cursor = Arc<str>;

/// Something that presence asks of the registry. Each errand but `Release` must be answered, with `submitted`, `loaded`,
/// `reaped` or `listed`.
#[derive(Debug)]
pub enum Errand {
    /// Apply these, in their order. The answer must be final: what is answered as failed may have been applied, but is
    /// not applied later.
    Submit(Submission),
    /// Read a page. Before a first page (no cursor) is read, the channel's feed must be on: every change
    /// above the page's version is going to be given to `apply`.
    Load(Load),
    /// Nobody here wants the channel's feed any more.
    Release(ChannelName),
    /// Remove what this node owns, as `Reaped`, in one bounded step; entries with a deadline only when it is over.
    Reap(NodeId),
    /// Tell all nodes that the registry knows of.
    ListNodes,
}

/// What this node wants changed in one channel. Of each channel one is under way at a time.
#[derive(Debug)]
pub struct Submission {
    pub channel: ChannelName,
    pub owner: NodeId,
    pub changes: Vec<Change>,
}

/// Which page to read.
#[derive(Clone, Debug)]
pub struct Load {
    pub channel: ChannelName,
    pub cursor: Option<Cursor>,
    /// Tells the answers to a load that was started anew from the others.
    pub(super) run: u64,
}

/// How far a reaper came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// There is more to remove now.
    Partly,
    /// What is left has deadlines; look again then.
    UntilLater(Duration),
    /// Nothing is left of the node, and the registry has forgotten it.
    Wholly,
}

/// The registry could not do it, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;
