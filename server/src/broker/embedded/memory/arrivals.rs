//! The publish ids of all channels in the order in which they came: which is the oldest when there are too many.

use std::collections::VecDeque;
use std::sync::Weak;

use parking_lot::Mutex;
use parlor_protocol::Time;

use super::ring::Ring;

/// Below this many ids, a block that is too large is kept.
const ROOM_MIN: usize = 1_024;

/// One arrival for each id that a ring remembers, the oldest first. 16 bytes each, and no look at any ring: who appends to one
/// finds the oldest id of all without searching for it.
#[derive(Debug)]
pub(super) struct Arrivals {
    len_max: usize,
    /// Held for a moment, and never together with another lock.
    order: Mutex<VecDeque<Arrival>>,
}

/// An id came to a ring.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) ring: Weak<Mutex<Ring>>,
    /// When its window ends.
    pub(super) until: Time,
}

impl Arrivals {
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            len_max,
            order: Mutex::default(),
        }
    }

    /// Notes the newest. Returns the oldest when there is one too many: its ring is to forget it.
    pub(super) fn add(&self, newest: Arrival) -> Option<Arrival> {
        let mut order = self.order.lock();
        order.push_back(newest);
        if order.len() > self.len_max {
            order.pop_front()
        } else {
            None
        }
    }

    /// Takes the oldest if its window ended: its ring is to forget it.
    pub(super) fn take_expired(&self, now: Time) -> Option<Arrival> {
        let mut order = self.order.lock();
        if order.front().is_some_and(|oldest| oldest.until <= now) {
            return order.pop_front();
        }
        // After a burst the block becomes as small as what is left.
        let len = order.len();
        if order.capacity() > ROOM_MIN.max(len * 4) {
            order.shrink_to(len * 2);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(until: u64) -> Arrival {
        Arrival {
            ring: Weak::new(),
            until: Time(until),
        }
    }

    #[test]
    fn one_too_many_gives_the_oldest_back() {
        let arrivals = Arrivals::new(2);
        let given_back = [10, 20, 30, 40].map(|until| {
            let oldest = arrivals.add(arrival(until));
            oldest.map(|oldest| oldest.until)
        });
        assert_eq!(given_back, [None, None, Some(Time(10)), Some(Time(20))]);
    }

    #[test]
    fn what_is_over_is_taken_and_its_room_given_back() {
        let arrivals = Arrivals::new(usize::MAX);
        for until in 1..=10_000 {
            assert!(arrivals.add(arrival(until)).is_none());
        }
        let mut taken = 0;
        while arrivals.take_expired(Time(9_900)).is_some() {
            taken += 1;
        }
        let order = arrivals.order.lock();
        assert_eq!((taken, order.len()), (9_900, 100));
        assert!(order.capacity() <= ROOM_MIN, "{}", order.capacity());
    }
}
