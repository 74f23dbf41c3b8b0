//! Somebody who keeps rosters of their own: which snapshots are asked for, and when, over all sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use parlor_protocol::Reply;
use parlor_protocol::client::{ClientSession, Failure, RequestId};
use parlor_protocol::command::Presence;
use parlor_protocol::push::PresenceDiff;
use tokio::time::Instant;

use super::roster::Roster;
use crate::recorder::{Known, Name};

/// Before a snapshot is asked for again. Many clients would each take a random time; here few keep rosters.
const LATER: Duration = Duration::from_millis(500);

/// The rosters of one client. Without any for those who keep none.
#[derive(Debug, Default)]
pub(super) struct Holder(BTreeMap<Name, Held>);

#[derive(Debug, Default)]
struct Held {
    roster: Roster,
    /// The page that is waited for.
    asked: Option<RequestId>,
    /// When a snapshot is to be asked for.
    due: Option<Instant>,
}

impl Holder {
    /// Of rosters of these channels.
    pub(super) fn of(channels: &[Name]) -> Self {
        let held = |channel: &Name| (channel.clone(), Held::default());
        Self(channels.iter().map(held).collect())
    }

    pub(super) fn holds(&self, channel: &Name) -> bool {
        self.0.contains_key(channel)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = (&Name, Known)> {
        let held = self.0.iter();
        held.map(|(channel, held)| (channel, held.roster.known()))
    }

    /// A subscription began, or began anew: perhaps at another node, whose versions are others.
    pub(super) fn subscribed(&mut self, channel: &Name, session: &mut ClientSession) {
        if let Some(held) = self.0.get_mut(channel) {
            *held = Held::default();
            held.begin(channel, session);
        }
    }

    pub(super) fn told(&mut self, channel: &Name, diff: PresenceDiff) {
        if let Some(held) = self.0.get_mut(channel) {
            held.roster.apply(diff);
            held.plan();
        }
    }

    pub(super) fn answered(
        &mut self,
        request: RequestId,
        result: Result<Reply, Failure>,
        session: &mut ClientSession,
    ) {
        let mut held = self.0.iter_mut();
        // An answer that nobody waits for is of a subscription that has ended.
        let Some((channel, held)) = held.find(|(_, held)| held.asked == Some(request)) else {
            return;
        };
        held.asked = None;
        match result {
            Ok(Reply::Presence(page)) => match held.roster.add(page) {
                Some(cursor) => held.ask(channel, Some(cursor), session),
                None => held.plan(),
            },
            // The registry may be away for a while, or the socket is lost: then the next subscription begins anew.
            _ => held.fail(),
        }
    }

    /// When [`Self::ask_due`] wants to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|held| held.due).min()
    }

    /// Asks for the snapshots whose time has come.
    pub(super) fn ask_due(&mut self, session: &mut ClientSession) {
        let now = Instant::now();
        for (channel, held) in &mut self.0 {
            if held.due.is_some_and(|due| due <= now) {
                held.begin(channel, session);
            }
        }
    }
}

impl Held {
    fn begin(&mut self, channel: &Name, session: &mut ClientSession) {
        self.due = None;
        self.roster.read_anew();
        self.ask(channel, None, session);
    }

    /// Asks for a page: without a cursor for the first one.
    fn ask(&mut self, channel: &Name, cursor: Option<String>, session: &mut ClientSession) {
        let page = Presence {
            channel: channel.to_string(),
            limit: None,
            cursor,
        };
        match session.presence(page) {
            Ok(request) => self.asked = Some(request),
            Err(_too_many) => self.fail(),
        }
    }

    fn fail(&mut self) {
        self.roster.give_up();
        self.plan();
    }

    fn plan(&mut self) {
        if self.roster.wants_snapshot() {
            self.due.get_or_insert_with(|| Instant::now() + LATER);
        }
    }
}
