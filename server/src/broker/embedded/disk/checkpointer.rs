//! The thread that moves the write-ahead log into the database file while the writer goes on: the pages are many and scattered,
//! and no append shall wait for all of them.
//!
//! SQLite lets others write beside a checkpoint, but syncs the database file, and begins its log anew, only when the checkpoint moved all
//! of it (<https://www.sqlite.org/wal.html>, "Avoiding Excessively Large WAL Files"). So this thread moves what there is and syncs the
//! file, and the writer then moves the little that came meanwhile.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::log::{self, Log};
use super::{fault, schema};
use crate::broker::embedded::config::OpenError;
use crate::broker::embedded::health::Health;
use crate::planted::{self, Bug};

/// Pages that are few: a ms or two of writing.
const PAGES_LEFT: u64 = 512;
/// So often a checkpoint is repeated: on a disk that does not keep up more are left, and publishes wait for it in the end.
const PASSES_MAX: usize = 3;

/// The thread as the writer sees it: it has one order at a time. Ends with its last order when it is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Taken away at the end.
    orders: Option<SyncSender<()>>,
    done: Receiver<()>,
    order: Order,
    thread: Option<JoinHandle<()>>,
}

/// How far the thread is with what it was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    None,
    UnderWay,
    /// And nobody asked yet.
    Ended,
}

impl Checkpointer {
    /// `database` is this path's file. It has to stay open as long as any connection of this process: whichever descriptor of a file is
    /// closed takes all the process's locks on it along (POSIX, `fcntl`).
    pub(super) fn start(
        path: &Path,
        database: Arc<File>,
        log: &Log,
        health: Arc<Health>,
    ) -> Result<Self, OpenError> {
        let connection = schema::open_for_checkpoints(path)?;
        // Places for one order and one answer: neither side ever waits to send.
        let (orders, ordered) = sync_channel(1);
        let (answers, done) = sync_channel(1);
        let mover = Mover {
            connection,
            database,
            pages_ahead: log.watch_pages_ahead(),
            health,
        };
        let thread = spawn(mover, ordered, answers).map_err(OpenError::Threads)?;
        Ok(Self {
            orders: Some(orders),
            done,
            order: Order::None,
            thread: Some(thread),
        })
    }

    /// Orders a checkpoint, if none is under way.
    pub(super) fn begin(&mut self) {
        if self.order == Order::None
            && let Some(orders) = &self.orders
            && orders.try_send(()).is_ok()
        {
            self.order = Order::UnderWay;
        }
    }

    /// Whether a checkpoint ended since the last question.
    pub(super) fn has_ended(&mut self) -> bool {
        if self.order == Order::UnderWay && self.done.try_recv().is_ok() {
            self.order = Order::Ended;
        }
        let has_ended = self.order == Order::Ended;
        if has_ended {
            self.order = Order::None;
        }
        has_ended
    }

    /// Waits for the end of the one that is under way, if there is one.
    pub(super) fn wait(&mut self) {
        if self.order == Order::UnderWay {
            // An error: the thread panicked, which the store's health tells.
            self.done.recv().ok();
            self.order = Order::Ended;
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The thread for checkpoints ended in a panic.");
        }
    }
}

fn spawn(
    mover: Mover,
    ordered: Receiver<()>,
    answers: SyncSender<()>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("parlor-move".to_owned())
        .spawn(move || {
            let health = Arc::clone(&mover.health);
            health.watch("parlor-move", || {
                for () in ordered {
                    mover.run();
                    answers.try_send(()).ok();
                }
            });
        })
}

/// The thread's own things.
struct Mover {
    connection: Connection,
    database: Arc<File>,
    /// What there is to move.
    pages_ahead: Arc<AtomicU64>,
    health: Arc<Health>,
}

impl Mover {
    /// Moves pages until few are left, which the writer moves; none once the disk failed.
    fn run(&self) {
        for _ in 0..PASSES_MAX {
            if self.health.check().is_err() {
                return;
            }
            match log::checkpoint(&self.connection) {
                Ok(moved) => {
                    self.sync();
                    let ahead = self.pages_ahead.load(Ordering::Relaxed);
                    if ahead.saturating_sub(moved) <= PAGES_LEFT {
                        return;
                    }
                }
                Err(error) => return fault::note(&error, &self.health),
            }
        }
    }

    fn sync(&self) {
        if planted::has(Bug::SkipFlush) {
            return;
        }
        if let Err(error) = self.database.sync_data() {
            let reason = format!("unable to sync the log's file; {error}");
            self.health.fail(reason);
        }
    }
}
