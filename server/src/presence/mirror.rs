//! A copy of one channel's entries, as the registry holds them: read in pages once, and kept up by the feed.
//!
//! While pages are read the feed is applied to a second table by version: of each entry the youngest word counts,
//! be it a page's or the feed's. So pages that were read while entries came and went add up to the truth. A copy that
//! is read again (after a hole in the feed) stays in use meanwhile, and only true differences come out at the end.
//!
//! Plain state: what it learns comes out as [`Edit`]s for the channel's roster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parlor_protocol::Payload;
use tokio::sync::Notify;

use super::Entry;
use super::registry::{Applied, NodeId, Page, Row};

/// Removals remembered while pages are read. With more of them the reading starts anew.
const REMOVALS_MAX: usize = 100_000;

/// A change of a roster.
#[derive(Debug)]
pub(super) enum Edit {
    Join(Entry),
    Leave {
        user: Arc<str>,
        session: Arc<str>,
    },
    /// The entry was there; its user's info may be new.
    Info(Entry),
    State {
        user: Arc<str>,
        state: Option<Payload>,
    },
}

#[derive(Debug)]
pub(super) struct Mirror {
    /// Subscriptions here that want to know who is in the channel.
    pub(super) watchers: usize,
    /// When nobody has wanted it for long enough.
    pub(super) keep_until: Option<Instant>,
    /// It was dropped: whoever still has it in hand looks for its successor.
    pub(super) is_dropped: bool,
    /// Rung when it is loaded, or when it will not be soon.
    pub(super) bell: Arc<Notify>,
    is_live: bool,
    entries: HashMap<Arc<str>, Held>,
    /// Dead nodes whose entries were left out.
    buried: Vec<NodeId>,
    reading: Option<Reading>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    owner: NodeId,
    user: Arc<str>,
    has_deadline: bool,
}

/// What has been read so far, and what the feed told meanwhile.
#[derive(Debug)]
struct Reading {
    run: u64,
    entries: HashMap<Arc<str>, (u64, Option<Held>)>,
    infos: HashMap<Arc<str>, (u64, Option<Payload>)>,
    states: HashMap<Arc<str>, (u64, Option<Payload>)>,
    removals: usize,
}

impl Reading {
    fn entry(&mut self, session: &Arc<str>, version: u64, held: Option<Held>) {
        self.removals += usize::from(held.is_none());
        put_younger(&mut self.entries, session, version, held);
    }

    fn row(&mut self, version: u64, row: &Row) {
        let Row {
            session,
            owner,
            has_deadline,
            user,
            info,
            state,
        } = row;
        let held = Held {
            owner: owner.clone(),
            user: Arc::clone(user),
            has_deadline: *has_deadline,
        };
        self.entry(session, version, Some(held));
        put_younger(&mut self.infos, user, version, info.clone());
        put_younger(&mut self.states, user, version, state.clone());
    }
}

/// Of the same version the later word counts: one version of the feed may change an entry twice, and a page of that
/// version holds the end of it.
fn put_younger<T>(table: &mut HashMap<Arc<str>, (u64, T)>, key: &Arc<str>, version: u64, value: T) {
    match table.get_mut(key) {
        Some(known) if known.0 > version => {}
        Some(known) => *known = (version, value),
        None => {
            table.insert(Arc::clone(key), (version, value));
        }
    }
}

impl Mirror {
    pub(super) fn new() -> Self {
        Self {
            watchers: 0,
            keep_until: None,
            is_dropped: false,
            bell: Arc::new(Notify::new()),
            is_live: false,
            entries: HashMap::new(),
            buried: Vec::new(),
            reading: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// Begins to read from the first page; what an earlier reading has found is forgotten.
    pub(super) fn read_anew(&mut self, run: u64) {
        self.reading = Some(Reading {
            run,
            entries: HashMap::new(),
            infos: HashMap::new(),
            states: HashMap::new(),
            removals: 0,
        });
    }

    /// Whether an answer of this run is still waited for.
    pub(super) fn is_reading(&self, run: u64) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| reading.run == run)
    }

    /// Whether a reading has to remember so much that it should start anew.
    pub(super) fn is_overrun(&self) -> bool {
        self.reading
            .as_ref()
            .is_some_and(|reading| reading.removals > REMOVALS_MAX)
    }

    /// Takes what the feed tells. Entries that only sockets of a dead node hold are left out.
    pub(super) fn apply(
        &mut self,
        version: u64,
        applied: &Applied,
        is_of_dead: bool,
        edits: &mut Vec<Edit>,
    ) {
        if let Some(reading) = &mut self.reading {
            match applied {
                Applied::Put(row) => reading.row(version, row),
                Applied::Removed { session, .. } => reading.entry(session, version, None),
                Applied::State { user, state } => {
                    put_younger(&mut reading.states, user, version, state.clone());
                }
            }
        }
        if !self.is_live {
            return;
        }
        match applied {
            Applied::Put(row) if is_of_dead && !row.has_deadline => {
                self.remove(&row.session, edits);
                self.remember_buried(&row.owner);
            }
            Applied::Put(row) => self.put(row, edits),
            Applied::Removed { session, .. } => self.remove(session, edits),
            Applied::State { user, state } => edits.push(Edit::State {
                user: Arc::clone(user),
                state: state.clone(),
            }),
        }
    }

    fn put(&mut self, row: &Row, edits: &mut Vec<Edit>) {
        let held = Held {
            owner: row.owner.clone(),
            user: Arc::clone(&row.user),
            has_deadline: row.has_deadline,
        };
        self.hold(&row.session, held, row.info.clone(), edits);
        edits.push(Edit::State {
            user: Arc::clone(&row.user),
            state: row.state.clone(),
        });
    }

    fn hold(
        &mut self,
        session: &Arc<str>,
        held: Held,
        info: Option<Payload>,
        edits: &mut Vec<Edit>,
    ) {
        let entry = Entry {
            user: Arc::clone(&held.user),
            session: Arc::clone(session),
            info,
        };
        match self.entries.insert(Arc::clone(session), held) {
            Some(before) if before.user == entry.user => edits.push(Edit::Info(entry)),
            Some(before) => {
                edits.push(Edit::Leave {
                    user: before.user,
                    session: Arc::clone(session),
                });
                edits.push(Edit::Join(entry));
            }
            None => edits.push(Edit::Join(entry)),
        }
    }

    fn remove(&mut self, session: &Arc<str>, edits: &mut Vec<Edit>) {
        if let Some(before) = self.entries.remove(session) {
            edits.push(Edit::Leave {
                user: before.user,
                session: Arc::clone(session),
            });
        }
    }

    /// Takes a page of the run that is under way.
    pub(super) fn add(&mut self, page: &Page) {
        if let Some(reading) = &mut self.reading {
            page.rows
                .iter()
                .for_each(|row| reading.row(page.version, row));
        }
    }

    /// The last page is there: from here on the feed alone keeps the copy up. Entries of dead nodes are left out.
    pub(super) fn finish(&mut self, is_dead: impl Fn(&NodeId) -> bool, edits: &mut Vec<Edit>) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        self.buried.clear();
        let mut infos = reading.infos;
        let mut found = HashMap::with_capacity(reading.entries.len());
        for (session, (_, held)) in reading.entries {
            let Some(held) = held else { continue };
            if !held.has_deadline && is_dead(&held.owner) {
                self.remember_buried(&held.owner);
            } else {
                found.insert(session, held);
            }
        }
        let gone: Vec<_> = self
            .entries
            .keys()
            .filter(|session| !found.contains_key(*session))
            .cloned()
            .collect();
        for session in gone {
            self.remove(&session, edits);
        }
        for (session, held) in found {
            let info = infos.get_mut(&held.user).and_then(|(_, info)| info.clone());
            self.hold(&session, held, info, edits);
        }
        let states = reading.states.into_iter();
        edits.extend(states.map(|(user, (_, state))| Edit::State { user, state }));
        self.is_live = true;
    }

    /// A node died: what only its sockets held is gone.
    pub(super) fn bury(&mut self, node: &NodeId, edits: &mut Vec<Edit>) {
        let is_its = |held: &Held| held.owner == *node && !held.has_deadline;
        let gone = self.entries.extract_if(|_, held| is_its(held));
        let before = edits.len();
        edits.extend(gone.map(|(session, held)| Edit::Leave {
            user: held.user,
            session,
        }));
        if edits.len() > before {
            self.remember_buried(node);
        }
    }

    /// Whether something is missing here if this node is alive after all.
    pub(super) fn misses(&self, node: &NodeId) -> bool {
        self.buried.contains(node)
    }

    /// Entries of this process, with their users: its desk knows whether they are right.
    pub(super) fn of_process(&self, me: &NodeId) -> Vec<(Arc<str>, Arc<str>)> {
        self.entries
            .iter()
            .filter(|(_, held)| held.owner.is_same_process(me))
            .map(|(session, held)| (Arc::clone(session), Arc::clone(&held.user)))
            .collect()
    }

    fn remember_buried(&mut self, node: &NodeId) {
        if !self.buried.contains(node) {
            self.buried.push(node.clone());
        }
    }
}
