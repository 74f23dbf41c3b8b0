//! The writing side of the log: one batch is one transaction, which gives each event its place.
//!
//! It owns the connection that writes and what it remembers of the channels' rows. It knows no queue, no
//! hub and nobody who waits: what it returns is on the disk.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlor_protocol::{ChannelName, Epoch, EventKind, Time};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, TransactionBehavior};

use super::channel_row::{ChannelRow, ticks};
use super::schema::Overwrite;
use super::{dedup, event_row, schema, trim};
use crate::broker::content::{ContentHash, IdHash};
use crate::broker::embedded::config::{EmbeddedConfig, OpenError};
use crate::broker::embedded::outcome::{First, Outcome};
use crate::broker::{Append, random};
use crate::clock;
use crate::hub::{Frames, LogEntry};

/// The log, open for writing. Used by one thread.
#[derive(Debug)]
pub(super) struct Log {
    connection: Connection,
    store_epoch: Epoch,
    /// Rows as they stand in the file: changed only by what was committed.
    rows: HashMap<ChannelName, ChannelRow>,
    /// In ticks of [`Time`].
    dedup_window: u64,
    dedup_len_max: usize,
    /// Written by SQLite's hook in each commit.
    pages_ahead: Arc<AtomicU64>,
}

impl Log {
    pub(super) fn open(path: &Path, config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let (mut connection, store_epoch) = schema::open_for_writing(path, config.disk_bytes_max)?;
        let pages_ahead = count_pages_ahead(&mut connection)
            .map_err(|source| schema::database_error(path, source))?;
        let log = Self {
            connection,
            store_epoch,
            rows: HashMap::new(),
            dedup_window: ticks(config.dedup_window),
            dedup_len_max: config.dedup_len_max,
            pages_ahead,
        };
        // A process that ended right after an erasure may have left what was erased there. What is wrong with the file is
        // told by those who read it.
        let _emptied = log.empty_write_ahead_log();
        Ok(log)
    }

    pub(super) fn store_epoch(&self) -> Epoch {
        self.store_epoch
    }

    /// Logs these appends in order, all or none, and returns once they are on the disk.
    ///
    /// # Errors
    /// Nothing was logged, no offset was used and nothing is remembered of the try.
    pub(super) fn commit<'a>(
        &mut self,
        appends: impl Iterator<Item = &'a Append> + Clone,
    ) -> rusqlite::Result<Vec<Outcome>> {
        let erases = appends
            .clone()
            .any(|append| append.event == EventKind::Erase);
        if erases {
            schema::overwrite(&self.connection, Overwrite::Everything)?;
        }
        let outcomes = self.commit_as_set(appends);
        if erases {
            schema::overwrite(&self.connection, Overwrite::InPages)?;
        }
        outcomes
    }

    fn commit_as_set<'a>(
        &mut self,
        appends: impl Iterator<Item = &'a Append>,
    ) -> rusqlite::Result<Vec<Outcome>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut batch = Batch {
            connection: &transaction,
            committed: &self.rows,
            touched: HashMap::new(),
            store_epoch: self.store_epoch,
            now: clock::now(),
            dedup_window: self.dedup_window,
        };
        let outcomes = appends
            .map(|append| batch.append(append))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let touched = batch.finish()?;
        transaction.commit()?;
        if self.rows.len() + touched.len() > ROWS_MAX {
            self.rows.clear();
        }
        self.rows.extend(touched);
        Ok(outcomes)
    }

    /// Deletes a bounded number of events and publish ids whose time is over.
    pub(super) fn trim(&mut self) -> rusqlite::Result<Trimmed> {
        let now = clock::now();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let trimmed = trim::step(&transaction, now)?;
        let forgotten = dedup::prune(&transaction, now, self.dedup_len_max, trim::BUDGET)?;
        transaction.commit()?;
        for (name, row) in &trimmed.channels {
            if let Some(known) = self.rows.get_mut(name) {
                *known = *row;
            }
        }
        Ok(Trimmed {
            events: trimmed.events,
            ids_forgotten_early: forgotten.early,
            has_written: !trimmed.channels.is_empty() || forgotten.count() > 0,
            is_done: trimmed.is_done && forgotten.count() < trim::BUDGET,
        })
    }

    /// Moves what the write-ahead log holds into the file. False when a reader stands in the way of some of it.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        checkpoint(&self.connection).map(|moved| moved >= self.pages_ahead())
    }

    /// Pages in the write-ahead log, moved or not. After all were moved it begins anew with the next commit, unless somebody still reads there.
    pub(super) fn pages_ahead(&self) -> u64 {
        self.pages_ahead.load(Ordering::Relaxed)
    }

    /// The same count for another thread.
    pub(super) fn watch_pages_ahead(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.pages_ahead)
    }

    /// Moves all of the write-ahead log into the file and empties it, so that no earlier copy of a row is left there. False
    /// when a reader stands in the way: ours do for some ms at most, a person's tool may for hours, and appends wait.
    pub(super) fn empty_write_ahead_log(&self) -> rusqlite::Result<bool> {
        self.connection.busy_timeout(READERS_PATIENCE)?;
        let busy = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
        self.connection.busy_timeout(schema::BUSY_TIMEOUT)?;
        let is_empty = busy? == 0;
        if is_empty {
            self.pages_ahead.store(0, Ordering::Relaxed);
        }
        Ok(is_empty)
    }

    /// Leaves one file without a write-ahead log beside it, if no reader stands in the way.
    pub(super) fn close(self) -> rusqlite::Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        // Only now, for the empty log's file: after a checkpoint that failed another one could seem to succeed.
        schema::checkpoint_on_close(&self.connection, true)?;
        self.connection.close().map_err(|(_, error)| error)
    }

    /// Writes as much as a large event takes and removes it again: whether there is room for appends.
    pub(super) fn probe(&self) -> rusqlite::Result<()> {
        self.connection.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', zeroblob(65536))",
            [],
        )?;
        self.connection
            .execute("DELETE FROM meta WHERE name = 'probe'", [])
            .map(|_| ())
    }
}

/// Moves what the write-ahead log holds into the file, as far as no reader and no other checkpoint stands in the way. Returns how many of
/// the log's pages are moved now.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<u64> {
    let moved: i64 =
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))?;
    Ok(u64::try_from(moved).unwrap_or(0))
}

fn count_pages_ahead(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU64>> {
    let counted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&counted);
    let hook = move |_: &mut Wal, pages: i32| {
        counter.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    };
    connection.wal_hook(Some(hook))?;
    Ok(counted)
}

/// What one [`Log::trim`] did.
#[derive(Debug)]
pub(super) struct Trimmed {
    pub(super) events: usize,
    /// Publish ids that had to go before their window was over.
    pub(super) ids_forgotten_early: usize,
    /// Whether it changed anything: then the write-ahead log has become longer.
    pub(super) has_written: bool,
    /// Whether nothing more is due.
    pub(super) is_done: bool,
}

/// A transaction in the making: rows as they will stand after it.
struct Batch<'a> {
    connection: &'a Connection,
    committed: &'a HashMap<ChannelName, ChannelRow>,
    touched: HashMap<ChannelName, ChannelRow>,
    store_epoch: Epoch,
    now: Time,
    dedup_window: u64,
}

impl Batch<'_> {
    fn append(&mut self, append: &Append) -> rusqlite::Result<Outcome> {
        let known = self.row(&append.channel)?;
        let content = append
            .dedup
            .as_ref()
            .map(|dedup| (IdHash::of(&append.channel, dedup), ContentHash::of(append)));
        if let (Some(row), Some((id, content))) = (known, content)
            && let Some(first) = First::find(self.connection, row.id, id, self.now)?
        {
            return Ok(first.outcome(row.epoch, content));
        }
        let mut row = match known {
            Some(row) => row,
            None => ChannelRow::create(self.connection, &append.channel, self.store_epoch)?,
        };
        let entry = place(&mut row, append);
        if let Some(erasure) = entry.erases() {
            event_row::erase(self.connection, row.id, &erasure.offsets)?;
        }
        event_row::insert(self.connection, row.id, &entry)?;
        if let Some((id, content)) = content {
            let first = First::of(content, &entry);
            let until = dedup::until(self.now, self.dedup_window);
            first.save(self.connection, row.id, id, until)?;
        }
        self.touched.insert(append.channel.clone(), row);
        Ok(Outcome::Logged(Arc::new(entry)))
    }

    fn row(&self, name: &ChannelName) -> rusqlite::Result<Option<ChannelRow>> {
        match self.touched.get(name).or_else(|| self.committed.get(name)) {
            Some(row) => Ok(Some(*row)),
            None => ChannelRow::find(self.connection, name),
        }
    }

    /// Writes each touched row once, however many events its channel got.
    fn finish(self) -> rusqlite::Result<HashMap<ChannelName, ChannelRow>> {
        self.touched
            .values()
            .try_for_each(|row| row.save(self.connection))?;
        Ok(self.touched)
    }
}

/// Gives the append the next place of its channel.
fn place(row: &mut ChannelRow, append: &Append) -> LogEntry {
    let prev = row.tag;
    row.offset += 1;
    row.seq += u64::from(append.event == EventKind::Message);
    row.time = clock::next_after(row.time);
    row.tag = random::tag();
    row.retain_by(&append.kind);
    LogEntry {
        epoch: row.epoch,
        offset: row.offset,
        seq: row.seq,
        tag: row.tag,
        prev,
        time: row.time,
        kind: append.event.clone(),
        id: append.dedup.as_ref().map(|dedup| Arc::clone(&dedup.id)),
        user: append.user.clone(),
        tags: append.tags.clone(),
        payload: append.payload.clone(),
        erased: false,
        no_echo_to: append.no_echo_to,
        frames: Frames::default(),
    }
}

/// How long the end of readers is waited for.
const READERS_PATIENCE: Duration = Duration::from_millis(200);

/// Channels whose rows are remembered; above it all are read anew. About 250 bytes each.
const ROWS_MAX: usize = 65_536;
