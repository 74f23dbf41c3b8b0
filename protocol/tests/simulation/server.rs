//! The least that a server is: one channel's log, one connection, publishing once by id.

use parlor_protocol::codec::{decode_commands, encode_push, encode_reply};
use parlor_protocol::command::{Recover, SessionKey, Subscribe};
use parlor_protocol::reply::{
    Connected, ConnectionLimits, Published, SubscribeOutcome, Subscribed, Unsubscribed,
};
use parlor_protocol::{Alias, Command, Event, EventKind, Form, Push, Reply, Tags, Time};

pub(crate) struct Server {
    form: Form,
    /// The publish id of each logged event.
    log: Vec<Option<String>>,
    is_subscribed: bool,
    sent: Vec<(bool, Vec<u8>)>,
}

impl Server {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            log: Vec::new(),
            is_subscribed: false,
            sent: Vec::new(),
        }
    }

    /// A new connection, in place of the one before.
    pub(crate) fn accept(&mut self) {
        self.is_subscribed = false;
        self.sent.clear();
    }

    /// What was sent since the last look, and whether it is an event.
    pub(crate) fn sent(&mut self) -> Vec<(bool, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn top(&self) -> u64 {
        self.log.len() as u64
    }

    pub(crate) fn offsets_of(&self, id: &str) -> Vec<u64> {
        let offsets = (1..)
            .zip(&self.log)
            .filter(|(_, found)| found.as_deref() == Some(id));
        offsets.map(|(offset, _)| offset).collect()
    }

    pub(crate) fn append(&mut self, id: Option<String>) -> u64 {
        self.log.push(id);
        if self.is_subscribed {
            self.push_event(self.top());
        }
        self.top()
    }

    pub(crate) fn take(&mut self, frame: &[u8]) {
        for envelope in decode_commands(self.form, frame).expect("a frame") {
            let envelope = envelope.expect("a command");
            match envelope.command {
                Command::Connect(connect) => {
                    let wish = connect
                        .subscriptions
                        .first()
                        .expect("its one channel")
                        .clone();
                    let (subscribed, missed) = self.subscribe(&wish);
                    let outcome = SubscribeOutcome::Subscribed(subscribed);
                    self.reply(envelope.id, Reply::Connect(Box::new(connected(outcome))));
                    missed.for_each(|offset| self.push_event(offset));
                }
                Command::Subscribe(wish) => {
                    let (subscribed, missed) = self.subscribe(&wish);
                    self.reply(envelope.id, Reply::Subscribe(subscribed));
                    missed.for_each(|offset| self.push_event(offset));
                }
                Command::Unsubscribe(_) => {
                    self.is_subscribed = false;
                    self.reply(envelope.id, Reply::Unsubscribe(Unsubscribed {}));
                }
                Command::Publish(publish) => {
                    let id = publish.id.expect("an id");
                    let before = self.offsets_of(&id).first().copied();
                    let offset = before.unwrap_or_else(|| self.append(Some(id)));
                    self.reply(
                        envelope.id,
                        Reply::Publish(published(offset, before.is_some())),
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn subscribe(&mut self, wish: &Subscribe) -> (Subscribed, std::ops::RangeInclusive<u64>) {
        assert!(!self.is_subscribed, "subscribed twice");
        self.is_subscribed = true;
        let Some(Recover::From(position)) = &wish.recover else {
            panic!("{wish:?}")
        };
        let from: u64 = position[1..].parse().expect("a position");
        let top = self.top();
        let subscribed = Subscribed {
            channel: wish.channel.clone(),
            alias: Alias(7),
            position: format!("p{top}"),
            offset: top,
            recovered: Some(true),
            from: (from < top).then_some(from + 1),
            to: (from < top).then_some(top),
            reason: None,
            presence: false,
            durability: "memory".to_owned(),
        };
        (subscribed, from + 1..=top)
    }

    fn push_event(&mut self, offset: u64) {
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
        let frame = encode_push(
            self.form,
            &Push::Event {
                alias: Alias(7),
                event,
            },
        );
        self.sent.push((true, frame));
    }

    fn reply(&mut self, id: Option<u32>, reply: Reply) {
        let frame = encode_reply(self.form, id.expect("an id"), &Ok(reply));
        self.sent.push((false, frame));
    }
}

fn connected(outcome: SubscribeOutcome) -> Connected {
    Connected {
        connection: "c1".to_owned(),
        session: SessionKey {
            id: "s1".to_owned(),
            secret: "x".to_owned(),
        },
        user: None,
        server: "model".to_owned(),
        time: Time(1),
        // Longer than the simulation: the model does not ping.
        ping_interval_ms: 300_000,
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
        subscriptions: vec![outcome],
    }
}

fn published(offset: u64, duplicate: bool) -> Published {
    Published {
        offset,
        position: format!("p{offset}"),
        time: Time(offset),
        durability: "memory".to_owned(),
        duplicate,
    }
}
