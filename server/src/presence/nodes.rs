//! Which other nodes are alive: leases that run from heartbeats seen.
//!
//! All heartbeats come by one feed, this node's own among them, and a lease is measured between heartbeats, not by
//! the clock: a node is dead when ours kept coming back for a whole lease after its last one. So a feed that stands
//! still, a Redis that is away and a process that was frozen kill nobody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::registry::NodeId;

/// How long a dead node is remembered after its entries were cleared away.
const DEAD_REMEMBERED: Duration = Duration::from_secs(600);

/// The nodes that share the registry, as this one knows them.
#[derive(Debug)]
pub(super) struct Nodes {
    me: NodeId,
    lease: Duration,
    /// When this node's own heartbeat came back last.
    own: Option<Instant>,
    /// Never an incarnation of this process: what an earlier one left is cleared away once everything was repeated.
    others: HashMap<NodeId, Other>,
    is_healthy: bool,
    was_healthy: bool,
}

#[derive(Debug)]
struct Other {
    seen: Instant,
    is_dead: bool,
}

impl Nodes {
    pub(super) fn new(me: NodeId, lease: Duration) -> Self {
        Self {
            me,
            lease,
            own: None,
            others: HashMap::new(),
            is_healthy: false,
            was_healthy: false,
        }
    }

    pub(super) fn me(&self) -> &NodeId {
        &self.me
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy
    }

    /// Whether the registry was there and is away. At the start it is neither: whoever asks then waits.
    pub(super) fn is_away(&self) -> bool {
        self.was_healthy && !self.is_healthy
    }

    /// Our own probe turned red or green. Leases stand still while it is red, and begin anew when it is green again.
    pub(super) fn set_healthy(&mut self, is_healthy: bool, now: Instant) {
        if is_healthy && !self.is_healthy {
            self.begin_leases_anew(now);
        }
        self.is_healthy = is_healthy;
        self.was_healthy |= is_healthy;
    }

    /// A heartbeat came, or another proof of life. True if the node was thought to be dead.
    pub(super) fn seen(&mut self, node: &NodeId, now: Instant) -> bool {
        if node.is_same_process(&self.me) {
            // What comes late under a former name says nothing: followed like another's, that name would die here some day,
            // and this node would bury and reap what it holds itself.
            if *node == self.me {
                self.own_seen(now);
            }
            return false;
        }
        // A process that goes on as a new incarnation still holds what it has not said again yet.
        for (_, earlier) in self
            .others
            .iter_mut()
            .filter(|(id, other)| !other.is_dead && id.is_same_process(node))
        {
            earlier.seen = now;
        }
        let other = self.others.entry(node.clone()).or_insert(Other {
            seen: now,
            is_dead: false,
        });
        other.seen = now;
        std::mem::take(&mut other.is_dead)
    }

    fn own_seen(&mut self, now: Instant) {
        let is_after_a_gap = self
            .own
            .is_none_or(|own| now.saturating_duration_since(own) > self.lease / 2);
        self.own = Some(now);
        if is_after_a_gap {
            // We were away, not they: what they said meanwhile may come after our own.
            self.begin_leases_anew(now);
        }
    }

    fn begin_leases_anew(&mut self, now: Instant) {
        for other in self.others.values_mut().filter(|other| !other.is_dead) {
            other.seen = other.seen.max(now);
        }
    }

    /// Somebody names this node: from now on its lease runs, should it never be heard of.
    pub(super) fn mention(&mut self, node: &NodeId, now: Instant) {
        if !node.is_same_process(&self.me) && !self.others.contains_key(node) {
            self.others.insert(
                node.clone(),
                Other {
                    seen: now,
                    is_dead: false,
                },
            );
        }
    }

    /// The nodes that died since the last call.
    pub(super) fn judge(&mut self) -> Vec<NodeId> {
        let Some(own) = self.own.filter(|_| self.is_healthy) else {
            return Vec::new();
        };
        let lease = self.lease;
        let is_over = |other: &Other| own.saturating_duration_since(other.seen) > lease;
        let dead = self
            .others
            .iter_mut()
            .filter(|(_, other)| !other.is_dead && is_over(other));
        dead.map(|(id, other)| {
            other.is_dead = true;
            id.clone()
        })
        .collect()
    }

    pub(super) fn is_dead(&self, node: &NodeId) -> bool {
        self.others.get(node).is_some_and(|other| other.is_dead)
    }

    /// Whether it is for this node to clear away what a dead one left: one does, the first by name.
    pub(super) fn is_reaper(&self) -> bool {
        self.others
            .iter()
            .all(|(id, other)| other.is_dead || *id > self.me)
    }

    /// The dead nodes that the one reaper should have cleared away long ago.
    pub(super) fn is_overdue(&self, node: &NodeId, now: Instant) -> bool {
        self.others.get(node).is_some_and(|other| {
            other.is_dead && now.saturating_duration_since(other.seen) > self.lease * 8
        })
    }

    /// Whether others think us dead: our heartbeats did not come back for a lease.
    pub(super) fn is_lapsed(&self, now: Instant) -> bool {
        self.own
            .is_some_and(|own| now.saturating_duration_since(own) > self.lease)
    }

    /// Goes on as the next incarnation; the one before is given back.
    pub(super) fn reincarnate(&mut self) -> NodeId {
        let next = self.me.next();
        self.own = None;
        std::mem::replace(&mut self.me, next)
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.others.retain(|_, other| {
            !other.is_dead || now.saturating_duration_since(other.seen) < DEAD_REMEMBERED
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_heartbeat_under_its_former_name_makes_no_node_bury_itself() {
        let start = Instant::now();
        let mut nodes = Nodes::new(NodeId::first("p"), Duration::from_secs(4));
        nodes.set_healthy(true, start);
        let former = nodes.reincarnate();
        let me = nodes.me().clone();
        nodes.seen(&former, start);
        for second in 0..10 {
            nodes.seen(&me, start + Duration::from_secs(second));
            assert!(nodes.judge().is_empty(), "after {second} s");
        }
    }
}
