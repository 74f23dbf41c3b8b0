//! The roster of one channel: its users in the order of their ids, each with the sessions that keep it there.
//!
//! It knows no leases and no clock; it keeps the time of its last diff only for its caller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Members;
use parlor_protocol::{ErrorCode, Payload, WireError};

use super::changes::Changes;
use super::mirror::Edit;
use super::{Entry, PresenceConfig, page};
use crate::planted::{self, Bug};

/// A user in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) info: Option<Payload>,
    pub(super) state: Option<Payload>,
    /// Sorted. Most users have one or two.
    pub(super) sessions: Vec<Arc<str>>,
}

/// The users of one channel, by id. Boxed: a node of the tree has room for eleven, and many channels have one user.
pub(super) type Users = BTreeMap<Arc<str>, Box<User>>;

/// Who is in a channel, and what of it has not been pushed yet.
///
/// Its callers keep the books: each session joins once before it leaves once.
#[derive(Debug)]
pub(super) struct Roster {
    users: Users,
    /// Connections beyond the listed users: counted only.
    unlisted: u64,
    connections: u64,
    changes: Changes,
    version: u64,
    flushed_at: Instant,
    /// Whether the channel stands on the agenda: so it stands there once.
    pub(super) flush_is_planned: bool,
}

impl Roster {
    pub(super) fn new(version: u64, now: Instant) -> Self {
        Self {
            users: Users::new(),
            unlisted: 0,
            connections: 0,
            changes: Changes::default(),
            version,
            flushed_at: now,
            flush_is_planned: false,
        }
    }

    pub(super) fn join(&mut self, entry: &Entry, config: &PresenceConfig) {
        self.connections += 1;
        if !self.users.contains_key(&entry.user) && self.users.len() >= config.users_listed_max {
            self.unlisted += 1;
            self.changes.blur();
            return;
        }
        self.touch(&entry.user, config);
        let user = self
            .users
            .entry(Arc::clone(&entry.user))
            .or_insert_with(|| {
                Box::new(User {
                    info: None,
                    state: None,
                    sessions: Vec::with_capacity(1),
                })
            });
        user.info.clone_from(&entry.info);
        if let Err(place) = user.sessions.binary_search(&entry.session) {
            user.sessions.insert(place, Arc::clone(&entry.session));
        }
    }

    /// The session is in the channel and says so again: only its info may be new.
    pub(super) fn rejoin(&mut self, entry: &Entry, config: &PresenceConfig) {
        if self
            .users
            .get(&entry.user)
            .is_none_or(|user| user.info == entry.info)
        {
            return;
        }
        self.touch(&entry.user, config);
        if let Some(user) = self.users.get_mut(&entry.user) {
            user.info.clone_from(&entry.info);
        }
    }

    pub(super) fn leave(&mut self, user: &Arc<str>, session: &Arc<str>, config: &PresenceConfig) {
        self.connections = self.connections.saturating_sub(1);
        let place = self
            .users
            .get(user)
            .and_then(|found| found.sessions.binary_search(session).ok());
        let Some(place) = place else {
            self.unlisted = self.unlisted.saturating_sub(1);
            self.changes.blur();
            return;
        };
        self.touch(user, config);
        let is_last = self.users.get_mut(user).is_some_and(|found| {
            found.sessions.remove(place);
            found.sessions.is_empty()
        });
        if is_last {
            self.users.remove(user);
        }
    }

    /// # Errors
    /// `not_present`.
    pub(super) fn set_state(
        &mut self,
        user: &Arc<str>,
        state: Option<Payload>,
        config: &PresenceConfig,
    ) -> Result<(), WireError> {
        let found = self.users.get(user).ok_or(ErrorCode::NotPresent)?;
        if found.state == state {
            return Ok(());
        }
        self.touch(user, config);
        if let Some(found) = self.users.get_mut(user) {
            found.state = state;
        }
        Ok(())
    }

    /// Takes what a mirror of the registry has learned.
    pub(super) fn edit(&mut self, edit: Edit, config: &PresenceConfig) {
        match edit {
            Edit::Join(entry) => self.join(&entry, config),
            Edit::Leave { user, session } => self.leave(&user, &session, config),
            Edit::Info(entry) => self.rejoin(&entry, config),
            Edit::State { user, state } => {
                // One who is not listed has no state.
                let _not_listed = self.set_state(&user, state, config);
            }
        }
    }

    /// Nobody has seen the roster yet, so nobody need be told how it came to be.
    pub(super) fn forget_changes(&mut self) {
        self.changes = Changes::default();
    }

    pub(super) fn has_user(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    pub(super) fn snapshot(&mut self, limit: usize, after: Option<&str>) -> Members {
        let (members, next) = page::page(&self.users, limit, after);
        // Counts alone, too: a count that was shown must not go stale in silence.
        self.changes.seen();
        let (users, connections) = self.counts();
        Members {
            members,
            users,
            connections,
            version: self.version,
            next,
        }
    }

    /// Users and connections.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.users.len() as u64 + self.unlisted, self.connections)
    }

    /// What changed since the last call, as the next version; none if nothing did.
    pub(super) fn flush(&mut self, config: &PresenceConfig, now: Instant) -> Option<PresenceDiff> {
        self.flush_is_planned = false;
        self.flushed_at = now;
        if !self.names_are_pushed(config) && !self.changes.is_empty() {
            self.changes.blur();
        }
        let named = self.changes.take(&self.users)?;
        if planted::strikes(Bug::LosePresenceDiff, 4) {
            return None;
        }
        self.version += 1;
        let (users, connections) = self.counts();
        Some(named.into_diff(self.version, users, connections))
    }

    pub(super) fn names_are_pushed(&self, config: &PresenceConfig) -> bool {
        self.users.len() <= config.members_pushed_max
    }

    pub(super) fn wants_flush(&self) -> bool {
        !self.flush_is_planned && !self.changes.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections == 0
    }

    /// Whether nobody is here and everybody has been told.
    pub(super) fn is_spent(&self) -> bool {
        self.is_empty() && self.changes.is_empty()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn flushed_at(&self) -> Instant {
        self.flushed_at
    }

    /// Called before a user changes.
    fn touch(&mut self, user: &Arc<str>, config: &PresenceConfig) {
        if self.names_are_pushed(config) {
            let as_is = self.users.get(user);
            self.changes.note(user, as_is.map(Box::as_ref));
        } else {
            self.changes.blur();
        }
    }
}
