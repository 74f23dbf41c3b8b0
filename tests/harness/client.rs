//! A client without a mind of its own: it sends what it is told, keeps what comes in order, and says what it waited for.
//!
//! Replies are taken by their id, pushes in their order. Server pings are answered unless a test says otherwise.
//! Read next: `wire` (the socket), `ask` (one method per command).

use std::collections::VecDeque;
use std::net::SocketAddr;

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Connect, Pong};
use parlor_protocol::reply::{Connected, Reply};
use parlor_protocol::{Alias, CloseCode, Envelope, Event, Form, Push, WireError, codec};

use crate::authority::Trust;
use crate::goodbye::Goodbye;
use crate::patience::in_time;

mod ask;
mod wire;

pub(crate) use wire::{Frame, Wire, WireReader, WireWriter};

/// Bytes that the kernel takes in for a narrow client.
const NARROW_BYTES: u32 = 4_096;

/// Messages kept for the text of a failure.
const TOLD_MAX: usize = 12;
/// Characters kept of each.
const TOLD_CHARS_MAX: usize = 300;

/// One connection.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    last_id: u32,
    /// Read, and not yet asked for.
    waiting: VecDeque<ServerMessage>,
    hello: Option<Connected>,
    goodbye: Option<Goodbye>,
    farewell: Option<parlor_protocol::push::Disconnect>,
    answers_pings: bool,
    pings: usize,
    /// The newest messages, for a failure's text.
    told: VecDeque<String>,
}

impl Client {
    /// A socket that has not said `connect`.
    pub async fn open(address: SocketAddr, form: Form) -> Self {
        Self::over(Wire::open(address, form, None, None).await)
    }

    /// The same, whose kernel takes in as little as it can: a reader that is easily slow.
    pub async fn open_narrow(address: SocketAddr, form: Form) -> Self {
        Self::over(Wire::open(address, form, Some(NARROW_BYTES), None).await)
    }

    /// Like [`Self::open`], over TLS.
    pub async fn open_secure(address: SocketAddr, form: Form, trust: &Trust) -> Self {
        Self::over(Wire::open(address, form, None, Some(trust)).await)
    }

    /// Like [`Self::open_narrow`], over TLS.
    pub async fn open_secure_narrow(address: SocketAddr, form: Form, trust: &Trust) -> Self {
        Self::over(Wire::open(address, form, Some(NARROW_BYTES), Some(trust)).await)
    }

    fn over(wire: Wire) -> Self {
        Self {
            wire,
            last_id: 0,
            waiting: VecDeque::new(),
            hello: None,
            goodbye: None,
            farewell: None,
            answers_pings: true,
            pings: 0,
            told: VecDeque::new(),
        }
    }

    /// Leaves the server's pings unanswered from now on.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// How many pings came.
    pub fn pings(&self) -> usize {
        self.pings
    }

    /// What `connect` was answered.
    ///
    /// # Panics
    /// Before a successful `connect`.
    pub fn hello(&self) -> &Connected {
        self.hello.as_ref().expect("a connected client")
    }

    /// The shard that serves the connection: the first byte of its id.
    ///
    /// # Panics
    /// Before a successful `connect`.
    pub fn shard(&self) -> usize {
        usize::from_str_radix(&self.hello().connection[..2], 16).expect("an id in hex")
    }

    // Saying.

    /// Sends a command with a fresh id, which it returns.
    pub async fn send(&mut self, command: Command) -> u32 {
        self.last_id += 1;
        let id = Some(self.last_id);
        self.send_envelope(&Envelope { id, command }).await;
        self.last_id
    }

    /// Sends a command without an id: it gets no reply.
    pub async fn send_without_id(&mut self, command: Command) {
        self.send_envelope(&Envelope { id: None, command }).await;
    }

    async fn send_envelope(&mut self, envelope: &Envelope) {
        let frame = codec::encode_command(self.wire.form(), envelope);
        self.wire.send(frame).await;
    }

    /// Sends all commands in one frame. Returns their ids.
    pub async fn send_together(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<u32> {
        let envelopes: Vec<_> = commands
            .into_iter()
            .map(|command| {
                self.last_id += 1;
                Envelope {
                    id: Some(self.last_id),
                    command,
                }
            })
            .collect();
        self.wire
            .send(codec::encode_commands(self.wire.form(), &envelopes))
            .await;
        envelopes
            .iter()
            .filter_map(|envelope| envelope.id)
            .collect()
    }

    /// Sends bytes as the subprotocol's own type of frame, whatever they are.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.wire.send(bytes).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.wire.send_text(text).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.wire.send_binary(bytes).await;
    }

    /// Writes to the socket below the WebSocket protocol.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.wire.send_raw(bytes).await;
    }

    /// Sends a command and waits for its answer.
    pub async fn ask(&mut self, command: Command) -> Result<Reply, WireError> {
        let id = self.send(command).await;
        self.reply(id).await
    }

    /// Says `connect`.
    ///
    /// # Panics
    /// When the answer is of another command.
    pub async fn connect(&mut self, connect: Connect) -> Result<Connected, WireError> {
        match self.ask(Command::Connect(connect)).await? {
            Reply::Connect(connected) => {
                self.hello = Some((*connected).clone());
                Ok(*connected)
            }
            other => panic!("not an answer to connect: {other:?}"),
        }
    }

    // Hearing.

    /// The answer with this id; everything else that comes meanwhile waits.
    ///
    /// # Panics
    /// When the connection ends first, or nothing comes.
    pub async fn reply(&mut self, id: u32) -> Result<Reply, WireError> {
        let is_it = |message: &ServerMessage| matches!(message, ServerMessage::Reply { id: other, .. } if *other == id);
        match self.find(&format!("the reply {id}"), is_it).await {
            ServerMessage::Reply { result, .. } => result,
            ServerMessage::Push(push) => panic!("not a reply: {push:?}"),
        }
    }

    /// The next push; replies that come meanwhile wait.
    ///
    /// # Panics
    /// When the connection ends first, or nothing comes.
    pub async fn push(&mut self) -> Push {
        let is_push = |message: &ServerMessage| matches!(message, ServerMessage::Push(_));
        match self.find("a push", is_push).await {
            ServerMessage::Push(push) => push,
            ServerMessage::Reply { id, result } => panic!("not a push: {id} {result:?}"),
        }
    }

    /// The next message, reply or push, in the order of the wire.
    ///
    /// # Panics
    /// When the connection ends first, or nothing comes.
    pub async fn message(&mut self) -> ServerMessage {
        self.find("a message", |_| true).await
    }

    /// The next push, which must be an event.
    ///
    /// # Panics
    /// When it is another push, or nothing comes.
    pub async fn event(&mut self) -> Event {
        self.aliased_event().await.1
    }

    /// The same, with the alias of its channel.
    ///
    /// # Panics
    /// When it is another push, or nothing comes.
    pub async fn aliased_event(&mut self) -> (Alias, Event) {
        match self.push().await {
            Push::Event { alias, event } => (alias, event),
            other => panic!("not an event: {other:?}; {}", self.story()),
        }
    }

    /// So many events.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// The pushes that came before the answer to a ping that is sent now: what the server had to say up to here.
    pub async fn pushes_so_far(&mut self) -> Vec<Push> {
        self.ping().await;
        let mut pushes = Vec::new();
        self.waiting.retain(|message| match message {
            ServerMessage::Push(push) => {
                pushes.push(push.clone());
                false
            }
            ServerMessage::Reply { .. } => true,
        });
        pushes
    }

    /// Waits for the end of the connection.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn goodbye(&mut self) -> Goodbye {
        in_time("the end of the connection", async {
            while self.read().await {}
        })
        .await;
        self.goodbye.clone().unwrap_or_default()
    }

    /// Waits for the end, which must be this one.
    ///
    /// # Panics
    /// When it does not end, or otherwise.
    pub async fn expect_close(&mut self, code: CloseCode) -> Goodbye {
        let goodbye = self.goodbye().await;
        goodbye.assert(code);
        goodbye
    }

    /// How much was read and not asked for.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Reads one frame, and leaves it for later.
    ///
    /// # Panics
    /// When the connection ends, or nothing comes.
    pub async fn hear_one(&mut self) {
        let goes_on = in_time("a frame", self.read()).await;
        assert!(goes_on, "the connection ended: {:?}", self.goodbye);
    }

    /// What was read and not asked for.
    pub fn take_waiting(&mut self) -> Vec<ServerMessage> {
        self.waiting.drain(..).collect()
    }

    // Leaving.

    /// Says goodbye.
    pub async fn leave(mut self) {
        self.wire.close().await;
        self.goodbye().await;
    }

    /// Loses the connection, without a word.
    pub fn lose(self) {
        drop(self);
    }

    async fn find(&mut self, what: &str, is_it: impl Fn(&ServerMessage) -> bool) -> ServerMessage {
        let mut looked_at = 0;
        loop {
            if let Some(index) = self.waiting.iter().skip(looked_at).position(&is_it) {
                let found = self.waiting.remove(looked_at + index);
                return found.expect("the index was just found");
            }
            looked_at = self.waiting.len();
            let read = tokio::time::timeout(crate::PATIENCE, self.read()).await;
            match read {
                Ok(true) => {}
                Ok(false) => panic!(
                    "the connection ended before {what}: {:?}; {}",
                    self.goodbye,
                    self.story()
                ),
                Err(_) => panic!(
                    "waited {:?} in vain for {what}; {}",
                    crate::PATIENCE,
                    self.story()
                ),
            }
        }
    }

    /// Reads one frame. False at the end.
    async fn read(&mut self) -> bool {
        if self
            .goodbye
            .as_ref()
            .is_some_and(|goodbye| goodbye.code.is_none())
        {
            return false;
        }
        match self.wire.read().await {
            Frame::Data(bytes) => {
                let messages = codec::decode_server(self.wire.form(), &bytes);
                let messages = messages.unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
                for message in messages {
                    self.take(message).await;
                }
                true
            }
            Frame::Control => true,
            Frame::Close(code) => {
                self.goodbye = Some(Goodbye {
                    code: Some(code),
                    push: self.farewell.take(),
                    error: None,
                });
                true
            }
            Frame::End(error) => {
                let push = self.farewell.take();
                self.goodbye.get_or_insert(Goodbye {
                    code: None,
                    push,
                    error,
                });
                false
            }
        }
    }

    async fn take(&mut self, message: ServerMessage) {
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(
            format!("{message:?}")
                .chars()
                .take(TOLD_CHARS_MAX)
                .collect(),
        );
        match message {
            ServerMessage::Push(Push::Ping) => {
                self.pings += 1;
                if self.answers_pings {
                    self.send_without_id(Command::Pong(Pong {})).await;
                }
            }
            ServerMessage::Push(Push::Disconnect(farewell)) => self.farewell = Some(farewell),
            other => self.waiting.push_back(other),
        }
    }

    /// The newest messages, for a failure's text.
    pub fn story(&self) -> String {
        let told: Vec<_> = self.told.iter().map(String::as_str).collect();
        format!("the last it was told:\n  {}", told.join("\n  "))
    }
}
