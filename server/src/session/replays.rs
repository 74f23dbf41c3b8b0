//! The replays of one session: they take turns, and what they hold while they wait is bounded.
//!
//! A client names hundreds of channels in one `connect` and reads as slowly as it likes. If each replay held its page
//! meanwhile, that would be a mebibyte for each channel. So one replay at a time has a page in its hands, read when there
//! is room for it; of those that were read to answer the subscribes, as many are kept as fit. The others are read again in
//! their turn, from the channel's tail if that has them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::catch_up::CatchUp;
use super::subscriptions::Subscription;
use crate::hub::LogEntry;

/// Bytes of first pages that wait in one session. As much as the largest page of a log: what most clients missed fits.
const FIRST_PAGES_BYTES_MAX: usize = 1 << 20;

/// A replay, and whose it is.
pub(super) type Waiting = (Rc<Subscription>, Box<CatchUp>);

/// Those that wait for their turn: at most one for each subscription.
#[derive(Debug, Default)]
pub(super) struct Replays {
    waiting: RefCell<VecDeque<Waiting>>,
    is_under_way: Cell<bool>,
    first_pages_bytes: Rc<Cell<usize>>,
}

impl Replays {
    /// Puts a replay behind all others.
    pub(super) fn add(&self, subscription: Rc<Subscription>, catch_up: Box<CatchUp>) {
        self.waiting
            .borrow_mut()
            .push_back((subscription, catch_up));
    }

    /// True for the first who asks, who then takes replay after replay until there is none.
    pub(super) fn begin(&self) -> bool {
        !self.is_under_way.replace(true)
    }

    /// The replay whose turn it is. None ends what [`Replays::begin`] began.
    pub(super) fn take(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let next = waiting.pop_front();
        if next.is_none() {
            // Most sessions never need it again.
            *waiting = VecDeque::new();
            self.is_under_way.set(false);
        }
        next
    }

    /// Forgets the replay of a subscription that ended: a client that subscribes and leaves without end adds nothing.
    pub(super) fn remove(&self, subscription: &Subscription) {
        self.waiting
            .borrow_mut()
            .retain(|(other, _)| !std::ptr::eq(&raw const **other, subscription));
    }

    pub(super) fn clear(&self) {
        self.waiting.borrow_mut().clear();
    }

    /// The page that was read to answer a subscribe, or an empty one if too much waits already.
    pub(super) fn keep(&self, entries: Vec<Arc<LogEntry>>) -> Page {
        let bytes = entries.iter().map(|entry| entry.bytes()).sum::<usize>();
        let held = self.first_pages_bytes.get();
        // One is kept however large it is: who resumes a single channel has it read once.
        if held > 0 && held + bytes > FIRST_PAGES_BYTES_MAX {
            return Page::default();
        }
        self.first_pages_bytes.set(held + bytes);
        Page {
            entries,
            _counted: Some(Counted {
                total: Rc::clone(&self.first_pages_bytes),
                bytes,
            }),
        }
    }
}

/// What is sent next of a channel; empty when it is yet to be read.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Arc<LogEntry>>,
    /// A first page counts for as long as it waits. One that was read in its turn does not: it is the only one.
    _counted: Option<Counted>,
}

impl Page {
    /// One that was read in its turn.
    pub(super) fn read(entries: Vec<Arc<LogEntry>>) -> Self {
        Self {
            entries,
            _counted: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A page's share of what its session keeps, given back when it is dropped.
#[derive(Debug)]
struct Counted {
    total: Rc<Cell<usize>>,
    bytes: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.total.set(self.total.get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parlor_protocol::{Epoch, EventKind, Format, Payload, Tag, Tags, Time};

    use super::*;
    use crate::hub::Frames;

    fn page_of(bytes: usize) -> Vec<Arc<LogEntry>> {
        let entry = LogEntry {
            epoch: Epoch(5),
            offset: 1,
            seq: 1,
            tag: Tag(1),
            prev: Tag(0),
            time: Time(0),
            kind: EventKind::Message,
            id: None,
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Binary,
                bytes: Bytes::from(vec![0; bytes]),
            },
            erased: false,
            no_echo_to: None,
            frames: Frames::default(),
        };
        vec![Arc::new(entry)]
    }

    #[test]
    fn first_pages_are_kept_as_far_as_they_fit_and_one_always() {
        let replays = Replays::default();
        let large = replays.keep(page_of(2 * FIRST_PAGES_BYTES_MAX));
        assert!(!large.is_empty(), "the first, however large");
        assert!(replays.keep(page_of(1)).is_empty(), "nothing beside it");
        drop(large);
        let half = FIRST_PAGES_BYTES_MAX / 2 - 1_000;
        let kept = [replays.keep(page_of(half)), replays.keep(page_of(half))];
        assert!(kept.iter().all(|page| !page.is_empty()));
        assert!(
            replays.keep(page_of(half)).is_empty(),
            "a third is too much"
        );
        drop(kept);
        assert_eq!(replays.first_pages_bytes.get(), 0, "all is given back");
    }

    #[test]
    fn one_at_a_time_takes_the_turns() {
        let replays = Replays::default();
        assert!(replays.begin());
        assert!(!replays.begin(), "somebody is at it");
        assert!(replays.take().is_none());
        assert!(
            replays.begin(),
            "there was no more, so the next begins anew"
        );
    }
}
