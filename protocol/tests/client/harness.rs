//! The other end of a client session: takes its effects, reads its frames, answers as a script says.

use std::time::Duration;

use bytes::Bytes;
use parlor_protocol::client::{ClientConfig, ClientEvent, ClientSession, Continuity, Effect};
use parlor_protocol::codec::{decode_commands, encode_push, encode_reply};
use parlor_protocol::command::{Connect, Publish, SessionKey, Subscribe};
use parlor_protocol::reply::{Connected, ConnectionLimits, SubscribeOutcome, Subscribed};
use parlor_protocol::{
    Alias, Command, Envelope, Event, EventKind, Form, Format, Payload, Push, Reply, Tags, Time,
    WireError,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Wire {
    pub(crate) session: ClientSession,
    pub(crate) now: Duration,
    pub(crate) longest_frame: usize,
    pub(crate) most_commands: usize,
    form: Form,
    connect_id: Option<u32>,
    /// Read but not yet asked for.
    commands: Vec<Envelope>,
    events: Vec<ClientEvent>,
}

impl Wire {
    pub(crate) fn with_form(form: Form) -> Self {
        let config = ClientConfig {
            form,
            ..ClientConfig::default()
        };
        Self {
            session: ClientSession::new(config, 1),
            now: Duration::from_secs(1_000),
            longest_frame: 0,
            most_commands: 0,
            form,
            connect_id: None,
            commands: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Connected, with one subscription under alias 7 that stands at `offset`.
    pub(crate) fn live_in(channel: &str, offset: u64) -> Self {
        let mut wire = Self::with_form(Form::MsgPack);
        wire.session.subscribe(Subscribe::new(channel));
        wire.dial();
        wire.welcome(vec![SubscribeOutcome::Subscribed(subscribed(
            channel, 7, offset,
        ))]);
        wire.events();
        wire
    }

    /// Starts, opens the socket and reads `connect`.
    pub(crate) fn dial(&mut self) -> Connect {
        self.session.start(self.now);
        self.open()
    }

    /// Waits for the session to come back.
    pub(crate) fn redial(&mut self) -> Connect {
        self.now = self.session.deadline().expect("it comes back");
        self.session.tick(self.now);
        self.open()
    }

    fn open(&mut self) -> Connect {
        let effects = self.drain();
        assert!(effects.contains(&Effect::Connect), "{effects:?}");
        self.session.opened(self.now);
        self.drain();
        let envelope = self.commands.remove(0);
        self.connect_id = envelope.id;
        match envelope.command {
            Command::Connect(connect) => connect,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn welcome(&mut self, subscriptions: Vec<SubscribeOutcome>) {
        let connected = Connected {
            connection: "c1".to_owned(),
            session: SessionKey {
                id: "s1".to_owned(),
                secret: "x".to_owned(),
            },
            user: None,
            server: "test".to_owned(),
            time: Time(1),
            ping_interval_ms: 25_000,
            features: vec![],
            limits: ConnectionLimits {
                frame_bytes_max: 65_536,
                commands_per_frame_max: 128,
                channels_max: 512,
                payload_bytes_max: 32_768,
                history_page_max: 1_000,
                dedup_window_ms: 300_000,
            },
            expires_in_ms: None,
            degraded: false,
            subscriptions,
        };
        self.reply(self.connect_id, Ok(Reply::Connect(Box::new(connected))));
    }

    pub(crate) fn reply(&mut self, id: Option<u32>, result: Result<Reply, WireError>) {
        let frame = encode_reply(self.form, id.expect("an id"), &result);
        self.session.received(&frame, self.now);
    }

    pub(crate) fn push(&mut self, push: Push) {
        self.session
            .received(&encode_push(self.form, &push), self.now);
    }

    pub(crate) fn close(&mut self, code: Option<u16>) {
        self.session.closed(code, self.now);
    }

    pub(crate) fn tick(&mut self, time: Duration) {
        self.now += time;
        self.session.tick(self.now);
    }

    pub(crate) fn commands(&mut self) -> Vec<Envelope> {
        self.drain();
        std::mem::take(&mut self.commands)
    }

    pub(crate) fn events(&mut self) -> Vec<ClientEvent> {
        self.drain();
        self.take_kept()
    }

    /// Events that were found while something else was looked for.
    pub(crate) fn take_kept(&mut self) -> Vec<ClientEvent> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn events_and_effects(&mut self) -> Vec<Effect> {
        self.drain()
    }

    /// The offsets of the events told since the last look; holes and duplicates fail the test.
    pub(crate) fn offsets(&mut self) -> Vec<u64> {
        let events = self.events();
        let faults = |event: &ClientEvent| {
            matches!(
                event,
                ClientEvent::Gap { .. } | ClientEvent::Duplicate { .. }
            )
        };
        assert!(!events.iter().any(faults), "{events:?}");
        let offset = |event| match event {
            ClientEvent::Event { event, .. } => event.offset,
            _ => None,
        };
        events.into_iter().filter_map(offset).collect()
    }

    pub(crate) fn continuity(&mut self) -> Continuity {
        let continuity = |event| match event {
            ClientEvent::Subscribed { continuity, .. } => Some(continuity),
            _ => None,
        };
        self.events()
            .into_iter()
            .find_map(continuity)
            .expect("subscribed")
    }

    fn drain(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(effect) = self.session.poll() {
            match &effect {
                Effect::Send(frame) => self.read(frame),
                Effect::Event(event) => self.events.push(event.clone()),
                Effect::Connect | Effect::Close => {}
            }
            effects.push(effect);
        }
        effects
    }

    fn read(&mut self, frame: &[u8]) {
        let commands = decode_commands(self.form, frame).expect("a frame");
        self.longest_frame = self.longest_frame.max(frame.len());
        self.most_commands = self.most_commands.max(commands.len());
        self.commands.extend(
            commands
                .into_iter()
                .map(|command| command.expect("a command")),
        );
    }
}

/// A reply without recovery.
pub(crate) fn subscribed(channel: &str, alias: u32, offset: u64) -> Subscribed {
    Subscribed {
        channel: channel.to_owned(),
        alias: Alias(alias),
        position: format!("p{offset}"),
        offset,
        recovered: None,
        from: None,
        to: None,
        reason: None,
        presence: false,
        durability: "disk".to_owned(),
    }
}

pub(crate) fn message(alias: u32, offset: u64) -> Push {
    let event = Event {
        kind: EventKind::Message,
        offset: Some(offset),
        seq: Some(offset),
        position: Some(format!("p{offset}")),
        time: Time(offset),
        id: None,
        user: None,
        tags: Tags::new(),
        payload: None,
        own: false,
        erased: false,
    };
    Push::Event {
        alias: Alias(alias),
        event,
    }
}

pub(crate) fn publish(channel: &str, id: Option<&str>) -> Publish {
    let payload = Payload {
        format: Format::Json,
        bytes: Bytes::from_static(b"1"),
    };
    Publish {
        channel: channel.to_owned(),
        id: id.map(str::to_owned),
        echo: true,
        tags: Tags::new(),
        payload,
    }
}
