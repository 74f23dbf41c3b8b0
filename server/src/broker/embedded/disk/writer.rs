//! The writer as others see it: a bounded queue, which a thread empties.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use super::job::Job;
use super::worker::Worker;
use crate::broker::embedded::config::{EmbeddedConfig, OpenError};
use crate::broker::embedded::health::Health;
use crate::broker::embedded::stats::{Stats, add};
use crate::broker::{Append, Appended, Error};

/// How long a client waits when too many appends wait already.
const RETRY_AFTER_BUSY: Duration = Duration::from_millis(200);

/// The writer as others see it: a bounded queue.
#[derive(Debug)]
pub(super) struct Writer {
    /// Taken away at the end: the thread then finishes what waits and stops.
    queue: RwLock<Option<SyncSender<Job>>>,
    queue_bytes_max: u64,
    health: Arc<Health>,
    stats: Arc<Stats>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        worker: Worker,
        config: &EmbeddedConfig,
        health: Arc<Health>,
        stats: Arc<Stats>,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = sync_channel(config.queue_len_max);
        let thread = spawn(worker, jobs, Arc::clone(&health)).map_err(OpenError::Threads)?;
        Ok(Self {
            queue: RwLock::new(Some(queue)),
            queue_bytes_max: config.queue_bytes_max as u64,
            health,
            stats,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues at once; the future waits for the commit.
    pub(super) fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>> {
        match self.enqueue(append) {
            Ok(waiting) => {
                let health = Arc::clone(&self.health);
                async move { waiting.await.unwrap_or_else(|_| Err(health.lost())) }.boxed()
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn enqueue(&self, append: Append) -> Result<oneshot::Receiver<Result<Appended, Error>>, Error> {
        self.health.check()?;
        let queue = self.queue.read();
        let queue = queue.as_ref().ok_or(Error::Closed)?;
        let (job, waiting) = Job::new(append, &self.stats);
        if self.stats.queue_bytes.load(Ordering::Relaxed) > self.queue_bytes_max {
            return Err(self.busy());
        }
        match queue.try_send(job) {
            Ok(()) => Ok(waiting),
            Err(TrySendError::Full(_)) => Err(self.busy()),
            Err(TrySendError::Disconnected(_)) => Err(self.health.lost()),
        }
    }

    fn busy(&self) -> Error {
        add(&self.stats.busy, 1);
        Error::Busy {
            retry_after: RETRY_AFTER_BUSY,
        }
    }

    /// Finishes what was accepted, then stops.
    pub(super) fn shut_down(&self) {
        drop(self.queue.write().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("The log's writer ended in a panic.");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn spawn(
    mut worker: Worker,
    jobs: Receiver<Job>,
    health: Arc<Health>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("parlor-write".to_owned())
        .spawn(move || {
            if health.watch("parlor-write", || worker.run(&jobs)).is_some() {
                worker.close();
            }
        })
}
