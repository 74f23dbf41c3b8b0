//! A peer: one connection on its shard. Socket, session (which holds the outbox), and when to look after it.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use parlor_protocol::{CloseCode, Form, Push};
use tokio::sync::Notify;

use crate::metrics;
use crate::outbox::{Frame, Outbox};
use crate::session::Session;
use crate::transport::shard::Shard;
use crate::transport::socket::Socket;
use crate::transport::wheel::Planned;

/// One WebSocket connection.
pub struct Peer {
    socket: Socket,
    session: Rc<Session>,
    opened: Instant,
    /// When the next ping is due.
    next_ping: Cell<Option<Instant>>,
    /// Since when a sign of life is missed: since a ping was queued, or since its words are read again.
    unanswered: Cell<Option<Instant>>,
    /// Nobody reads what it says, for a reason of ours.
    is_unread: Cell<bool>,
    /// When it is looked at next.
    planned: Planned,
    /// The socket failed: nothing more can be sent.
    failed: Cell<bool>,
    /// It is to close once what it was promised is sent: the code, and when to come back.
    leaving: Cell<Option<(CloseCode, Option<u64>)>>,
    /// Wakes the peer's task: the outbox is blocked, or closing, or the socket failed.
    pub(super) wake: Notify,
}

impl Peer {
    pub(super) fn open(shard: &Rc<Shard>, socket: Socket, form: Form) -> Rc<Self> {
        let now = Instant::now();
        let state = shard.state();
        let peer = shard.insert_peer(|key, connection| {
            let outbox = Outbox::new(
                key,
                form,
                state.config.outbox_bytes_max,
                Rc::clone(&state.dirty),
            );
            Rc::new(Self {
                socket,
                session: Session::new(Rc::clone(state), connection, outbox, now),
                opened: now,
                next_ping: Cell::default(),
                unanswered: Cell::default(),
                is_unread: Cell::default(),
                planned: Planned::default(),
                failed: Cell::default(),
                leaving: Cell::default(),
                wake: Notify::new(),
            })
        });
        metrics::incr(&state.counters().connections_accepted);
        metrics::incr(&state.counters().connections_open);
        shard.look_after(&peer, state.config.connect_timeout);
        peer
    }

    pub(in crate::transport) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(in crate::transport) fn session(&self) -> &Rc<Session> {
        &self.session
    }

    pub(in crate::transport) fn planned(&self) -> &Planned {
        &self.planned
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    pub(super) fn fail(&self) {
        self.failed.set(true);
        self.wake.notify_one();
    }

    /// Sends the client away, after the answers to what it asked already.
    pub(in crate::transport) fn tell_to_leave(&self, code: CloseCode, retry_after_ms: Option<u64>) {
        self.leaving.set(Some((code, retry_after_ms)));
        self.wake.notify_one();
    }

    /// Sends the client away if its token was revoked.
    pub(in crate::transport) fn check_token(&self) {
        if self.session.is_revoked() {
            self.tell_to_leave(CloseCode::Revoked, None);
        }
    }

    pub(super) fn told_to_leave(&self) -> Option<(CloseCode, Option<u64>)> {
        self.leaving.get()
    }

    /// Anything that comes in shows that the other side lives.
    pub(super) fn heard(&self) {
        self.unanswered.set(None);
    }

    /// Whether what it says is left unread, because a command of its own runs or its publishes wait. Its answer to a ping may be
    /// among that: the time for it begins anew when somebody reads again.
    pub(super) fn set_unread(&self, is_unread: bool) {
        let was_unread = self.is_unread.replace(is_unread);
        if was_unread && !is_unread && self.unanswered.get().is_some() {
            self.unanswered.set(Some(Instant::now()));
        }
    }

    /// The session is connected or has a new token: pings begin. Their phase is spread by the connection's number.
    pub(super) fn plan(&self, shard: &Shard) {
        let interval = self.session.ping_interval();
        let spread = (self
            .session
            .connection()
            .0
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            >> 32) as u32;
        let first = interval / 2 + interval.mul_f64(f64::from(spread) / f64::from(u32::MAX) / 2.0);
        self.next_ping.set(Some(Instant::now() + first));
        let expiry = self.session.check_expiry().unwrap_or(first);
        shard.look_after(self, first.min(expiry));
    }

    /// Looks after the connection: timeouts, pings, expiry. Returns when to look again; `None` once it is closing.
    pub(in crate::transport) fn check(&self, shard: &Shard, now: Instant) -> Option<Duration> {
        let outbox = self.session.outbox();
        if outbox.closing().is_some() {
            return None;
        }
        let config = &shard.state().config;
        if !self.session.is_connected() {
            let left = config
                .connect_timeout
                .saturating_sub(now.duration_since(self.opened));
            if left.is_zero() {
                outbox.close(CloseCode::ConnectTimeout, None);
            }
            return (!left.is_zero()).then_some(left);
        }
        if let Some(from) = self.unanswered.get()
            && now.duration_since(from) >= config.pong_timeout
            && !self.is_unread.get()
        {
            outbox.close(CloseCode::NoPong, None);
            return None;
        }
        let ping = self.ping_if_due(now);
        let pong = self
            .unanswered
            .get()
            .map(|from| config.pong_timeout.saturating_sub(now.duration_since(from)));
        let expiry = self.session.check_expiry();
        [Some(ping), pong, expiry].into_iter().flatten().min()
    }

    /// Returns how long until the next ping.
    fn ping_if_due(&self, now: Instant) -> Duration {
        let interval = self.session.ping_interval();
        let due = self.next_ping.get().unwrap_or(now);
        if due > now {
            return due - now;
        }
        self.session
            .outbox()
            .push_reply(ping(self.session.outbox().form()));
        if self.unanswered.get().is_none() {
            self.unanswered.set(Some(now));
        }
        self.next_ping.set(Some(now + interval));
        interval
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// The ping of a form, encoded once per process.
fn ping(form: Form) -> Frame {
    static PINGS: LazyLock<[Frame; 2]> =
        LazyLock::new(|| Form::ALL.map(|form| Frame::of_push(form, &Push::Ping)));
    match form {
        Form::Json => PINGS[0].clone(),
        Form::MsgPack => PINGS[1].clone(),
    }
}
