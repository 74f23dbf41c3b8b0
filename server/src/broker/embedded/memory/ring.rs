//! One channel's log in memory: its top, its retained entries, its recent publish ids.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parlor_protocol::{EventKind, Position, Time};

use super::recent::{Key, Recent};
use crate::broker::content::ContentHash;
use crate::broker::embedded::outcome::{First, Outcome};
use crate::broker::random;
use crate::broker::{Append, LogPage, PAGE_BYTES_MAX, PAGE_LEN_MAX, Range};
use crate::clock;
use crate::hub::{Frames, LogEntry};
use crate::kind::ChannelKind;

/// A channel's log. Offsets of `entries` are dense and end at the top's.
#[derive(Debug)]
pub(super) struct Ring {
    top: Position,
    seq: u64,
    time: Time,
    entries: VecDeque<Arc<LogEntry>>,
    bytes: usize,
    recent: Recent,
    /// Retention as of the last append.
    len_max: u64,
    age_max: Duration,
    /// Set once, when the ring leaves the directory.
    pub(super) is_dropped: bool,
}

impl Ring {
    /// An empty log that starts behind `before_first`.
    pub(super) fn new(before_first: Position) -> Self {
        Self {
            top: before_first,
            seq: 0,
            time: Time(0),
            entries: VecDeque::new(),
            bytes: 0,
            recent: Recent::default(),
            len_max: 0,
            age_max: Duration::ZERO,
            is_dropped: false,
        }
    }

    pub(super) fn top(&self) -> Position {
        self.top
    }

    /// Bytes of the retained entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Publish ids remembered.
    pub(super) fn ids(&self) -> usize {
        self.recent.len()
    }

    /// Whether it holds nothing that anybody could ask for.
    pub(super) fn is_blank(&self) -> bool {
        self.entries.is_empty() && self.ids() == 0
    }

    pub(super) fn append(&mut self, append: &Append, now: Time, dedup_window: Duration) -> Outcome {
        let content = append
            .dedup
            .as_ref()
            .map(|dedup| (Key::of(dedup), ContentHash::of(append)));
        if let Some((key, content)) = content
            && let Some(first) = self.recent.find(key, now)
        {
            return first.outcome(self.top.epoch, content);
        }
        let entry = Arc::new(self.place(append));
        if let Some((key, content)) = content {
            let until = later(now, dedup_window);
            self.recent.insert(key, First::of(content, &entry), until);
        }
        if let Some(erasure) = entry.erases() {
            self.bytes -= LogEntry::erase_in(&mut self.entries, &erasure.offsets);
        }
        self.bytes += entry.bytes();
        self.entries.push_back(Arc::clone(&entry));
        Outcome::Logged(entry)
    }

    fn place(&mut self, append: &Append) -> LogEntry {
        let prev = self.top.tag;
        self.top = Position {
            offset: self.top.offset + 1,
            tag: random::tag(),
            ..self.top
        };
        self.seq += u64::from(append.event == EventKind::Message);
        self.time = clock::next_after(self.time);
        (self.len_max, self.age_max) = (append.kind.history_len_max, append.kind.history_age_max);
        LogEntry {
            epoch: self.top.epoch,
            offset: self.top.offset,
            seq: self.seq,
            tag: self.top.tag,
            prev,
            time: self.time,
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

    /// Forgets publish ids whose window ended, and `more` of the oldest others. Returns how many others there were to forget.
    pub(super) fn forget(&mut self, now: Time, more: usize) -> usize {
        self.recent.forget(now, more)
    }

    /// Drops entries whose retention ended, or that are too many bytes.
    pub(super) fn trim(&mut self, now: Time, bytes_max: usize) {
        let newest_expired = earlier(now, self.age_max);
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() as u64 > self.len_max || oldest.time <= newest_expired)
        {
            self.drop_oldest();
        }
        self.shrink(bytes_max);
    }

    /// Drops the oldest entries until the others take at most this much.
    pub(super) fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && !self.entries.is_empty() {
            self.drop_oldest();
        }
        // A ring that was long once would keep its block for good.
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.bytes();
        }
    }

    pub(super) fn page(
        &self,
        kind: &ChannelKind,
        range: Range,
        limit: usize,
        now: Time,
    ) -> LogPage {
        let first = self.first_visible(kind, now);
        let visible = first..self.entries.len();
        let younger_than = |time: Time| self.entries.partition_point(|entry| entry.time <= time);
        let run = match range {
            Range::AfterOffset(offset) => {
                self.index_of(offset.saturating_add(1)).max(first)..visible.end
            }
            Range::AfterTime(time) => younger_than(time).max(first)..visible.end,
            Range::BeforeOffset(offset) => first..self.index_of(offset),
            Range::BeforeTime(time) => {
                first..self.entries.partition_point(|entry| entry.time < time)
            }
        };
        // The other end may lie before what is still visible.
        let run = run.start..run.end.max(run.start);
        let limit = limit.min(PAGE_LEN_MAX);
        let is_backward = matches!(range, Range::BeforeOffset(_) | Range::BeforeTime(_));
        let len = run.len();
        let run = self.entries.range(run);
        let entries = if is_backward {
            page_of(run.rev(), limit)
        } else {
            page_of(run, limit)
        };
        let more = entries.len() < len;
        LogPage {
            entries,
            more,
            top: self.top,
            oldest: self.first_offset() + first as u64,
            beginning: None,
        }
    }

    /// The index of the first entry that retention still shows.
    fn first_visible(&self, kind: &ChannelKind, now: Time) -> usize {
        let len_max = usize::try_from(kind.history_len_max).unwrap_or(usize::MAX);
        let newest_expired = earlier(now, kind.history_age_max);
        let by_age = self
            .entries
            .partition_point(|entry| entry.time <= newest_expired);
        self.entries.len().saturating_sub(len_max).max(by_age)
    }

    /// The index of the entry at `offset`, or of the nearest end.
    fn index_of(&self, offset: u64) -> usize {
        let index = offset.saturating_sub(self.first_offset());
        usize::try_from(index)
            .unwrap_or(usize::MAX)
            .min(self.entries.len())
    }

    fn first_offset(&self) -> u64 {
        self.top.offset + 1 - self.entries.len() as u64
    }
}

/// As many of a run's first entries as one page takes.
fn page_of<'a>(run: impl Iterator<Item = &'a Arc<LogEntry>>, limit: usize) -> Vec<Arc<LogEntry>> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for entry in run.take(limit) {
        bytes += entry.bytes();
        // One at least, so that who reads on gets further.
        if bytes > PAGE_BYTES_MAX && !entries.is_empty() {
            break;
        }
        entries.push(Arc::clone(entry));
    }
    entries
}

fn earlier(time: Time, by: Duration) -> Time {
    Time(time.0.saturating_sub(ticks(by)))
}

pub(super) fn later(time: Time, by: Duration) -> Time {
    Time(time.0.saturating_add(ticks(by)))
}

fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() / 100).unwrap_or(u64::MAX)
}
