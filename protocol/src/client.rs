//! The client's side of a connection and of its successors, as a state machine: reconnecting, resuming,
//! matching replies, telling gaps and duplicates. It knows no socket and no clock.
//!
//! A driver owns the socket. It reports what happens, with the time since any fixed start, and carries out
//! every [`Effect`] that [`ClientSession::poll`] gives until there is none. That time must go on while the
//! machine sleeps, which `std::time::Instant` does not do on Linux and macOS: see [`ClientSession`].
//!
//! ```
//! use std::time::Duration;
//! use parlor_protocol::client::{ClientConfig, ClientEvent, ClientSession, Effect};
//! use parlor_protocol::command::Subscribe;
//!
//! let mut session = ClientSession::new(ClientConfig::default(), 42);
//! session.subscribe(Subscribe::new("room:lobby"));
//! session.start(Duration::ZERO);
//! assert_eq!(session.poll(), Some(Effect::Connect)); // open a socket, then:
//! session.opened(Duration::from_millis(20));
//! while let Some(effect) = session.poll() {
//!     match effect {
//!         Effect::Connect => { /* open a socket; report `opened` or `closed` */ }
//!         Effect::Send(frame) => { /* write it */ drop(frame) }
//!         Effect::Close => { /* drop the socket, report nothing more of it */ }
//!         Effect::Event(ClientEvent::Event { channel, event }) => { /* show it */ drop((channel, event)) }
//!         Effect::Event(_) => {}
//!     }
//! }
//! // Then wait for a frame (`received`), the socket's end (`closed`) or this time (`tick`):
//! assert!(session.deadline().is_some());
//! ```

mod backoff;
mod config;
mod effect;
mod greeting;
mod pushes;
mod replies;
mod requests;
mod subscription;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::close::Verdict;
use crate::codec::{ServerMessage, decode_server, encode_command};
use crate::command::{
    Command, Envelope, History, Ping, Presence, PresenceSet, Publish, Refresh, SessionKey, Signal,
    Subscribe,
};
use crate::reply::ConnectionLimits;

use backoff::Backoff;
pub use config::ClientConfig;
pub use effect::{ClientEvent, Continuity, Effect, Failure, RequestId};
use requests::Requests;
pub use requests::{REQUESTS_MAX, TooManyRequests};
use subscription::Subscription;

/// One client's logical connection, over as many sockets as it takes.
///
/// Every `now` counts from one fixed start and never goes back. It must count the time that the machine sleeps
/// (`CLOCK_BOOTTIME` on Linux): by it alone the session knows when the server has forgotten the id of a
/// publish. By a clock that stands still meanwhile, a publish without an answer may be repeated after that, and
/// then it is a second message.
#[derive(Debug)]
pub struct ClientSession {
    config: ClientConfig,
    phase: Phase,
    /// The latest time that the driver told.
    now: Duration,
    backoff: Backoff,
    /// Proof of the session to resume, from the latest connect reply.
    key: Option<SessionKey>,
    limits: ConnectionLimits,
    /// Silence that is longer than this means a dead connection.
    silence_max: Duration,
    last_received: Duration,
    /// The server's last word, in case the close code does not arrive.
    farewell: Option<crate::push::Disconnect>,
    subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// Which channel each alias of this connection stands for.
    aliases: HashMap<u32, Arc<str>>,
    requests: Requests,
    effects: VecDeque<Effect>,
}

/// Where the session stands with its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not started, stopped by the user, or told to stay away.
    Stopped,
    /// Between two sockets.
    Waiting {
        until: Duration,
    },
    /// The driver opens a socket.
    Opening,
    /// `connect` was sent.
    Greeting {
        since: Duration,
    },
    Live {
        since: Duration,
    },
}

impl ClientSession {
    /// `seed` spreads the reconnects of many clients: give each its own.
    pub fn new(config: ClientConfig, seed: u64) -> Self {
        Self {
            config,
            phase: Phase::Stopped,
            now: Duration::ZERO,
            backoff: Backoff::new(seed),
            key: None,
            limits: config::default_limits(),
            silence_max: config::silence_max(crate::limits::PING_INTERVAL_DEFAULT_MS),
            last_received: Duration::ZERO,
            farewell: None,
            subscriptions: BTreeMap::new(),
            aliases: HashMap::new(),
            requests: Requests::default(),
            effects: VecDeque::new(),
        }
    }

    /// What the driver has to do next. To be called after every input until it gives `None`: the list of
    /// effects is bounded by what one input can cause.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Self::tick`] wants to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Duration> {
        let phase = match self.phase {
            Phase::Stopped | Phase::Opening => None,
            Phase::Waiting { until } => Some(until),
            Phase::Greeting { since } => Some(since + CONNECT_TIMEOUT),
            Phase::Live { .. } => Some(self.last_received + self.silence_max),
        };
        let retry = self
            .is_live()
            .then(|| {
                self.subscriptions
                    .values()
                    .filter_map(Subscription::retry_at)
                    .min()
            })
            .flatten();
        let expiry = self.requests.next_expiry(self.dedup_window());
        [phase, retry, expiry].into_iter().flatten().min()
    }

    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live { .. })
    }

    /// Whether the session has ended for good, until [`Self::start`].
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// The position behind the last event of a channel, to be kept for another process's `recover`.
    pub fn position(&self, channel: &str) -> Option<&str> {
        self.subscriptions.get(channel)?.position()
    }

    /// The limits of the latest connection, or the documented ones before the first.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    // What the driver reports.

    /// Begins, or begins again after the session was stopped.
    pub fn start(&mut self, now: Duration) {
        self.now = now;
        if self.phase == Phase::Stopped {
            self.open();
        }
    }

    /// The socket that [`Effect::Connect`] asked for is open, with the subprotocol of the configured form.
    pub fn opened(&mut self, now: Duration) {
        self.now = now;
        if self.phase == Phase::Opening {
            self.phase = Phase::Greeting { since: now };
            self.last_received = now;
            self.greet();
        }
    }

    /// A whole message came from the socket.
    pub fn received(&mut self, frame: &[u8], now: Duration) {
        self.now = now;
        if !self.has_socket() {
            return;
        }
        self.last_received = now;
        match decode_server(self.config.form, frame) {
            Ok(messages) => messages.into_iter().for_each(|message| self.take(message)),
            Err(error) => {
                self.tell(ClientEvent::BadFrame(error));
                self.drop_socket(Some(BAD_FRAME));
            }
        }
    }

    /// The socket ended, or could not be opened. `code` is the close frame's, if one came.
    pub fn closed(&mut self, code: Option<u16>, now: Duration) {
        self.now = now;
        if !matches!(self.phase, Phase::Stopped | Phase::Waiting { .. }) {
            self.lose(code);
        }
    }

    /// Time passed. Does nothing before [`Self::deadline`].
    pub fn tick(&mut self, now: Duration) {
        self.now = now;
        match self.phase {
            Phase::Waiting { until } if now >= until => self.open(),
            Phase::Greeting { since } if now >= since + CONNECT_TIMEOUT => self.drop_socket(None),
            Phase::Live { .. } if now >= self.last_received + self.silence_max => {
                self.drop_socket(None)
            }
            _ => {}
        }
        self.expire_requests();
        if self.is_live() {
            self.retry_subscriptions();
        }
    }

    // What the user asks.

    /// Keeps a channel subscribed from now on, over all reconnects. Its outcome, each time, is a
    /// [`ClientEvent::Subscribed`] or [`ClientEvent::SubscribeRefused`].
    pub fn subscribe(&mut self, wish: Subscribe) {
        let channel: Arc<str> = Arc::from(wish.channel.as_str());
        if self.subscriptions.contains_key(&channel) {
            self.forget(&channel);
        }
        self.subscriptions
            .insert(channel.clone(), Subscription::new(wish));
        self.ask_subscription(&channel);
    }

    /// Ends a subscription. No event of the channel is told from now on.
    pub fn unsubscribe(&mut self, channel: &str) {
        self.forget(&Arc::from(channel));
    }

    /// Publishes. With an `id` it is repeated after a reconnect until it is answered or the server's dedup
    /// window ends; without one, a lost connection fails it.
    ///
    /// # Errors
    /// Too many requests wait already. So for all requests below.
    pub fn publish(&mut self, publish: Publish) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::Publish(publish))
    }

    pub fn signal(&mut self, signal: Signal) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::Signal(signal))
    }

    pub fn history(&mut self, history: History) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::History(history))
    }

    pub fn presence(&mut self, presence: Presence) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::Presence(presence))
    }

    pub fn presence_set(
        &mut self,
        presence_set: PresenceSet,
    ) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::PresenceSet(presence_set))
    }

    pub fn ping(&mut self) -> Result<RequestId, TooManyRequests> {
        self.ask(Command::Ping(Ping {}))
    }

    /// Replaces the token: on this connection and on those to come.
    pub fn refresh(&mut self, token: String) -> Result<RequestId, TooManyRequests> {
        self.config.token = Some(token.clone());
        self.ask(Command::Refresh(Refresh { token }))
    }

    /// The token for the next connection, for when the session was stopped because of the old one.
    pub fn set_token(&mut self, token: Option<String>) {
        self.config.token = token;
    }

    /// Closes the socket and stays away. Subscriptions and positions are kept for [`Self::start`].
    pub fn stop(&mut self) {
        if self.phase == Phase::Stopped {
            return;
        }
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.effects.push_back(Effect::Close);
        }
        self.leave_socket();
        self.rest(None);
    }

    // Shared by the parts below.

    fn tell(&mut self, event: ClientEvent) {
        self.effects.push_back(Effect::Event(event));
    }

    fn send(&mut self, id: Option<u32>, command: Command) {
        let frame = encode_command(self.config.form, &Envelope { id, command });
        self.effects.push_back(Effect::Send(frame));
    }

    fn take(&mut self, message: ServerMessage) {
        // A fault may have ended the connection in the middle of a frame.
        if !self.has_socket() {
            return;
        }
        match message {
            ServerMessage::Reply { id, result } => self.take_reply(id, result),
            ServerMessage::Push(push) => self.take_push(push),
        }
    }

    /// Whether commands can be sent.
    fn has_socket(&self) -> bool {
        matches!(self.phase, Phase::Greeting { .. } | Phase::Live { .. })
    }

    fn open(&mut self) {
        // It spoke of the socket before, whose end may never have been told.
        self.farewell = None;
        self.phase = Phase::Opening;
        self.effects.push_back(Effect::Connect);
    }

    /// Gives the socket up from this side.
    fn drop_socket(&mut self, code: Option<u16>) {
        self.effects.push_back(Effect::Close);
        self.lose(code);
    }

    /// The socket is gone: decides whether and when to come back.
    fn lose(&mut self, code: Option<u16>) {
        if let Phase::Live { since } = self.phase {
            self.backoff.lived(self.now.saturating_sub(since));
        }
        let farewell = self.farewell.take();
        // The push is trusted over the frame: proxies replace close codes.
        let code = farewell.as_ref().map(|farewell| farewell.code).or(code);
        self.leave_socket();
        match code.map_or(Verdict::Resume, Verdict::of) {
            Verdict::StayAway => return self.rest(code),
            Verdict::Fresh => self.forget_positions(),
            Verdict::Resume => {}
        }
        let advice = farewell
            .and_then(|farewell| farewell.retry_after_ms)
            .map(Duration::from_millis);
        self.come_back(code, advice);
    }

    fn come_back(&mut self, code: Option<u16>, advice: Option<Duration>) {
        let delay = self.backoff.next(advice);
        self.phase = Phase::Waiting {
            until: self.now.saturating_add(delay),
        };
        self.tell(ClientEvent::Disconnected {
            code,
            retry_in: Some(delay),
        });
    }

    fn rest(&mut self, code: Option<u16>) {
        self.phase = Phase::Stopped;
        for request in self.requests.drain() {
            self.tell(ClientEvent::Reply {
                request,
                result: Err(Failure::Stopped),
            });
        }
        self.tell(ClientEvent::Disconnected {
            code,
            retry_in: None,
        });
    }

    /// Drops what belonged to the socket alone.
    fn leave_socket(&mut self) {
        self.aliases.clear();
        self.subscriptions.values_mut().for_each(Subscription::lost);
        for request in self.requests.lost() {
            self.tell(ClientEvent::Reply {
                request,
                result: Err(Failure::ConnectionLost),
            });
        }
    }

    fn forget_positions(&mut self) {
        self.key = None;
        self.subscriptions
            .values_mut()
            .for_each(Subscription::forget_position);
    }

    fn dedup_window(&self) -> Duration {
        Duration::from_millis(self.limits.dedup_window_ms)
    }
}

/// How long the answer to `connect` may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// With what this side leaves a server that it does not understand: not one of the codes that stay away,
/// because another node may speak better.
const BAD_FRAME: u16 = 1006;
