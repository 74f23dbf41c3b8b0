//! The threads that read the log: two, with a read-only connection each.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use parlor_protocol::Epoch;
use rusqlite::Connection;

use super::desk::{Desk, Refused, Taken};
use super::fault::Fault;
use super::{page, schema};
use crate::broker::embedded::config::{EmbeddedConfig, OpenError};
use crate::broker::embedded::health::{Health, RETRY_AFTER_FULL};
use crate::broker::embedded::stats::{Stats, add};
use crate::broker::{Error, LogPage, Read};

/// Reading threads.
const READERS: usize = 2;
/// How long a client waits when too many reads wait already.
const RETRY_AFTER_BUSY: Duration = Duration::from_millis(500);

/// The readers with the desk they serve.
#[derive(Debug)]
pub(super) struct Readers {
    desk: Arc<Desk>,
    health: Arc<Health>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn start(
        path: &Path,
        store_epoch: Epoch,
        config: &EmbeddedConfig,
        health: &Arc<Health>,
        stats: &Arc<Stats>,
    ) -> Result<Self, OpenError> {
        let desk = Arc::new(Desk::new(config.read_queue_len_max));
        let readers = Self {
            desk: Arc::clone(&desk),
            health: Arc::clone(health),
            threads: Mutex::new(Vec::with_capacity(READERS)),
        };
        for index in 0..READERS {
            let reader = Reader {
                connection: schema::open_for_reading(path)?,
                store_epoch,
                desk: Arc::clone(&desk),
                health: Arc::clone(health),
                stats: Arc::clone(stats),
            };
            let thread = spawn(index, reader).map_err(OpenError::Threads)?;
            readers.threads.lock().push(thread);
        }
        Ok(readers)
    }

    pub(super) fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>> {
        let asked = self.health.check().and_then(|()| {
            self.desk.ask(read).map_err(|refused| match refused {
                Refused::Full => Error::Busy {
                    retry_after: RETRY_AFTER_BUSY,
                },
                Refused::Closed => Error::Closed,
            })
        });
        match asked {
            Ok(waiting) => {
                let health = Arc::clone(&self.health);
                async move { waiting.await.unwrap_or_else(|_| Err(health.lost())) }.boxed()
            }
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    pub(super) fn shut_down(&self) {
        self.desk.close();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("A reader of the log ended in a panic.");
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn spawn(index: usize, mut reader: Reader) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("parlor-read-{index}"))
        .spawn(move || {
            let health = Arc::clone(&reader.health);
            if health.watch("parlor-read", || reader.run()).is_none() {
                reader.desk.abandon();
            }
        })
}

/// One reading thread's own things.
struct Reader {
    connection: Connection,
    store_epoch: Epoch,
    desk: Arc<Desk>,
    health: Arc<Health>,
    stats: Arc<Stats>,
}

impl Reader {
    fn run(&mut self) {
        while let Some(Taken {
            question,
            kind,
            answers,
        }) = self.desk.take()
        {
            // Who joins asks for the top alone: no page.
            add(&self.stats.pages, u64::from(question.limit > 0));
            let page = self.connection.transaction().and_then(|view| {
                page::read(
                    &view,
                    self.store_epoch,
                    &question.channel,
                    &kind,
                    question.range,
                    question.limit,
                )
            });
            let answered = page.map_err(|error| self.judge(&error));
            for answer in answers {
                // Nobody waits any more: the connection went away.
                answer.send(answered.clone()).ok();
            }
        }
    }

    fn judge(&self, error: &rusqlite::Error) -> Error {
        match Fault::of(error) {
            Fault::Fatal => {
                self.health.fail(format!("unable to read the log; {error}"));
                self.health.lost()
            }
            Fault::Full | Fault::Passing => Error::Unavailable {
                reason: format!("unable to read the log; {error}"),
                retry_after: RETRY_AFTER_FULL,
            },
        }
    }
}
