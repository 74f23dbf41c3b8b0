//! A toy server that speaks enough of the protocol for a load, and breaks one promise once.
//!
//! Knows nothing of the real server: it numbers events and hands them to everybody.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use parlor_protocol::codec::{decode_commands, encode_push, encode_reply};
use parlor_protocol::command::{Connect, Publish, Recover, SessionKey};
use parlor_protocol::reply::{
    Connected, ConnectionLimits, Published, SubscribeOutcome, Subscribed,
};
use parlor_protocol::{
    Alias, Command, ErrorCode, Event, EventKind, Form, Format, Payload, Push, Reply, Tags, Time,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::accept;

/// The promise that is broken, once, on the first subscriber of the first channel that speaks a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Lose,
    Repeat,
    Swap,
    /// An event of a channel that the subscriber has not joined comes with its own.
    Stray,
    Close,
    Refuse,
    /// A publish is taken for a repetition of the one before, and dropped.
    Confuse,
    /// Not once but always: a channel takes [`FULL_AT`] events, and refuses all others.
    Full,
    /// Nobody is served for [`STALL`].
    Stall,
    /// The first subscriber that came back is given its channel from the beginning, whatever it speaks.
    Rewind,
    /// What the first subscriber that came back had missed, whatever it speaks.
    Forget,
    /// Not once but always: when so many subscribers were answered, the `connect` of the next one is not.
    SilentAfter(usize),
}

/// The event at which it happens.
const FAULT_AT: u64 = 20;
/// The events of a channel that is full.
const FULL_AT: u64 = 35;
/// Beyond those of all channels.
const ALIAS_OF_NOBODY: u32 = 1_000_000;
pub(crate) const STALL: Duration = Duration::from_millis(500);
const OUTBOX_FRAMES: usize = 10_000;

/// Serves until the process ends; returns where.
pub(crate) fn serve(fault: Fault, form: Form) -> SocketAddr {
    let server = Arc::new(Server {
        fault,
        form,
        connects: AtomicUsize::new(0),
        channels: Mutex::default(),
    });
    accept::serve(move |stream| Arc::clone(&server).connection(stream))
}

struct Server {
    fault: Fault,
    /// What the one speaks on whom the promise is broken.
    form: Form,
    /// Those of subscribers.
    connects: AtomicUsize,
    channels: Mutex<HashMap<String, Channel>>,
}

#[derive(Default)]
struct Channel {
    alias: u32,
    log: Vec<Push>,
    /// Whether the promise was broken already, where that does not show.
    broken: bool,
    /// The event that waits to be sent in the wrong order.
    held: Option<Push>,
    subscribers: Vec<Outbox>,
}

/// What waits for one connection.
#[derive(Clone)]
struct Outbox {
    form: Form,
    frames: mpsc::Sender<Message>,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut form = Form::Json;
        #[expect(
            clippy::result_large_err,
            reason = "tungstenite's callback returns a whole response"
        )]
        let choose =
            |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                let offered = request.headers()["sec-websocket-protocol"].clone();
                form = Form::from_subprotocol(offered.to_str().unwrap()).unwrap();
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", offered);
                Ok(response)
            };
        let Ok(socket) = accept_hdr_async(stream, choose).await else {
            return;
        };
        let (mut sink, mut source) = socket.split();
        let (sender, mut frames) = mpsc::channel(OUTBOX_FRAMES);
        let outbox = Outbox {
            form,
            frames: sender,
        };
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if sink.send(frame).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(frame)) = source.next().await {
            // A subscriber that is cut may leave a half-made close behind.
            let Ok(commands) = decode_commands(form, &frame.into_data()) else {
                return;
            };
            for command in commands {
                let command = command.unwrap();
                let id = command.id.unwrap();
                match command.command {
                    Command::Connect(connect) => self.connect(id, &connect, &outbox),
                    Command::Publish(publish) => {
                        let result = self.publish(publish);
                        outbox.reply(id, &result);
                    }
                    other => panic!("the load tester said {other:?}"),
                }
            }
        }
    }

    fn connect(&self, id: u32, connect: &Connect, outbox: &Outbox) {
        // Publishers, who join nothing, are always answered: without them there would be no run.
        if let Fault::SilentAfter(answered) = self.fault
            && !connect.subscriptions.is_empty()
            && self.connects.fetch_add(1, Ordering::Relaxed) >= answered
        {
            return;
        }
        let mut channels = self.channels.lock().unwrap();
        let (mut outcomes, mut missed) = (Vec::new(), Vec::new());
        for subscribe in &connect.subscriptions {
            let alias = u32::try_from(channels.len()).unwrap();
            let channel = channels
                .entry(subscribe.channel.clone())
                .or_insert_with(|| Channel {
                    alias,
                    ..Channel::default()
                });
            if let Some(Recover::From(position)) = &subscribe.recover {
                missed = channel.missed_behind(position.parse().unwrap(), self.fault);
            }
            let mut subscribed = subscribed(&subscribe.channel, channel);
            subscribed.recovered = subscribe.recover.is_some().then_some(true);
            outcomes.push(SubscribeOutcome::Subscribed(subscribed));
            channel.subscribers.push(outbox.clone());
        }
        // The missed events follow the reply, and what is published now follows them: the channels are still locked.
        outbox.reply(id, &Ok(Reply::Connect(Box::new(connected(outcomes)))));
        missed.iter().for_each(|push| outbox.push(push));
    }

    fn publish(&self, publish: Publish) -> Result<Reply, parlor_protocol::WireError> {
        let mut channels = self.channels.lock().unwrap();
        let channel = channels.entry(publish.channel.clone()).or_default();
        if self.fault == Fault::Full && channel.top() >= FULL_AT {
            return Err(ErrorCode::Busy.with("full on purpose"));
        }
        let first = channel.alias == 0 && channel.top() + 1 == FAULT_AT;
        if first && self.fault == Fault::Refuse && !channel.broken {
            channel.broken = true;
            return Err(ErrorCode::Busy.with("busy on purpose"));
        }
        if first && self.fault == Fault::Confuse && !channel.broken {
            channel.broken = true;
            return Ok(Reply::Publish(Published {
                duplicate: true,
                ..channel.newest()
            }));
        }
        if first && self.fault == Fault::Stall {
            // The only thread: no socket is read and none is written meanwhile.
            thread::sleep(STALL);
        }
        let speaks = |outbox: &Outbox| outbox.form == self.form;
        let victim = channel.subscribers.iter().position(speaks);
        let push = channel.append(publish);
        for index in 0..channel.subscribers.len() {
            let here = Some(index) == victim;
            let fault = if first && here {
                self.fault
            } else {
                Fault::None
            };
            channel.deliver(index, &push, fault);
            if here && let Some(held) = channel.held.take_if(|held| *held != push) {
                channel.subscribers[index].push(&held);
            }
        }
        Ok(Reply::Publish(channel.newest()))
    }
}

impl Channel {
    fn top(&self) -> u64 {
        self.log.len() as u64
    }

    /// What the publisher of the newest event is told.
    fn newest(&self) -> Published {
        Published {
            offset: self.top(),
            position: self.top().to_string(),
            time: Time(self.top()),
            durability: "memory".to_owned(),
            duplicate: false,
        }
    }

    fn append(&mut self, publish: Publish) -> Push {
        let push = event(self.alias, self.top() + 1, publish);
        self.log.push(push.clone());
        push
    }

    /// What follows a position, and one event more, of the server's own, so that there always is something.
    fn missed_behind(&mut self, offset: usize, fault: Fault) -> Vec<Push> {
        let push = self.append(Publish {
            channel: String::new(),
            id: None,
            echo: true,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Json,
                bytes: Bytes::from_static(b"{}"),
            },
        });
        self.subscribers
            .iter()
            .for_each(|outbox| outbox.push(&push));
        let breaks = self.alias == 0 && !self.broken;
        let from = match fault {
            Fault::Forget if breaks => self.log.len(),
            Fault::Rewind if breaks => 0,
            _ => return self.log[offset..].to_vec(),
        };
        self.broken = true;
        self.log[from..].to_vec()
    }

    fn deliver(&mut self, index: usize, push: &Push, fault: Fault) {
        let outbox = &self.subscribers[index];
        match fault {
            Fault::Lose => {}
            Fault::Swap => self.held = Some(push.clone()),
            Fault::Close => outbox.send(Message::Close(None)),
            Fault::Repeat => {
                outbox.push(push);
                outbox.push(push);
            }
            Fault::Stray => {
                outbox.push(push);
                outbox.push(&elsewhere(push));
            }
            Fault::None
            | Fault::Refuse
            | Fault::Confuse
            | Fault::Full
            | Fault::Stall
            | Fault::Rewind
            | Fault::Forget
            | Fault::SilentAfter(_) => outbox.push(push),
        }
    }
}

impl Outbox {
    fn push(&self, push: &Push) {
        self.send(message(self.form, encode_push(self.form, push)));
    }

    fn reply(&self, id: u32, result: &Result<Reply, parlor_protocol::WireError>) {
        self.send(message(self.form, encode_reply(self.form, id, result)));
    }

    /// A subscriber that has gone is nothing to this server.
    fn send(&self, frame: Message) {
        drop(self.frames.try_send(frame));
    }
}

fn message(form: Form, payload: Vec<u8>) -> Message {
    match form {
        Form::Json => Message::text(String::from_utf8(payload).unwrap()),
        Form::MsgPack => Message::binary(payload),
    }
}

fn event(alias: u32, offset: u64, publish: Publish) -> Push {
    let event = Event {
        kind: EventKind::Message,
        offset: Some(offset),
        seq: Some(offset),
        position: Some(offset.to_string()),
        time: Time(offset),
        id: publish.id,
        user: None,
        tags: Tags::new(),
        payload: Some(publish.payload),
        own: false,
        erased: false,
    };
    Push::Event {
        alias: Alias(alias),
        event,
    }
}

/// The same in a channel that nobody has joined.
fn elsewhere(push: &Push) -> Push {
    match push {
        Push::Event { event, .. } => Push::Event {
            alias: Alias(ALIAS_OF_NOBODY),
            event: event.clone(),
        },
        other => other.clone(),
    }
}

fn subscribed(name: &str, channel: &Channel) -> Subscribed {
    Subscribed {
        channel: name.to_owned(),
        alias: Alias(channel.alias),
        position: channel.top().to_string(),
        offset: channel.top(),
        recovered: None,
        from: None,
        to: None,
        reason: None,
        presence: false,
        durability: "memory".to_owned(),
    }
}

fn connected(subscriptions: Vec<SubscribeOutcome>) -> Connected {
    Connected {
        connection: "c".to_owned(),
        session: SessionKey {
            id: "s".to_owned(),
            secret: "x".to_owned(),
        },
        user: None,
        server: "faulty".to_owned(),
        time: Time(1),
        ping_interval_ms: 25_000,
        features: Vec::new(),
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
    }
}
