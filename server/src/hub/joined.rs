//! Frames of consecutive entries back to back, made once for all subscribers who receive all of them.
//!
//! When a shard lags behind a channel, several entries wait for each of its subscribers. One block for them costs each
//! subscriber one place in its outbox and one slice in its write, however many entries it holds.

use std::cell::OnceCell;
use std::sync::Arc;

use parlor_protocol::{Alias, Form};

use super::entry::LogEntry;
use super::ids::ConnectionId;
use crate::outbox::Frame;

/// Payload bytes of a block, about: no more than a socket's buffer takes at once, and small beside an outbox's bound.
const BYTES_MAX: usize = 16 * 1024;

/// Consecutive entries of one channel, and their blocks once somebody needed them.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    entries: &'a [Arc<LogEntry>],
    alias: Alias,
    /// One per wire form.
    blocks: [OnceCell<Frame>; 2],
}

impl<'a> Joined<'a> {
    /// Cuts entries into blocks; none is empty.
    pub(super) fn blocks_of(
        mut entries: &'a [Arc<LogEntry>],
        alias: Alias,
    ) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let mut bytes = 0;
            let fits = entries.iter().take_while(|entry| {
                bytes += entry.payload.bytes.len();
                bytes <= BYTES_MAX
            });
            let count = fits.count().max(1).min(entries.len());
            let (block, rest) = entries.split_at(count);
            entries = rest;
            (count > 0).then(|| Self {
                entries: block,
                alias,
                blocks: Default::default(),
            })
        })
    }

    pub(super) fn entries(&self) -> &'a [Arc<LogEntry>] {
        self.entries
    }

    pub(super) fn last_offset(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.offset)
    }

    /// The block for a connection whose cursor is at `cursor`; `None` when it must not get all entries alike: it has some
    /// of them, or asked for no echo of one.
    pub(super) fn block_for(
        &self,
        cursor: u64,
        connection: ConnectionId,
        form: Form,
    ) -> Option<Frame> {
        let has_some = self
            .entries
            .first()
            .is_none_or(|first| first.offset <= cursor);
        let wants_no_echo = || {
            let mut origins = self.entries.iter().filter_map(|entry| entry.no_echo_to);
            origins.any(|origin| origin == connection)
        };
        if self.entries.len() < 2 || has_some || wants_no_echo() {
            return None;
        }
        let slot = match form {
            Form::Json => &self.blocks[0],
            Form::MsgPack => &self.blocks[1],
        };
        let join = || {
            Frame::join(
                self.entries
                    .iter()
                    .map(|entry| entry.frame(self.alias, form)),
            )
        };
        Some(slot.get_or_init(join).clone())
    }
}
