//! The shard's lists of outboxes that have something to send. Near goes before bulk, but bulk never starves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use tokio::sync::Notify;

use super::Outbox;

/// How far the receivers of a frame are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Replies and small fan-outs: a room of 10 never waits behind a room of 10,000.
    Near,
    Bulk,
}

/// Bulk gets at least one slice in this many.
const BULK_EVERY: u8 = 4;

/// Each outbox stands in a lane at most once, so the lists are bounded by the shard's connections.
#[derive(Default)]
pub struct Dirty {
    near: RefCell<VecDeque<Rc<Outbox>>>,
    bulk: RefCell<VecDeque<Rc<Outbox>>>,
    turn: Cell<u8>,
    bell: Notify,
}

impl Dirty {
    pub(super) fn add(&self, outbox: Rc<Outbox>, lane: Lane) {
        // Once for many: whoever drains looks again before it waits.
        if self.is_empty() {
            self.bell.notify_one();
        }
        match lane {
            Lane::Near => self.near.borrow_mut().push_back(outbox),
            Lane::Bulk => self.bulk.borrow_mut().push_back(outbox),
        }
    }

    /// Waits until an outbox has something to send.
    pub async fn wait(&self) {
        while self.is_empty() {
            self.bell.notified().await;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.near.borrow().is_empty() && self.bulk.borrow().is_empty()
    }

    /// Which lane the next slice of work is for.
    pub fn next_lane(&self) -> Lane {
        let turn = (self.turn.get() + 1) % BULK_EVERY;
        self.turn.set(turn);
        let bulk_has_turn = turn == 0 && !self.bulk.borrow().is_empty();
        if bulk_has_turn || self.near.borrow().is_empty() {
            Lane::Bulk
        } else {
            Lane::Near
        }
    }

    /// Moves at most `count` outboxes out of a lane, the longest waiting first.
    pub fn take(&self, lane: Lane, count: usize, into: &mut Vec<Rc<Outbox>>) {
        let mut waiting = match lane {
            Lane::Near => self.near.borrow_mut(),
            Lane::Bulk => self.bulk.borrow_mut(),
        };
        let count = count.min(waiting.len());
        for outbox in waiting.drain(..count) {
            outbox.unlist(lane);
            into.push(outbox);
        }
    }
}

impl fmt::Debug for Dirty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dirty")
            .field("near", &self.near.borrow().len())
            .field("bulk", &self.bulk.borrow().len())
            .finish_non_exhaustive()
    }
}
