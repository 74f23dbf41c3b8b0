//! What the run is doing right now: counters that all threads add to. [`view`] shows them to a person.

use std::io::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub(crate) use crate::progress::view::View;

mod spark;
mod view;

/// Counters of the whole run.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Subscribers whose `connect` was answered.
    pub(crate) ready: Counter,
    /// Connections that could not be opened, or were refused.
    pub(crate) failed: Counter,
    /// Connections that ended after they were ready.
    pub(crate) closed: Counter,
    pub(crate) deliveries: Counter,
    /// Holes, duplicates and reorders as they show; the report's figures come from the checkers.
    pub(crate) faults: Counter,
    pub(crate) published: Counter,
    pub(crate) acknowledged: Counter,
    pub(crate) refused: Counter,
    /// Deliveries that the acknowledged publishes must bring.
    pub(crate) owed: Counter,
    /// Subscribers that have set out, or are on the way back, and are not answered yet; without those that are slow on purpose.
    pub(crate) opening: AtomicU64,
    /// Subscribers that were cut on purpose, or sent away for being slow on purpose, and are not back yet.
    pub(crate) away: AtomicI64,
}

/// A number that only grows. Relaxed: it is looked at, never synchronised on.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Progress {
    /// Subscribers that are connected now.
    pub(crate) fn online(&self) -> u64 {
        let away = u64::try_from(self.away.load(Ordering::Relaxed)).unwrap_or(0);
        let gone = self.closed.count() + away;
        self.ready.count().saturating_sub(gone)
    }

    /// Whether every subscriber has either begun or given up.
    pub(crate) fn all_settled(&self, wanted: u32) -> bool {
        self.ready.count() + self.failed.count() >= u64::from(wanted)
    }
}

/// One line on stderr, in one write: several workers may share a log. A closed stderr is no reason to stop a run.
pub(crate) fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(stderr.write_all(format!("{line}\n").as_bytes()));
}
