//! A timing wheel: one timer for all connections of a shard (Varghese and Lauck, 1987, scheme 6).

use std::time::{Duration, Instant};

use crate::hub::ConnectionId;

/// How finely time is cut.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// One turn of the wheel is 128 s; what is further away goes round again.
const SLOTS: usize = 512;

/// Someone to look after, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) connection: ConnectionId,
    /// Entries are not removed when plans change: one with an old generation is ignored.
    pub(super) generation: u32,
    /// The tick at which it is due.
    tick: u64,
}

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<Due>]>,
    start: Instant,
    /// Ticks that are over.
    tick: u64,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            start: now,
            tick: 0,
        }
    }

    /// Due after `delay`, never sooner than the next tick.
    pub(super) fn add(
        &mut self,
        now: Instant,
        delay: Duration,
        connection: ConnectionId,
        generation: u32,
    ) {
        let at = (now + delay).saturating_duration_since(self.start);
        let tick = (at.as_millis().div_ceil(TICK.as_millis()) as u64).max(self.tick + 1);
        self.slots[tick as usize % SLOTS].push(Due {
            connection,
            generation,
            tick,
        });
    }

    /// Moves on to `now` and takes everything that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Due> {
        let target =
            (now.saturating_duration_since(self.start).as_millis() / TICK.as_millis()) as u64;
        let mut due = Vec::new();
        // After a long stall one full turn finds everything.
        let from = (self.tick + 1).max(target.saturating_sub(SLOTS as u64 - 1));
        for tick in from..=target {
            let slot = &mut self.slots[tick as usize % SLOTS];
            due.extend(slot.extract_if(.., |entry| entry.tick <= target));
            if slot.is_empty() && slot.capacity() > 64 {
                *slot = Vec::new();
            }
        }
        self.tick = self.tick.max(target);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(delays_ms: &[u64], looks_ms: &[u64]) -> Vec<Vec<u64>> {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for (key, delay) in (0..).zip(delays_ms) {
            wheel.add(start, Duration::from_millis(*delay), ConnectionId(key), 0);
        }
        looks_ms
            .iter()
            .map(|look| {
                wheel
                    .take_due(start + Duration::from_millis(*look))
                    .into_iter()
                    .map(|due| due.connection.0)
                    .collect()
            })
            .collect()
    }

    #[test]
    fn entries_fire_once_at_the_tick_after_their_time() {
        assert_eq!(
            fired(&[0, 250, 300, 1000], &[100, 250, 500, 999, 1000]),
            [vec![], vec![0, 1], vec![2], vec![], vec![3]]
        );
    }

    #[test]
    fn what_is_more_than_a_turn_away_waits_for_its_turn() {
        assert_eq!(
            fired(&[200_000], &[72_000, 199_999, 200_000]),
            [vec![], vec![], vec![0]]
        );
    }

    #[test]
    fn a_stall_of_many_turns_loses_nobody() {
        assert_eq!(fired(&[1_000, 130_000, 200_000], &[1_000_000])[0].len(), 3);
    }
}
