//! The registry as a model: the rules of `presence/registry.rs` in the plainest words, and the feed that it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_protocol::{ChannelName, Payload};

use super::super::super::registry::{
    Applied, Change, Load, NodeId, Page, Reaped, Row, Submission, Why,
};

/// What all nodes are told, in one order.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Applied {
        channel: ChannelName,
        version: u64,
        applied: Vec<Applied>,
    },
    Heartbeat(NodeId),
}

#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// Rows of a page and removals of a reaper's step: few, so that tests see many.
    pub(crate) rows_max: usize,
    channels: BTreeMap<ChannelName, Room>,
    nodes: BTreeSet<NodeId>,
    version: u64,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            rows_max: 3,
            channels: BTreeMap::new(),
            nodes: BTreeSet::new(),
            version: 0,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Room {
    entries: BTreeMap<Arc<str>, Held>,
    users: BTreeMap<Arc<str>, Record>,
}

#[derive(Clone, Debug)]
struct Held {
    owner: NodeId,
    user: Arc<str>,
    until: Option<Instant>,
}

#[derive(Clone, Debug, Default)]
struct Record {
    entries: usize,
    info: Option<Payload>,
    state: Option<Payload>,
}

impl Room {
    fn change(&mut self, change: &Change, owner: &NodeId, now: Instant) -> Vec<Applied> {
        match change {
            Change::Put { .. } => self.put(change, owner, now),
            Change::Remove { session, why } => {
                let is_its = |held: &Held| held.owner.is_same_process(owner);
                if self.entries.get(session).is_some_and(is_its) {
                    self.remove(session, *why).into_iter().collect()
                } else {
                    Vec::new()
                }
            }
            Change::State {
                user,
                state,
                if_absent,
            } => {
                let Some(record) = self.users.get_mut(user) else {
                    return Vec::new();
                };
                if record.state == *state || (*if_absent && record.state.is_some()) {
                    return Vec::new();
                }
                record.state.clone_from(state);
                vec![Applied::State {
                    user: Arc::clone(user),
                    state: state.clone(),
                }]
            }
        }
    }

    fn put(&mut self, change: &Change, owner: &NodeId, now: Instant) -> Vec<Applied> {
        let Change::Put {
            session,
            user,
            info,
            lasts,
            claims,
        } = change
        else {
            return Vec::new();
        };
        let before = self.entries.get(session).cloned();
        if let Some(before) = &before
            && !claims
            && !before.owner.is_same_process(owner)
        {
            return Vec::new();
        }
        let mut told = Vec::new();
        if before.as_ref().is_some_and(|before| before.user != *user) {
            told.extend(self.remove(session, Why::Left));
        }
        let held = Held {
            owner: owner.clone(),
            user: Arc::clone(user),
            until: lasts.map(|lasts| now + lasts),
        };
        let is_new = self.entries.insert(Arc::clone(session), held).is_none();
        let record = self.users.entry(Arc::clone(user)).or_default();
        record.entries += usize::from(is_new);
        let sets_info = *claims || record.entries == 1;
        let is_same = !is_new
            && (!sets_info || record.info == *info)
            && before.is_some_and(|before| {
                before.owner == *owner && before.until.is_some() == lasts.is_some()
            });
        if sets_info {
            record.info.clone_from(info);
        }
        if !is_same {
            told.extend(self.row(session).map(Applied::Put));
        }
        told
    }

    fn remove(&mut self, session: &Arc<str>, why: Why) -> Option<Applied> {
        let held = self.entries.remove(session)?;
        let record = self.users.get_mut(&held.user)?;
        record.entries -= 1;
        if record.entries == 0 {
            self.users.remove(&held.user);
        }
        Some(Applied::Removed {
            session: Arc::clone(session),
            owner: held.owner,
            why,
        })
    }

    fn row(&self, session: &Arc<str>) -> Option<Row> {
        let held = self.entries.get(session)?;
        let record = self.users.get(&held.user)?;
        Some(Row {
            session: Arc::clone(session),
            owner: held.owner.clone(),
            has_deadline: held.until.is_some(),
            user: Arc::clone(&held.user),
            info: record.info.clone(),
            state: record.state.clone(),
        })
    }
}

impl Registry {
    fn told(&mut self, channel: &ChannelName, applied: Vec<Applied>) -> Option<Told> {
        if applied.is_empty() {
            return None;
        }
        self.version += 1;
        Some(Told::Applied {
            channel: channel.clone(),
            version: self.version,
            applied,
        })
    }

    pub(crate) fn submit(&mut self, submission: &Submission, now: Instant) -> Option<Told> {
        let Submission {
            channel,
            owner,
            changes,
        } = submission;
        self.nodes.insert(owner.clone());
        let room = self.channels.entry(channel.clone()).or_default();
        let applied = changes
            .iter()
            .flat_map(|change| room.change(change, owner, now))
            .collect();
        self.told(channel, applied)
    }

    pub(crate) fn page(&self, load: &Load) -> Page {
        let empty = Room::default();
        let room = self.channels.get(&load.channel).unwrap_or(&empty);
        let after = load.cursor.as_deref().unwrap_or("");
        let mut rest = room
            .entries
            .keys()
            .filter(|session| ***session > *after)
            .peekable();
        let rows: Vec<_> = rest
            .by_ref()
            .take(self.rows_max)
            .filter_map(|session| room.row(session))
            .collect();
        let next = rows.last().map(|row| Arc::clone(&row.session));
        Page {
            version: self.version,
            next: next.filter(|_| rest.peek().is_some()),
            rows,
        }
    }

    pub(crate) fn reap(&mut self, node: &NodeId, now: Instant) -> (Reaped, Vec<Told>) {
        let (mut told, mut removed) = (Vec::new(), 0);
        let mut earliest: Option<Duration> = None;
        let names: Vec<_> = self.channels.keys().cloned().collect();
        for channel in names {
            let Some(room) = self.channels.get_mut(&channel) else {
                continue;
            };
            let its: Vec<_> = room
                .entries
                .iter()
                .filter(|(_, held)| held.owner == *node)
                .map(|(session, held)| (Arc::clone(session), held.until))
                .collect();
            let mut applied = Vec::new();
            for (session, until) in its {
                match until.filter(|until| *until > now) {
                    Some(until) => {
                        earliest = earliest.into_iter().chain([until - now]).min();
                    }
                    None if removed == self.rows_max => {
                        told.extend(self.told(&channel, applied));
                        return (Reaped::Partly, told);
                    }
                    None => {
                        removed += 1;
                        applied.extend(room.remove(&session, Why::Reaped));
                    }
                }
            }
            told.extend(self.told(&channel, applied));
        }
        match earliest {
            Some(wait) => (Reaped::UntilLater(wait), told),
            None => {
                self.nodes.remove(node);
                (Reaped::Wholly, told)
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<NodeId> {
        self.nodes.iter().cloned().collect()
    }

    /// Session → the process that owns it.
    pub(crate) fn entries(&self, channel: &ChannelName) -> BTreeMap<String, NodeId> {
        let room = self.channels.get(channel).cloned().unwrap_or_default();
        let pair = |(session, held): (Arc<str>, Held)| (session.to_string(), held.owner);
        room.entries.into_iter().map(pair).collect()
    }
}
