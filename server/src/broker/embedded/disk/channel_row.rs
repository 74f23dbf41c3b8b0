//! A channel's row: where its log stands, and what of it is still stored.

use parlor_protocol::{ChannelName, Epoch, Position, Tag, Time};
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::kind::ChannelKind;

/// The only app there is so far.
const APP: &str = "default";

/// One row of `channel`, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelRow {
    pub(super) id: i64,
    pub(super) epoch: Epoch,
    /// The newest event's offset.
    pub(super) offset: u64,
    /// Messages so far.
    pub(super) seq: u64,
    pub(super) time: Time,
    pub(super) tag: Tag,
    /// The first stored offset; `offset + 1` when nothing is stored.
    pub(super) oldest: u64,
    pub(super) len_max: u64,
    /// In ticks of [`Time`].
    pub(super) age_max: u64,
    /// When the trimmer has to look at this channel; `None` when nothing is stored.
    pub(super) trim_at: Option<Time>,
}

impl ChannelRow {
    pub(super) fn find(
        connection: &Connection,
        name: &ChannelName,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT id, epoch, offset, seq, time, tag, oldest, len_max, age_max, trim_at
                 FROM channel WHERE app = ? AND name = ?",
            )?
            .query_row(params![APP, name.as_str()], Self::of_row)
            .optional()
    }

    /// Channels whose time to be trimmed has come, the most overdue first.
    pub(super) fn due(
        connection: &Connection,
        now: Time,
        limit: usize,
    ) -> rusqlite::Result<Vec<(ChannelName, Self)>> {
        connection
            .prepare_cached(
                "SELECT id, epoch, offset, seq, time, tag, oldest, len_max, age_max, trim_at, name
                 FROM channel WHERE trim_at <= ? ORDER BY trim_at LIMIT ?",
            )?
            .query_map(params![now.0.cast_signed(), as_limit(limit)], |row| {
                Ok((name_of(row)?, Self::of_row(row)?))
            })?
            .collect()
    }

    /// Makes the row of a channel's first event: nothing is logged yet.
    pub(super) fn create(
        connection: &Connection,
        name: &ChannelName,
        epoch: Epoch,
    ) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "INSERT INTO channel (app, name, epoch, offset, seq, time, tag, oldest, len_max, age_max, trim_at)
                 VALUES (?, ?, ?, 0, 0, 0, 0, 1, 0, 0, NULL)",
            )?
            .execute(params![APP, name.as_str(), epoch.0.cast_signed()])?;
        Ok(Self {
            id: connection.last_insert_rowid(),
            epoch,
            offset: 0,
            seq: 0,
            time: Time(0),
            tag: Tag(0),
            oldest: 1,
            len_max: 0,
            age_max: 0,
            trim_at: None,
        })
    }

    pub(super) fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let saved = connection
            .prepare_cached(
                "UPDATE channel SET offset = ?, seq = ?, time = ?, tag = ?, oldest = ?, len_max = ?, age_max = ?, trim_at = ?
                 WHERE id = ?",
            )?
            .execute(params![
                self.offset.cast_signed(),
                self.seq.cast_signed(),
                self.time.0.cast_signed(),
                self.tag.0.cast_signed(),
                self.oldest.cast_signed(),
                self.len_max.cast_signed(),
                self.age_max.cast_signed(),
                self.trim_at.map(|time| time.0.cast_signed()),
                self.id,
            ])?;
        // A row that somebody deleted under us would let offsets start again.
        if saved == 1 {
            Ok(())
        } else {
            Err(rusqlite::Error::StatementChangedRows(saved))
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
            tag: self.tag,
        }
    }

    /// Notes the retention of the event that was just logged, and when the trimmer has to come.
    pub(super) fn retain_by(&mut self, kind: &ChannelKind) {
        let (len_max, age_max) = (kind.history_len_max.min(MAX), ticks(kind.history_age_max));
        let is_changed = (self.len_max, self.age_max) != (len_max, age_max);
        (self.len_max, self.age_max) = (len_max, age_max);
        let stored = self.offset + 1 - self.oldest;
        // Some more than the bound are left in the table, so that not each append brings a deletion; readers filter.
        let slack = (len_max / 4).clamp(1, 1_000);
        if is_changed || stored > len_max.saturating_add(slack) {
            self.trim_at = Some(Time(0));
        } else if self.trim_at.is_none() {
            self.trim_at = Some(expiry(self.time, age_max));
        }
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let unsigned = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
        Ok(Self {
            id: row.get(0)?,
            epoch: Epoch(unsigned(1)?),
            offset: unsigned(2)?,
            seq: unsigned(3)?,
            time: Time(unsigned(4)?),
            tag: Tag(unsigned(5)?),
            oldest: unsigned(6)?,
            len_max: unsigned(7)?,
            age_max: unsigned(8)?,
            trim_at: row
                .get::<_, Option<i64>>(9)?
                .map(|raw| Time(raw.cast_unsigned())),
        })
    }
}

fn name_of(row: &Row<'_>) -> rusqlite::Result<ChannelName> {
    // Only parsed names were written: another one means that somebody else did.
    ChannelName::parse(row.get_ref(10)?.as_str()?).map_err(|_| FromSqlError::InvalidType.into())
}

/// A number of rows, as SQLite wants it.
pub(super) fn as_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// When an event of this time is no longer retained.
pub(super) fn expiry(time: Time, age_max: u64) -> Time {
    Time(time.0.saturating_add(age_max).min(MAX))
}

/// A duration in ticks of [`Time`], at most what an SQLite integer holds.
pub(super) fn ticks(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos() / 100)
        .unwrap_or(MAX)
        .min(MAX)
}

/// The largest SQLite integer.
const MAX: u64 = i64::MAX.cast_unsigned();
