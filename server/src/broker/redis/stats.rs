//! The Redis broker's counters: written by its tasks, read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::config::Address;
use crate::metrics::bucket_of;

/// Plain counters and gauges. Counters only grow.
#[derive(Debug, Default)]
pub struct RedisStats {
    /// Events given a place through this node.
    pub appends: AtomicU64,
    /// Publishes answered with the place of an earlier one.
    pub dedup_hits: AtomicU64,
    /// Publish ids that Redis forgot with a batch of this node before their window was over, since there were too many. They
    /// go by half of all, in which some may have been older.
    pub ids_forgotten_early: AtomicU64,
    /// Appends refused because too much waited.
    pub busy: AtomicU64,
    /// Appends answered `unavailable`.
    pub failures: AtomicU64,
    /// Scripts that appended a batch: also one of heartbeats, signals or changes of members alone.
    pub batches: AtomicU64,
    /// How many publishes travelled together.
    pub batch_sizes: BatchSizes,
    /// Batches sent again because their outcome was unknown.
    pub retries: AtomicU64,
    /// Appends waiting now, in all partitions.
    pub waiting: AtomicU64,
    /// Their bytes.
    pub waiting_bytes: AtomicU64,
    /// Pages of history read.
    pub pages: AtomicU64,
    /// Entries that came through the partitions' streams.
    pub tailed: AtomicU64,
    /// Entries of each partition's stream that were not delivered here yet, as last looked at: of the partitions, by their
    /// number, that this node follows now, and of no other.
    pub tail_lags: Mutex<Vec<(usize, u64)>>,
    /// Times a stream did not continue where it had ended, and the logs were read back.
    pub holes: AtomicU64,
    /// Channels that began a new life because entries were lost, as noticed here.
    pub epoch_changes: AtomicU64,
    /// Entries known here that a failover lost.
    pub lost: AtomicU64,
    /// Connections dialled.
    pub dials: AtomicU64,
    /// Age of the oldest probe that came back through each Redis, in ms, as last looked at: of the primaries that this node
    /// follows now, and of no other.
    pub probe_ages_ms: Mutex<Vec<(Address, u64)>>,
    /// How long appends took, from the call to the answer of Redis.
    pub latency: Latency,
}

/// Upper bounds of the buckets of [`Latency`], in seconds; one more bucket holds what took longer.
pub const LATENCY_SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// A histogram of times.
#[derive(Debug, Default)]
pub struct Latency {
    /// Not cumulative.
    pub buckets: [AtomicU64; LATENCY_SECONDS.len() + 1],
    /// All of them together, in ns.
    pub sum_ns: AtomicU64,
}

impl Latency {
    pub(super) fn observe(&self, took: Duration) {
        let bucket = bucket_of(&LATENCY_SECONDS, took.as_secs_f64());
        add(&self.buckets[bucket], 1);
        add(&self.sum_ns, took.as_nanos() as u64);
    }
}

/// Upper bounds of the buckets of [`BatchSizes`], in publishes. A batch holds no more than the last one says, so that the
/// bucket behind it stays empty.
pub const BATCH_SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// A histogram of batches by how many publishes they carried.
#[derive(Debug, Default)]
pub struct BatchSizes {
    /// Not cumulative.
    pub buckets: [AtomicU64; BATCH_SIZES.len() + 1],
    /// The publishes of all of them together.
    pub sum: AtomicU64,
}

impl BatchSizes {
    /// A batch without publishes is not counted: a quiet node's heartbeats would hide how large the others are.
    pub(super) fn observe(&self, publishes: usize) {
        if publishes == 0 {
            return;
        }
        let bucket = bucket_of(&BATCH_SIZES, publishes as f64);
        add(&self.buckets[bucket], 1);
        add(&self.sum, publishes as u64);
    }
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::super::batch::ITEMS_MAX;
    use super::*;

    #[test]
    fn a_batch_counts_by_what_it_carries_and_one_without_publishes_does_not() {
        let sizes = BatchSizes::default();
        for publishes in [0, 1, 3, ITEMS_MAX] {
            sizes.observe(publishes);
        }
        let counts: Vec<_> = sizes
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [1, 0, 1, 0, 0, 0, 0, 1, 0]);
        let carried = sizes.sum.load(Ordering::Relaxed);
        assert_eq!(carried, 4 + ITEMS_MAX as u64);
    }
}
