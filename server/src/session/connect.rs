//! `connect` and `refresh`: who a session is, and until when.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use parlor_protocol::command::{Connect, Subscribe};
use parlor_protocol::push::{Push, TokenExpiring};
use parlor_protocol::reply::{Connected as Reply, Refreshed, SubscribeOutcome};
use parlor_protocol::{CloseCode, ErrorCode, Time, WireError};

use super::{Connected, Session, SessionId};
use crate::auth::Identity;
use crate::clock;
use crate::commands::Caller;
use crate::hub::Control;
use crate::node::RollEntry;
use crate::outbox::Frame;
use crate::planted::{self, Bug};

/// Software and version, as the connect reply names it.
const SERVER: &str = concat!("parlor/", env!("CARGO_PKG_VERSION"));

impl Session {
    /// Proves who the client is, takes its session over, and makes all its subscriptions.
    ///
    /// # Errors
    /// `already_connected`, `bad_token`, `token_expired`, `token_revoked`, `draining`, `too_many`.
    pub(super) async fn connect(self: &Rc<Self>, command: Connect) -> Result<Reply, WireError> {
        self.check_may_connect(&command)?;
        let identity = self
            .shard
            .node
            .auth
            .verify_connect(command.token.as_deref(), command.user.as_deref())?;
        let user = identity.user().map(|user| user.to_string());
        let keys = &self.shard.keys;
        let session = match command.session {
            Some(session) if keys.is_genuine(&session, user.as_deref()) => session,
            _ => keys
                .issue(user.as_deref())
                .map_err(|_| ErrorCode::Internal)?,
        };
        self.sign_on(&identity, session.id.as_str().into());
        self.check_not_revoked_meanwhile(&identity)?;
        let interval = self.agree_on_ping_interval(command.ping_interval_ms);
        let subscriptions = self.subscribe_all(&identity, command.subscriptions).await;
        let degraded = self.shard.node.lifecycle.is_degraded();
        // From here on backends' orders are obeyed at once: the reply follows before anybody else has a turn.
        self.state.borrow_mut().told_degraded = Some(degraded);
        Ok(Reply {
            connection: self.connection.to_string(),
            session,
            user,
            server: SERVER.to_owned(),
            time: clock::now(),
            ping_interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            features: Vec::new(),
            limits: self.shard.node.limits,
            expires_in_ms: identity.expires_at.map(ms_until),
            degraded,
            subscriptions,
        })
    }

    fn check_may_connect(&self, command: &Connect) -> Result<(), WireError> {
        if self.is_connected() {
            return Err(ErrorCode::AlreadyConnected.into());
        }
        if self.shard.node.lifecycle.is_draining() {
            return Err(WireError::from(ErrorCode::Draining).retry_after_ms(1_000));
        }
        if command.subscriptions.len() > self.shard.node.limits.channels_max as usize {
            return Err(
                ErrorCode::TooMany.with("connect names more channels than a connection may have")
            );
        }
        Ok(())
    }

    /// From here on the connection is somebody's: backends can find it, its session is its own.
    fn sign_on(&self, identity: &Arc<Identity>, session: SessionId) {
        let node = &self.shard.node;
        let entry = RollEntry {
            connection: self.connection,
            shard: self.shard.id,
            since: clock::now(),
        };
        if let Some(user) = identity.user() {
            node.roll.add(user, entry);
        }
        if let Some(before) = node.roll.take_session(&session, entry) {
            // The older socket is half-dead, or a second tab copied the session: one session, one connection on each node. One
            // on another node ends when its ping does.
            // A full inbox means that its shard is in worse trouble; its ping will find it.
            let order = Control::Disconnect {
                connection: before.connection,
                code: CloseCode::Replaced,
            };
            let _full = node.hub.inbox(before.shard).order(order);
        }
        if node.kinds.have_presence() {
            node.presence
                .attach(&session, self.connection, Instant::now());
        }
        let mut state = self.state.borrow_mut();
        state.plan_changed = true;
        state.connected = Some(Connected {
            identity: Arc::clone(identity),
            session,
        });
    }

    /// A revocation looks for its user on the roll. It may have looked between this token's check and the entry there:
    /// then it is found here.
    fn check_not_revoked_meanwhile(&self, identity: &Identity) -> Result<(), WireError> {
        fence(Ordering::SeqCst);
        if !self.shard.node.auth.is_revoked(identity) {
            return Ok(());
        }
        self.sign_off(false);
        Err(ErrorCode::TokenRevoked.into())
    }

    /// Whether the connection's token was revoked. Subscriptions by tokens of their own end here, if those were.
    pub fn is_revoked(&self) -> bool {
        let Some(Connected { identity, .. }) = self.state.borrow().connected.clone() else {
            return false;
        };
        let is_revoked = self.shard.node.auth.is_revoked(&identity);
        if !is_revoked {
            self.end_revoked();
        }
        is_revoked
    }

    /// The reverse of signing on. After a clean end the user leaves at once, else when its grace is over.
    pub(super) fn sign_off(&self, clean: bool) {
        let Some(Connected { identity, session }) = self.state.borrow_mut().connected.take() else {
            return;
        };
        let node = &self.shard.node;
        if let Some(user) = identity.user() {
            node.roll.remove(user, self.connection);
        }
        node.roll.leave_session(&session, self.connection);
        if !clean && planted::has(Bug::ForgetLeave) {
            return;
        }
        if clean {
            node.presence.end(&session, self.connection, Instant::now());
        } else {
            node.presence
                .detach(&session, self.connection, Instant::now());
        }
    }

    fn agree_on_ping_interval(&self, wish_ms: Option<u32>) -> Duration {
        let config = &self.shard.config;
        let wish = wish_ms.map_or(config.ping_interval, |ms| Duration::from_millis(ms.into()));
        let interval = wish.clamp(config.ping_interval_min, config.ping_interval_max);
        self.state.borrow_mut().ping_interval = interval;
        interval
    }

    async fn subscribe_all(
        &self,
        identity: &Arc<Identity>,
        wishes: Vec<Subscribe>,
    ) -> Vec<SubscribeOutcome> {
        let caller = Caller {
            identity: Arc::clone(identity),
            channel_token: None,
            connection: Some(self.connection),
        };
        let mut outcomes = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let channel = wish.channel.clone();
            outcomes.push(match self.subscribe(&caller, wish).await {
                Ok(subscribed) => SubscribeOutcome::Subscribed(subscribed),
                Err(error) => SubscribeOutcome::Refused { channel, error },
            });
        }
        outcomes
    }

    /// Puts a new token in the old one's place. Subscriptions stay, whatever the new one allows: they were granted.
    ///
    /// # Errors
    /// `bad_token`, `token_expired`, `token_revoked`; `not_permitted` when it is another user's.
    pub(super) fn refresh(&self, token: &str) -> Result<Refreshed, WireError> {
        let identity = self.shard.node.auth.verify_connect(Some(token), None)?;
        let mut state = self.state.borrow_mut();
        let connected = state.connected.as_mut().ok_or(ErrorCode::NotConnected)?;
        if connected.identity.who != identity.who {
            return Err(ErrorCode::NotPermitted.with("the new token is another user's"));
        }
        connected.identity = Arc::clone(&identity);
        state.expiry_announced = false;
        state.plan_changed = true;
        Ok(Refreshed {
            expires_in_ms: identity.expires_at.map(ms_until),
        })
    }

    /// Ends whatever has outlived its token: subscriptions that have one of their own, or the whole connection.
    /// Returns when to look again, if any token ends at all.
    pub fn check_expiry(&self) -> Option<Duration> {
        let subscriptions = self.end_expired();
        let connection = self.check_own_expiry();
        [subscriptions, connection].into_iter().flatten().min()
    }

    /// Tells the client that its token ends soon, or closes the connection when it ended.
    /// Returns when to look again, if the token ends at all.
    fn check_own_expiry(&self) -> Option<Duration> {
        let mut state = self.state.borrow_mut();
        let left = ms_until(state.connected.as_ref()?.identity.expires_at?);
        let notice = self.shard.config.expiry_notice;
        if left == 0 {
            drop(state);
            self.outbox.close(CloseCode::TokenExpired, None);
            return None;
        }
        let left = Duration::from_millis(left);
        if left > notice {
            return Some(left - notice);
        }
        if !std::mem::replace(&mut state.expiry_announced, true) {
            let expires_in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let push = Push::TokenExpiring(TokenExpiring { expires_in_ms });
            self.outbox
                .push_reply(Frame::of_push(self.outbox.form(), &push));
        }
        Some(left)
    }
}

pub(super) fn ms_until(time: Time) -> u64 {
    time.0
        .saturating_sub(clock::now().0)
        .div_ceil(Time::TICKS_PER_MS)
}
