//! The fence of a partition: from which Redis this node delivers, acknowledges and reads.
//!
//! A deposed primary lives on and takes writes for seconds. Once a node has said to another one what it knows, nothing of
//! the old one may become known here any more: the verdict would not cover it, and its offsets would be given again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// Lineages that are remembered as left.
const LEFT_MAX: usize = 16;

/// Where everything still leads to a lineage that was left after this time, it is settled anew: the failover was called
/// off.
const RENEW_AFTER: Duration = Duration::from_secs(5);

/// What a settling node thinks of the lineage that it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Sound,
    /// It was left. As long as its generation is the one from then, it is a deposed primary.
    Left,
    /// It was left under this generation, and nothing else came in its place.
    Renewed(u64),
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Where this node gave its word last.
    lineage: Option<Arc<str>>,
    /// Settled there once; 0: never.
    generation: u64,
    is_open: bool,
    /// Lineages after which this node gave its word to another, with the generation that it knew them under.
    left: VecDeque<(Arc<str>, u64)>,
    /// Where it was settled last, when it speaks to another. It is left once one of the words since then counts.
    home: Option<(Arc<str>, u64)>,
    /// Words since then that may count: all but those that were refused. Who refuses is settled already, so that no verdict
    /// rests on what it was told.
    words: u64,
    refused_since: Option<Instant>,
}

/// While it is held this node gives no word: what is noted meanwhile is part of the next one.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    _held: MutexGuard<'a, State>,
}

impl Fence {
    /// For what came from this lineage. None: it must not become known here.
    pub(super) fn pass(&self, lineage: &str) -> Option<Pass<'_>> {
        let held = self.0.lock();
        let is_open = held.is_open && held.lineage.as_deref() == Some(lineage);
        is_open.then_some(Pass { _held: held })
    }

    /// This node is about to give its word to this lineage: nothing of another one passes from now on. `read` takes what
    /// the word is made of.
    pub(super) fn pledge<T>(
        &self,
        lineage: &str,
        now: Instant,
        read: impl FnOnce() -> T,
    ) -> (Standing, T) {
        let mut state = self.0.lock();
        if state.lineage.as_deref() != Some(lineage) {
            state.turn_to(lineage);
        }
        let standing = match state.left_under(lineage) {
            None => Standing::Sound,
            Some(generation) if state.is_refused_for_long(now) => Standing::Renewed(generation),
            Some(_) => Standing::Left,
        };
        state.speak(lineage);
        (standing, read())
    }

    /// The generation under which the lineage was settled here, where all that this node got to know since came from it; 0: none.
    pub(super) fn settled_under(&self, lineage: &str) -> u64 {
        let state = self.0.lock();
        let here = state.lineage.as_deref().filter(|held| *held == lineage);
        here.map_or(0, |_| state.generation)
    }

    /// Whether the lineage, settled under this generation, is the one that this node has left: what it lacks is not lost.
    pub(super) fn refuses(&self, lineage: &str, generation: u64, now: Instant) -> bool {
        self.0.lock().refuses(lineage, generation, now)
    }

    /// The lineage is settled under this generation: once `take` has run, what comes from there passes. None: it is the
    /// one that this node has left, and stays shut.
    pub(super) fn open<T>(
        &self,
        lineage: &str,
        generation: u64,
        now: Instant,
        take: impl FnOnce() -> T,
    ) -> Option<T> {
        let mut state = self.0.lock();
        if state.lineage.as_deref() != Some(lineage) {
            return None;
        }
        if state.refuses(lineage, generation, now) {
            return None;
        }
        state.leave_home();
        state.left.retain(|(left, _)| **left != *lineage);
        state.generation = generation;
        state.is_open = true;
        state.refused_since = None;
        Some(take())
    }
}

impl State {
    fn refuses(&mut self, lineage: &str, generation: u64, now: Instant) -> bool {
        let left = self.left_under(lineage);
        let refuses = left.is_some_and(|left| generation <= left);
        if refuses {
            self.refused_since.get_or_insert(now);
            self.words = self.words.saturating_sub(1);
        }
        refuses
    }

    /// Who comes home before any of its words counted has never left.
    fn speak(&mut self, lineage: &str) {
        let has_left = self.words > 0;
        let home = self
            .home
            .take_if(|(home, _)| !has_left && **home == *lineage);
        if let Some((_, generation)) = home {
            self.generation = generation;
        }
        self.words += 1;
    }

    fn turn_to(&mut self, lineage: &str) {
        let before = self.lineage.replace(lineage.into());
        let generation = std::mem::take(&mut self.generation);
        // Where nothing was settled, nothing was delivered.
        if let Some(before) = before.filter(|_| generation > 0) {
            self.home = Some((before, generation));
            self.words = 0;
        }
        self.is_open = false;
    }

    fn leave_home(&mut self) {
        let Some(home) = self.home.take() else { return };
        if self.left.len() == LEFT_MAX {
            self.left.pop_front();
        }
        self.left.push_back(home);
    }

    fn is_refused_for_long(&self, now: Instant) -> bool {
        self.refused_since
            .is_some_and(|since| now.duration_since(since) > RENEW_AFTER)
    }

    fn left_under(&self, lineage: &str) -> Option<u64> {
        let home = self.home.iter().filter(|_| self.words > 0);
        let mut left = self.left.iter().chain(home);
        left.find(|(left, _)| **left == *lineage)
            .map(|(_, generation)| *generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pledge(fence: &Fence, lineage: &str, now: Instant) -> Standing {
        fence.pledge(lineage, now, || ()).0
    }

    fn open(fence: &Fence, lineage: &str, generation: u64, now: Instant) -> bool {
        fence.open(lineage, generation, now, || ()).is_some()
    }

    #[test]
    fn nothing_of_a_lineage_passes_once_a_word_was_given_to_another() {
        let (fence, now) = (Fence::default(), Instant::now());
        assert!(fence.pass("old").is_none());
        assert_eq!(pledge(&fence, "old", now), Standing::Sound);
        assert!(fence.pass("old").is_none(), "not settled yet");
        assert!(open(&fence, "old", 3, now));
        assert!(fence.pass("old").is_some());
        assert_eq!(pledge(&fence, "old", now), Standing::Sound);
        assert!(fence.pass("old").is_some(), "asked again on the way");
        pledge(&fence, "new", now);
        assert!(fence.pass("old").is_none());
        assert!(fence.pass("new").is_none());
        assert!(open(&fence, "new", 4, now));
        assert!(fence.pass("new").is_some());
    }

    #[test]
    fn a_deposed_primary_is_not_taken_again_until_it_was_settled_anew() {
        let (fence, now) = (Fence::default(), Instant::now());
        pledge(&fence, "old", now);
        assert!(open(&fence, "old", 3, now));
        pledge(&fence, "new", now);
        assert_eq!(pledge(&fence, "old", now), Standing::Left);
        assert!(!open(&fence, "old", 3, now));
        assert!(fence.pass("old").is_none());
        pledge(&fence, "new", now);
        assert!(open(&fence, "new", 4, now), "the node goes on there");
        // A slot that moves back: another verdict was given meanwhile.
        assert_eq!(pledge(&fence, "old", now), Standing::Left);
        assert!(open(&fence, "old", 5, now));
        assert_eq!(pledge(&fence, "old", now), Standing::Sound);
    }

    /// Settled on the old one, then on the new one.
    fn failed_over(now: Instant) -> Fence {
        let fence = Fence::default();
        pledge(&fence, "old", now);
        assert!(open(&fence, "old", 3, now));
        pledge(&fence, "new", now);
        assert!(open(&fence, "new", 4, now));
        fence
    }

    #[test]
    fn who_is_refused_by_a_deposed_primary_goes_on_where_it_came_from() {
        let now = Instant::now();
        let fence = failed_over(now);
        assert_eq!(pledge(&fence, "old", now), Standing::Left);
        assert!(!open(&fence, "old", 3, now));
        assert!(fence.pass("new").is_none(), "not before a word to it");
        assert_eq!(pledge(&fence, "new", now), Standing::Sound);
        assert!(open(&fence, "new", 4, now));
        assert!(fence.pass("new").is_some());
        assert_eq!(pledge(&fence, "old", now), Standing::Left);
    }

    #[test]
    fn what_is_known_comes_from_where_it_was_settled_last() {
        let now = Instant::now();
        let fence = failed_over(now);
        assert_eq!(fence.settled_under("new"), 4);
        assert_eq!(fence.settled_under("old"), 0, "it was left");
        pledge(&fence, "old", now);
        assert_eq!(fence.settled_under("old"), 0, "not settled again");
        assert!(!open(&fence, "old", 3, now));
        pledge(&fence, "new", now);
        assert_eq!(fence.settled_under("new"), 4, "nothing came from there");
    }

    #[test]
    fn who_is_led_away_again_on_its_way_back_still_knows_where_it_came_from() {
        let now = Instant::now();
        let fence = failed_over(now);
        for _ in 0..2 {
            pledge(&fence, "old", now);
            assert!(!open(&fence, "old", 3, now));
            assert_eq!(pledge(&fence, "new", now), Standing::Sound);
        }
        pledge(&fence, "old", now);
        assert!(open(&fence, "old", 5, now), "another verdict was given");
        assert_eq!(pledge(&fence, "new", now), Standing::Left);
    }

    #[test]
    fn a_word_without_an_answer_may_count() {
        let now = Instant::now();
        let fence = failed_over(now);
        pledge(&fence, "old", now);
        pledge(&fence, "old", now);
        assert!(!open(&fence, "old", 3, now));
        assert_eq!(pledge(&fence, "new", now), Standing::Left);
        assert!(!open(&fence, "new", 4, now));
        assert!(open(&fence, "new", 5, now), "another verdict was given");
    }

    #[test]
    fn where_it_came_from_is_left_once_a_later_word_counts() {
        let now = Instant::now();
        let later = now + RENEW_AFTER + Duration::from_millis(1);
        for lineage in ["old", "third"] {
            let fence = failed_over(now);
            pledge(&fence, "old", now);
            assert!(!open(&fence, "old", 3, now));
            pledge(&fence, lineage, later);
            assert!(open(&fence, lineage, 5, later));
            assert_eq!(pledge(&fence, "new", later), Standing::Left, "{lineage}");
            assert!(!open(&fence, "new", 4, later), "{lineage}");
        }
    }

    #[test]
    fn a_failover_that_was_called_off_shuts_nobody_out_for_ever() {
        let (fence, now) = (Fence::default(), Instant::now());
        pledge(&fence, "old", now);
        assert!(open(&fence, "old", 3, now));
        pledge(&fence, "new", now);
        pledge(&fence, "old", now);
        assert!(!open(&fence, "old", 3, now));
        let later = now + RENEW_AFTER + Duration::from_millis(1);
        assert_eq!(pledge(&fence, "old", later), Standing::Renewed(3));
        assert!(open(&fence, "old", 4, later));
    }
}
