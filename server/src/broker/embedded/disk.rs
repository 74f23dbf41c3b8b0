//! Logs that survive a crash and a power cut: one SQLite file, one writer thread, two reader threads, and one that moves the write-ahead log
//! into the file.
//!
//! The walk of an append: `writer` (queue) → `worker` (batch, answer) → `log` (one transaction) → `event_row`, `dedup`,
//! `channel_row` (what stands in the tables). Of a read: `desk` (queue) → `reader` (thread) → `page`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parlor_protocol::{ChannelName, Position};

use super::config::{EmbeddedConfig, OpenError};
use super::health::Health;
use super::stats::Stats;
use crate::broker::{Append, Appended, Error, LogPage, Range, Read};
use crate::hub::Hub;
use crate::kind::ChannelKind;

mod channel_row;
mod checkpointer;
mod dedup;
mod desk;
mod directory;
mod event_row;
mod fault;
mod job;
mod log;
mod page;
mod reader;
mod schema;
mod trim;
mod worker;
mod writer;

use checkpointer::Checkpointer;
use log::Log;
use reader::Readers;
use worker::Worker;
use writer::Writer;

/// The disk store, open and running.
#[derive(Debug)]
pub(super) struct DiskLogs {
    writer: Writer,
    readers: Readers,
    health: Arc<Health>,
    /// Held until all connections to it are closed, see [`Checkpointer::start`].
    _database: Arc<File>,
    /// Held for its lock: a second process with its own offsets in the same file would break every promise.
    _lock: File,
}

impl DiskLogs {
    pub(super) fn open(
        directory: &Path,
        config: &EmbeddedConfig,
        hub: Arc<Hub>,
        stats: Arc<Stats>,
    ) -> Result<Self, OpenError> {
        let lock = directory::claim(directory)?;
        let path = directory.join("parlor.db");
        let log = Log::open(&path, config)?;
        let health = Arc::new(Health::default());
        let readers = Readers::start(&path, log.store_epoch(), config, &health, &stats)?;
        let opened = File::open(&path).map(Arc::new);
        let database = opened.map_err(|source| schema::database_error(&path, source))?;
        let checkpointer =
            Checkpointer::start(&path, Arc::clone(&database), &log, Arc::clone(&health))?;
        let worker = Worker::new(
            log,
            checkpointer,
            path,
            config,
            hub,
            Arc::clone(&health),
            Arc::clone(&stats),
        );
        let writer = Writer::start(worker, config, Arc::clone(&health), stats)?;
        Ok(Self {
            writer,
            readers,
            health,
            _database: database,
            _lock: lock,
        })
    }

    pub(super) fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>> {
        self.writer.append(append)
    }

    pub(super) fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>> {
        self.readers.read(read)
    }

    /// The log's top. The writer delivers only after its commit, so whatever this view does not hold yet is
    /// delivered after it.
    pub(super) fn top(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> BoxFuture<'static, Result<Position, Error>> {
        let nothing = Range::BeforeOffset(u64::MAX);
        let read = Read {
            channel: channel.clone(),
            kind: Arc::clone(kind),
            range: nothing,
            limit: 0,
        };
        let page = self.readers.read(read);
        async { page.await.map(|page| page.top) }.boxed()
    }

    pub(super) fn health(&self) -> Result<(), String> {
        self.health.report()
    }

    /// Finishes the accepted appends, then the accepted reads.
    pub(super) fn shut_down(&self) {
        self.writer.shut_down();
        self.readers.shut_down();
    }
}

#[cfg(test)]
mod tests;
