//! What falls due when: sessions with a lease that ends, and channels with a diff to push.
//!
//! Exact, not lazy: what is no longer due is taken out, so the agenda is never longer than sessions and channels.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use parlor_protocol::ChannelName;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: Mutex<Due>,
    /// Rung when the earliest item became earlier.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Due {
    leases: BTreeSet<(Instant, Arc<str>)>,
    flushes: BTreeSet<(Instant, ChannelName)>,
}

impl Due {
    fn earliest(&self) -> Option<Instant> {
        let lease = self.leases.first().map(|(at, _)| *at);
        let flush = self.flushes.first().map(|(at, _)| *at);
        lease.into_iter().chain(flush).min()
    }
}

impl Agenda {
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.due.lock().earliest()
    }

    pub(super) async fn hurried(&self) {
        self.bell.notified().await;
    }

    pub(super) fn add_flush(&self, channel: &ChannelName, at: Instant) {
        self.change(|due| {
            due.flushes.insert((at, channel.clone()));
        });
    }

    /// Moves a session from where it stands, if it does, to where it shall stand, if it shall.
    pub(super) fn move_lease(
        &self,
        session: &Arc<str>,
        from: Option<Instant>,
        to: Option<Instant>,
    ) {
        self.change(|due| {
            if let Some(at) = from {
                due.leases.remove(&(at, Arc::clone(session)));
            }
            if let Some(at) = to {
                due.leases.insert((at, Arc::clone(session)));
            }
        });
    }

    /// Takes out a session whose time has come.
    pub(super) fn pop_lease(&self, now: Instant) -> Option<Arc<str>> {
        let mut due = self.due.lock();
        due.leases.first().filter(|(at, _)| *at <= now)?;
        due.leases.pop_first().map(|(_, session)| session)
    }

    /// Takes out a channel whose time has come.
    pub(super) fn pop_flush(&self, now: Instant) -> Option<ChannelName> {
        let mut due = self.due.lock();
        due.flushes.first().filter(|(at, _)| *at <= now)?;
        due.flushes.pop_first().map(|(_, channel)| channel)
    }

    fn change(&self, change: impl FnOnce(&mut Due)) {
        let is_sooner = {
            let mut due = self.due.lock();
            let before = due.earliest();
            change(&mut due);
            due.earliest()
                .is_some_and(|now| before.is_none_or(|before| now < before))
        };
        if is_sooner {
            self.bell.notify_one();
        }
    }
}
