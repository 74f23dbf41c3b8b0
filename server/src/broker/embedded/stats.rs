//! The embedded broker's counters: written by its threads, read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::metrics::bucket_of;

/// Plain counters and gauges. Counters only grow.
#[derive(Debug, Default)]
pub struct Stats {
    /// Events given a place, in both stores. Duplicates are not among them.
    pub appends: AtomicU64,
    /// Publishes answered with the place of an earlier one.
    pub dedup_hits: AtomicU64,
    /// Publish ids forgotten before their window was over, since there were too many, in both stores.
    pub ids_forgotten_early: AtomicU64,
    /// Appends refused because too much waited.
    pub busy: AtomicU64,
    /// Transactions that failed; their appends were answered `unavailable`.
    pub failed_batches: AtomicU64,
    /// How long a batch took from its first statement until it was on the disk.
    pub commits: Commits,
    /// Appends waiting for the writer, now.
    pub queue_len: AtomicU64,
    /// Bytes of those, now.
    pub queue_bytes: AtomicU64,
    /// Pages read, in both stores.
    pub pages: AtomicU64,
    /// Events deleted because their retention ended, on disk.
    pub trimmed: AtomicU64,
    /// Bytes of the database with its write-ahead log, as last looked at by the writer.
    pub disk_bytes: AtomicU64,
    /// Bytes of history in memory, now.
    pub memory_bytes: AtomicU64,
    /// Channels with a log in memory, now.
    pub memory_channels: AtomicU64,
}

/// Upper bounds of the buckets of [`Commits`], in seconds; one more bucket holds what took longer.
pub const COMMIT_SECONDS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// A histogram of committed batches by time.
#[derive(Debug, Default)]
pub struct Commits {
    /// Not cumulative: each batch counts in one bucket.
    pub buckets: [AtomicU64; COMMIT_SECONDS.len() + 1],
    /// All of them together, in ns.
    pub sum_ns: AtomicU64,
}

impl Commits {
    pub(super) fn observe(&self, took: Duration) {
        let bucket = bucket_of(&COMMIT_SECONDS, took.as_secs_f64());
        add(&self.buckets[bucket], 1);
        add(
            &self.sum_ns,
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    /// Batches committed.
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .sum()
    }
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_counts_in_the_first_bucket_that_holds_it() {
        let commits = Commits::default();
        commits.observe(Duration::from_micros(500));
        commits.observe(Duration::from_millis(2));
        commits.observe(Duration::from_secs(9));
        let counts: Vec<_> = commits
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(commits.count(), 3);
    }
}
