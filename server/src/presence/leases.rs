//! What one session holds: the channels it is in, each by a lease, and the connection that may speak for it.
//!
//! It knows no rosters: it says which entries came and went, and its caller carries that out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parlor_protocol::ChannelName;

use crate::hub::ConnectionId;

/// How long an entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    /// As long as the owner's socket, and at least until then.
    Socket {
        at_least: Option<Instant>,
    },
    Until(Instant),
}

impl Lease {
    fn prolonged(self, until: Instant) -> Self {
        match self {
            Self::Socket { at_least } => Self::Socket {
                at_least: at_least.max(Some(until)),
            },
            Self::Until(earlier) => Self::Until(earlier.max(until)),
        }
    }

    fn without_socket(self, until: Instant) -> Self {
        match self {
            Self::Socket { at_least } => {
                Self::Until(at_least.map_or(until, |at_least| at_least.max(until)))
            }
            Self::Until(earlier) => Self::Until(earlier.max(until)),
        }
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Socket { .. } => None,
            Self::Until(deadline) => Some(deadline),
        }
    }
}

/// A session's entries and their owner.
///
/// Invariant: a lease is by the socket only if it was joined by the present owner, and only while that has a socket.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Whoever attached or claimed last; remembered after its socket is lost.
    owner: Option<ConnectionId>,
    has_socket: bool,
    /// Known from the first entry on.
    user: Option<Arc<str>>,
    leases: HashMap<ChannelName, Lease>,
    /// Where the session stands on the agenda: never later than its next deadline.
    pub(super) queued: Option<Instant>,
}

impl Session {
    pub(super) fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// Whether this is the session's user: the first who asks is.
    pub(super) fn is_of(&mut self, user: &Arc<str>) -> bool {
        *self.user.get_or_insert_with(|| Arc::clone(user)) == *user
    }

    /// Whether a call from this connection counts.
    pub(super) fn obeys(&self, owner: ConnectionId) -> bool {
        self.owner == Some(owner)
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_over(&self) -> bool {
        !self.has_socket && self.leases.is_empty()
    }

    /// Hands the session to this connection. What the one before joined lives on until then, unless it is joined
    /// anew. True when there is such a thing.
    pub(super) fn attach(&mut self, owner: ConnectionId, until: Instant) -> bool {
        if self.has_socket && self.obeys(owner) {
            return false;
        }
        self.owner = Some(owner);
        self.has_socket = true;
        self.release(until);
        !self.leases.is_empty()
    }

    /// Whether this connection may join: it is the owner, or there is none with a socket and it becomes the owner.
    pub(super) fn claim(&mut self, owner: ConnectionId) -> bool {
        if !self.has_socket {
            self.owner = Some(owner);
            self.has_socket = true;
        }
        self.obeys(owner)
    }

    /// True when the session was not in the channel before.
    pub(super) fn join(&mut self, channel: &ChannelName) -> bool {
        self.leases
            .insert(channel.clone(), Lease::Socket { at_least: None })
            .is_none()
    }

    /// True when the session was not in the channel before.
    pub(super) fn hold(&mut self, channel: &ChannelName, until: Instant) -> bool {
        let before = self.leases.get(channel).copied();
        let lease = before.map_or(Lease::Until(until), |lease| lease.prolonged(until));
        self.leases.insert(channel.clone(), lease);
        before.is_none()
    }

    /// Whether the owner's socket keeps the session in the channel.
    pub(super) fn is_by_socket(&self, channel: &ChannelName) -> bool {
        matches!(self.leases.get(channel), Some(Lease::Socket { .. }))
    }

    /// True when the session was in the channel.
    pub(super) fn leave(&mut self, channel: &ChannelName) -> bool {
        self.leases.remove(channel).is_some()
    }

    pub(super) fn detach(&mut self, until: Instant) {
        self.has_socket = false;
        self.release(until);
    }

    /// Ends the session; these are the channels that it leaves.
    pub(super) fn end(&mut self) -> Vec<ChannelName> {
        self.has_socket = false;
        self.leases.drain().map(|(channel, _)| channel).collect()
    }

    /// Ends the leases that are over; these are the channels that the session leaves.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ChannelName> {
        let is_over = |lease: &mut Lease| lease.deadline().is_some_and(|deadline| deadline <= now);
        self.leases
            .extract_if(|_, lease| is_over(lease))
            .map(|(channel, _)| channel)
            .collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.leases
            .values()
            .filter_map(|lease| lease.deadline())
            .min()
    }

    fn release(&mut self, until: Instant) {
        for lease in self.leases.values_mut() {
            *lease = lease.without_socket(until);
        }
    }
}
