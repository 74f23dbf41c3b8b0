//! Which nodes live: by their heartbeats, as seen on the streams, never by their clocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A node that was not heard for this long is dead.
pub(super) const LEASE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Roster {
    seen: Mutex<HashMap<Arc<str>, Instant>>,
    /// Since when everything was heard.
    hearing_since: Mutex<Option<Instant>>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            seen: Mutex::default(),
            hearing_since: Mutex::default(),
        }
    }

    pub(super) fn heard(&self, node: &str, now: Instant) {
        let mut seen = self.seen.lock();
        match seen.get_mut(node) {
            Some(at) => *at = now,
            None => {
                seen.insert(node.into(), now);
            }
        }
    }

    /// Whether this node hears the streams. While it does not, nobody dies for it.
    pub(super) fn hearing(&self, hears: bool, now: Instant) {
        let mut since = self.hearing_since.lock();
        if hears {
            since.get_or_insert(now);
        } else {
            *since = None;
            self.seen.lock().values_mut().for_each(|at| *at = now);
        }
    }

    /// Nodes that died since the last call.
    pub(super) fn take_dead(&self, now: Instant) -> Vec<Arc<str>> {
        let mut dead = Vec::new();
        self.seen.lock().retain(|node, at| {
            let lives = now.duration_since(*at) < LEASE;
            if !lives {
                dead.push(Arc::clone(node));
            }
            lives
        });
        dead
    }

    pub(super) fn live(&self) -> Vec<Arc<str>> {
        self.seen.lock().keys().cloned().collect()
    }

    /// Whether everybody who lives was heard by now.
    pub(super) fn is_sure(&self) -> bool {
        self.hearing_since
            .lock()
            .is_some_and(|since| since.elapsed() > LEASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_node_dies_but_not_while_nothing_is_heard() {
        let (roster, start) = (Roster::new(), Instant::now());
        roster.heard("a", start);
        roster.hearing(true, start);
        roster.heard("b", start + LEASE / 2);
        assert_eq!(roster.take_dead(start + LEASE), [Arc::<str>::from("a")]);
        roster.hearing(false, start + LEASE * 3);
        assert!(roster.take_dead(start + LEASE * 3).is_empty());
        assert_eq!(roster.live(), [Arc::<str>::from("b")]);
        roster.hearing(true, start + LEASE * 3);
        assert_eq!(roster.take_dead(start + LEASE * 4), [Arc::<str>::from("b")]);
    }
}
