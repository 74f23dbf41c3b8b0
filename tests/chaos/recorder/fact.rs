//! The facts that a run consists of.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parlor_protocol::Position;

/// Of a client, a node, a channel or a publish.
///
/// Channels are named with their tenant before a slash where a run has several; ids are unique in a run.
pub(crate) type Name = Arc<str>;

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) offset: u64,
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.0,
            offset: position.offset,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last digits tell epochs apart well enough for a reader.
        write!(f, "{:04x}:{}", self.epoch & 0xffff, self.offset)
    }
}

/// How a publish went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Acknowledged: it is there, once.
    Acked(Place),
    /// Certainly not applied.
    Refused(String),
    /// May be applied, now or later, at most once.
    Unknown(String),
}

/// How a subscription began, or began again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// From now on; nothing to continue.
    First,
    /// All that was missed follows.
    Complete,
    /// The server says that something may be missing.
    Broken(String),
}

/// What somebody knows of who is in a channel, by a snapshot and the diffs that came after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// None where they are out of date, since the server told counts only.
    pub(crate) names: Option<BTreeSet<Name>>,
    pub(crate) count: u64,
}

impl Known {
    /// Whether it is of these, as far as it goes.
    pub(crate) fn is_of(&self, users: &BTreeSet<Name>) -> bool {
        let names_are = self.names.as_ref().is_none_or(|names| names == users);
        names_are && self.count == users.len() as u64
    }
}

/// What somebody did, saw or was told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    // Publishers.
    /// A publish was sent; the same id again is a repetition.
    Asked {
        by: Name,
        channel: Name,
        id: Name,
    },
    Answered {
        by: Name,
        channel: Name,
        id: Name,
        outcome: Outcome,
    },

    // Subscribers.
    /// `top` is where the channel stood.
    Subscribed {
        by: Name,
        channel: Name,
        top: Place,
        start: Start,
    },
    Received {
        by: Name,
        channel: Name,
        place: Place,
        id: Name,
    },
    /// The server passed over events, and said so.
    Advanced {
        by: Name,
        channel: Name,
        offset: u64,
        reason: String,
    },
    /// The server says that these are gone for good.
    ToldLost {
        by: Name,
        channel: Name,
        from: u64,
        to: u64,
    },
    /// An event came too early: what stands before it did not come.
    Hole {
        by: Name,
        channel: Name,
        expected: u64,
        got: u64,
    },
    /// What a hole had missed came behind its successor.
    Late {
        by: Name,
        channel: Name,
        offset: u64,
    },
    /// An event came again.
    Repeated {
        by: Name,
        channel: Name,
        offset: u64,
    },
    /// A subscription ended: nothing of the channel may come any more.
    Left {
        by: Name,
        channel: Name,
    },
    Disconnected {
        by: Name,
        code: Option<u16>,
    },

    // The end of a run.
    /// The last publish of a channel was acknowledged: whoever still follows it must see this id.
    Sentinel {
        channel: Name,
        id: Name,
    },
    /// The whole retained history as one node gives it.
    History {
        node: Name,
        channel: Name,
        epoch: u64,
        entries: Vec<(u64, Name)>,
        /// Of each entry, in the same order: a hash of all that the node says of it.
        contents: Vec<u64>,
    },
    /// Who is in a channel in truth.
    Present {
        channel: Name,
        users: BTreeSet<Name>,
    },
    /// Who is there in the eyes of a node, once it had its time.
    Roster {
        node: Name,
        channel: Name,
        users: BTreeSet<Name>,
    },
    /// Who is there in the eyes of somebody who keeps a roster, from now on.
    Holds {
        by: Name,
        channel: Name,
        known: Known,
    },

    // Nodes, as they answer and log.
    /// What `/readyz` says from now on.
    Ready {
        node: Name,
        is_ready: bool,
    },
    /// A node found that these events of a channel are gone.
    LossSeen {
        node: Name,
        partition: u64,
        channel: Name,
        from: u64,
        to: u64,
    },
    /// A node takes the verdict of all nodes: the partition goes on.
    Settled {
        node: Name,
        partition: u64,
    },
    /// A node says that all channels of a partition begin new epochs, since somebody was not heard.
    NewEpochs {
        node: Name,
        partition: u64,
    },
    /// A node was killed or frozen.
    Away {
        node: Name,
    },
    /// It is there again.
    Here {
        node: Name,
    },

    // The runner.
    Fault {
        what: String,
    },
    /// From now on nothing can be delivered: through one node, or through none.
    Stopped {
        node: Option<Name>,
    },
    /// From now on everything could be delivered again.
    Flows,
    Healed {
        what: String,
    },
    /// Something that has a bound was measured.
    Measured {
        what: String,
        value: u64,
        max: u64,
    },
    /// Something did not happen in the time that it had.
    Overdue {
        what: String,
    },
}

impl Fact {
    /// The channel that it is about.
    pub(crate) fn channel(&self) -> Option<&Name> {
        match self {
            Self::Asked { channel, .. }
            | Self::Answered { channel, .. }
            | Self::Subscribed { channel, .. }
            | Self::Received { channel, .. }
            | Self::Advanced { channel, .. }
            | Self::ToldLost { channel, .. }
            | Self::Hole { channel, .. }
            | Self::Late { channel, .. }
            | Self::Repeated { channel, .. }
            | Self::Left { channel, .. }
            | Self::LossSeen { channel, .. }
            | Self::Sentinel { channel, .. }
            | Self::History { channel, .. }
            | Self::Present { channel, .. }
            | Self::Roster { channel, .. }
            | Self::Holds { channel, .. } => Some(channel),
            _ => None,
        }
    }

    pub(crate) fn channel_mut(&mut self) -> Option<&mut Name> {
        match self {
            Self::Asked { channel, .. }
            | Self::Answered { channel, .. }
            | Self::Subscribed { channel, .. }
            | Self::Received { channel, .. }
            | Self::Advanced { channel, .. }
            | Self::ToldLost { channel, .. }
            | Self::Hole { channel, .. }
            | Self::Late { channel, .. }
            | Self::Repeated { channel, .. }
            | Self::Left { channel, .. }
            | Self::LossSeen { channel, .. }
            | Self::Sentinel { channel, .. }
            | Self::History { channel, .. }
            | Self::Present { channel, .. }
            | Self::Roster { channel, .. }
            | Self::Holds { channel, .. } => Some(channel),
            _ => None,
        }
    }

    /// Who noted it, if it was a client: of what it asked, and of what came.
    pub(crate) fn by(&self) -> Option<&Name> {
        match self {
            Self::Asked { by, .. }
            | Self::Answered { by, .. }
            | Self::Subscribed { by, .. }
            | Self::Received { by, .. }
            | Self::Advanced { by, .. }
            | Self::ToldLost { by, .. }
            | Self::Hole { by, .. }
            | Self::Late { by, .. }
            | Self::Repeated { by, .. }
            | Self::Left { by, .. }
            | Self::Disconnected { by, .. } => Some(by),
            _ => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { by, channel, id } => write!(f, "{by} publishes {id} in {channel}"),
            Self::Answered {
                by,
                channel,
                id,
                outcome,
            } => match outcome {
                Outcome::Acked(place) => {
                    write!(f, "{by} has {id} acknowledged at {channel} {place}")
                }
                Outcome::Refused(why) => write!(f, "{by} has {id} in {channel} refused: {why}"),
                Outcome::Unknown(why) => {
                    write!(f, "{by} does not know of {id} in {channel}: {why}")
                }
            },
            Self::Subscribed {
                by,
                channel,
                top,
                start,
            } => {
                write!(f, "{by} follows {channel}, top {top}, {start:?}")
            }
            Self::Received {
                by,
                channel,
                place,
                id,
            } => write!(f, "{by} receives {channel} {place} {id}"),
            Self::Advanced {
                by,
                channel,
                offset,
                reason,
            } => {
                write!(f, "{by} is led on in {channel} to {offset}: {reason}")
            }
            Self::ToldLost {
                by,
                channel,
                from,
                to,
            } => {
                write!(f, "{by} is told that {from} to {to} of {channel} are lost")
            }
            Self::Hole {
                by,
                channel,
                expected,
                got,
            } => {
                write!(f, "{by} misses {channel} {expected}, got {got}")
            }
            Self::Late {
                by,
                channel,
                offset,
            } => write!(f, "{by} gets {channel} {offset} late"),
            Self::Repeated {
                by,
                channel,
                offset,
            } => write!(f, "{by} gets {channel} {offset} again"),
            Self::Left { by, channel } => write!(f, "{by} leaves {channel}"),
            Self::Disconnected { by, code } => write!(f, "{by} is disconnected, code {code:?}"),
            Self::Sentinel { channel, id } => write!(f, "the last of {channel} is {id}"),
            Self::History {
                node,
                channel,
                epoch,
                entries,
                ..
            } => {
                let ends = (entries.first(), entries.last());
                write!(
                    f,
                    "history of {channel} at {node}: {} in {:04x}, {ends:?}",
                    entries.len(),
                    epoch & 0xffff
                )
            }
            Self::Present { channel, users } => write!(f, "in {channel} are {users:?}"),
            Self::Roster {
                node,
                channel,
                users,
            } => write!(f, "in {channel} at {node} are {users:?}"),
            Self::Holds { by, channel, known } => {
                write!(f, "{by} knows of {channel}: {known:?}")
            }
            Self::Ready { node, is_ready } => write!(f, "{node} is ready: {is_ready}"),
            Self::LossSeen {
                node,
                channel,
                from,
                to,
                ..
            } => write!(f, "{node} finds {from} to {to} of {channel} lost"),
            Self::Settled { node, partition } => {
                write!(f, "{node} goes on in partition {partition}")
            }
            Self::NewEpochs { node, partition } => {
                write!(f, "{node} begins new epochs in partition {partition}")
            }
            Self::Away { node } => write!(f, "{node} is away"),
            Self::Here { node } => write!(f, "{node} is here"),
            Self::Stopped { node: None } => write!(f, "STOPPED: nothing can be delivered"),
            Self::Stopped { node: Some(node) } => write!(f, "STOPPED: nothing passes {node}"),
            Self::Flows => write!(f, "FLOWS: everything could be delivered"),
            Self::Fault { what } => write!(f, "FAULT {what}"),
            Self::Healed { what } => write!(f, "HEALED {what}"),
            Self::Measured { what, value, max } => write!(f, "{what}: {value} of at most {max}"),
            Self::Overdue { what } => write!(f, "OVERDUE {what}"),
        }
    }
}
