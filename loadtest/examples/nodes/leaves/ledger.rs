//! When each member left, and when the watcher on each node was told so.

use parking_lot::Mutex;
use tokio::time::Instant;

use super::member::Member;
use crate::histogram::{Latencies, Summary};

/// What all members and watchers of a run write down.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<Vec<Stay>>);

/// Of one member.
#[derive(Clone, Debug)]
struct Stay {
    member: Member,
    /// Whether the watcher on each node was told that the member has come.
    came: Vec<bool>,
    left: Option<Instant>,
    /// When the watcher on each node was told that the member has left.
    told: Vec<Option<Instant>>,
    is_slandered: bool,
}

/// From the moment in which a member sends its leave until watchers are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// The watcher on the member's own node.
    pub(crate) same_node: Summary,
    /// Each of the others.
    pub(crate) other_nodes: Summary,
    /// The last of all.
    pub(crate) everywhere: Summary,
}

impl Ledger {
    /// Members stand in the order of their numbers.
    pub(super) fn new(members: &[Member], nodes: usize) -> Self {
        let stay = |member: &Member| Stay {
            member: *member,
            came: vec![false; nodes],
            left: None,
            told: vec![None; nodes],
            is_slandered: false,
        };
        Self(Mutex::new(members.iter().map(stay).collect()))
    }

    /// The watcher on this node was told that the member has come.
    pub(super) fn told_of_coming(&self, number: usize, node: usize) {
        if let Some(stay) = self.0.lock().get_mut(number) {
            stay.came[node] = true;
        }
    }

    /// The watcher on this node was told that the member has left.
    pub(super) fn told_of_leaving(&self, number: usize, node: usize, now: Instant) {
        if let Some(stay) = self.0.lock().get_mut(number) {
            if stay.left.is_none() {
                stay.is_slandered = true;
                return;
            }
            stay.told[node] = stay.told[node].or(Some(now));
        }
    }

    /// Whether the watchers on all nodes know that the member is there.
    pub(super) fn has_come(&self, number: usize) -> bool {
        let stays = self.0.lock();
        stays[number].came.iter().all(|is_known| *is_known)
    }

    /// The member is about to send its leave.
    pub(super) fn leaves(&self, number: usize, now: Instant) {
        self.0.lock()[number].left = Some(now);
    }

    /// How many leaves some watcher has not been told of.
    pub(super) fn untold(&self) -> usize {
        let stays = self.0.lock();
        stays.iter().filter(|stay| stay.is_untold()).count()
    }

    /// Of how many members a watcher was told that they had left when they had not.
    pub(super) fn slandered(&self) -> usize {
        let stays = self.0.lock();
        stays.iter().filter(|stay| stay.is_slandered).count()
    }

    /// How long the leaves of some members took.
    pub(super) fn told(&self, are_meant: impl Fn(&Member) -> bool) -> Told {
        let mut same_node = Latencies::new();
        let mut other_nodes = Latencies::new();
        let mut everywhere = Latencies::new();
        let stays = self.0.lock();
        for stay in stays.iter().filter(|stay| are_meant(&stay.member)) {
            for node in 0..stay.told.len() {
                let of_the_place = if node == stay.member.node {
                    &mut same_node
                } else {
                    &mut other_nodes
                };
                if let Some(waited_ns) = stay.waited_ns(node) {
                    of_the_place.record_ns(waited_ns);
                }
            }
            if let Some(waited_ns) = stay.all_waited_ns() {
                everywhere.record_ns(waited_ns);
            }
        }
        Told {
            same_node: same_node.summary(),
            other_nodes: other_nodes.summary(),
            everywhere: everywhere.summary(),
        }
    }
}

impl Stay {
    fn is_untold(&self) -> bool {
        self.left.is_some() && self.all_waited_ns().is_none()
    }

    /// How long the watcher on this node waited; nothing while it waits.
    fn waited_ns(&self, node: usize) -> Option<u64> {
        let waited = self.told[node]?.saturating_duration_since(self.left?);
        Some(waited.as_nanos() as u64)
    }

    /// How long the last of them waited; nothing while one waits.
    fn all_waited_ns(&self) -> Option<u64> {
        (0..self.told.len()).try_fold(0, |longest: u64, node| {
            Some(longest.max(self.waited_ns(node)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ledger_of_one() -> (Ledger, Instant) {
        (Ledger::new(&[Member::nth(0, 3, 1)], 3), Instant::now())
    }

    #[test]
    fn a_leave_is_told_when_the_last_node_knows() {
        let (ledger, now) = ledger_of_one();
        let after = |ms| now + Duration::from_millis(ms);
        ledger.leaves(0, now);
        ledger.told_of_leaving(0, 0, after(50));
        ledger.told_of_leaving(0, 1, after(80));
        // Once more: the first time counts.
        ledger.told_of_leaving(0, 1, after(500));
        assert_eq!(ledger.untold(), 1);
        assert_eq!(ledger.told(|_| true).everywhere.count, 0);
        ledger.told_of_leaving(0, 2, after(60));
        assert_eq!((ledger.untold(), ledger.slandered()), (0, 0));
        let told = ledger.told(|_| true);
        assert_eq!((told.same_node.count, told.other_nodes.count), (1, 2));
        let took = [
            (told.same_node.max_ms, 50.0),
            (told.other_nodes.max_ms, 80.0),
            (told.everywhere.max_ms, 80.0),
        ];
        for (is, should_be) in took {
            assert!(f64::abs(is - should_be) < 1.0, "{told:?}");
        }
    }

    #[test]
    fn who_has_not_left_is_slandered_and_not_told() {
        let (ledger, now) = ledger_of_one();
        (0..3).for_each(|node| ledger.told_of_coming(0, node));
        assert!(ledger.has_come(0));
        ledger.told_of_leaving(0, 1, now);
        assert_eq!((ledger.untold(), ledger.slandered()), (0, 1));
        assert_eq!(ledger.told(|_| true).other_nodes.count, 0);
    }
}
