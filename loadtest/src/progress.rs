//! What the run is doing right now: counters that all threads add to, and one line each second on stderr.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

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
    worst_us: AtomicU64,
}

/// A number that only grows. Relaxed: it is looked at, never synchronised on.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

/// A line's worth of [`Progress`], to tell the next from.
#[derive(Debug, Default)]
pub(crate) struct Line {
    deliveries: u64,
    published: u64,
}

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Progress {
    pub(crate) fn saw_latency_ns(&self, ns: u64) {
        self.worst_us.fetch_max(ns / 1_000, Ordering::Relaxed);
    }

    /// Whether every subscriber has either begun or given up.
    pub(crate) fn all_settled(&self, wanted: u32) -> bool {
        self.ready.count() + self.failed.count() >= u64::from(wanted)
    }
}

impl Line {
    /// Says what happened since the last line.
    pub(crate) fn say(&mut self, progress: &Progress, stage: &str, seconds: f64, server: &str) {
        let (deliveries, published) = (progress.deliveries.count(), progress.published.count());
        say(&format!(
            "{seconds:6.1}s {stage:<10} open {:>6}  publishes {:>7}/s  deliveries {:>8}/s  worst {:>8.2} ms  faults {}  refused {}  closed {}  {server}",
            progress.ready.count() - progress.closed.count(),
            published - self.published,
            deliveries - self.deliveries,
            progress.worst_us.swap(0, Ordering::Relaxed) as f64 / 1_000.0,
            progress.faults.count(),
            progress.refused.count(),
            progress.closed.count(),
        ));
        *self = Self {
            deliveries,
            published,
        };
    }
}

/// One line on stderr. A closed stderr is no reason to stop a run.
pub(crate) fn say(line: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(writeln!(stderr, "{line}"));
}
