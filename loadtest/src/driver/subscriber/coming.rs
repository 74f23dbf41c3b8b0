//! How subscribers come, go and come back, and where their check goes on.

use std::sync::atomic::Ordering;
use std::time::Instant;

use parlor_protocol::reply::Subscribed;

use super::{Lack, Pace, Speech, State, Subscriber, Subscribers};
use crate::checker::Checker;
use crate::dialect::{Dialect, Hello, Talk};

impl Subscribers {
    /// A subscriber comes, or comes back: then with the position from which it goes on. `None` when it is there or
    /// coming already. New ones come in the order of their indices.
    pub(crate) fn begin_opening(
        &mut self,
        index: usize,
        channel: Option<u32>,
        pace: Pace,
        (dialect, hello): (Dialect, &Hello),
        now: Instant,
    ) -> Option<Option<String>> {
        let Some(known) = self.subscribers.get_mut(index) else {
            self.subscribers.push(Subscriber {
                channel,
                opened_at: now,
                pace,
                was_ready: false,
                lacks: None,
                state: State::Opening(None),
                speech: match dialect {
                    Dialect::Parlor(form) => Speech::Parlor(form),
                    _ => Speech::Peer(Some(Box::new(Talk::new(hello.clone())))),
                },
            });
            self.sets_out(pace);
            return Some(None);
        };
        let State::Away(checker) = &mut known.state else {
            return None;
        };
        known.opened_at = now;
        if let Speech::Peer(Some(talk)) = &mut known.speech {
            **talk = Talk::new(hello.clone());
        }
        let mut checker = checker.take();
        let position = checker
            .as_mut()
            .zip(channel)
            .and_then(|(checker, channel)| {
                let positions = &self.shared.positions;
                let (offset, position) = positions.at(self.group, channel, checker.last())?;
                checker.ask_behind(offset);
                Some(position)
            });
        known.state = State::Opening(checker);
        self.sets_out(pace);
        Some(position)
    }

    fn sets_out(&self, pace: Pace) {
        let progress = &self.shared.progress;
        let waited_for = u64::from(pace.is_waited_for());
        progress.opening.fetch_add(waited_for, Ordering::Relaxed);
    }

    /// Who had set out is answered, or has given up.
    pub(super) fn settles(&self, pace: Pace) {
        let progress = &self.shared.progress;
        let waited_for = u64::from(pace.is_waited_for());
        progress.opening.fetch_sub(waited_for, Ordering::Relaxed);
    }

    /// At the end: those that had set out and were not answered.
    pub(super) fn count_unanswered(&mut self) {
        let waits =
            |one: &&Subscriber| matches!(one.state, State::Opening(_)) && one.pace.is_waited_for();
        self.unanswered = self.subscribers.iter().filter(waits).count() as u64;
        if self.unanswered > 0 {
            let why = "a connect was not answered before the run ended";
            *self.ends.entry(why.to_owned()).or_default() += self.unanswered;
        }
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

    /// The subscriber that was just cut comes back at once: how long that takes counts from `now`.
    pub(crate) fn expect_back(&mut self, index: usize, now: Instant) {
        self.returns.cut += 1;
        self.subscribers[index].lacks = Some(Lack::since(now));
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

    /// The first subscriber that is away, or the next that was never there. `None` when all of the crowd, so many, have been
    /// there: nobody takes the place of those that ended.
    pub(crate) fn next_away(&self, size: u32) -> Option<usize> {
        let away = |one: &Subscriber| matches!(one.state, State::Away(_));
        let mut all = self.subscribers.iter();
        let new = self.subscribers.len();
        all.position(away)
            .or_else(|| (new < size as usize).then_some(new))
    }

    /// Subscribers that are online or about to be.
    pub(crate) fn wanted_online(&self) -> u32 {
        let gone = |one: &&Subscriber| matches!(one.state, State::Away(_) | State::Ended(_));
        let gone = self.subscribers.iter().filter(gone).count();
        u32::try_from(self.subscribers.len() - gone).unwrap_or(u32::MAX)
    }

    pub(crate) fn pace(&self, index: usize) -> Pace {
        self.subscribers[index].pace
    }

    /// Where a subscription begins to be checked: at its start, or where the subscriber had left off.
    pub(super) fn checker(&mut self, index: usize, subscribed: &Subscribed) -> Checker {
        let subscriber = &mut self.subscribers[index];
        if let Some(channel) = subscriber.channel {
            let positions = &self.shared.positions;
            positions.remember(self.group, channel, subscribed.offset, &subscribed.position);
        }
        let Some(mut checker) = subscriber.resumed() else {
            return Checker::behind(subscribed.offset);
        };
        if subscribed.recovered == Some(true) {
            let missed = subscribed.to.filter(|to| *to > checker.last());
            if let Some((lack, to)) = subscriber.lacks.as_mut().zip(missed) {
                lack.until(to);
            }
            checker.resume(&mut self.faults);
        } else {
            let why = subscribed.reason;
            *self
                .ends
                .entry(format!("not recovered: {why:?}"))
                .or_default() += 1;
            checker.begin_anew(subscribed.offset, &mut self.faults);
        }
        checker
    }
}

impl Subscriber {
    /// What it had received before it was cut.
    pub(super) fn resumed(&mut self) -> Option<Checker> {
        match &mut self.state {
            State::Opening(checker) => checker.take(),
            _ => None,
        }
    }
}
