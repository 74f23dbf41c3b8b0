//! One partition's share of what all may hold together, so that a Redis with one partition bears as much as one with many.

/// What one partition may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Ids in its newer dedup hash; beyond, the older one goes early.
    pub(super) dedup_max: usize,
    /// Bytes of its stream: seconds under load.
    pub(super) stream_bytes_max: usize,
    /// Channels whose newest known entry a node remembers. Beyond, a loss costs all the partition's channels their epoch.
    pub(super) known_max: usize,
}

/// What all partitions of one primary may hold together.
const ALL: Share = Share {
    dedup_max: 800_000,
    stream_bytes_max: 32 << 20,
    known_max: 16_000,
};

/// What a partition may hold however many there are: those of a Cluster lie on several primaries.
const LEAST: Share = Share {
    dedup_max: 100_000,
    stream_bytes_max: 4 << 20,
    known_max: 2_000,
};

impl Share {
    /// The share of one of so many partitions.
    pub(super) fn of(partitions: usize) -> Self {
        Self {
            dedup_max: (ALL.dedup_max / partitions).max(LEAST.dedup_max),
            stream_bytes_max: (ALL.stream_bytes_max / partitions).max(LEAST.stream_bytes_max),
            known_max: (ALL.known_max / partitions).max(LEAST.known_max),
        }
    }
}

#[test]
fn one_partition_may_hold_what_eight_may() {
    assert_eq!(Share::of(1), ALL);
    assert_eq!(Share::of(8), LEAST);
    assert_eq!(Share::of(64), LEAST);
}
