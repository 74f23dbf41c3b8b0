//! The roll: which users and sessions are connected to this node, and on which shard.

use std::sync::Arc;

use dashmap::DashMap;
use parlor_protocol::Time;

use crate::hub::{ConnectionId, ShardId};

/// Where a connection lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollEntry {
    pub connection: ConnectionId,
    pub shard: ShardId,
    /// When it signed on, by this node's clock.
    pub since: Time,
}

/// User → connections and session → connection. Written at connect and close only, and bounded by the open
/// connections.
#[derive(Debug, Default)]
pub struct Roll {
    users: DashMap<Arc<str>, Vec<RollEntry>>,
    sessions: DashMap<Arc<str>, RollEntry>,
}

impl Roll {
    pub fn add(&self, user: &Arc<str>, entry: RollEntry) {
        // Most users have one connection: the vector's own first step would be four.
        let mut entries = self
            .users
            .entry(Arc::clone(user))
            .or_insert_with(|| Vec::with_capacity(1));
        entries.push(entry);
    }

    pub fn remove(&self, user: &Arc<str>, connection: ConnectionId) {
        if let Some(mut entries) = self.users.get_mut(user) {
            entries.retain(|entry| entry.connection != connection);
        }
        self.users.remove_if(user, |_, entries| entries.is_empty());
    }

    /// All connections of a user, in the order in which they came.
    pub fn connections_of(&self, user: &str) -> Vec<RollEntry> {
        self.users
            .get(user)
            .map(|entries| entries.clone())
            .unwrap_or_default()
    }

    /// How many users are connected.
    pub fn users(&self) -> usize {
        self.users.len()
    }

    /// Makes the connection the session's. Returns the one that it was before on this node; one on another node is not known
    /// here.
    pub fn take_session(&self, session: &Arc<str>, entry: RollEntry) -> Option<RollEntry> {
        self.sessions.insert(Arc::clone(session), entry)
    }

    /// Forgets the session, unless another connection took it over.
    pub fn leave_session(&self, session: &Arc<str>, connection: ConnectionId) {
        self.sessions
            .remove_if(session, |_, entry| entry.connection == connection);
    }
}
