//! One live channel: its top, its newest events, and which shards want them.
//!
//! Invariant: the tail holds consecutive offsets of one epoch and ends at the top.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use parking_lot::Mutex;
use parlor_protocol::{Alias, ChannelName, Epoch, Position, Tag};

use super::entry::{Ephemeral, EphemeralBody, LogEntry};
use super::ids::ShardId;
use crate::planted::{self, Bug};

/// Events that a tail keeps; a shard that lags further reads the log.
pub const TAIL_LEN_MAX: usize = 256;
/// Bytes that a tail keeps.
const TAIL_BYTES_MAX: usize = 256 * 1024;
/// Signals and presence diffs that wait for the slowest shard; then the oldest is dropped.
const EPHEMERALS_MAX: usize = 128;
/// Ended lives of which a channel still knows what they lost: for shards and joins that look late.
const LOSSES_MAX: usize = 8;
/// Events handed to a shard at once, so that one busy channel does not hold up the others.
const PULL_MAX: usize = 64;

/// A channel with at least one subscriber in this process.
pub struct Channel {
    name: ChannelName,
    alias: Alias,
    tap: Option<Tap>,
    state: Mutex<State>,
}

/// The place before a log's first event, where a broker names it anew from time to time while the log is empty: the name that it
/// has, and the one before. Only one of them is a life in which anything happened, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub epoch: Epoch,
    pub before: Epoch,
}

/// How the process itself learns that a channel's log has news: an entry came, or a new life began. It only rings: the
/// follower pulls what it lacks, as shards do. Called under the channel's lock, so it must neither block nor call the hub.
pub type Tap = Box<dyn Fn() + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    /// Bit per shard: who wants to know.
    interest: u64,
    /// Bit per shard: whose inbox has this channel already.
    told: u64,
    /// Bit per shard: who looked and could not take the news yet.
    owed: u64,
    /// Joins under way on all shards: they may still want what the shards have passed on.
    joining: usize,
    /// Unknown until the first join read it, the first delivery showed it, or the broker looked.
    /// While the log is empty it keeps the epoch that it was first read with: shards have delivered up to there.
    top: Option<Position>,
    /// What the log calls the place before its first event by now, if it has called it something else.
    empty_as: Option<Epoch>,
    /// The epoch that the channel stood under here before its first event, where that came under another.
    began_as: Option<Epoch>,
    tail: VecDeque<Arc<LogEntry>>,
    tail_bytes: usize,
    /// What was lost when a life of the log ended, the newest last, at most [`LOSSES_MAX`].
    losses: VecDeque<(Epoch, RangeInclusive<u64>)>,
    ephemerals: VecDeque<Arc<Ephemeral>>,
    /// The number of the ephemeral that comes next; they are numbered from 0.
    ephemeral_next: u64,
}

/// What a shard gets when it asks for a channel's news.
#[derive(Debug, Default)]
pub struct Pull {
    /// Consecutive, from right behind what the shard had.
    pub entries: Vec<Arc<LogEntry>>,
    pub ephemerals: Vec<Arc<Ephemeral>>,
    /// The number to ask from next time.
    pub ephemeral_next: u64,
    /// There is more: ask again after others had their turn.
    pub more: bool,
    /// The tail no longer holds what comes next: read the log.
    pub trimmed: bool,
    /// The log began a new life since.
    pub epoch_changed: bool,
}

impl Channel {
    pub(super) fn new(name: ChannelName, alias: Alias) -> Self {
        Self {
            name,
            alias,
            tap: None,
            state: Mutex::default(),
        }
    }

    pub(super) fn followed(name: ChannelName, alias: Alias, tap: Tap) -> Self {
        Self {
            tap: Some(tap),
            ..Self::new(name, alias)
        }
    }

    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    pub fn alias(&self) -> Alias {
        self.alias
    }

    /// The newest position, once known.
    pub fn top(&self) -> Option<Position> {
        self.state.lock().top
    }

    /// Takes the top that a join read from the log, unless a delivery showed a newer one meanwhile, or somebody who read later was
    /// faster: start from what it returns.
    pub fn learn_top(&self, read: Position) -> Position {
        *self.state.lock().top.get_or_insert(read)
    }

    /// The place before the first event has these names. True when one of them is the channel's own: what stands there has missed
    /// nothing, whatever it knew the place as. Call it in the order of what is delivered.
    pub fn learn_beginning(&self, beginning: Beginning) -> bool {
        let mut state = self.state.lock();
        let is_same = state.begins_as(beginning.epoch) || state.begins_as(beginning.before);
        if is_same && state.top.is_some_and(|top| top.offset == 0) {
            state.empty_as = Some(beginning.epoch);
        }
        is_same
    }

    /// Whether both epochs are names of the place before this log's first event.
    pub fn is_one_beginning(&self, one: Epoch, other: Epoch) -> bool {
        let state = self.state.lock();
        state.begins_as(one) && state.begins_as(other)
    }

    /// The place by the name that it has in this life of the log, where both are names of the one before its first event.
    pub fn under(&self, place: Position, epoch: Epoch) -> Position {
        if place.offset == 0 && self.is_one_beginning(place.epoch, epoch) {
            return Position { epoch, ..place };
        }
        place
    }

    /// A place of this channel as others know it: before the first event it may have an older name here.
    pub fn known_as(&self, place: Position) -> Position {
        let state = self.state.lock();
        let Some(top) = state.top else { return place };
        if place.offset > 0 || !state.begins_as(place.epoch) {
            return place;
        }
        let empty_as = state.empty_as.filter(|_| top.offset == 0);
        Position {
            epoch: empty_as.unwrap_or(top.epoch),
            ..place
        }
    }

    /// Consecutive entries from right behind `offset`; `None` when the tail does not reach back that far.
    pub fn tail_after(&self, offset: u64, limit: usize) -> Option<Vec<Arc<LogEntry>>> {
        let state = self.state.lock();
        let skip = state.tail_index(offset)?;
        Some(state.tail.iter().skip(skip).take(limit).cloned().collect())
    }

    /// Puts entries that were read from the log before what the tail holds, the newest first and as many as its bounds allow,
    /// so that others need not read them too. Does nothing when they do not lead up to it.
    pub fn refill(&self, read: &[Arc<LogEntry>]) {
        let mut state = self.state.lock();
        state.prepend(read);
        // The page may have been read before some of it was erased; whatever erased it stands behind it in the tail.
        let erasures = state.tail.iter().filter_map(|entry| entry.erases());
        let offsets: Vec<u64> = erasures.flat_map(|erasure| erasure.offsets).collect();
        state.erase(&offsets);
    }

    /// All that the tail holds, oldest first.
    pub fn tail(&self) -> Vec<Arc<LogEntry>> {
        self.state.lock().tail.iter().cloned().collect()
    }

    pub(super) fn add_interest(&self, shard: ShardId) {
        self.state.lock().interest |= shard.bit();
    }

    /// True when nobody is left.
    pub(super) fn remove_interest(&self, shard: ShardId) -> bool {
        let mut state = self.state.lock();
        state.interest &= !shard.bit();
        state.told &= !shard.bit();
        state.owed &= !shard.bit();
        state.forget_ephemerals();
        state.interest == 0 && self.tap.is_none()
    }

    /// What a life of the log that ended had lost, for those who still stand in it.
    pub fn lost(&self, ended: Epoch) -> Option<RangeInclusive<u64>> {
        let state = self.state.lock();
        let found = state.losses.iter().rev().find(|(epoch, _)| *epoch == ended);
        found.map(|(_, range)| range.clone())
    }

    /// Forgets what was delivered: the log stands at `top` now. Returns the shards that must be told.
    pub(super) fn restart(&self, top: Position, lost: Option<RangeInclusive<u64>>) -> u64 {
        let mut state = self.state.lock();
        state.clear_tail();
        state.forget_beginning();
        let ended = state.top.replace(top);
        if let (Some(ended), Some(lost)) = (ended, lost) {
            if state.losses.len() == LOSSES_MAX {
                state.losses.pop_front();
            }
            state.losses.push_back((ended.epoch, lost));
        }
        if let Some(tap) = &self.tap {
            tap();
        }
        state.tell()
    }

    /// Takes the next entry. Returns the shards that must be told.
    pub(super) fn push(&self, entry: Arc<LogEntry>) -> u64 {
        let mut state = self.state.lock();
        match state.top {
            Some(top) if top.epoch == entry.epoch && entry.offset <= top.offset => return 0,
            Some(top) if state.is_first_after(top, &entry) => state.began_as = Some(top.epoch),
            Some(top) if top.epoch != entry.epoch => {
                state.clear_tail();
                state.forget_beginning();
            }
            Some(top) if entry.offset != top.offset + 1 => state.clear_tail(),
            Some(_) | None => {}
        }
        state.top = Some(entry.position());
        if let Some(tap) = &self.tap {
            tap();
        }
        if let Some(erasure) = entry.erases() {
            state.erase(&erasure.offsets);
        }
        state.tail_bytes += entry.bytes();
        state.tail.push_back(entry);
        while (state.tail.len() > TAIL_LEN_MAX
            || (state.tail_bytes > TAIL_BYTES_MAX && state.tail.len() > 1))
            && !planted::has(Bug::UnboundedTail)
        {
            state.trim_one();
        }
        state.tell()
    }

    pub(super) fn push_ephemeral(&self, body: EphemeralBody) -> u64 {
        let mut state = self.state.lock();
        state.ephemerals.push_back(Arc::new(Ephemeral::new(body)));
        state.ephemeral_next += 1;
        if state.ephemerals.len() > EPHEMERALS_MAX {
            state.forget_oldest_ephemeral();
        }
        state.tell()
    }

    /// The number of the next ephemeral: where a new listener starts.
    pub fn ephemeral_next(&self) -> u64 {
        self.state.lock().ephemeral_next
    }

    /// The ephemerals with these numbers, as far as they are still kept.
    pub(super) fn ephemerals(&self, numbers: Range<u64>) -> Vec<Arc<Ephemeral>> {
        let state = self.state.lock();
        let first_kept = state.ephemeral_next - state.ephemerals.len() as u64;
        let skip = numbers.start.saturating_sub(first_kept) as usize;
        let end = numbers.end.saturating_sub(first_kept) as usize;
        let kept = state.ephemerals.iter().take(end).skip(skip);
        kept.cloned().collect()
    }

    /// Everything after what `shard` has delivered. From now on the shard is told of news again.
    pub fn pull(&self, shard: ShardId, delivered: Position, ephemeral_from: u64) -> Pull {
        let mut state = self.state.lock();
        state.told &= !shard.bit();
        state.owed &= !shard.bit();
        let mut pull = Pull {
            ephemeral_next: state.ephemeral_next,
            ..Pull::default()
        };
        let waiting = state.ephemeral_next.saturating_sub(ephemeral_from);
        let kept = state.ephemerals.len() as u64;
        let skip = kept.saturating_sub(waiting) as usize;
        pull.ephemerals
            .extend(state.ephemerals.iter().skip(skip).cloned());
        state.forget_ephemerals();
        let Some(top) = state.top else { return pull };
        let is_same_beginning = delivered.offset == 0 && state.begins_as(delivered.epoch);
        if top.epoch != delivered.epoch && !is_same_beginning {
            pull.epoch_changed = true;
            return pull;
        }
        let Some(skip) = state.tail_index(delivered.offset) else {
            pull.trimmed = top.offset > delivered.offset;
            return pull;
        };
        pull.entries
            .extend(state.tail.iter().skip(skip).take(PULL_MAX).cloned());
        pull.more = state.tail.len() - skip > PULL_MAX;
        pull
    }

    /// True when the shard was not told yet.
    pub(super) fn tell(&self, shard: ShardId) -> bool {
        let mut state = self.state.lock();
        let news = state.told & shard.bit() == 0;
        state.told |= shard.bit();
        news
    }

    /// For a shard that cannot take news yet: it wants to be told again.
    pub fn untell(&self, shard: ShardId) {
        let mut state = self.state.lock();
        state.told &= !shard.bit();
        state.owed |= shard.bit();
    }

    pub(super) fn begin_joining(&self) {
        self.state.lock().joining += 1;
    }

    pub(super) fn end_joining(&self) {
        let mut state = self.state.lock();
        state.joining -= 1;
        state.forget_ephemerals();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl State {
    fn tell(&mut self) -> u64 {
        let news = self.interest & !self.told;
        self.told |= news;
        news
    }

    /// Whether this is a name of the place before the first event of the life that the channel is in.
    fn begins_as(&self, epoch: Epoch) -> bool {
        let names = [self.top.map(|top| top.epoch), self.empty_as, self.began_as];
        names.contains(&Some(epoch))
    }

    /// Whether the entry is the first of the log that was empty here, under the name that this has by now.
    fn is_first_after(&self, top: Position, entry: &LogEntry) -> bool {
        top.offset == 0
            && top.epoch != entry.epoch
            && self.empty_as == Some(entry.epoch)
            && (entry.offset, entry.prev) == (1, Tag(0))
    }

    fn forget_beginning(&mut self) {
        self.empty_as = None;
        self.began_as = None;
    }

    /// Lets ephemerals go once every shard has them and nobody is joining: a quiet channel holds none.
    fn forget_ephemerals(&mut self) {
        if self.told | self.owed == 0 && self.joining == 0 && !self.ephemerals.is_empty() {
            self.ephemerals = VecDeque::new();
        }
    }

    /// The newest presence diff stays, in the place of the signal behind it: nothing that came later tells what it did.
    fn forget_oldest_ephemeral(&mut self) {
        let Some(oldest) = self.ephemerals.pop_front() else {
            return;
        };
        if oldest.is_diff()
            && !self.ephemerals.iter().any(|other| other.is_diff())
            && let Some(next) = self.ephemerals.front_mut()
        {
            *next = oldest;
        }
    }

    /// The index of the first entry behind `offset`; `None` when the tail starts later than that.
    fn tail_index(&self, offset: u64) -> Option<usize> {
        let top = self.top?;
        if offset >= top.offset {
            return Some(self.tail.len());
        }
        let first = self.tail.front()?.offset;
        (offset + 1).checked_sub(first).map(|index| index as usize)
    }

    fn prepend(&mut self, read: &[Arc<LogEntry>]) {
        let Some(top) = self.top else { return };
        let mut next = match self.tail.front() {
            Some(front) => (front.offset, front.prev),
            None => (top.offset + 1, top.tag),
        };
        let known = read.partition_point(|entry| entry.offset < next.0);
        for entry in read[..known].iter().rev() {
            let leads = (entry.offset + 1, entry.tag) == next && entry.epoch == top.epoch;
            let fits =
                self.tail.len() < TAIL_LEN_MAX && self.tail_bytes + entry.bytes() <= TAIL_BYTES_MAX;
            if !leads || !fits {
                return;
            }
            next = (entry.offset, entry.prev);
            self.tail_bytes += entry.bytes();
            self.tail.push_front(Arc::clone(entry));
        }
    }

    fn erase(&mut self, offsets: &[u64]) {
        self.tail_bytes -= LogEntry::erase_in(&mut self.tail, offsets);
    }

    fn trim_one(&mut self) {
        if let Some(entry) = self.tail.pop_front() {
            self.tail_bytes -= entry.bytes();
        }
    }

    fn clear_tail(&mut self) {
        self.tail.clear();
        self.tail_bytes = 0;
    }
}
