//! The Redis broker's counters: written by its tasks, read by the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::config::Address;

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
    /// Scripts that appended a batch.
    pub batches: AtomicU64,
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
    /// Entries that the slowest tail of all had to take at once, as last seen.
    pub tail_lag: AtomicU64,
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
        let seconds = took.as_secs_f64();
        let bucket = LATENCY_SECONDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(LATENCY_SECONDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns
            .fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
