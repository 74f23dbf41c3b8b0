//! Reading: a channel's top when it is joined, pages of its log, and the places of partitions.

use std::sync::Arc;

use bytes::Bytes;
use parlor_protocol::{ChannelName, Epoch, Position, Time};
use redis::{Cmd, Value};

use super::core::Core;
use super::entry;
use super::fault::Fault;
use super::head::{hex, log_head, tag, to_hex};
use super::links::Purpose;
use super::partition::{Cursor, Partition, Settled};
use super::scripts::READ;
use super::stats::add;
use crate::broker::{LogPage, PAGE_LEN_MAX, Range, Read, random};
use crate::hub::{Beginning, Frames, LogEntry};
use crate::kind::ChannelKind;

/// What to read of a log.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Top,
    Page(Range, usize),
}

impl Core {
    /// The channel's top; from here on its events are delivered.
    ///
    /// # Errors
    /// Redis is away.
    pub(super) async fn join(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> Result<Position, Fault> {
        let partition = Arc::clone(self.partition(channel));
        // Before the tail's start is read, so that the tail does not end for lack of listeners.
        partition.listen(channel, kind);
        self.start_tail(&partition).await?;
        Ok(self
            .read_log(&partition, channel, kind, Wish::Top)
            .await?
            .top)
    }

    pub(super) async fn page(&self, read: &Read) -> Result<LogPage, Fault> {
        add(&self.stats.pages, 1);
        let partition = Arc::clone(self.partition(&read.channel));
        let wish = Wish::Page(read.range, read.limit.min(PAGE_LEN_MAX));
        self.read_log(&partition, &read.channel, &read.kind, wish)
            .await
    }

    /// A page without entries: the channel's top, and how its beginning is called.
    pub(super) async fn top(
        &self,
        channel: &ChannelName,
        kind: &ChannelKind,
    ) -> Result<LogPage, Fault> {
        let partition = Arc::clone(self.partition(channel));
        self.read_log(&partition, channel, kind, Wish::Top).await
    }

    /// Where the partition's stream ends now.
    pub(super) async fn end_of(&self, partition: &Arc<Partition>) -> Result<Cursor, Fault> {
        self.settled(partition).await?;
        let mut command = redis::cmd("GET");
        command.arg(&partition.keys.meta);
        let slot = partition.keys.slot;
        let answer = self.links.ask(Purpose::Read, slot, &command).await?;
        end_in(&answer).ok_or_else(|| Fault::Passing("the partition has no meta".to_owned()))
    }

    /// Starts the partition's tail where its stream ends, unless it runs.
    pub(super) async fn start_tail(&self, partition: &Arc<Partition>) -> Result<(), Fault> {
        if partition.tail().is_none() {
            let end = self.end_of(partition).await?;
            if partition.start_tail(end) {
                self.readers.wake(partition.index);
            }
        }
        Ok(())
    }

    async fn read_log(
        &self,
        partition: &Arc<Partition>,
        channel: &ChannelName,
        kind: &ChannelKind,
        wish: Wish,
    ) -> Result<LogPage, Fault> {
        let keys = &partition.keys;
        let (meta, log) = (keys.channel_meta(channel), keys.channel_log(channel));
        let keys = [&keys.meta, &meta, &log].map(String::as_str);
        let arguments = |command: &mut Cmd, settled: &Settled| {
            let (range, from, limit) = words(wish);
            command
                .arg(&*settled.lineage)
                .arg(settled.generation)
                .arg(to_hex(random::epoch().0));
            command
                .arg(channel.as_str())
                .arg(range)
                .arg(from)
                .arg(limit);
            command
                .arg(kind.history_len_max)
                .arg(kind.history_age_max.as_millis() as u64);
        };
        let (parts, lineage) = self
            .run_settled(partition, Purpose::Read, &READ, &keys, arguments)
            .await?;
        let odd = || Fault::Odd("a page of unknown form".to_owned());
        let (page, end) = (page(&parts).ok_or_else(odd)?, end(&parts).ok_or_else(odd)?);
        // Whoever gets it knows of these events: they are part of this node's next word.
        let Some(_pass) = partition.fence.pass(&lineage) else {
            let text = "the page is from a primary that this node has left".to_owned();
            return Err(Fault::Passing(text));
        };
        let is_written = page.top.offset > 0;
        partition.note(end, is_written.then_some((channel, page.top)));
        Ok(page)
    }
}

/// The stream's end in a partition's meta, as `lua/common.lua` packs it: version, tag, epoch, gen and floor in six bytes
/// each, pseq in seven.
fn end_in(meta: &Value) -> Option<Cursor> {
    let Value::BulkString(meta) = meta else {
        return None;
    };
    let tag = std::str::from_utf8(meta.get(1..17)?).ok()?;
    let pseq = meta.get(45..52)?;
    Some(Cursor {
        pseq: pseq
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        tag: hex(tag)?,
    })
}

fn words(wish: Wish) -> (&'static str, String, usize) {
    match wish {
        Wish::Top => ("top", String::new(), 0),
        Wish::Page(Range::AfterOffset(offset), limit) => {
            ("after", offset.min(FAR).to_string(), limit)
        }
        Wish::Page(Range::BeforeOffset(offset), limit) => {
            ("before", offset.min(FAR).to_string(), limit)
        }
        Wish::Page(Range::AfterTime(time), limit) => ("after_time", digits(time), limit),
        Wish::Page(Range::BeforeTime(time), limit) => ("before_time", digits(time), limit),
    }
}

/// Offsets stay below it, and Lua's numbers are exact up to it.
const FAR: u64 = 1 << 52;

/// Scripts compare times as texts of 17 digits.
fn digits(time: Time) -> String {
    format!("{:017}", time.0.min(99_999_999_999_999_999))
}

fn page(parts: &[Value]) -> Option<LogPage> {
    let text = |index: usize| text(parts.get(index)?);
    let epoch = Epoch(hex(text(0)?)?);
    let top = Position {
        epoch,
        offset: text(1)?.parse().ok()?,
        tag: tag(text(2)?)?,
    };
    let Value::Array(rows) = parts.get(6)? else {
        return None;
    };
    // An entry of a version that this build does not know leaves a hole, which its readers notice.
    let entries = rows
        .chunks_exact(3)
        .filter_map(|row| entry_of(epoch, row))
        .map(Arc::new)
        .collect();
    Some(LogPage {
        entries,
        more: text(4)? == "1",
        top,
        oldest: text(3)?.parse().ok()?,
        beginning: hex(text(9)?).map(|before| Beginning {
            epoch,
            before: Epoch(before),
        }),
    })
}

/// Where the stream ended when a page was read.
fn end(parts: &[Value]) -> Option<Cursor> {
    Some(Cursor {
        pseq: text(parts.get(7)?)?.parse().ok()?,
        tag: hex(text(parts.get(8)?)?)?,
    })
}

fn entry_of(epoch: Epoch, row: &[Value]) -> Option<LogEntry> {
    let (tag, prev, time, seq) = log_head(text(&row[1])?)?;
    let Value::BulkString(body) = &row[2] else {
        return None;
    };
    let content = entry::decode(&Bytes::copy_from_slice(body))?;
    Some(LogEntry {
        epoch,
        offset: text(&row[0])?.strip_suffix("-0")?.parse().ok()?,
        seq,
        tag,
        prev,
        time,
        kind: content.kind,
        id: content.id,
        user: content.user,
        tags: content.tags,
        payload: content.payload,
        erased: content.erased,
        no_echo_to: None,
        frames: Frames::default(),
    })
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
