//! The thread that writes the log: takes all that waits, commits it once, delivers, answers.
//!
//! Nobody sees an event before it is on the disk: delivery and answers come after the commit, in log order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::{Mutex, RwLock};
use parlor_protocol::EventKind;
use tokio::sync::oneshot;

use super::fault::Fault;
use super::log::Log;
use crate::broker::embedded::config::{EmbeddedConfig, OpenError};
use crate::broker::embedded::health::{Health, RETRY_AFTER_FULL};
use crate::broker::embedded::outcome::Outcome;
use crate::broker::embedded::stats::{Stats, add};
use crate::broker::{Append, Appended, Error};
use crate::hub::Hub;
use crate::kind::Durability;

/// How long a client waits when too many appends wait already.
const RETRY_AFTER_BUSY: Duration = Duration::from_millis(200);
/// How often the writer looks for expired events while nothing is published.
const IDLE: Duration = Duration::from_millis(500);
/// Under load, retention and the checkpoint get a turn after this many appends.
const APPENDS_PER_TURN: u64 = 1_000;
/// A checkpoint under load comes after this many bytes of events: often enough that the write-ahead log
/// stays a few MiB, seldom enough that its two fsyncs do not count.
const CHECKPOINT_BYTES: usize = 4 << 20;

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
        log: Log,
        path: &Path,
        config: &EmbeddedConfig,
        hub: Arc<Hub>,
        health: Arc<Health>,
        stats: Arc<Stats>,
    ) -> Result<Self, OpenError> {
        let (queue, jobs) = sync_channel(config.queue_len_max);
        let worker = Worker {
            log,
            path: path.to_owned(),
            jobs,
            hub,
            health: Arc::clone(&health),
            stats: Arc::clone(&stats),
            batch_bytes_max: config.batch_bytes_max,
            appends_since_turn: 0,
            bytes_since_checkpoint: 0,
            has_written: false,
            has_erased: false,
        };
        let thread = spawn(worker).map_err(OpenError::Threads)?;
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
        let place = Place::take(&self.stats, cost(&append));
        if self.stats.queue_bytes.load(Ordering::Relaxed) > self.queue_bytes_max {
            return Err(self.busy());
        }
        let (answer, waiting) = oneshot::channel();
        match queue.try_send(Job {
            append,
            answer,
            place,
        }) {
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

/// What an append costs while it waits.
fn cost(append: &Append) -> usize {
    const OVERHEAD: usize = 256;
    append.payload.bytes.len()
        + append
            .tags
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
        + OVERHEAD
}

fn spawn(mut worker: Worker) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("parlor-write".to_owned())
        .spawn(move || {
            let health = Arc::clone(&worker.health);
            if health.watch("parlor-write", || worker.run()).is_some() {
                worker.close();
            }
        })
}

/// One append on its way to the log.
struct Job {
    append: Append,
    answer: oneshot::Sender<Result<Appended, Error>>,
    place: Place,
}

/// A place in the queue, counted from before the send until the job is taken or dropped.
struct Place {
    stats: Arc<Stats>,
    bytes: usize,
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

/// The writing thread's own things.
struct Worker {
    log: Log,
    path: PathBuf,
    jobs: Receiver<Job>,
    hub: Arc<Hub>,
    health: Arc<Health>,
    stats: Arc<Stats>,
    batch_bytes_max: usize,
    appends_since_turn: u64,
    /// Bytes of events.
    bytes_since_checkpoint: usize,
    /// The write-ahead log holds what no checkpoint has moved yet: events, or what deletions changed.
    has_written: bool,
    /// The write-ahead log may hold what was erased.
    has_erased: bool,
}

/// What the queue held.
enum Taken {
    Batch { jobs: Vec<Job>, bytes: usize },
    Nothing,
    Closed,
}

impl Worker {
    /// Until the queue is closed and empty, or the store failed. Jobs that are then still queued are dropped,
    /// and their publishers told by [`Health::lost`].
    fn run(&mut self) {
        self.measure();
        let mut patience = IDLE;
        while self.health.check().is_ok() {
            patience = match self.take(patience) {
                Taken::Batch { jobs, bytes } => {
                    self.write(jobs, bytes);
                    if self.appends_since_turn >= APPENDS_PER_TURN {
                        self.tend(Checkpoint::WhenLong)
                    } else {
                        IDLE
                    }
                }
                Taken::Nothing => self.tend(Checkpoint::Now),
                Taken::Closed => return,
            };
        }
    }

    /// All that waits, up to the batch's bound; waits itself for the first.
    fn take(&self, patience: Duration) -> Taken {
        let first = match self.jobs.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Taken::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Taken::Closed,
        };
        let mut bytes = first.place.bytes;
        let mut jobs = vec![first];
        while bytes < self.batch_bytes_max
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.place.bytes;
            jobs.push(job);
        }
        Taken::Batch { jobs, bytes }
    }

    /// Jobs dropped here are answered by [`Health::lost`].
    fn write(&mut self, jobs: Vec<Job>, bytes: usize) {
        // A reader may have found damage while these waited.
        if self.health.check().is_err() {
            return;
        }
        let started = Instant::now();
        match self.log.commit(jobs.iter().map(|job| &job.append)) {
            Ok(outcomes) => {
                self.stats.commits.observe(started.elapsed());
                self.health.works();
                self.appends_since_turn += outcomes.len() as u64;
                self.bytes_since_checkpoint += bytes;
                self.has_written = true;
                if jobs.iter().any(|job| job.append.event == EventKind::Erase) {
                    self.forget_erased();
                }
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    self.finish(job, outcome);
                }
            }
            Err(error) => self.refuse(jobs, &error),
        }
    }

    /// Delivers, then answers: a publisher that is told "done" may rely on its event being on its way.
    fn finish(&self, job: Job, outcome: Outcome) {
        let answer = outcome.answer(Durability::Disk, &self.stats);
        if let Outcome::Logged(entry) = outcome {
            self.hub.deliver(&job.append.channel, entry);
        }
        // Nobody waits any more: the connection went away.
        job.answer.send(answer).ok();
    }

    fn refuse(&mut self, jobs: Vec<Job>, error: &rusqlite::Error) {
        add(&self.stats.failed_batches, 1);
        let reason = format!("unable to write the log; {error}");
        match Fault::of(error) {
            Fault::Fatal => self.health.fail(reason.clone()),
            Fault::Full => self.health.full(reason.clone()),
            Fault::Passing => tracing::warn!(%error, "A batch of appends was refused."),
        }
        let refusal = self.health.check().err().unwrap_or(Error::Unavailable {
            reason,
            retry_after: RETRY_AFTER_FULL,
        });
        for job in jobs {
            job.answer.send(Err(refusal.clone())).ok();
        }
        if self.health.is_full() {
            self.tend(Checkpoint::Now);
        }
    }

    /// Retention and the checkpoint, in a bounded step. Returns how long to wait for appends before the next one.
    fn tend(&mut self, checkpoint: Checkpoint) -> Duration {
        self.appends_since_turn = 0;
        let is_due = match checkpoint {
            Checkpoint::Now => self.has_written || self.health.is_full(),
            Checkpoint::WhenLong => self.bytes_since_checkpoint >= CHECKPOINT_BYTES,
        };
        // Before the deletions: on a full disk they need the room that it makes in the write-ahead log.
        if is_due {
            self.bytes_since_checkpoint = 0;
            self.has_written = false;
            if self.has_erased {
                self.forget_erased();
            } else {
                let done = self.log.checkpoint();
                self.note(done);
            }
            self.measure();
        }
        let patience = match self.log.trim() {
            Ok(trimmed) => {
                add(&self.stats.trimmed, trimmed.events as u64);
                add(
                    &self.stats.ids_forgotten_early,
                    trimmed.ids_forgotten_early as u64,
                );
                self.has_written |= trimmed.has_written;
                if trimmed.is_done {
                    IDLE
                } else {
                    Duration::ZERO
                }
            }
            Err(error) => {
                self.note(Err(error));
                IDLE
            }
        };
        if self.health.is_full() && self.log.probe().is_ok() {
            self.health.works();
        }
        patience
    }

    /// Empties the write-ahead log after an erasure: it may still hold what was erased.
    fn forget_erased(&mut self) {
        let emptied = self.log.empty_write_ahead_log();
        self.has_erased = !matches!(emptied, Ok(true));
        if self.has_erased {
            // The next checkpoint is one of these again, and comes by itself.
            self.has_written = true;
            tracing::warn!(
                "What was erased is still in the write-ahead log: somebody reads the database. It is tried again."
            );
        }
        self.note(emptied.map(|_| ()));
    }

    /// Work beside the appends failed: only what says that the disk cannot be believed matters.
    fn note(&self, done: rusqlite::Result<()>) {
        if let Err(error) = done {
            match Fault::of(&error) {
                Fault::Fatal => self.health.fail(format!("unable to tend the log; {error}")),
                Fault::Full | Fault::Passing => {
                    tracing::debug!(%error, "Tending the log has to wait.")
                }
            }
        }
    }

    fn measure(&self) {
        let len = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let wal = self.path.with_extension("db-wal");
        self.stats
            .disk_bytes
            .store(len(&self.path) + len(&wal), Ordering::Relaxed);
    }

    /// The orderly end: the queue is empty.
    fn close(self) {
        if let Err(error) = self.log.close() {
            tracing::warn!(%error, "The log was closed without its last checkpoint; it is complete all the same.");
        }
    }
}

/// When a turn of tending makes a checkpoint.
#[derive(Clone, Copy, Debug)]
enum Checkpoint {
    /// If anything was written.
    Now,
    /// If many bytes of events were written.
    WhenLong,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::super::tests::{HOUR, Place as Directory, kind, message, with_id};
    use super::*;

    /// A worker of this store, without its thread: it tends the log when a test says so.
    fn worker(directory: &Directory, config: &EmbeddedConfig) -> Worker {
        let (_queue, jobs) = sync_channel(1);
        Worker {
            log: Log::open(&directory.path(), config).unwrap(),
            path: directory.path(),
            jobs,
            hub: Arc::new(Hub::new(1)),
            health: Arc::default(),
            stats: Arc::default(),
            batch_bytes_max: config.batch_bytes_max,
            appends_since_turn: 0,
            bytes_since_checkpoint: 0,
            has_written: false,
            has_erased: false,
        }
    }

    fn write(worker: &mut Worker, append: Append) {
        let (answer, _nobody_waits) = oneshot::channel();
        let job = Job {
            append,
            answer,
            place: Place::take(&worker.stats, 1),
        };
        worker.write(vec![job], 1);
    }

    /// Publish ids in the database file, whatever the write-ahead log beside it has done with them.
    fn ids_in_the_file(directory: &Directory) -> i64 {
        let copy = directory.path().with_extension("copy");
        fs::copy(directory.path(), &copy).unwrap();
        Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM dedup", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn forgotten_publish_ids_leave_the_write_ahead_log_while_nothing_is_published() {
        let directory = Directory::new();
        let config = EmbeddedConfig {
            dedup_window: Duration::ZERO,
            ..EmbeddedConfig::default()
        };
        let mut worker = worker(&directory, &config);
        let kind = kind(10, HOUR);
        // Retention looks at a new channel once; from then on it has nothing to do.
        write(&mut worker, message("room", &kind));
        worker.tend(Checkpoint::Now);
        write(&mut worker, with_id(1, message("room", &kind)));
        worker.tend(Checkpoint::Now);
        assert_eq!(
            ids_in_the_file(&directory),
            1,
            "the checkpoint came first, then the id was forgotten"
        );
        worker.tend(Checkpoint::Now);
        assert_eq!(ids_in_the_file(&directory), 0);
        assert!(!worker.has_written, "and then there is nothing more to do");
    }
}
