//! Made-up histories: what everybody noted, step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::{Bug, Promises, check};
use crate::recorder::{Fact, Known, Name, Outcome, Place, Record, Recording, Start};

pub(super) const CHANNEL: &str = "disk:1";

/// A made-up run in one channel, unless it says otherwise.
#[derive(Default)]
pub(super) struct Story(pub(super) Recording);

impl Story {
    pub(super) fn fact(mut self, fact: Fact) -> Self {
        let at = Duration::from_millis(self.0.len() as u64);
        self.0.push(Record { at, fact });
        self
    }

    pub(super) fn asked_in(self, channel: &str, id: &str) -> Self {
        let (by, channel, id) = ("writer".into(), channel.into(), id.into());
        self.fact(Fact::Asked { by, channel, id })
    }

    pub(super) fn asked(self, id: &str) -> Self {
        self.asked_in(CHANNEL, id)
    }

    pub(super) fn answered(self, id: &str, outcome: Outcome) -> Self {
        let (by, channel, id) = ("writer".into(), CHANNEL.into(), id.into());
        self.fact(Fact::Answered {
            by,
            channel,
            id,
            outcome,
        })
    }

    pub(super) fn acked(self, id: &str, at: Place) -> Self {
        self.answered(id, Outcome::Acked(at))
    }

    pub(super) fn refused(self, id: &str) -> Self {
        self.answered(id, Outcome::Refused("not_permitted".into()))
    }

    pub(super) fn unknown(self, id: &str) -> Self {
        self.answered(id, Outcome::Unknown("the connection was lost".into()))
    }

    /// Published and acknowledged.
    pub(super) fn said(self, id: &str, at: Place) -> Self {
        self.asked(id).acked(id, at)
    }

    pub(super) fn follows(self, by: &str, top: Place, start: Start) -> Self {
        let (by, channel) = (by.into(), CHANNEL.into());
        self.fact(Fact::Subscribed {
            by,
            channel,
            top,
            start,
        })
    }

    pub(super) fn hears(self, by: &str, id: &str, place: Place) -> Self {
        let (by, channel, id) = (by.into(), CHANNEL.into(), id.into());
        self.fact(Fact::Received {
            by,
            channel,
            place,
            id,
        })
    }

    pub(super) fn leaves(self, by: &str) -> Self {
        let (by, channel) = (by.into(), CHANNEL.into());
        self.fact(Fact::Left { by, channel })
    }

    pub(super) fn last(self, id: &str) -> Self {
        let (channel, id) = (CHANNEL.into(), id.into());
        self.fact(Fact::Sentinel { channel, id })
    }

    pub(super) fn history(self, node: &str, epoch: u64, entries: &[(u64, &str)]) -> Self {
        self.history_with(node, epoch, entries, &[])
    }

    /// With a hash of each entry.
    pub(super) fn history_with(
        self,
        node: &str,
        epoch: u64,
        entries: &[(u64, &str)],
        contents: &[u64],
    ) -> Self {
        let entries = entries
            .iter()
            .map(|(offset, id)| (*offset, Name::from(*id)))
            .collect();
        let (node, channel) = (node.into(), CHANNEL.into());
        self.fact(Fact::History {
            node,
            channel,
            epoch,
            entries,
            contents: contents.to_vec(),
        })
    }

    pub(super) fn present(self, names: &[&str]) -> Self {
        let (channel, users) = (CHANNEL.into(), users(names));
        self.fact(Fact::Present { channel, users })
    }

    pub(super) fn roster(self, names: &[&str]) -> Self {
        let (node, channel, users) = ("node-1".into(), CHANNEL.into(), users(names));
        self.fact(Fact::Roster {
            node,
            channel,
            users,
        })
    }

    /// Somebody keeps a roster of these.
    pub(super) fn holds(self, by: &str, names: &[&str]) -> Self {
        self.knows(by, Some(users(names)), names.len() as u64)
    }

    pub(super) fn knows(self, by: &str, names: Option<BTreeSet<Name>>, count: u64) -> Self {
        let (by, channel) = (by.into(), CHANNEL.into());
        let known = Known { names, count };
        self.fact(Fact::Holds { by, channel, known })
    }

    pub(super) fn bugs(&self, promises: &Promises) -> Vec<Bug> {
        let findings = check(&self.0, promises);
        findings.iter().map(|finding| finding.bug).collect()
    }

    #[track_caller]
    pub(super) fn is_clean(&self) {
        self.is_clean_with(&Promises::strict());
    }

    #[track_caller]
    pub(super) fn is_clean_with(&self, promises: &Promises) {
        let findings = check(&self.0, promises);
        assert!(findings.is_empty(), "{findings:#?}");
    }

    #[track_caller]
    pub(super) fn is(&self, bug: Bug) {
        assert!(
            self.bugs(&Promises::strict()).contains(&bug),
            "{:?}",
            self.bugs(&Promises::strict())
        );
    }
}

pub(super) fn users(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|name| Name::from(*name)).collect()
}

/// In the first epoch.
pub(super) fn at(offset: u64) -> Place {
    Place { epoch: 1, offset }
}

/// In the second.
pub(super) fn then(offset: u64) -> Place {
    Place { epoch: 2, offset }
}

/// Two said and heard by one who follows from the start.
pub(super) fn two() -> Story {
    Story::default()
        .follows("ann", at(0), Start::First)
        .said("a", at(1))
        .hears("ann", "a", at(1))
        .said("b", at(2))
        .hears("ann", "b", at(2))
}

pub(super) fn may_lose() -> Promises {
    Promises::strict().may_lose(&["disk:"])
}
