//! A session: one client's logical connection. It takes commands and gives replies; it never sees a socket.
//!
//! Plain state with `now` passed in. Each command's policy is in `commands`; who one is, in `connect`; which
//! channels, in `subscriptions`; what backends want there, in `orders`; the replay of what was missed, in `catch_up`; whose
//! turn it is, in `replays`.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use parlor_protocol::codec::CommandError;
use parlor_protocol::command::{Command, Envelope, Publish};
use parlor_protocol::push::{Push, Status};
use parlor_protocol::reply::{Pinged, Reply};
use parlor_protocol::{ChannelName, CloseCode, ErrorCode, WireError};

use crate::auth::Identity;
use crate::clock;
use crate::commands::{self, Caller, rate_limited};
use crate::hub::ConnectionId;
use crate::outbox::{Frame, Outbox};

mod catch_up;
mod channels;
mod connect;
mod key;
mod orders;
mod rate;
mod replays;
mod shard_state;
mod subscriptions;

pub use key::SessionKeys;
pub use shard_state::{SessionConfig, ShardState};

use channels::Channels;
use key::SessionId;
use orders::HeldOrders;
use rate::{Bucket, Publishes};
use replays::Replays;

/// One connection's state above the socket.
pub struct Session {
    shard: Rc<ShardState>,
    connection: ConnectionId,
    outbox: Rc<Outbox>,
    state: RefCell<State>,
    /// Made when there is something to replay: most connections that are idle never had anything.
    replays: OnceCell<Box<Replays>>,
}

struct State {
    /// None until `connect` succeeded.
    connected: Option<Connected>,
    subscriptions: Channels,
    commands: Bucket,
    publishes: Publishes,
    ping_interval: Duration,
    /// `token_expiring` was sent for the present token.
    expiry_announced: bool,
    /// Pings or expiry begin anew: whoever looks after the connection must plan again.
    plan_changed: bool,
    /// Some subscription was made with a token of its own. Never taken back: it only spares all other sessions the looks.
    has_channel_tokens: bool,
    /// What the client was last told of the broker's health; none before `connect` is answered.
    told_degraded: Option<bool>,
    /// What backends ordered while `connect` was under way.
    held: Option<Box<HeldOrders>>,
}

#[derive(Clone)]
struct Connected {
    identity: Arc<Identity>,
    session: SessionId,
}

/// A publish that is under way: resolves to what [`Session::reply`] takes.
pub type Publishing = LocalBoxFuture<'static, (Option<u32>, Result<Reply, WireError>)>;

impl Session {
    pub fn new(
        shard: Rc<ShardState>,
        connection: ConnectionId,
        outbox: Rc<Outbox>,
        now: Instant,
    ) -> Rc<Self> {
        let state = State {
            connected: None,
            subscriptions: Channels::default(),
            commands: Bucket::new(shard.config.commands_per_second_max, now),
            publishes: Publishes::default(),
            ping_interval: shard.config.ping_interval,
            expiry_announced: false,
            plan_changed: false,
            has_channel_tokens: false,
            told_degraded: None,
            held: None,
        };
        Rc::new(Self {
            shard,
            connection,
            outbox,
            state: RefCell::new(state),
            replays: OnceCell::new(),
        })
    }

    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    pub fn is_connected(&self) -> bool {
        self.state.borrow().connected.is_some()
    }

    /// Whether the client is known, but was not told yet what became of its `connect`.
    fn is_connect_under_way(&self) -> bool {
        let state = self.state.borrow();
        state.connected.is_some() && state.told_degraded.is_none()
    }

    /// The interval of server pings that was agreed on.
    pub fn ping_interval(&self) -> Duration {
        self.state.borrow().ping_interval
    }

    /// True once after each change of ping interval or expiry.
    pub fn take_plan_changed(&self) -> bool {
        std::mem::take(&mut self.state.borrow_mut().plan_changed)
    }

    /// Queues a publish at once and returns its outcome to come, so that a client's publishes keep their order
    /// and need not wait for each other. One that is refused at once is answered, and `None` is returned.
    pub fn publish(&self, id: Option<u32>, publish: Publish, now: Instant) -> Option<Publishing> {
        self.shard.counters().command("publish");
        let queued = self.admit(now).and_then(|caller| {
            self.take_publish(&publish.channel, now)?;
            let caller = self.with_channel_token(caller, &publish.channel);
            commands::publish::publish(&self.shard.node, &caller, publish)
        });
        match queued {
            Ok(outcome) => Some(Box::pin(
                async move { (id, outcome.await.map(Reply::Publish)) },
            )),
            Err(error) => {
                self.reply(id, &Err(error));
                if !self.is_connected() {
                    self.outbox.close(CloseCode::ConnectRefused, None);
                }
                None
            }
        }
    }

    /// Runs any other command and replies to it.
    pub async fn handle(self: &Rc<Self>, envelope: Envelope, now: Instant) {
        let Envelope { id, command } = envelope;
        self.shard.counters().command(command.name());
        let is_connect = matches!(command, Command::Connect(_));
        let result = match command {
            Command::Pong(_) => return,
            Command::Connect(command) => Box::pin(self.connect(command))
                .await
                .map(|connected| Reply::Connect(Box::new(connected))),
            command => match self.admit(now) {
                Ok(caller) => Box::pin(self.run(caller, command, now)).await,
                Err(error) => Err(error),
            },
        };
        let was_refused = !self.is_connected();
        self.reply(id, &result);
        if was_refused {
            self.outbox.close(
                refusal(result.as_ref().err()),
                result.err().and_then(|error| error.retry_after_ms),
            );
        } else {
            if is_connect {
                self.catch_up_with_orders();
            }
            self.start_catching_up();
        }
    }

    async fn run(
        self: &Rc<Self>,
        caller: Caller,
        command: Command,
        now: Instant,
    ) -> Result<Reply, WireError> {
        let node = &self.shard.node;
        Ok(match command {
            Command::Signal(signal) => {
                self.take_publish(&signal.channel, now)?;
                let caller = self.with_channel_token(caller, &signal.channel);
                Reply::Signal(commands::signal::signal(node, &caller, signal)?)
            }
            Command::Subscribe(subscribe) => {
                Reply::Subscribe(self.subscribe(&caller, subscribe).await?)
            }
            Command::Unsubscribe(unsubscribe) => {
                Reply::Unsubscribe(self.unsubscribe(&unsubscribe.channel)?)
            }
            Command::History(history) => {
                let caller = self.with_channel_token(caller, &history.channel);
                Reply::History(commands::history::history(node, &caller, history).await?)
            }
            Command::Presence(presence) => {
                let caller = self.with_channel_token(caller, &presence.channel);
                Reply::Presence(commands::presence::presence(node, &caller, presence).await?)
            }
            Command::PresenceSet(set) => {
                let caller = self.with_channel_token(caller, &set.channel);
                Reply::PresenceSet(commands::presence::presence_set(node, &caller, set).await?)
            }
            Command::Refresh(refresh) => Reply::Refresh(self.refresh(&refresh.token)?),
            Command::Ping(_) => Reply::Ping(Pinged { time: clock::now() }),
            // Handled by their own paths above.
            Command::Connect(_) | Command::Publish(_) | Command::Pong(_) => {
                return Err(ErrorCode::BadRequest.into());
            }
        })
    }

    /// Tells the client how the broker is, if it was told otherwise.
    pub fn tell_status(&self) {
        let degraded = self.shard.node.lifecycle.is_degraded();
        let mut state = self.state.borrow_mut();
        // Before its `connect` is answered the client is told nothing: the answer says it.
        if state.told_degraded.is_some_and(|told| told != degraded) {
            state.told_degraded = Some(degraded);
            let status = Push::Status(Status { degraded });
            self.outbox
                .push_reply(Frame::of_push(self.outbox.form(), &status));
        }
    }

    /// Sends a reply, if the command wanted one.
    pub fn reply(&self, id: Option<u32>, result: &Result<Reply, WireError>) {
        if let Err(error) = result {
            self.shard.counters().command_error(error.code);
        }
        if let Some(id) = id {
            let form = self.outbox.form();
            self.outbox.push_reply(Frame::of_reply(form, id, result));
        }
    }

    /// A command that could not be understood. It counts toward the rate like any other: nonsense must not be
    /// cheaper than sense. The connection lives on, unless this was meant to be its `connect`.
    pub fn reply_to_bad_command(&self, bad: CommandError, now: Instant) {
        let CommandError { id, error } = bad;
        let is_connected = self.is_connected();
        let error = match self.admit(now) {
            Err(limited) if is_connected => limited,
            Ok(_) | Err(_) => error,
        };
        let closing = refusal(Some(&error));
        self.reply(Some(id.unwrap_or(0)), &Err(error));
        if !is_connected {
            self.outbox.close(closing, None);
        }
    }

    /// Who asks, if it may ask anything now.
    fn admit(&self, now: Instant) -> Result<Caller, WireError> {
        let mut state = self.state.borrow_mut();
        let Some(Connected { identity, .. }) = &state.connected else {
            return Err(ErrorCode::NotConnected.into());
        };
        let caller = Caller {
            identity: Arc::clone(identity),
            channel_token: None,
            connection: Some(self.connection),
        };
        if let Err(wait) = state.commands.take(now) {
            if state.commands.is_abused() {
                self.outbox.close(CloseCode::Flooding, None);
            }
            return Err(rate_limited(wait));
        }
        Ok(caller)
    }

    /// The rate of the channel's kind, counted per connection.
    fn take_publish(&self, channel: &str, now: Instant) -> Result<(), WireError> {
        let Ok(name) = ChannelName::parse(channel) else {
            return Ok(());
        };
        let Some(kind) = self.shard.node.kinds.of(&name) else {
            return Ok(());
        };
        self.state
            .borrow_mut()
            .publishes
            .take(kind, now)
            .map_err(rate_limited)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// How a connection ends whose `connect` failed.
fn refusal(error: Option<&WireError>) -> CloseCode {
    match error.and_then(WireError::kind) {
        // Not `revoked`: that is for those who may come back with another token, and this one just did not.
        Some(ErrorCode::BadToken | ErrorCode::TokenRevoked) => CloseCode::BadToken,
        Some(ErrorCode::TokenExpired) => CloseCode::TokenExpired,
        Some(ErrorCode::Draining) => CloseCode::Draining,
        _ if error.is_some_and(WireError::is_retryable) => CloseCode::Busy,
        _ => CloseCode::ConnectRefused,
    }
}
