//! A session's subscriptions: made and ended by the client, by a backend, or by the server.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor_protocol::command::{Recover, Subscribe};
use parlor_protocol::push::{self, Push};
use parlor_protocol::reply::{NotRecovered, Subscribed, Unsubscribed};
use parlor_protocol::{Alias, ChannelName, ErrorCode, Time, WireError};

use super::catch_up::CatchUp;
use super::connect::ms_until;
use super::{Connected, Session};
use crate::auth::Identity;
use crate::clock;
use crate::commands::subscribe::{Recovery, Start, start};
use crate::commands::{Caller, permitted};
use crate::hub::{Channel, SubscriberKey};
use crate::kind::{ChannelKind, Verb};
use crate::metrics;
use crate::outbox::Frame;
use crate::planted::{self, Bug};
use crate::presence;

/// One channel of a session.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: Arc<Channel>,
    pub(super) kind: Arc<ChannelKind>,
    pub(super) ephemerals_since: u64,
    pub(super) presence: bool,
    /// Keeps the channel's roster at hand for as long as the subscription lives.
    _roster: Option<presence::Interest>,
    /// What its own token allows while it lasts, if it was made with one.
    pub(super) token: Option<Arc<Identity>>,
    pub(super) stage: Cell<Stage>,
    /// What is to be replayed, until the reply is told. Boxed: it is there for a moment of the subscription's life.
    pub(super) replay: RefCell<Option<Box<CatchUp>>>,
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It holds a place in the shard's table as a join.
    Joining,
    /// It stands in the shard's table.
    Live(SubscriberKey),
    /// It was ended; a replay that is under way stops.
    Ended,
}

impl Subscription {
    /// When its own token ends, and it with it.
    fn ends_at(&self) -> Option<Time> {
        self.token.as_ref()?.expires_at
    }
}

impl Session {
    /// Subscribes. The replay starts after the reply: see `catch_up`.
    pub(super) async fn subscribe(
        &self,
        caller: &Caller,
        command: Subscribe,
    ) -> Result<Subscribed, WireError> {
        let caller = Caller {
            channel_token: self.channel_token(caller, &command)?,
            ..caller.clone()
        };
        let node = &self.shard.node;
        let (name, kind) = permitted(node, &caller, Verb::Subscribe, &command.channel)?;
        if command.presence && !kind.presence {
            return Err(ErrorCode::PresenceDisabled.into());
        }
        if command.presence && !caller.may(Verb::Presence, &name, &kind) {
            return Err(ErrorCode::NotPermitted.with("the identity may not see presence here"));
        }
        let token = caller.channel_token.clone();
        let subscription = self.begin(&name, &kind, command.presence, token)?;
        let may_read_history = caller.may(Verb::History, &name, &kind);
        self.start(&subscription, command.recover, may_read_history)
            .await
    }

    /// Learns where a subscription starts. One that cannot start is taken out again.
    async fn start(
        &self,
        subscription: &Rc<Subscription>,
        recover: Option<Recover>,
        may_read_history: bool,
    ) -> Result<Subscribed, WireError> {
        let node = &self.shard.node;
        let (channel, kind) = (&subscription.channel, &subscription.kind);
        let started = start(node, channel, kind, recover, may_read_history)
            .await
            .and_then(|start| self.started(subscription, start));
        // If it was ended meanwhile, another may stand in its place.
        if started.is_err() && subscription.stage.get() != Stage::Ended {
            self.end(channel.name());
        }
        started
    }

    /// What the subscription's own token allows.
    fn channel_token(
        &self,
        caller: &Caller,
        command: &Subscribe,
    ) -> Result<Option<Arc<Identity>>, WireError> {
        let Some(token) = &command.token else {
            return Ok(None);
        };
        let channel = ChannelName::parse(&command.channel)?;
        let auth = &self.shard.node.auth;
        auth.verify_subscription(token, &caller.identity, &channel)
            .map(Some)
    }

    /// The caller, with what the token allows there by which it is subscribed to this channel.
    pub(super) fn with_channel_token(&self, caller: Caller, channel: &str) -> Caller {
        let state = self.state.borrow();
        if !state.has_channel_tokens {
            return caller;
        }
        let now = clock::now();
        let channel_token = ChannelName::parse(channel)
            .ok()
            .and_then(|name| state.subscriptions.get(&name))
            // Whoever ends the subscription then looks a few times a second only.
            .filter(|subscription| subscription.ends_at().is_none_or(|end| end > now))
            .and_then(|subscription| subscription.token.clone());
        Caller {
            channel_token,
            ..caller
        }
    }

    /// Makes room in the tables, so that from here on nothing of the channel passes by.
    fn begin(
        &self,
        name: &ChannelName,
        kind: &Arc<ChannelKind>,
        presence: bool,
        token: Option<Arc<Identity>>,
    ) -> Result<Rc<Subscription>, WireError> {
        let node = &self.shard.node;
        let mut state = self.state.borrow_mut();
        if state.connected.is_none() {
            // A backend's order may come to a connection that has just ended: nobody would take it out again.
            return Err(ErrorCode::NotConnected.into());
        }
        if state.subscriptions.get(name).is_some() {
            return Err(ErrorCode::AlreadySubscribed.into());
        }
        if state.subscriptions.len() >= node.limits.channels_max as usize {
            return Err(ErrorCode::TooMany
                .with("the connection is subscribed to as many channels as it may"));
        }
        let channel = node.hub.enter(name, self.shard.id);
        let ephemerals_since = self.shard.table.borrow_mut().begin_joining(&channel);
        let subscription = Rc::new(Subscription {
            channel,
            kind: Arc::clone(kind),
            ephemerals_since,
            presence,
            _roster: presence.then(|| node.presence.watch(name)),
            token,
            stage: Cell::new(Stage::Joining),
            replay: RefCell::default(),
        });
        if subscription.token.is_some() {
            let end = subscription.ends_at();
            let interval = state.ping_interval;
            state.has_channel_tokens = true;
            // The connection is looked after once per ping interval anyhow: only a nearer end needs a new plan.
            state.plan_changed |=
                end.is_some_and(|end| Duration::from_millis(ms_until(end)) < interval);
        }
        state.subscriptions.insert(Rc::clone(&subscription));
        Ok(subscription)
    }

    fn started(
        &self,
        subscription: &Rc<Subscription>,
        start: Start,
    ) -> Result<Subscribed, WireError> {
        if subscription.stage.get() == Stage::Ended {
            // The connection ended, or a backend ended the subscription, while the log was read.
            return Err(ErrorCode::NotSubscribed.into());
        }
        let alias = subscription.channel.alias();
        let had_started = self.shard.table.borrow().delivered(alias).is_some();
        self.shard.table.borrow_mut().start_from(alias, start.top);
        if !had_started {
            // News that came before the shard knew where to start was left lying.
            self.shard
                .node
                .hub
                .nudge(&subscription.channel, self.shard.id);
        }
        self.enter_presence(subscription);
        let reply = self.subscribed(subscription, &start);
        *subscription.replay.borrow_mut() = Some(Box::new(CatchUp {
            epoch: start.top.epoch,
            cursor: start.cursor,
            next: self.keep(start.first),
        }));
        Ok(reply)
    }

    fn subscribed(&self, subscription: &Subscription, start: &Start) -> Subscribed {
        let missed = start.recovery == Recovery::Complete && start.cursor < start.top.offset;
        let (recovered, reason): (_, Option<NotRecovered>) = match start.recovery {
            Recovery::NotAsked => (None, None),
            Recovery::Complete => (Some(true), None),
            Recovery::Refused(reason) => (Some(false), Some(reason)),
        };
        match (recovered, reason) {
            (Some(true), _) => metrics::incr(&self.shard.counters().resumes_recovered),
            (_, Some(reason)) => metrics::incr(self.shard.counters().resumes_refused.of(reason)),
            _ => {}
        }
        Subscribed {
            channel: subscription.channel.name().to_string(),
            alias: subscription.channel.alias(),
            position: subscription.channel.known_as(start.top).to_string(),
            offset: start.top.offset,
            recovered,
            from: missed.then_some(start.cursor + 1),
            to: missed.then_some(start.top.offset),
            reason,
            presence: subscription.presence,
            durability: subscription.kind.durability.as_str().to_owned(),
        }
    }

    fn enter_presence(&self, subscription: &Subscription) {
        let Some(Connected { identity, session }) = self.state.borrow().connected.clone() else {
            return;
        };
        if let (true, Some(user)) = (subscription.kind.presence, identity.user()) {
            let entry = presence::Entry {
                user: Arc::clone(user),
                session,
                info: identity.info.clone(),
            };
            self.shard.node.presence.join(
                subscription.channel.name(),
                self.connection,
                &entry,
                Instant::now(),
            );
        }
    }

    pub(super) fn unsubscribe(&self, channel: &str) -> Result<Unsubscribed, WireError> {
        let name = ChannelName::parse(channel)?;
        if planted::has(Bug::LeakSubscription) {
            let leaked = self.state.borrow_mut().subscriptions.remove(&name);
            return leaked
                .map(|_| Unsubscribed {})
                .ok_or(ErrorCode::NotSubscribed.into());
        }
        let subscription = self.end(&name).ok_or(ErrorCode::NotSubscribed)?;
        self.leave_presence(&subscription);
        Ok(Unsubscribed {})
    }

    fn leave_presence(&self, subscription: &Subscription) {
        let Some(Connected { identity, session }) = self.state.borrow().connected.clone() else {
            return;
        };
        if subscription.kind.presence && identity.user().is_some() {
            let name = subscription.channel.name();
            self.shard
                .node
                .presence
                .leave(name, self.connection, &session, Instant::now());
        }
    }

    /// Takes a subscription out of all tables.
    pub(super) fn end(&self, name: &ChannelName) -> Option<Rc<Subscription>> {
        let subscription = self.state.borrow_mut().subscriptions.remove(name)?;
        self.take_out(&subscription);
        Some(subscription)
    }

    fn take_out(&self, subscription: &Subscription) {
        if let Some(replays) = self.replays.get() {
            replays.remove(subscription);
        }
        let alias = subscription.channel.alias();
        let unused = match subscription.stage.replace(Stage::Ended) {
            Stage::Joining => self.shard.table.borrow_mut().leave_joining(alias),
            Stage::Live(key) => self.shard.table.borrow_mut().leave(alias, key),
            Stage::Ended => None,
        };
        self.shard.release(unused);
    }

    /// The server ends a subscription because its log and its reader no longer fit: subscribe again. `lost` are the
    /// offsets of events that had been acknowledged or delivered and are gone.
    pub fn ask_to_resubscribe(
        self: &Rc<Self>,
        alias: Alias,
        reason: &str,
        lost: Option<RangeInclusive<u64>>,
    ) {
        let code = match lost {
            Some(_) => push::UNSUBSCRIBED_LOST,
            None => push::UNSUBSCRIBED_RESUBSCRIBE,
        };
        let end = End { code, reason, lost };
        let is_it = |subscription: &Subscription| subscription.channel.alias() == alias;
        let ended = {
            let state = self.state.borrow();
            state.subscriptions.iter().find(|one| is_it(one)).cloned()
        };
        self.end_by_server(&end, is_it);
        if let Some(ended) = ended.filter(|ended| ended.kind.presence) {
            self.leave_presence_unless_back(ended);
        }
    }

    /// Whoever was asked to subscribe again stays present meanwhile: as long as after a lost socket, not longer.
    fn leave_presence_unless_back(self: &Rc<Self>, ended: Rc<Subscription>) {
        let session = Rc::downgrade(self);
        let grace = self.shard.node.presence.grace();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(grace).await;
            let Some(session) = session.upgrade() else {
                return;
            };
            let is_back = {
                let state = session.state.borrow();
                state.subscriptions.get(ended.channel.name()).is_some()
            };
            if !is_back {
                session.leave_presence(&ended);
            }
        });
    }

    /// A backend ends a subscription.
    pub(super) fn unsubscribe_for_backend(&self, channel: &ChannelName) {
        let end = End {
            code: push::UNSUBSCRIBED_BY_APPLICATION,
            reason: "ended by the application",
            lost: None,
        };
        self.end_by_server(&end, |subscription| subscription.channel.name() == channel);
    }

    /// Ends the subscriptions whose own tokens were revoked. While `connect` is under way none: its reply is to tell of them
    /// first, and then this is called again.
    pub(super) fn end_revoked(&self) {
        if self.is_connect_under_way() {
            return;
        }
        let auth = &self.shard.node.auth;
        let is_revoked = |subscription: &Subscription| {
            let token = subscription.token.as_deref();
            token.is_some_and(|token| auth.is_revoked(token))
        };
        let end = End {
            code: push::UNSUBSCRIBED_REVOKED,
            reason: "its token was revoked",
            lost: None,
        };
        while self.end_by_server(&end, is_revoked) {}
    }

    /// Ends the subscriptions whose own tokens have ended. Returns when the next one does. While `connect` is under way none, as
    /// of those that were revoked: whoever looks after the connection plans anew behind its reply.
    pub(super) fn end_expired(&self) -> Option<Duration> {
        if !self.state.borrow().has_channel_tokens || self.is_connect_under_way() {
            return None;
        }
        let now = clock::now();
        let has_ended =
            |subscription: &Subscription| subscription.ends_at().is_some_and(|time| time <= now);
        let end = End {
            code: push::UNSUBSCRIBED_REVOKED,
            reason: "its token has ended",
            lost: None,
        };
        while self.end_by_server(&end, has_ended) {}
        let state = self.state.borrow();
        let next = state
            .subscriptions
            .iter()
            .filter_map(|subscription| subscription.ends_at())
            .min()?;
        Some(Duration::from_millis(ms_until(next)))
    }

    /// Ends one subscription of which that is true. False when there is none.
    fn end_by_server(&self, end: &End<'_>, is_it: impl Fn(&Subscription) -> bool) -> bool {
        let found = self
            .state
            .borrow()
            .subscriptions
            .iter()
            .find(|subscription| is_it(subscription))
            .cloned();
        let Some(subscription) = found else {
            return false;
        };
        let name = subscription.channel.name().clone();
        let resubscribe = end.code >= push::UNSUBSCRIBED_RESUBSCRIBE;
        self.end(&name);
        if !resubscribe {
            self.leave_presence(&subscription);
        }
        let notice = push::Unsubscribed {
            alias: subscription.channel.alias(),
            channel: name.to_string(),
            code: end.code,
            reason: end.reason.to_owned(),
            resubscribe,
            lost_from: end.lost.as_ref().map(|lost| *lost.start()),
            lost_to: end.lost.as_ref().map(|lost| *lost.end()),
        };
        self.outbox.push_reply(Frame::of_push(
            self.outbox.form(),
            &Push::Unsubscribed(notice),
        ));
        true
    }

    /// A backend subscribes the connection, by its own right. The subscription stands when this returns, so that an
    /// order that ends it finds it; the client is told once the log was read.
    pub(super) fn subscribe_for_backend(self: &Rc<Self>, channel: &ChannelName) {
        let Some(kind) = self.shard.node.kinds.of(channel).cloned() else {
            return;
        };
        let Ok(subscription) = self.begin(channel, &kind, false, None) else {
            return;
        };
        let session = Rc::clone(self);
        tokio::task::spawn_local(async move { session.start_for_backend(&subscription).await });
    }

    async fn start_for_backend(self: &Rc<Self>, subscription: &Rc<Subscription>) {
        if let Ok(reply) = self.start(subscription, None, false).await {
            self.outbox
                .push_reply(Frame::of_push(self.outbox.form(), &Push::Subscribed(reply)));
            self.start_catching_up_in(subscription);
        }
    }

    /// The connection is gone: everything it held goes too. `clean` when the client itself ended it.
    pub fn close(&self, clean: bool) {
        if let Some(replays) = self.replays.get() {
            replays.clear();
        }
        let ended = std::mem::take(&mut self.state.borrow_mut().subscriptions);
        ended
            .iter()
            .for_each(|subscription| self.take_out(subscription));
        self.sign_off(clean);
    }
}

/// Why the server ends a subscription. The code's range says whether to subscribe again.
struct End<'a> {
    code: u16,
    reason: &'a str,
    lost: Option<RangeInclusive<u64>>,
}
