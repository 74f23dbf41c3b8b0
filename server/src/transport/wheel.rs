//! A timing wheel: one timer for all connections of a shard (Varghese and Lauck, 1987, scheme 6).

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::hub::ConnectionId;

/// How finely time is cut.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// One turn of the wheel is 128 s; what is further away goes round again.
const SLOTS: usize = 512;

/// What a connection knows of its entry in the wheel: the tick at which it is due, if it has one. Small, as all of an idle
/// connection is.
#[derive(Debug, Default)]
pub(super) struct Planned(Cell<Option<NonZeroU32>>);

impl Planned {
    /// The wheel gave the entry back.
    pub(super) fn fired(&self) {
        self.0.set(None);
    }
}

/// Someone to look after, at a time.
#[derive(Clone, Copy, Debug)]
struct Due {
    connection: ConnectionId,
    /// The tick at which it is due.
    tick: u32,
}

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<Due>]>,
    start: Instant,
    /// Ticks that are over.
    tick: u32,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            start: now,
            tick: 0,
        }
    }

    /// Makes a connection due after `delay`, never sooner than the next tick. If it is due sooner already it stays so, and
    /// whoever looks then says how long is left. Nobody has two entries: a client decides how often its plan changes.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        delay: Duration,
        connection: ConnectionId,
        planned: &Planned,
    ) {
        let tick = self.tick_after(now, delay);
        match planned.0.get() {
            Some(sooner) if sooner.get() <= tick => return,
            Some(later) => self.remove(later.get(), connection),
            None => {}
        }
        self.slot(tick).push(Due { connection, tick });
        planned.0.set(NonZeroU32::new(tick));
    }

    /// A search among those of one tick: nothing but a token that is shorter than the one before it brings it about.
    fn remove(&mut self, tick: u32, connection: ConnectionId) {
        self.slot(tick).retain(|due| due.connection != connection);
    }

    fn tick_after(&self, now: Instant, delay: Duration) -> u32 {
        let at = (now + delay).saturating_duration_since(self.start);
        let tick = at.as_millis().div_ceil(TICK.as_millis());
        // All of them are 34 years.
        u32::try_from(tick).unwrap_or(u32::MAX).max(self.tick + 1)
    }

    fn slot(&mut self, tick: u32) -> &mut Vec<Due> {
        &mut self.slots[tick as usize % SLOTS]
    }

    /// Moves on to `now` and takes everything that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ConnectionId> {
        let target =
            (now.saturating_duration_since(self.start).as_millis() / TICK.as_millis()) as u32;
        let mut due = Vec::new();
        // After a long stall one full turn finds everything.
        let from = (self.tick + 1).max(target.saturating_sub(SLOTS as u32 - 1));
        for tick in from..=target {
            let slot = self.slot(tick);
            let over = slot.extract_if(.., |entry| entry.tick <= target);
            due.extend(over.map(|entry| entry.connection));
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
            let delay = Duration::from_millis(*delay);
            wheel.plan(start, delay, ConnectionId(key), &Planned::default());
        }
        looks_ms
            .iter()
            .map(|look| {
                wheel
                    .take_due(start + Duration::from_millis(*look))
                    .into_iter()
                    .map(|connection| connection.0)
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

    /// After the plan of a connection changed to these delays, one after the other, it is due once, at this time.
    #[track_caller]
    fn check_only_entry(delays_ms: impl IntoIterator<Item = u64>, due_ms: u64) {
        let start = Instant::now();
        let (mut wheel, planned) = (Wheel::new(start), Planned::default());
        let connection = ConnectionId(7);
        for delay in delays_ms {
            wheel.plan(start, Duration::from_millis(delay), connection, &planned);
        }
        assert_eq!(wheel.slots.iter().map(Vec::len).sum::<usize>(), 1);
        let mut look = |ms| wheel.take_due(start + Duration::from_millis(ms));
        assert_eq!(look(due_ms - 1), []);
        assert_eq!(look(due_ms), [connection]);
        assert_eq!(look(1_000_000), []);
        // Whoever looked found that something is left.
        planned.fired();
        let later = start + Duration::from_secs(1_000);
        wheel.plan(later, Duration::from_secs(1), connection, &planned);
        let due = wheel.take_due(later + Duration::from_secs(1));
        assert_eq!(due, [connection]);
    }

    #[test]
    fn a_connection_has_one_entry_however_often_its_plan_changes() {
        // As a token is refreshed again and again.
        check_only_entry((100..2_000).map(|tenths| tenths * 100), 10_000);
        check_only_entry([10_000; 5_000], 10_000);
        // As each token is shorter than the one before.
        check_only_entry((100..2_000).rev().map(|tenths| tenths * 100), 10_000);
        check_only_entry([20_000, 30_000, 10_000, 40_000, 5_000, 20_000], 5_000);
    }
}
