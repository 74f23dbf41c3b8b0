//! One partition as this node knows it: what waits to be appended, what was acknowledged or delivered last, where its
//! tail stands, and which of its channels somebody here listens to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use parlor_protocol::{ChannelName, Position, Tag};
use tokio::sync::{Notify, oneshot};

use super::batch::Item;
use super::fence::Fence;
use super::keys::Keys;
use super::known::{Known, KnownEntries};
use super::share::Share;
use crate::broker::{Appended, Error};
use crate::hub::{Beginning, Hub};
use crate::kind::ChannelKind;

/// Answers that wait for their event's delivery here are given after this time all the same.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(1);

/// Where somebody waits for an append's outcome.
pub(super) type Answer = oneshot::Sender<Result<Appended, Error>>;

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) index: usize,
    pub(super) keys: Keys,
    pub(super) share: Share,
    /// Plain appends, those that wait for replicas, and who is where: lanes of their own, so that none holds up another.
    pub(super) lanes: [Lane; 3],
    /// One task settles; the others wait and look again.
    pub(super) settling: tokio::sync::Mutex<()>,
    /// Taken before the state.
    pub(super) fence: Fence,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) queue: Mutex<VecDeque<Item>>,
    pub(super) bell: Notify,
}

/// What this node appends under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) generation: u64,
    pub(super) lineage: Arc<str>,
    pub(super) floor: u64,
    /// When this node asked for it; since then verdicts wait for it, unless it is given up.
    pub(super) asked: Instant,
}

/// A place in the partition's stream: just behind an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) pseq: u64,
    pub(super) tag: u64,
}

#[derive(Debug, Default)]
struct State {
    settled: Option<Settled>,
    /// The highest of each that was ever heard of: they never go back, also when Redis was emptied.
    generation: u64,
    floor: u64,
    /// The newest entry of the stream that was acknowledged or delivered here.
    last: Cursor,
    known: KnownEntries,
    tail: Option<Cursor>,
    /// Where this node's newest heartbeat stands in the stream. It was not delivered here yet, perhaps.
    heartbeat: u64,
    /// What the stream said last of unwritten channels.
    beginning: Option<Beginning>,
    /// Locals must be compared with the logs before the tail goes on.
    resync_wanted: bool,
    locals: HashMap<ChannelName, Arc<ChannelKind>>,
    /// Channels whose members somebody here wants to know.
    rosters: HashSet<ChannelName>,
    idle_since: Option<Instant>,
    unanswered: VecDeque<Unanswered>,
}

impl State {
    fn is_unwanted(&self) -> bool {
        self.locals.is_empty() && self.rosters.is_empty()
    }

    fn idle_if_unwanted(&mut self) {
        if self.is_unwanted() {
            self.idle_since = Some(Instant::now());
        }
    }
}

#[derive(Debug)]
struct Unanswered {
    pseq: u64,
    since: Instant,
    answer: Answer,
    appended: Appended,
}

impl Partition {
    pub(super) fn new(index: usize, keys: Keys, share: Share) -> Self {
        Self {
            index,
            keys,
            share,
            lanes: Default::default(),
            settling: tokio::sync::Mutex::default(),
            fence: Fence::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn settled(&self) -> Option<Settled> {
        self.state.lock().settled.clone()
    }

    pub(super) fn settle(&self, settled: Settled) {
        let mut state = self.state.lock();
        state.generation = state.generation.max(settled.generation);
        state.floor = state.floor.max(settled.floor);
        state.settled = Some(settled);
    }

    /// The highest generation and floor that were ever heard of; 0: none.
    pub(super) fn highest(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.generation, state.floor)
    }

    pub(super) fn unsettle(&self) {
        self.state.lock().settled = None;
    }

    /// The stream told of a new generation. True when its floor is news: all channels here must be looked at.
    pub(super) fn learn_generation(&self, generation: u64, floor: u64) -> bool {
        let mut state = self.state.lock();
        if generation > state.generation {
            state.generation = generation;
            // The lineage that goes with it is asked for when it is needed.
            state.settled = None;
        }
        let is_news = floor > state.floor;
        state.floor = state.floor.max(floor);
        is_news
    }

    /// The stream told how unwritten channels are called. True when that is news: all channels here must be told.
    pub(super) fn learn_beginning(&self, beginning: Beginning) -> bool {
        self.state.lock().beginning.replace(beginning) != Some(beginning)
    }

    pub(super) fn beginning(&self) -> Option<Beginning> {
        self.state.lock().beginning
    }

    /// The newest entry that is known here, while the partition is settled on this lineage: else it may be another's.
    pub(super) fn last_under(&self, lineage: &str) -> Option<Cursor> {
        let state = self.state.lock();
        let settled = state.settled.as_ref()?;
        (*settled.lineage == *lineage).then_some(state.last)
    }

    /// The newest entry that is known here, for a word to this lineage: nothing is appended under another one any more.
    pub(super) fn last_for(&self, lineage: &str) -> Cursor {
        let mut state = self.state.lock();
        state
            .settled
            .take_if(|settled| *settled.lineage != *lineage);
        state.last
    }

    /// The stream holds this much for certain, whatever was known before.
    pub(super) fn reset_last(&self, last: Cursor) {
        self.state.lock().last = last;
    }

    pub(super) fn note(&self, cursor: Cursor, entry: Option<(&ChannelName, Position)>) {
        let mut state = self.state.lock();
        if cursor.pseq > state.last.pseq {
            state.last = cursor;
        }
        let Some((channel, position)) = entry else {
            return;
        };
        let known = Known {
            pseq: cursor.pseq,
            position,
            generation: state.generation,
        };
        state.known.note(channel, known, self.share.known_max);
    }

    /// What must be looked for after a change of lineage, and whether that is all.
    pub(super) fn known(&self) -> (Vec<(ChannelName, Known)>, bool) {
        self.state.lock().known.all()
    }

    /// A verdict found a channel's log to end here, perhaps in a new life; its life began in this generation.
    pub(super) fn verified(&self, channel: &ChannelName, top: Position, generation: u64) {
        let mut state = self.state.lock();
        state.known.verified(channel, top, generation);
    }

    /// What is known was verified in a stream that stood here: what comes is newer, and replicas that have this have all of it.
    pub(super) fn rebase_known(&self, pseq: u64) {
        self.state.lock().known.rebase(pseq);
    }

    /// All replicas have confirmed the stream up to here: nothing before it can be lost by a promotion.
    pub(super) fn forget_known(&self, up_to: u64) {
        self.state.lock().known.forget(up_to);
    }

    /// The epochs of these channels are new: their older entries are nobody's any more.
    pub(super) fn forget_channels(&self) {
        self.state.lock().known.forget_all();
    }

    pub(super) fn listen(&self, channel: &ChannelName, kind: &Arc<ChannelKind>) {
        let mut state = self.state.lock();
        state.locals.insert(channel.clone(), Arc::clone(kind));
        state.idle_since = None;
    }

    /// Ends the interest, unless somebody entered the channel again meanwhile: its `listen` comes before or after this.
    pub(super) fn unlisten(&self, channel: &ChannelName, hub: &Hub) {
        let mut state = self.state.lock();
        if hub.channel(channel).is_none() {
            state.locals.remove(channel);
        }
        state.idle_if_unwanted();
    }

    pub(super) fn follow_members(&self, channel: &ChannelName) {
        let mut state = self.state.lock();
        state.rosters.insert(channel.clone());
        state.idle_since = None;
    }

    pub(super) fn unfollow_members(&self, channel: &ChannelName) {
        let mut state = self.state.lock();
        state.rosters.remove(channel);
        state.idle_if_unwanted();
    }

    pub(super) fn locals(&self) -> Vec<(ChannelName, Arc<ChannelKind>)> {
        let state = self.state.lock();
        state
            .locals
            .iter()
            .map(|(channel, kind)| (channel.clone(), Arc::clone(kind)))
            .collect()
    }

    pub(super) fn tail(&self) -> Option<Cursor> {
        self.state.lock().tail
    }

    /// Starts the tail here, unless it runs. True when it did not.
    pub(super) fn start_tail(&self, at: Cursor) -> bool {
        let mut state = self.state.lock();
        let starts = state.tail.is_none();
        if starts {
            state.tail = Some(at);
            if state.last.pseq < at.pseq {
                state.last = at;
            }
        }
        starts
    }

    pub(super) fn move_tail(&self, to: Cursor) {
        self.state.lock().tail = Some(to);
    }

    /// A heartbeat of this node was answered: it is this entry of the stream. That is no part of this node's word, since a
    /// lost heartbeat is no loss.
    pub(super) fn heartbeat_at(&self, pseq: u64) {
        self.state.lock().heartbeat = pseq;
    }

    /// Entries of the stream, as far as this node knows where it ends, that the tail has not delivered. None: nobody follows
    /// it here.
    pub(super) fn lag(&self) -> Option<u64> {
        let state = self.state.lock();
        // A node that only listens is told the end by its heartbeats; the others know of newer entries, too.
        let end = state.last.pseq.max(state.heartbeat);
        Some(end.saturating_sub(state.tail?.pseq))
    }

    /// Ends the tail when nobody has listened for so long.
    pub(super) fn end_tail_if_idle(&self, patience: Duration) {
        let mut state = self.state.lock();
        if state.is_unwanted()
            && state
                .idle_since
                .is_some_and(|since| since.elapsed() > patience)
        {
            state.tail = None;
            state.idle_since = None;
        }
    }

    pub(super) fn want_resync(&self) {
        self.state.lock().resync_wanted = true;
    }

    pub(super) fn take_resync_wanted(&self) -> bool {
        std::mem::take(&mut self.state.lock().resync_wanted)
    }

    /// Answers a publish once its event was delivered here, at once when nobody here listens to its channel.
    pub(super) fn answer(
        &self,
        channel: &ChannelName,
        pseq: u64,
        answer: Answer,
        appended: Appended,
    ) {
        let mut state = self.state.lock();
        let is_ahead = state.tail.is_some_and(|tail| tail.pseq < pseq);
        if is_ahead && state.locals.contains_key(channel) {
            state.unanswered.push_back(Unanswered {
                pseq,
                since: Instant::now(),
                answer,
                appended,
            });
        } else {
            drop(state);
            // The publisher may be gone.
            let _gone = answer.send(Ok(appended));
        }
    }

    /// Gives the answers whose events were delivered, and those that waited too long for a tail that stands still.
    pub(super) fn answer_delivered(&self) {
        let due: Vec<Unanswered> = {
            let mut state = self.state.lock();
            if state.unanswered.is_empty() {
                return;
            }
            let delivered = state.tail.map_or(u64::MAX, |tail| tail.pseq);
            let (due, waiting) = state.unanswered.drain(..).partition(|one: &Unanswered| {
                one.pseq <= delivered || one.since.elapsed() > DELIVERY_PATIENCE
            });
            state.unanswered = waiting;
            Vec::from(due)
        };
        for Unanswered {
            answer, appended, ..
        } in due
        {
            let _gone = answer.send(Ok(appended));
        }
    }
}

impl Cursor {
    pub(super) fn new(pseq: u64, tag: Tag) -> Self {
        Self { pseq, tag: tag.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_lags_by_what_this_node_knows_of_and_was_not_delivered() {
        let partition = Partition::new(0, Keys::new("p", 0, 1), Share::of(1));
        let at = |pseq| Cursor { pseq, tag: 0 };
        assert_eq!(partition.lag(), None, "nobody follows it");
        partition.start_tail(at(5));
        assert_eq!(partition.lag(), Some(0));
        partition.note(at(7), None);
        assert_eq!(partition.lag(), Some(2), "an append of this node");
        partition.heartbeat_at(40);
        assert_eq!(partition.lag(), Some(35), "appends of others before it");
        partition.move_tail(at(40));
        assert_eq!(partition.lag(), Some(0));
        partition.move_tail(at(41));
        assert_eq!(partition.lag(), Some(0), "delivered before the next one");
    }

    #[test]
    fn a_tail_does_not_lag_by_what_a_failover_took_back() {
        let partition = Partition::new(0, Keys::new("p", 0, 1), Share::of(1));
        let at = |pseq| Cursor { pseq, tag: 0 };
        partition.start_tail(at(40));
        partition.heartbeat_at(45);
        partition.reset_last(at(30));
        partition.move_tail(at(30));
        partition.heartbeat_at(31);
        assert_eq!(partition.lag(), Some(1));
    }
}
