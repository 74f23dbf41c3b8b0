//! The writing thread: takes all that waits, commits it once, delivers, answers, and tends the log in between.
//!
//! Nobody sees an event before it is on the disk: delivery and answers come after the commit, in log order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parlor_protocol::EventKind;

use super::checkpointer::Checkpointer;
use super::fault::{self, Fault};
use super::job::Job;
use super::log::Log;
use crate::broker::Error;
use crate::broker::embedded::config::EmbeddedConfig;
use crate::broker::embedded::health::{Health, RETRY_AFTER_FULL};
use crate::broker::embedded::outcome::Outcome;
use crate::broker::embedded::stats::{Stats, add};
use crate::hub::Hub;
use crate::kind::Durability;

/// How often the writer looks for expired events while nothing is published.
const IDLE: Duration = Duration::from_millis(500);
/// Under load, retention gets a turn after this many appends.
const APPENDS_PER_TURN: u64 = 1_000;
/// Pages of 4 KiB in the write-ahead log after which they are moved under load: seldom enough that the syncs do not count, often
/// enough that a start after a crash, which reads them all, is not held up.
const PAGES_AHEAD: u64 = 4_096;

/// The writing thread's own things.
pub(super) struct Worker {
    log: Log,
    checkpointer: Checkpointer,
    path: PathBuf,
    hub: Arc<Hub>,
    health: Arc<Health>,
    stats: Arc<Stats>,
    batch_bytes_max: usize,
    appends_since_turn: u64,
    /// How many pages the write-ahead log had when the last checkpoint began.
    pages_at_move: u64,
    /// The write-ahead log holds what no checkpoint has moved yet: events, or what deletions changed.
    has_written: bool,
    /// The write-ahead log may hold what was erased.
    has_erased: bool,
}

/// What the queue held.
enum Taken {
    Batch(Vec<Job>),
    Nothing,
    Closed,
}

impl Worker {
    pub(super) fn new(
        log: Log,
        checkpointer: Checkpointer,
        path: PathBuf,
        config: &EmbeddedConfig,
        hub: Arc<Hub>,
        health: Arc<Health>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            log,
            checkpointer,
            path,
            hub,
            health,
            stats,
            batch_bytes_max: config.batch_bytes_max,
            appends_since_turn: 0,
            pages_at_move: 0,
            has_written: false,
            has_erased: false,
        }
    }

    /// Until the queue is closed and empty, or the store failed. Jobs that are then still queued are dropped,
    /// and their publishers told by [`Health::lost`].
    pub(super) fn run(&mut self, jobs: &Receiver<Job>) {
        self.measure();
        let mut patience = IDLE;
        while self.health.check().is_ok() {
            patience = match self.take(jobs, patience) {
                Taken::Batch(jobs) => {
                    self.write(jobs);
                    self.move_when_long();
                    if self.appends_since_turn >= APPENDS_PER_TURN {
                        self.trim()
                    } else {
                        IDLE
                    }
                }
                Taken::Nothing => self.tend(),
                Taken::Closed => return,
            };
        }
    }

    /// All that waits, up to the batch's bound; waits itself for the first.
    fn take(&self, queue: &Receiver<Job>, patience: Duration) -> Taken {
        let first = match queue.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Taken::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Taken::Closed,
        };
        let mut bytes = first.place.bytes;
        let mut jobs = vec![first];
        while bytes < self.batch_bytes_max
            && let Ok(job) = queue.try_recv()
        {
            bytes += job.place.bytes;
            jobs.push(job);
        }
        Taken::Batch(jobs)
    }

    /// Jobs dropped here are answered by [`Health::lost`].
    fn write(&mut self, jobs: Vec<Job>) {
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
            self.tend();
        }
    }

    /// Lets the other thread move the pages of a long write-ahead log, and moves itself what was written meanwhile.
    fn move_when_long(&mut self) {
        if self.checkpointer.has_ended() {
            self.move_pages();
        }
        let ahead = self.log.pages_ahead();
        if ahead < self.pages_at_move {
            // All had been moved, so SQLite began its log anew.
            self.pages_at_move = 0;
        }
        if ahead - self.pages_at_move >= PAGES_AHEAD {
            self.begin_moving();
        }
    }

    fn begin_moving(&mut self) {
        self.pages_at_move = self.log.pages_ahead();
        self.checkpointer.begin();
    }

    /// Nothing is under way in the other thread.
    fn move_pages(&mut self) {
        if self.health.check().is_err() {
            return;
        }
        self.pages_at_move = self.log.pages_ahead();
        self.has_written = false;
        match self.log.checkpoint() {
            Ok(true) if self.has_erased => self.forget_erased(),
            // Or a reader stood in the way, and what was erased stays a little longer.
            Ok(_) => self.has_written = self.has_erased,
            Err(error) => fault::note(&error, &self.health),
        }
        self.measure();
    }

    /// The checkpoint and retention while nothing is published, or nothing can be: each in a bounded step. Returns how long to wait for
    /// appends before the next one.
    fn tend(&mut self) -> Duration {
        if self.health.is_full() {
            // Before the deletions, which need the room that it makes in the write-ahead log.
            self.checkpointer.wait();
            self.move_pages();
        } else if self.checkpointer.has_ended() {
            self.move_pages();
        } else if self.has_written {
            self.begin_moving();
        }
        let patience = self.trim();
        if self.health.is_full() && self.log.probe().is_ok() {
            self.health.works();
        }
        patience
    }

    fn trim(&mut self) -> Duration {
        self.appends_since_turn = 0;
        match self.log.trim() {
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
                fault::note(&error, &self.health);
                IDLE
            }
        }
    }

    /// Empties the write-ahead log after an erasure: it may still hold what was erased.
    fn forget_erased(&mut self) {
        self.has_erased = true;
        // The next checkpoint tries again, and comes by itself.
        self.has_written = true;
        self.checkpointer.wait();
        if self.health.check().is_err() {
            return;
        }
        match self.log.empty_write_ahead_log() {
            Ok(true) => self.has_erased = false,
            Ok(false) => tracing::warn!(
                "What was erased is still in the write-ahead log: somebody reads the database. It is tried again."
            ),
            Err(error) => fault::note(&error, &self.health),
        }
    }

    fn measure(&self) {
        let len = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        let wal = self.path.with_extension("db-wal");
        self.stats
            .disk_bytes
            .store(len(&self.path) + len(&wal), Ordering::Relaxed);
    }

    /// The orderly end: the queue is empty. What a disk that failed was given may be gone, so a log that holds it stays as it is.
    pub(super) fn close(self) {
        drop(self.checkpointer);
        if self.health.check().is_ok()
            && let Err(error) = self.log.close()
        {
            tracing::warn!(%error, "The log was closed without its last checkpoint; it is complete all the same.");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use rusqlite::Connection;

    use super::super::tests::{HOUR, Place as Directory, kind, message, with_id};
    use super::*;
    use crate::broker::Append;
    use crate::kind::ChannelKind;

    /// A worker of this store, without its thread: it tends the log when a test says so.
    fn worker(directory: &Directory, config: &EmbeddedConfig) -> Worker {
        let path = directory.path();
        let log = Log::open(&path, config).unwrap();
        let health = Arc::new(Health::default());
        let database = Arc::new(File::open(&path).unwrap());
        let checkpointer = Checkpointer::start(&path, database, &log, Arc::clone(&health)).unwrap();
        Worker::new(
            log,
            checkpointer,
            path,
            config,
            Arc::new(Hub::new(1)),
            health,
            Arc::default(),
        )
    }

    fn write(worker: &mut Worker, append: Append) {
        let (job, _nobody_waits) = Job::new(append, &worker.stats);
        worker.write(vec![job]);
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
        worker.tend();
        worker.checkpointer.wait();
        write(&mut worker, with_id(1, message("room", &kind)));
        worker.tend();
        assert_eq!(
            ids_in_the_file(&directory),
            1,
            "the checkpoint came first, then the id was forgotten"
        );
        worker.tend();
        worker.checkpointer.wait();
        assert_eq!(ids_in_the_file(&directory), 0);
        worker.tend();
        assert!(!worker.has_written, "and then there is nothing more to do");
    }

    #[test]
    fn the_write_ahead_log_stays_short_although_appends_never_pause() {
        let directory = Directory::new();
        let mut worker = worker(&directory, &EmbeddedConfig::default());
        let kind = kind(10, HOUR);
        while worker.log.pages_ahead() < PAGES_AHEAD {
            write(&mut worker, large(&kind));
        }
        {
            // What this reader does not see yet stays where it is, as an append does that comes while pages are moved.
            let tool = directory.tool();
            let view = tool.unchecked_transaction().unwrap();
            view.query_row("SELECT count(*) FROM event", [], |_| Ok(()))
                .unwrap();
            write(&mut worker, large(&kind));
            worker.move_when_long();
            worker.checkpointer.wait();
        }
        write(&mut worker, large(&kind));
        worker.move_when_long();
        write(&mut worker, large(&kind));
        let ahead = worker.log.pages_ahead();
        assert!(ahead < 100, "the log is begun anew: {ahead} pages");
    }

    #[test]
    fn an_erasure_empties_the_write_ahead_log_while_pages_are_moved() {
        let directory = Directory::new();
        let mut worker = worker(&directory, &EmbeddedConfig::default());
        let kind = kind(1_000, HOUR);
        for _ in 0..300 {
            write(&mut worker, large(&kind));
        }
        worker.begin_moving();
        worker.forget_erased();
        assert!(!worker.has_erased, "a copy may be left in the log");
    }

    #[test]
    fn a_log_that_a_failed_disk_may_not_have_taken_over_is_kept() {
        let directory = Directory::new();
        let mut worker = worker(&directory, &EmbeddedConfig::default());
        write(&mut worker, message("room", &kind(10, HOUR)));
        let file = || fs::read(directory.path()).unwrap();
        let ahead = || fs::read(directory.path().with_extension("db-wal")).unwrap();
        let (in_file, in_log) = (file(), ahead());
        worker.health.fail("a sync failed".to_owned());
        worker.begin_moving();
        worker.checkpointer.wait();
        worker.move_pages();
        worker.forget_erased();
        worker.close();
        assert!(in_file == file(), "pages were moved");
        assert!(in_log == ahead(), "the only good copy is gone");
    }

    /// Some fifteen pages.
    fn large(kind: &Arc<ChannelKind>) -> Append {
        let mut append = message("room", kind);
        append.payload.bytes = vec![b'x'; 60_000].into();
        append
    }
}
