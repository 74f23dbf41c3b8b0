//! The readers of a node: which partitions' streams each follows, and how one is woken, told to connect anew, and watched.
//!
//! What a reader does stands in `tail`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::partition::Partition;

/// Readers of a Redis that has all partitions in one place: waking one costs Redis a little per stream that it waits for.
const READERS: usize = 2;

/// All readers of a node.
#[derive(Debug)]
pub(super) struct Readers {
    all: Vec<Arc<Reader>>,
    /// By partition.
    of: Vec<Arc<Reader>>,
}

/// One connection that reads the streams of some partitions.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) index: usize,
    pub(super) partitions: Vec<Arc<Partition>>,
    /// Always followed by the first reader, and by every reader that has all partitions in one place: for probes.
    pub(super) is_always_on: bool,
    /// For who rings at a blocked reader, and for a reader that has nothing to follow.
    pub(super) bell: Notify,
    pub(super) start: Notify,
    /// Counts wishes to look anew; and the newest one that was seen.
    pub(super) wished: AtomicU64,
    pub(super) seen: AtomicU64,
    /// The connection that may be blocked, for `CLIENT UNBLOCK`; 0: none.
    pub(super) client: AtomicI64,
    /// Counts orders to connect anew.
    pub(super) restarts: AtomicU64,
}

impl Readers {
    pub(super) fn new(partitions: &[Arc<Partition>], is_cluster: bool) -> Self {
        let count = if is_cluster {
            partitions.len()
        } else {
            READERS.min(partitions.len())
        };
        let all: Vec<_> = (0..count)
            .map(|index| {
                let own = partitions
                    .iter()
                    .skip(index)
                    .step_by(count)
                    .cloned()
                    .collect();
                Arc::new(Reader {
                    index,
                    partitions: own,
                    is_always_on: !is_cluster || index == 0,
                    bell: Notify::new(),
                    start: Notify::new(),
                    wished: AtomicU64::new(0),
                    seen: AtomicU64::new(0),
                    client: AtomicI64::new(0),
                    restarts: AtomicU64::new(0),
                })
            })
            .collect();
        let of = (0..partitions.len())
            .map(|index| Arc::clone(&all[index % count]))
            .collect();
        Self { all, of }
    }

    pub(super) fn all(&self) -> &[Arc<Reader>] {
        &self.all
    }

    /// Who reads the partition's stream.
    pub(super) fn of(&self, partition: usize) -> &Reader {
        &self.of[partition]
    }

    /// The partition's reader is to look at its cursors again.
    pub(super) fn wake(&self, partition: usize) {
        self.of[partition].wake();
    }

    /// All connect anew.
    pub(super) fn restart(&self) {
        for reader in &self.all {
            reader.restarts.fetch_add(1, Ordering::AcqRel);
            reader.wake();
        }
    }
}

impl Reader {
    fn wake(&self) {
        self.wished.fetch_add(1, Ordering::AcqRel);
        self.bell.notify_one();
        self.start.notify_one();
    }

    /// The partition that carries this reader's probes.
    pub(super) fn home(&self) -> &Arc<Partition> {
        &self.partitions[0]
    }

    /// Whether it follows anything now.
    pub(super) fn is_active(&self) -> bool {
        self.is_always_on
            || self
                .partitions
                .iter()
                .any(|partition| partition.tail().is_some())
    }
}
