//! What all tasks of the Redis broker share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parlor_protocol::ChannelName;
use tokio::sync::Semaphore;

use super::append::LaneId;
use super::batch::Item;
use super::complaint::Complaint;
use super::keys::partition_of;
use super::links::Links;
use super::members::Members;
use super::partition::Partition;
use super::probe::Probes;
use super::readers::Readers;
use super::reload::Reloading;
use super::roster::Roster;
use super::stats::RedisStats;
use crate::hub::Hub;

/// Items and bytes that may wait for Redis in all partitions together; beyond, publishes are answered `busy`.
const WAITING_MAX: i64 = 100_000;
const WAITING_BYTES_MAX: i64 = 64 << 20;

/// Signals of one partition that wait for Redis; the oldest is dropped first.
const SIGNALS_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Core {
    /// This start of this process: random.
    pub(super) node: Arc<str>,
    pub(super) hub: Arc<Hub>,
    pub(super) links: Links,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) readers: Readers,
    pub(super) probes: Probes,
    pub(super) roster: Roster,
    pub(super) reloading: Reloading,
    pub(super) complaint: Complaint,
    pub(super) stats: Arc<RedisStats>,
    pub(super) waiting: AtomicI64,
    pub(super) waiting_bytes: AtomicI64,
    /// Batches between their queue and their answer.
    pub(super) in_flight: AtomicI64,
    /// Whether any kind is `replicated`.
    pub(super) replicates: bool,
    pub(super) members: Members,
    /// Logs that this node writes anew at the same time.
    pub(super) erasing: Semaphore,
}

impl Core {
    pub(super) fn partition(&self, channel: &ChannelName) -> &Arc<Partition> {
        &self.partitions[partition_of(channel, self.partitions.len())]
    }

    /// Whether this node ever appends there.
    pub(super) fn uses(&self, lane: LaneId) -> bool {
        lane != LaneId::Replicated || self.replicates
    }

    pub(super) fn enqueue(&self, partition: &Partition, lane: LaneId, item: Item) {
        self.queued(1, item.bytes() as i64);
        let lane = &partition.lanes[lane.index()];
        lane.queue.lock().push_back(item);
        lane.bell.notify_one();
    }

    /// Puts a probe into the queue, unless one waits there already.
    pub(super) fn enqueue_once(&self, partition: &Partition, lane: LaneId, item: Item) {
        let waits = |item: &Item| matches!(item, Item::Heartbeat { .. });
        if !partition.lanes[lane.index()].queue.lock().iter().any(waits) {
            self.enqueue(partition, lane, item);
        }
    }

    /// Puts a signal into the queue; under pressure the oldest one goes.
    pub(super) fn enqueue_signal(&self, partition: &Partition, item: Item) {
        if self.is_full() {
            return;
        }
        let dropped = {
            let mut queue = partition.lanes[LaneId::Plain.index()].queue.lock();
            if queue.len() < SIGNALS_MAX {
                None
            } else {
                let oldest = queue
                    .iter()
                    .position(|item| matches!(item, Item::Ephemeral { .. }));
                oldest.and_then(|index| queue.remove(index))
            }
        };
        if let Some(dropped) = dropped {
            self.queued(-1, -(dropped.bytes() as i64));
        }
        self.enqueue(partition, LaneId::Plain, item);
    }

    /// Whether anything that was accepted has no outcome yet.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0 || self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Counts what waits.
    pub(super) fn queued(&self, items: i64, bytes: i64) {
        let waiting = self.waiting.fetch_add(items, Ordering::Relaxed) + items;
        let waiting_bytes = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.stats
            .waiting
            .store(waiting.max(0) as u64, Ordering::Relaxed);
        self.stats
            .waiting_bytes
            .store(waiting_bytes.max(0) as u64, Ordering::Relaxed);
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= WAITING_MAX
            || self.waiting_bytes.load(Ordering::Relaxed) >= WAITING_BYTES_MAX
    }
}
