//! How subscribers come, go and come back, and where their check goes on.

use std::sync::atomic::Ordering;
use std::time::Instant;

use parlor_protocol::reply::Subscribed;

use super::{Speech, State, Subscriber, Subscribers};
use crate::checker::Checker;
use crate::dialect::{Dialect, Hello, Talk};

impl Subscribers {
    /// A subscriber comes, or comes back: then with the position from which it goes on. `None` when it is there or
    /// coming already. New ones come in the order of their indices.
    pub(crate) fn begin_opening(
        &mut self,
        index: usize,
        channel: Option<u32>,
        (dialect, hello): (Dialect, &Hello),
        now: Instant,
    ) -> Option<Option<String>> {
        let Some(known) = self.subscribers.get_mut(index) else {
            let slow_share = self.shared.scenario.load.slow_readers;
            self.subscribers.push(Subscriber {
                channel,
                opened_at: now,
                was_ready: false,
                slow: (index as f64 * GOLDEN).fract() < slow_share,
                state: State::Opening(None),
                speech: match dialect {
                    Dialect::Parlor(form) => Speech::Parlor(form),
                    _ => Speech::Peer(Some(Box::new(Talk::new(hello.clone())))),
                },
            });
            return Some(None);
        };
        let State::Away(checker) = &mut known.state else {
            return None;
        };
        known.opened_at = now;
        let checker = checker.take();
        let position = checker
            .as_ref()
            .zip(channel)
            .and_then(|(checker, channel)| {
                let positions = &self.shared.positions;
                positions.at(self.group, channel, checker.last())
            });
        known.state = State::Opening(checker);
        Some(position)
    }

    /// Cuts a live subscriber off: what it has received so far must go on seamlessly when it comes back.
    pub(crate) fn cut(&mut self, index: usize) {
        let state = &mut self.subscribers[index].state;
        *state = match std::mem::replace(state, State::Ended(None)) {
            State::Live { checker, .. } => State::Away(Some(checker)),
            State::Idle => State::Away(None),
            other => {
                *state = other;
                return;
            }
        };
        self.shared.progress.away.fetch_add(1, Ordering::Relaxed);
    }

    /// The next live subscriber from this index on, going round.
    pub(crate) fn next_live(&self, from: usize) -> Option<usize> {
        let count = self.subscribers.len();
        let live = |index: &usize| {
            let state = &self.subscribers[*index].state;
            matches!(state, State::Live { .. } | State::Idle)
        };
        (0..count).map(|step| (from + step) % count).find(live)
    }

    /// The first subscriber that is away, or the next that was never there.
    pub(crate) fn next_away(&self) -> usize {
        let away = |one: &Subscriber| matches!(one.state, State::Away(_));
        let mut all = self.subscribers.iter();
        all.position(away).unwrap_or(self.subscribers.len())
    }

    /// Subscribers that are online or about to be.
    pub(crate) fn wanted_online(&self) -> u32 {
        let gone = |one: &&Subscriber| matches!(one.state, State::Away(_) | State::Ended(_));
        let gone = self.subscribers.iter().filter(gone).count();
        u32::try_from(self.subscribers.len() - gone).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_slow(&self, index: usize) -> bool {
        self.subscribers[index].slow
    }

    /// Where a subscription begins to be checked: at its start, or where the subscriber had left off.
    pub(super) fn checker(&mut self, index: usize, subscribed: &Subscribed) -> Checker {
        let subscriber = &mut self.subscribers[index];
        if let Some(channel) = subscriber.channel {
            let positions = &self.shared.positions;
            positions.remember(self.group, channel, subscribed.offset, &subscribed.position);
        }
        let resumed = match &mut subscriber.state {
            State::Opening(checker) => checker.take(),
            _ => None,
        };
        let Some(mut checker) = resumed else {
            return Checker::behind(subscribed.offset);
        };
        if subscribed.recovered == Some(true) {
            checker.resume(&mut self.faults);
        } else {
            let why = subscribed.reason;
            *self
                .ends
                .entry(format!("not recovered: {why:?}"))
                .or_default() += 1;
            self.faults.not_recovered += 1;
            checker.pass(subscribed.offset, &mut self.faults);
        }
        checker
    }
}

/// The most even stride through 0 to 1.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
