//! One append on its way to the log, and its place in the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::broker::embedded::stats::Stats;
use crate::broker::{Append, Appended, Error};
use crate::hub::bytes_of;

/// One append on its way to the log.
pub(super) struct Job {
    pub(super) append: Append,
    pub(super) answer: oneshot::Sender<Result<Appended, Error>>,
    pub(super) place: Place,
}

impl Job {
    /// Takes its place in the queue; the other half waits for the answer.
    pub(super) fn new(
        append: Append,
        stats: &Arc<Stats>,
    ) -> (Self, oneshot::Receiver<Result<Appended, Error>>) {
        let bytes = bytes_of(&append.payload, &append.tags);
        let place = Place::take(stats, bytes);
        let (answer, waiting) = oneshot::channel();
        let job = Self {
            append,
            answer,
            place,
        };
        (job, waiting)
    }
}

/// A place in the queue, counted from before the send until the job is taken or dropped.
pub(super) struct Place {
    stats: Arc<Stats>,
    pub(super) bytes: usize,
}

impl Place {
    fn take(stats: &Arc<Stats>, bytes: usize) -> Self {
        stats.queue_len.fetch_add(1, Ordering::Relaxed);
        stats.queue_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Self {
            stats: Arc::clone(stats),
            bytes,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stats.queue_len.fetch_sub(1, Ordering::Relaxed);
        self.stats
            .queue_bytes
            .fetch_sub(self.bytes as u64, Ordering::Relaxed);
    }
}
