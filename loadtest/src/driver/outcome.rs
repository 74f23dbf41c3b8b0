//! Everything that one generator measured, not yet judged; it travels, and several melt into one.

use serde::{Deserialize, Serialize};

use crate::driver::acks::Acks;
use crate::driver::errands::Errands;
use crate::driver::pacer::Pacing;
use crate::driver::readers::Reading;
use crate::histogram::Latencies;
use crate::verdict::ThreadUse;

#[cfg(test)]
mod nothing;

/// What the generator's side of a run gave.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) files_allowed: u64,
    /// From the first attempt to the last answer.
    pub(crate) opening_s: f64,
    pub(crate) readings: Vec<Reading>,
    pub(crate) pacings: Vec<Pacing>,
    pub(crate) acks: Acks,
    pub(crate) errands: Errands,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    /// Of this generator's threads, by stage.
    pub(crate) uses: Vec<Vec<ThreadUse>>,
    /// Latencies by group and second.
    pub(crate) latencies: Vec<Vec<Latencies>>,
    /// The other figures of each second.
    pub(crate) ticks: Vec<Tick>,
}

/// What the generator did up to the end of a second; counts from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) deliveries: u64,
    pub(crate) online: u64,
    pub(crate) faults: u64,
    pub(crate) cpu_s: f64,
}

impl Outcome {
    /// The same load's other part, from another worker.
    pub(crate) fn add(&mut self, other: Self) {
        self.files_allowed = self.files_allowed.min(other.files_allowed);
        self.opening_s = self.opening_s.max(other.opening_s);
        self.readings.extend(other.readings);
        self.pacings.extend(other.pacings);
        self.acks.add(other.acks);
        let errands = other.errands.into_iter().flatten();
        for (one, more) in self.errands.iter_mut().flatten().zip(errands) {
            one.add(&more);
        }
        self.ready += other.ready;
        self.failed += other.failed;
        self.closed += other.closed;
        for (all, more) in self.uses.iter_mut().zip(other.uses) {
            all.extend(more);
        }
        for (all, more) in self.latencies.iter_mut().zip(other.latencies) {
            add_each(all, more, Latencies::coarse, |one, other| one.add(other));
        }
        add_each(&mut self.ticks, other.ticks, Tick::default, Tick::add);
    }

    /// Puts a worker's name before its threads' names.
    pub(crate) fn label(&mut self, worker: &str) {
        for thread in self.uses.iter_mut().flatten() {
            thread.name = format!("{worker}/{}", thread.name);
        }
    }
}

impl Tick {
    pub(crate) fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.deliveries += other.deliveries;
        self.online += other.online;
        self.faults += other.faults;
        self.cpu_s += other.cpu_s;
    }
}

fn add_each<T>(all: &mut Vec<T>, more: Vec<T>, empty: fn() -> T, add: impl Fn(&mut T, &T)) {
    if all.len() < more.len() {
        all.resize_with(more.len(), empty);
    }
    for (one, other) in all.iter_mut().zip(&more) {
        add(one, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_series_counts_as_silent_after_its_end() {
        let tick = |deliveries| Tick {
            deliveries,
            ..Tick::default()
        };
        let mut all = vec![tick(1)];
        add_each(&mut all, vec![tick(10), tick(20)], Tick::default, Tick::add);
        assert_eq!(all, [tick(11), tick(20)]);
    }
}
