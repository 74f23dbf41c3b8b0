//! A presence on its own, with time held still, and what its watchers were told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::{Member, Members};
use parlor_protocol::{ChannelName, Format, Payload};

use super::super::{Entry, Presence, PresenceConfig};
use crate::hub::{ConnectionId, Hub};

pub(super) const GRACE: Duration = Duration::from_secs(5);
pub(super) const TICK: Duration = Duration::from_millis(50);

pub(super) struct World {
    pub(super) presence: Presence,
    pub(super) now: Instant,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(PresenceConfig {
            grace: GRACE,
            tick: TICK,
            ..PresenceConfig::default()
        })
    }

    pub(super) fn with(config: PresenceConfig) -> Self {
        Self {
            presence: Presence::new(config, Arc::new(Hub::new(1))),
            now: Instant::now(),
        }
    }

    pub(super) fn join(&self, at: &str, user: &str, session: &str, owner: u64) {
        self.presence.join(
            &channel(at),
            ConnectionId(owner),
            &entry(user, session),
            self.now,
        );
    }

    pub(super) fn leave(&self, at: &str, session: &str, owner: u64) {
        self.presence
            .leave(&channel(at), ConnectionId(owner), &session.into(), self.now);
    }

    pub(super) fn attach(&self, session: &str, owner: u64) {
        self.presence
            .attach(&session.into(), ConnectionId(owner), self.now);
    }

    pub(super) fn detach(&self, session: &str, owner: u64) {
        self.presence
            .detach(&session.into(), ConnectionId(owner), self.now);
    }

    pub(super) fn end(&self, session: &str, owner: u64) {
        self.presence
            .end(&session.into(), ConnectionId(owner), self.now);
    }

    pub(super) fn hold(&self, at: &str, user: &str, session: &str, span: Duration) {
        self.presence.hold(
            &channel(at),
            &entry(user, session),
            self.now + span,
            self.now,
        );
    }

    pub(super) fn set_state(&self, at: &str, user: &str, state: &str) -> bool {
        self.presence
            .set_state(&channel(at), &user.into(), Some(json(state)))
            .is_ok()
    }

    /// Lets time pass and does what falls due meanwhile, each at its time. The diffs in their order.
    pub(super) fn pass(&mut self, span: Duration) -> Vec<(ChannelName, PresenceDiff)> {
        let until = self.now + span;
        let mut diffs = Vec::new();
        while let Some(at) = self.presence.next_tick().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.presence.expire(self.now);
            while let Some(channel) = self.presence.agenda.pop_flush(self.now) {
                diffs.extend(
                    self.presence
                        .flush(&channel, self.now)
                        .map(|diff| (channel, diff)),
                );
            }
        }
        self.now = until;
        diffs
    }

    /// What a tick tells about the channel `room`.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.told_within(TICK)
    }

    pub(super) fn told_within(&mut self, span: Duration) -> Vec<String> {
        self.pass(span)
            .iter()
            .map(|(_, diff)| brief(diff))
            .collect()
    }

    pub(super) fn snapshot(&self, at: &str) -> Members {
        self.page(at, usize::MAX, None)
    }

    pub(super) fn page(&self, at: &str, limit: usize, cursor: Option<&str>) -> Members {
        self.presence
            .snapshot(&channel(at), limit, cursor)
            .expect("the cursor is a page's own")
    }

    pub(super) fn users(&self, at: &str) -> Vec<String> {
        self.snapshot(at)
            .members
            .into_iter()
            .map(|member| member.user)
            .collect()
    }

    /// Everything that presence keeps in memory, counted.
    pub(super) fn kept(&self) -> usize {
        self.presence.sessions.len()
            + self.presence.rosters.len()
            + usize::from(self.presence.next_tick().is_some())
    }
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).expect("a channel name")
}

pub(super) fn entry(user: &str, session: &str) -> Entry {
    Entry {
        user: user.into(),
        session: session.into(),
        info: None,
    }
}

pub(crate) fn json(text: &str) -> Payload {
    Payload {
        format: Format::Json,
        bytes: text.to_owned().into(),
    }
}

/// `+anna(s1 s2) ~ben(s3) -cleo 2/3`: joined, updated, left, users and connections.
pub(super) fn brief(diff: &PresenceDiff) -> String {
    let member = |sign: char, member: &Member| {
        format!("{sign}{}({})", member.user, member.sessions.join(" "))
    };
    let joined = diff.joined.iter().map(|one| member('+', one));
    let updated = diff.updated.iter().map(|one| member('~', one));
    let left = diff.left.iter().map(|user| format!("-{user}"));
    let counts = format!("{}/{}", diff.users, diff.connections);
    joined
        .chain(updated)
        .chain(left)
        .chain([counts])
        .collect::<Vec<_>>()
        .join(" ")
}
