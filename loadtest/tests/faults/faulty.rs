//! A toy server that speaks enough of the protocol for a load, and breaks one promise once.
//!
//! Knows nothing of the real server: it numbers events and hands them to everybody.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_protocol::codec::{decode_commands, encode_push, encode_reply};
use parlor_protocol::command::{Connect, Publish, SessionKey};
use parlor_protocol::reply::{
    Connected, ConnectionLimits, Published, SubscribeOutcome, Subscribed,
};
use parlor_protocol::{Alias, Command, ErrorCode, Event, EventKind, Form, Push, Reply, Tags, Time};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// The promise that is broken, once, on the first subscriber of the first channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Lose,
    Repeat,
    Swap,
    Close,
    Refuse,
}

/// The event at which it happens.
const FAULT_AT: u64 = 20;
const OUTBOX_FRAMES: usize = 10_000;

/// Serves until the process ends; returns where.
pub(crate) fn serve(fault: Fault) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let server = Arc::new(Server {
                fault,
                channels: Mutex::default(),
            });
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&server).connection(stream));
            }
        });
    });
    address
}

struct Server {
    fault: Fault,
    channels: Mutex<HashMap<String, Channel>>,
}

#[derive(Default)]
struct Channel {
    alias: u32,
    top: u64,
    refused: bool,
    /// The event that waits to be sent in the wrong order.
    held: Option<Message>,
    subscribers: Vec<mpsc::Sender<Message>>,
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
        let (outbox, mut frames) = mpsc::channel(OUTBOX_FRAMES);
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if sink.send(frame).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(frame)) = source.next().await {
            for command in decode_commands(form, &frame.into_data()).unwrap() {
                let command = command.unwrap();
                let result = match command.command {
                    Command::Connect(connect) => Ok(self.connect(&connect, &outbox)),
                    Command::Publish(publish) => self.publish(form, publish),
                    other => panic!("the load tester said {other:?}"),
                };
                if let Some(id) = command.id {
                    outbox
                        .try_send(message(form, encode_reply(form, id, &result)))
                        .unwrap();
                }
            }
        }
    }

    fn connect(&self, connect: &Connect, outbox: &mpsc::Sender<Message>) -> Reply {
        let mut channels = self.channels.lock().unwrap();
        let outcomes = connect.subscriptions.iter().map(|subscribe| {
            let alias = u32::try_from(channels.len()).unwrap();
            let channel = channels
                .entry(subscribe.channel.clone())
                .or_insert_with(|| Channel {
                    alias,
                    ..Channel::default()
                });
            channel.subscribers.push(outbox.clone());
            SubscribeOutcome::Subscribed(subscribed(&subscribe.channel, channel))
        });
        Reply::Connect(Box::new(connected(outcomes.collect())))
    }

    fn publish(&self, form: Form, publish: Publish) -> Result<Reply, parlor_protocol::WireError> {
        let mut channels = self.channels.lock().unwrap();
        let channel = channels.entry(publish.channel.clone()).or_default();
        let first = channel.alias == 0 && channel.top + 1 == FAULT_AT;
        if first && self.fault == Fault::Refuse && !channel.refused {
            channel.refused = true;
            return Err(ErrorCode::Busy.with("busy on purpose"));
        }
        channel.top += 1;
        let published = Published {
            offset: channel.top,
            position: "p".to_owned(),
            time: Time(channel.top),
            durability: "memory".to_owned(),
            duplicate: false,
        };
        let frame = message(form, encode_push(form, &event(channel, publish)));
        for index in 0..channel.subscribers.len() {
            let fault = if first && index == 0 {
                self.fault
            } else {
                Fault::None
            };
            channel.deliver(index, &frame, fault);
        }
        Ok(Reply::Publish(published))
    }
}

impl Channel {
    fn deliver(&mut self, index: usize, frame: &Message, fault: Fault) {
        let outbox = &self.subscribers[index];
        // A subscriber that has gone is nothing to this server.
        let send = |frame: &Message| drop(outbox.try_send(frame.clone()));
        match fault {
            Fault::Lose => {}
            Fault::Swap => self.held = Some(frame.clone()),
            Fault::Close => send(&Message::Close(None)),
            Fault::Repeat => {
                send(frame);
                send(frame);
            }
            Fault::None | Fault::Refuse => {
                send(frame);
                if index == 0
                    && let Some(held) = self.held.take()
                {
                    send(&held);
                }
            }
        }
    }
}

fn message(form: Form, payload: Vec<u8>) -> Message {
    match form {
        Form::Json => Message::text(String::from_utf8(payload).unwrap()),
        Form::MsgPack => Message::binary(payload),
    }
}

fn event(channel: &Channel, publish: Publish) -> Push {
    let event = Event {
        kind: EventKind::Message,
        offset: Some(channel.top),
        seq: Some(channel.top),
        position: Some("p".to_owned()),
        time: Time(channel.top),
        id: publish.id,
        user: None,
        tags: Tags::new(),
        payload: Some(publish.payload),
        own: false,
        erased: false,
    };
    Push::Event {
        alias: Alias(channel.alias),
        event,
    }
}

fn subscribed(name: &str, channel: &Channel) -> Subscribed {
    Subscribed {
        channel: name.to_owned(),
        alias: Alias(channel.alias),
        position: "p".to_owned(),
        offset: channel.top,
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
