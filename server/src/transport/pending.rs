//! Sockets that still speak HTTP: how many there may be, and who leaves when there are more.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// The sockets that still speak HTTP, and the bell that tells of each connection or request that ended.
#[derive(Debug, Default)]
pub(super) struct Pending {
    count: Cell<usize>,
    /// Grows with each place that begins to idle.
    next: Cell<u64>,
    /// Those without a request under way, the longest idle first, each with the bell that sends it away.
    idle: RefCell<BTreeMap<u64, Rc<Notify>>>,
    ended: Notify,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// Rings for whoever waits until all have gone.
    pub(super) fn tell_of_an_end(&self) {
        self.ended.notify_one();
    }

    pub(super) async fn an_end(&self) {
        self.ended.notified().await;
    }

    /// Sends the longest idle away. False when nobody idles.
    fn evict(&self) -> bool {
        let longest = self.idle.borrow_mut().pop_first();
        longest.is_some_and(|(_, bell)| {
            bell.notify_one();
            true
        })
    }
}

/// A place among the sockets that still speak HTTP. Given back when dropped.
#[derive(Debug)]
pub(super) struct PendingPlace {
    pending: Rc<Pending>,
    number: Cell<u64>,
    bell: Rc<Notify>,
}

impl PendingPlace {
    /// When all places are taken, the longest idle leaves: an honest client asks for something in far less time than
    /// it takes to fill all places, so a crowd that says nothing locks nobody out. None when all are being answered.
    pub(super) fn take(pending: &Rc<Pending>, places_max: usize) -> Option<Self> {
        // An evicted place is free once its task has run: within a turn of the runtime.
        if pending.count.get() >= places_max && !pending.evict() {
            return None;
        }
        pending.count.set(pending.count.get() + 1);
        let place = Self {
            pending: Rc::clone(pending),
            number: Cell::default(),
            bell: Rc::new(Notify::new()),
        };
        place.idle();
        Some(place)
    }

    /// Nothing is asked of it, again or still.
    pub(super) fn idle(&self) {
        let number = self.pending.next.get();
        self.pending.next.set(number + 1);
        self.number.set(number);
        let mut idle = self.pending.idle.borrow_mut();
        idle.insert(number, Rc::clone(&self.bell));
    }

    /// A whole request came: it keeps its place until that is answered.
    pub(super) fn busy(&self) {
        self.pending.idle.borrow_mut().remove(&self.number.get());
    }

    /// Resolves when somebody else needs the place.
    pub(super) async fn evicted(&self) {
        self.bell.notified().await;
    }
}

impl Drop for PendingPlace {
    fn drop(&mut self) {
        self.busy();
        self.pending.count.set(self.pending.count.get() - 1);
        self.pending.tell_of_an_end();
    }
}
