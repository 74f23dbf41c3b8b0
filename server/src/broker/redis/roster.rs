//! Which nodes live: by their heartbeats, as seen on the streams, never by their clocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A node that was not heard for this long is dead.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// Who did not look for so long was not running itself: what it did not hear says nothing.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Roster {
    seen: Mutex<HashMap<Arc<str>, Instant>>,
    /// Since when everything was heard.
    hearing_since: Mutex<Option<Instant>>,
    /// When somebody looked for the dead last.
    looked_at: Mutex<Option<Instant>>,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            seen: Mutex::default(),
            hearing_since: Mutex::default(),
            looked_at: Mutex::default(),
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

    /// Nodes that died since the last call. For one caller, who calls often.
    pub(super) fn take_dead(&self, now: Instant) -> Vec<Arc<str>> {
        let before = self.looked_at.lock().replace(now);
        if before.is_some_and(|before| now.duration_since(before) > PAUSE) {
            self.hearing(false, now);
        }
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

    pub(super) fn is_live(&self, node: &str) -> bool {
        self.seen.lock().contains_key(node)
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

    /// Looks for the dead every second, in whole seconds after a start.
    fn die_between(
        roster: &Roster,
        start: Instant,
        seconds: std::ops::RangeInclusive<u64>,
    ) -> Vec<(u64, Arc<str>)> {
        let mut dead = Vec::new();
        for second in seconds {
            let taken = roster.take_dead(start + Duration::from_secs(second));
            dead.extend(taken.into_iter().map(|node| (second, node)));
        }
        dead
    }

    #[test]
    fn a_silent_node_dies_but_not_while_nothing_is_heard() {
        let (roster, start) = (Roster::new(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        roster.heard("a", start);
        roster.hearing(true, start);
        roster.heard("b", at(2));
        assert_eq!(die_between(&roster, start, 0..=6), [(5, "a".into())]);
        roster.hearing(false, at(6));
        assert_eq!(roster.live(), [Arc::<str>::from("b")]);
        roster.hearing(true, at(6));
        assert_eq!(die_between(&roster, start, 7..=12), [(11, "b".into())]);
    }

    #[test]
    fn nobody_dies_while_the_one_that_looks_stands_still() {
        let (roster, start) = (Roster::new(), Instant::now());
        roster.heard("a", start);
        roster.hearing(true, start);
        assert_eq!(die_between(&roster, start, 0..=1), []);
        assert_eq!(die_between(&roster, start, 60..=64), []);
        assert!(roster.is_live("a"));
        assert_eq!(die_between(&roster, start, 65..=65), [(65, "a".into())]);
    }
}
