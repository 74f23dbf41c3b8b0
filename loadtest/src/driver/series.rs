//! Latencies second by second, over all reading threads: what a run looked like on the way.
//!
//! A thread records into a histogram of its own and hands it over once a second, so a delivery costs one more
//! addition and no lock.

use std::sync::{Mutex, PoisonError};

use crate::histogram::Latencies;

/// By group and second since the start of the clock.
#[derive(Debug)]
pub(crate) struct Series {
    groups: Mutex<Vec<Vec<Latencies>>>,
}

/// The second that one thread is in.
#[derive(Debug)]
pub(crate) struct Second {
    group: usize,
    number: u64,
    latencies: Latencies,
}

impl Series {
    pub(crate) fn new(groups: usize) -> Self {
        Self {
            groups: Mutex::new(vec![Vec::new(); groups]),
        }
    }

    /// The latest second that has ended by `now_s`, over all groups.
    pub(crate) fn latest(&self, now_s: u64) -> Option<Latencies> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let number = usize::try_from(now_s.checked_sub(2)?).ok()?;
        let mut sum = Latencies::coarse();
        groups
            .iter()
            .filter_map(|seconds| seconds.get(number))
            .for_each(|second| sum.add(second));
        Some(sum)
    }

    pub(crate) fn take(&self) -> Vec<Vec<Latencies>> {
        std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, group: usize, number: u64, latencies: &Latencies) {
        let Ok(number) = usize::try_from(number.min(SECONDS_MAX)) else {
            return;
        };
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = &mut groups[group];
        while seconds.len() <= number {
            seconds.push(Latencies::coarse());
        }
        seconds[number].add(latencies);
    }
}

impl Second {
    pub(crate) fn new(group: usize) -> Self {
        Self {
            group,
            number: 0,
            latencies: Latencies::coarse(),
        }
    }

    /// Takes a latency, `weight` times, that was seen `at_ns` since the start of the clock.
    pub(crate) fn record(&mut self, series: &Series, at_ns: u64, latency_ns: u64, weight: u64) {
        let number = at_ns / NANOS_PER_SECOND;
        if number != self.number {
            self.hand_over(series);
            self.number = number;
        }
        self.latencies.record_many_ns(latency_ns, weight);
    }

    pub(crate) fn hand_over(&mut self, series: &Series) {
        if self.latencies.len() > 0 {
            series.add(self.group, self.number, &self.latencies);
            self.latencies.clear();
        }
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Later ones count as this one: a run is bounded, and so is what is kept of it.
const SECONDS_MAX: u64 = 4 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_two_threads_melt_together() {
        let series = Series::new(1);
        for _thread in 0..2 {
            let mut second = Second::new(0);
            for at_ms in [100, 900, 2_500] {
                second.record(&series, at_ms * 1_000_000, 5_000_000, 1);
            }
            second.hand_over(&series);
        }
        let latest = series.latest(4).map(|latencies| latencies.len());
        let counts: Vec<_> = series.take()[0].iter().map(Latencies::len).collect();
        assert_eq!(counts, [4, 0, 2]);
        assert_eq!(latest, Some(2));
    }
}
