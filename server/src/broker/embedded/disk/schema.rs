//! The database's shape: its tables, how an older file becomes a newer one, and how connections are set up.

use std::path::Path;
use std::time::Duration;

use parlor_protocol::Epoch;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::broker::embedded::config::OpenError;
use crate::broker::random;
use crate::planted::{self, Bug};

/// How long a statement waits for a lock that a person's own tool holds on the file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Cached statements per connection: all that the code has.
const STATEMENTS_MAX: usize = 32;
/// Bytes of page cache per connection.
const CACHE_BYTES_MAX: i64 = 16 << 20;
/// Bytes that the write-ahead log keeps after it was reset.
const WAL_BYTES_KEPT: i64 = 64 << 20;

/// Each step brings a file from the format of its index to the next one; `user_version` counts the steps taken.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) WITHOUT ROWID, STRICT;

    -- One row per channel that ever had a logged event; never deleted, or offsets would start again.
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY,
        app TEXT NOT NULL,
        name TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        -- The newest event: its offset, time (100 ns since 1970) and tag; seq counts messages only.
        offset INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        -- The first event still in the table (offset + 1: none), the retention as of the last append (events;
        -- 100 ns), and when the next event may be deleted (NULL: none is left).
        oldest INTEGER NOT NULL,
        len_max INTEGER NOT NULL,
        age_max INTEGER NOT NULL,
        trim_at INTEGER,
        UNIQUE (app, name)
    ) STRICT;
    CREATE INDEX channel_trim_at ON channel (trim_at) WHERE trim_at IS NOT NULL;

    -- Clustered by channel, so that a page of history is a run of neighbours. Time stands early in the row:
    -- finding it does not touch the overflow pages of large data.
    CREATE TABLE event (
        channel INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        time INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        prev INTEGER NOT NULL,
        kind TEXT NOT NULL,
        id TEXT,
        user TEXT,
        tags TEXT,
        format TEXT NOT NULL,
        data ANY NOT NULL,
        PRIMARY KEY (channel, offset)
    ) WITHOUT ROWID, STRICT;

    -- seq grows with time, so the oldest are found without an index of their own. sender is empty, and id a hash of channel,
    -- sender and id: the texts would outlive an erasure.
    CREATE TABLE dedup (
        seq INTEGER PRIMARY KEY,
        channel INTEGER NOT NULL,
        sender TEXT NOT NULL,
        id TEXT NOT NULL,
        until INTEGER NOT NULL,
        content BLOB NOT NULL,
        offset INTEGER NOT NULL,
        tag INTEGER NOT NULL,
        time INTEGER NOT NULL,
        UNIQUE (channel, sender, id)
    ) STRICT;
"];

/// Opens the file for the writer, makes or migrates it, and reads the store's epoch.
pub(super) fn open_for_writing(
    path: &Path,
    disk_bytes_max: Option<u64>,
) -> Result<(Connection, Epoch), OpenError> {
    let mut connection = open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    let failed = |source: rusqlite::Error| database_error(path, source);
    set_up_writer(&connection, disk_bytes_max).map_err(failed)?;
    let found = user_version(&connection).map_err(failed)?;
    if found as usize > MIGRATIONS.len() {
        let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    migrate(&mut connection, found).map_err(failed)?;
    let epoch = store_epoch(&connection).map_err(failed)?;
    Ok((connection, epoch))
}

pub(super) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// For the connection that moves the write-ahead log into the file: it writes no row.
pub(super) fn open_for_checkpoints(path: &Path) -> Result<Connection, OpenError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let set_up = flush(&connection).and_then(|()| checkpoint_on_close(&connection, false));
    set_up.map_err(|source| database_error(path, source))?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, OpenError> {
    // Each connection belongs to one thread: SQLite's own mutexes would be paid for nothing.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        connection.pragma_update(None, "cache_size", -CACHE_BYTES_MAX / 1024)?;
        Ok(connection)
    });
    opened.map_err(|source| database_error(path, source))
}

fn set_up_writer(connection: &Connection, disk_bytes_max: Option<u64>) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    flush(connection)?;
    // Checkpoints are made beside the commits: SQLite's own would lengthen one.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    checkpoint_on_close(connection, false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT, |_| Ok(()))?;
    // A row that moves to another page leaves no copy behind, where an erasure would not find it.
    overwrite(connection, Overwrite::InPages)?;
    if let Some(bytes) = disk_bytes_max {
        let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page_size;
        connection.pragma_update_and_check(
            None,
            "max_page_count",
            pages.clamp(1, i64::from(u32::MAX - 1)),
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// FULL: the log is on the disk when COMMIT returns. NORMAL would lose acknowledged events in a power cut.
fn flush(connection: &Connection) -> rusqlite::Result<()> {
    let how = match planted::has(Bug::SkipFlush) {
        true => "OFF",
        false => "FULL",
    };
    connection.pragma_update(None, "synchronous", how)
}

/// Whether the process's last connection makes a checkpoint when it is closed.
pub(super) fn checkpoint_on_close(connection: &Connection, makes: bool) -> rusqlite::Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !makes)
        .map(|_| ())
}

/// How much of what is deleted is overwritten with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// Where it costs no further write: inside pages that are written anyway.
    InPages,
    /// All of it: also pages that become free.
    Everything,
}

pub(super) fn overwrite(connection: &Connection, what: Overwrite) -> rusqlite::Result<()> {
    let word = match what {
        Overwrite::InPages => "FAST",
        Overwrite::Everything => "ON",
    };
    connection.pragma_update_and_check(None, "secure_delete", word, |_| Ok(()))
}

fn user_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Each step with its number in one transaction: a crash between two leaves a file that goes on from there.
fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    for (done, step) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", done)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The epoch of every channel's first life in this store, drawn when the store is made.
fn store_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    let known: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(raw) = known {
        return Ok(Epoch(raw.cast_unsigned()));
    }
    let epoch = random::epoch();
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('epoch', ?)",
        [epoch.0.cast_signed()],
    )?;
    Ok(epoch)
}

pub(super) fn database_error(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::Database {
        path: path.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_its_epoch_over_restarts_and_two_stores_differ() {
        let temp = tempfile::tempdir().unwrap();
        let epoch_of = |name: &str| open_for_writing(&temp.path().join(name), None).unwrap().1;
        assert_eq!(epoch_of("a"), epoch_of("a"));
        assert_ne!(epoch_of("a"), epoch_of("b"));
    }

    #[test]
    fn a_file_of_a_newer_build_is_refused_untouched() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("parlor.db");
        let (connection, _) = open_for_writing(&path, None).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let refused = open_for_writing(&path, None).unwrap_err();
        assert!(
            matches!(refused, OpenError::Newer { found: 99, .. }),
            "{refused}"
        );
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("parlor.db");
        std::fs::write(&path, [b'x'; 4096]).unwrap();
        let refused = open_for_writing(&path, None).unwrap_err();
        assert!(matches!(refused, OpenError::Database { .. }), "{refused}");
    }

    #[test]
    fn commits_reach_the_disk_before_they_return() {
        let temp = tempfile::tempdir().unwrap();
        let (connection, _) = open_for_writing(&temp.path().join("parlor.db"), None).unwrap();
        let synchronous: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        let journal: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    }
}
