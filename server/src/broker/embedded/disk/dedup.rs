//! Publish ids of the last minutes, in the same transaction as the events they name: a retry after a crash
//! finds its first try if and only if that is in the log.

use parlor_protocol::{Tag, Time};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::channel_row::{as_limit, expiry};
use crate::broker::content::{ContentHash, IdHash};
use crate::broker::embedded::outcome::First;

impl First {
    /// The first publish under this id, if it was inside the window.
    pub(super) fn find(
        connection: &Connection,
        channel: i64,
        id: IdHash,
        now: Time,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT content, offset, tag, time FROM dedup
                 WHERE channel = ? AND sender = '' AND id = ? AND until > ?",
            )?
            .query_row(
                params![channel, as_text(id), now.0.cast_signed()],
                Self::of_row,
            )
            .optional()
    }

    /// Remembers it. One that outlived its window under the same id is replaced.
    pub(super) fn save(
        &self,
        connection: &Connection,
        channel: i64,
        id: IdHash,
        until: Time,
    ) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO dedup (channel, sender, id, until, content, offset, tag, time)
                 VALUES (?, '', ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                channel,
                as_text(id),
                until.0.cast_signed(),
                self.content.0,
                self.offset.cast_signed(),
                self.tag.0.cast_signed(),
                self.time.0.cast_signed(),
            ])?;
        Ok(())
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            content: ContentHash(row.get(0)?),
            offset: row.get::<_, i64>(1)?.cast_unsigned(),
            tag: Tag(row.get::<_, i64>(2)?.cast_unsigned()),
            time: Time(row.get::<_, i64>(3)?.cast_unsigned()),
        })
    }
}

/// What stands in the column `id`, a text since it was the publisher's own; `sender` is empty.
fn as_text(id: IdHash) -> String {
    format!("{:032x}", u128::from_be_bytes(id.0))
}

/// When an id used now is forgotten.
pub(super) fn until(now: Time, window: u64) -> Time {
    expiry(now, window)
}

/// Ids that one step forgot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forgotten {
    pub(super) over: usize,
    /// Before their window was over, since there were too many.
    pub(super) early: usize,
}

impl Forgotten {
    pub(super) fn count(self) -> usize {
        self.over + self.early
    }
}

/// Forgets at most `budget` ids whose window ended, or that are too many.
pub(super) fn prune(
    connection: &Connection,
    now: Time,
    len_max: usize,
    budget: usize,
) -> rusqlite::Result<Forgotten> {
    let ends: (Option<i64>, Option<i64>) = connection
        .prepare_cached("SELECT (SELECT min(seq) FROM dedup), (SELECT max(seq) FROM dedup)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = ends else {
        return Ok(Forgotten::default());
    };
    let last_of_step: i64 = connection
        .prepare_cached("SELECT max(seq) FROM (SELECT seq FROM dedup ORDER BY seq LIMIT ?)")?
        .query_row([as_limit(budget)], |row| row.get(0))?;
    let first_alive: Option<i64> = connection
        .prepare_cached("SELECT seq FROM dedup WHERE seq <= ? AND until > ? ORDER BY seq LIMIT 1")?
        .query_row(params![last_of_step, now.0.cast_signed()], |row| row.get(0))
        .optional()?;
    let by_age = first_alive.unwrap_or(last_of_step + 1);
    let by_len = last.saturating_sub(i64::try_from(len_max).unwrap_or(i64::MAX)) + 1;
    let keep_from = by_age.max(by_len).min(last_of_step + 1);
    if keep_from <= first {
        return Ok(Forgotten::default());
    }
    let mut delete = connection.prepare_cached("DELETE FROM dedup WHERE seq < ?")?;
    Ok(Forgotten {
        over: delete.execute([by_age.min(keep_from)])?,
        early: delete.execute([keep_from])?,
    })
}
