//! Retention on the disk: deletes, step by step, what readers no longer see.

use parlor_protocol::{ChannelName, Time};
use rusqlite::{Connection, params};

use super::channel_row::{ChannelRow, expiry};
use super::page;

/// Rows that one step deletes at most: a few ms, so that an append never waits long behind it.
pub(super) const BUDGET: usize = 2_000;
/// Channels that one step looks at, at most.
const CHANNELS_PER_STEP: usize = 64;

/// What one step did, not yet committed.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) channels: Vec<(ChannelName, ChannelRow)>,
    pub(super) events: usize,
    /// Whether nothing more is due.
    pub(super) is_done: bool,
}

pub(super) fn step(connection: &Connection, now: Time) -> rusqlite::Result<Step> {
    let due = ChannelRow::due(connection, now, CHANNELS_PER_STEP)?;
    let mut step = Step {
        channels: Vec::new(),
        events: 0,
        is_done: due.len() < CHANNELS_PER_STEP,
    };
    for (name, mut row) in due {
        let left = BUDGET - step.events;
        if left == 0 {
            step.is_done = false;
            break;
        }
        let keep_from = first_retained(connection, &row, now)?;
        let upto = keep_from.min(row.oldest + left as u64);
        step.events += connection
            .prepare_cached("DELETE FROM event WHERE channel = ? AND offset < ?")?
            .execute(params![row.id, upto.cast_signed()])?;
        row.oldest = upto;
        row.trim_at = if upto < keep_from {
            row.trim_at
        } else {
            next_look(connection, &row)?
        };
        step.is_done &= upto == keep_from;
        row.save(connection)?;
        step.channels.push((name, row));
    }
    Ok(step)
}

fn first_retained(connection: &Connection, row: &ChannelRow, now: Time) -> rusqlite::Result<u64> {
    let by_len = (row.offset + 1).saturating_sub(row.len_max).max(row.oldest);
    let newest_expired = Time(now.0.saturating_sub(row.age_max));
    page::first_younger(connection, row, by_len, newest_expired)
}

fn next_look(connection: &Connection, row: &ChannelRow) -> rusqlite::Result<Option<Time>> {
    if row.oldest > row.offset {
        return Ok(None);
    }
    let oldest = page::time_at(connection, row.id, row.oldest)?;
    Ok(Some(expiry(oldest, row.age_max)))
}
