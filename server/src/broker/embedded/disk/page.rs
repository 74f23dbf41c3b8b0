//! A page of a channel's log, read in one transaction so that entries, top and oldest agree.

use std::sync::Arc;

use parlor_protocol::{ChannelName, Epoch, Position, Tag, Time};
use rusqlite::{Connection, params};

use super::channel_row::{ChannelRow, as_limit, ticks};
use super::event_row;
use crate::broker::{LogPage, PAGE_BYTES_MAX, PAGE_LEN_MAX, Range};
use crate::clock;
use crate::hub::LogEntry;
use crate::kind::ChannelKind;

/// Reads one page. `connection` must be inside a transaction.
pub(super) fn read(
    connection: &Connection,
    store_epoch: Epoch,
    channel: &ChannelName,
    kind: &ChannelKind,
    range: Range,
    limit: usize,
) -> rusqlite::Result<LogPage> {
    let Some(row) = ChannelRow::find(connection, channel)? else {
        let top = Position {
            epoch: store_epoch,
            offset: 0,
            tag: Tag(0),
        };
        return Ok(LogPage {
            entries: Vec::new(),
            more: false,
            top,
            oldest: 1,
            beginning: None,
        });
    };
    let oldest = first_visible(connection, &row, kind)?;
    let run = Run::of(connection, &row, oldest, range)?;
    let entries = run.entries(connection, &row, limit.min(PAGE_LEN_MAX))?;
    let more = (entries.len() as u64) < run.len();
    Ok(LogPage {
        entries,
        more,
        top: row.position(),
        oldest,
        beginning: None,
    })
}

/// The first offset that retention still shows; one above the top when there is none.
fn first_visible(
    connection: &Connection,
    row: &ChannelRow,
    kind: &ChannelKind,
) -> rusqlite::Result<u64> {
    let by_len = (row.offset + 1)
        .saturating_sub(kind.history_len_max)
        .max(row.oldest);
    let newest_expired = Time(clock::now().0.saturating_sub(ticks(kind.history_age_max)));
    first_younger(connection, row, by_len, newest_expired)
}

/// The entries asked for: offsets `first..end`, read from one side.
#[derive(Debug)]
struct Run {
    first: u64,
    end: u64,
    direction: Direction,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    OldestFirst,
    NewestFirst,
}

impl Run {
    fn of(
        connection: &Connection,
        row: &ChannelRow,
        oldest: u64,
        range: Range,
    ) -> rusqlite::Result<Self> {
        let end = row.offset + 1;
        Ok(match range {
            Range::AfterOffset(offset) => Self {
                first: oldest.max(offset.saturating_add(1)),
                end,
                direction: Direction::OldestFirst,
            },
            Range::AfterTime(time) => {
                let first = first_younger(connection, row, oldest, time)?;
                Self {
                    first,
                    end,
                    direction: Direction::OldestFirst,
                }
            }
            Range::BeforeOffset(offset) => Self {
                first: oldest,
                end: end.min(offset),
                direction: Direction::NewestFirst,
            },
            Range::BeforeTime(time) => {
                let end = match time.0.checked_sub(1) {
                    Some(before) => first_younger(connection, row, oldest, Time(before))?,
                    None => oldest,
                };
                Self {
                    first: oldest,
                    end,
                    direction: Direction::NewestFirst,
                }
            }
        })
    }

    fn len(&self) -> u64 {
        self.end.saturating_sub(self.first)
    }

    fn entries(
        &self,
        connection: &Connection,
        row: &ChannelRow,
        limit: usize,
    ) -> rusqlite::Result<Vec<Arc<LogEntry>>> {
        let limit = limit.min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let mut entries: Vec<Arc<LogEntry>> = Vec::with_capacity(limit);
        if limit == 0 {
            return Ok(entries);
        }
        let mut statement = connection.prepare_cached(self.sql())?;
        let bounds = params![
            row.id,
            self.first.cast_signed(),
            self.end.cast_signed(),
            as_limit(limit)
        ];
        let mut rows = statement.query(bounds)?;
        let mut bytes = 0;
        while let Some(found) = rows.next()? {
            let entry = event_row::read(found, row.epoch)?;
            bytes += entry.bytes();
            if bytes > PAGE_BYTES_MAX && !entries.is_empty() {
                return Ok(entries);
            }
            if entry.offset != self.expected(entries.len() as u64) {
                return Err(hole());
            }
            entries.push(Arc::new(entry));
        }
        if entries.len() < limit {
            Err(hole())
        } else {
            Ok(entries)
        }
    }

    fn sql(&self) -> &'static str {
        match self.direction {
            Direction::OldestFirst => OLDEST_FIRST,
            Direction::NewestFirst => NEWEST_FIRST,
        }
    }

    fn expected(&self, index: u64) -> u64 {
        match self.direction {
            Direction::OldestFirst => self.first + index,
            Direction::NewestFirst => self.end - 1 - index,
        }
    }
}

/// The first offset from `from` up whose event is younger than `time`; one above the top when there is none.
/// Time only grows along a log, so it is found by bisection and needs no index.
pub(super) fn first_younger(
    connection: &Connection,
    row: &ChannelRow,
    from: u64,
    time: Time,
) -> rusqlite::Result<u64> {
    let (mut low, mut high) = (from, row.offset + 1);
    if low >= high || row.time <= time {
        return Ok(high.max(low));
    }
    // Mostly nothing has expired: one look settles it.
    if time_at(connection, row.id, low)? > time {
        return Ok(low);
    }
    // `low` is not younger and `high - 1` is.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if time_at(connection, row.id, middle)? > time {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

/// The time of a stored event.
pub(super) fn time_at(
    connection: &Connection,
    channel: i64,
    offset: u64,
) -> rusqlite::Result<Time> {
    connection
        .prepare_cached("SELECT time FROM event WHERE channel = ? AND offset = ?")?
        .query_row(params![channel, offset.cast_signed()], |row| {
            row.get::<_, i64>(0)
        })
        .map(|raw| Time(raw.cast_unsigned()))
}

const OLDEST_FIRST: &str =
    "SELECT offset, time, seq, tag, prev, kind, id, user, tags, format, data FROM event
     WHERE channel = ? AND offset >= ? AND offset < ? ORDER BY offset LIMIT ?";
const NEWEST_FIRST: &str =
    "SELECT offset, time, seq, tag, prev, kind, id, user, tags, format, data FROM event
     WHERE channel = ? AND offset >= ? AND offset < ? ORDER BY offset DESC LIMIT ?";

/// A stored log without one of its entries: somebody changed the file. Told as damage, never as a shorter page.
fn hole() -> rusqlite::Error {
    rusqlite::Error::QueryReturnedNoRows
}
