//! What becomes of an append, in both stores: a place of its own, its first one's place, or a refusal.

use std::sync::Arc;

use parlor_protocol::{Epoch, Position, Tag, Time};

use super::stats::{Stats, add};
use crate::broker::content::ContentHash;
use crate::broker::{Appended, Error};
use crate::hub::LogEntry;
use crate::kind::Durability;

/// What became of one append.
#[derive(Debug)]
pub(super) enum Outcome {
    Logged(Arc<LogEntry>),
    /// Known by its id: this is the first one's place.
    Duplicate {
        position: Position,
        time: Time,
    },
    IdReused,
}

impl Outcome {
    /// The publisher's answer, once it may have it. Counts it.
    pub(super) fn answer(&self, durability: Durability, stats: &Stats) -> Result<Appended, Error> {
        let (position, time, duplicate) = match self {
            Self::Logged(entry) => (entry.position(), entry.time, false),
            Self::Duplicate { position, time } => (*position, *time, true),
            Self::IdReused => return Err(Error::IdReused),
        };
        let counter = if duplicate {
            &stats.dedup_hits
        } else {
            &stats.appends
        };
        add(counter, 1);
        Ok(Appended {
            position,
            time,
            durability,
            duplicate,
        })
    }
}

/// Where a publish with an id was logged, and what it said.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) content: ContentHash,
    pub(super) offset: u64,
    pub(super) tag: Tag,
    pub(super) time: Time,
}

impl First {
    pub(super) fn of(content: ContentHash, entry: &LogEntry) -> Self {
        Self {
            content,
            offset: entry.offset,
            tag: entry.tag,
            time: entry.time,
        }
    }

    /// What becomes of another publish under the same id, in the life of the log that has this epoch.
    pub(super) fn outcome(self, epoch: Epoch, content: ContentHash) -> Outcome {
        if self.content != content {
            return Outcome::IdReused;
        }
        let position = Position {
            epoch,
            offset: self.offset,
            tag: self.tag,
        };
        Outcome::Duplicate {
            position,
            time: self.time,
        }
    }
}
