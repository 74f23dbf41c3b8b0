//! What everybody must agree on: which message stands at which offset of which channel, and what was acknowledged.
//!
//! Channels begin empty, so offsets count from 1. It knows no sockets and no clock.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// One for all clients of a run.
#[derive(Debug)]
pub(crate) struct Ledger(Vec<Mutex<Page>>);

/// One channel.
#[derive(Debug, Default)]
struct Page {
    /// The message at each offset, as whoever saw it first saw it.
    seen: Vec<Option<u64>>,
    acknowledged: BTreeSet<(u64, u64)>,
    top: u64,
}

/// Messages at whose place something is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disagreements {
    /// Acknowledged and seen by nobody at the offset that was named.
    pub(crate) lost: usize,
    /// The same message at two offsets.
    pub(crate) doubled: usize,
    /// Offsets below the top at which nobody saw anything.
    pub(crate) holes: usize,
}

impl Ledger {
    pub(crate) fn new(channels: usize) -> Self {
        Self((0..channels).map(|_| Mutex::default()).collect())
    }

    /// Somebody received a message. False when somebody else saw another one there.
    pub(crate) fn saw(&self, channel: usize, offset: u64, message: u64) -> bool {
        let mut page = self.0[channel].lock();
        let place = usize::try_from(offset).unwrap_or(usize::MAX - 1);
        // Offsets are dense: one far above the others is itself a fault, and no reason to allocate.
        if place > page.seen.len() + AHEAD_MAX {
            return false;
        }
        if page.seen.len() <= place {
            page.seen.resize(place + 1, None);
        }
        *page.seen[place].get_or_insert(message) == message
    }

    pub(crate) fn acknowledged(&self, channel: usize, offset: u64, message: u64) {
        let mut page = self.0[channel].lock();
        page.acknowledged.insert((offset, message));
        page.top = page.top.max(offset);
    }

    /// The highest acknowledged offset: owed to every subscriber.
    pub(crate) fn top(&self, channel: usize) -> u64 {
        self.0[channel].lock().top
    }

    pub(crate) fn judge(&self) -> Disagreements {
        let mut sum = Disagreements::default();
        for page in &self.0 {
            let page = page.lock();
            let at = |offset: u64| {
                usize::try_from(offset)
                    .ok()
                    .and_then(|place| page.seen.get(place).copied().flatten())
            };
            let is_lost = |(offset, message): &&(u64, u64)| at(*offset) != Some(*message);
            sum.lost += page.acknowledged.iter().filter(is_lost).count();
            sum.holes += (1..=page.top)
                .filter(|offset| at(*offset).is_none())
                .count();
            let all: Vec<u64> = page.seen.iter().flatten().copied().collect();
            let distinct: BTreeSet<u64> = all.iter().copied().collect();
            sum.doubled += all.len() - distinct.len();
        }
        sum
    }
}

/// Offsets that a client may be ahead of all others.
const AHEAD_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_saw_in_its_place_is_in_order() {
        let ledger = Ledger::new(1);
        for offset in 1..=3 {
            ledger.acknowledged(0, offset, offset * 10);
            assert!(ledger.saw(0, offset, offset * 10) && ledger.saw(0, offset, offset * 10));
        }
        assert_eq!(ledger.judge(), Disagreements::default());
    }

    #[test]
    fn every_disagreement_is_counted() {
        let ledger = Ledger::new(1);
        ledger.acknowledged(0, 1, 10);
        ledger.acknowledged(0, 4, 40);
        assert!(ledger.saw(0, 2, 10) && ledger.saw(0, 3, 10));
        assert!(!ledger.saw(0, 3, 11));
        assert_eq!(
            ledger.judge(),
            Disagreements {
                lost: 2,
                doubled: 1,
                holes: 2
            }
        );
    }
}
