//! A toy server for any of the languages: channels, and who is in them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::accept;
use crate::language::{Language, Wish};

/// Whether it gives everybody everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honesty {
    Honest,
    /// One delivery, in the middle of the load.
    KeepsOneBack,
}

/// Serves until the process ends; returns where.
pub(crate) fn serve(language: Language, honesty: Honesty) -> SocketAddr {
    let server = Arc::new(Server {
        language,
        honesty,
        rooms: Mutex::default(),
    });
    accept::serve(move |stream| Arc::clone(&server).connection(stream))
}

struct Server {
    language: Language,
    honesty: Honesty,
    rooms: Mutex<Rooms>,
}

#[derive(Default)]
struct Rooms {
    members: HashMap<String, Vec<Outbox>>,
    publishes: u64,
}

/// What waits for one connection.
type Outbox = mpsc::Sender<String>;

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut path = String::new();
        #[expect(
            clippy::result_large_err,
            reason = "tungstenite's callback returns a whole response"
        )]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().path().to_owned();
            Ok(response)
        };
        let Ok(socket) = accept_hdr_async(stream, look).await else {
            return;
        };
        let (mut sink, mut source) = socket.split();
        let (outbox, mut frames) = mpsc::channel(OUTBOX_FRAMES);
        if let Some(channel) = path.strip_prefix("/sub/") {
            self.obey(Wish::Join(channel.to_owned()), &outbox);
        }
        self.language
            .greeting()
            .into_iter()
            .for_each(|greeting| tell(&outbox, greeting));
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if sink.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
        });
        while let Some(Ok(frame)) = source.next().await {
            // A subscriber that is gone says nothing that matters.
            if let Ok(said) = frame.into_text()
                && !said.is_empty()
            {
                for wish in self.language.understand(&path, &said) {
                    self.obey(wish, &outbox);
                }
            }
        }
    }

    fn obey(&self, wish: Wish, outbox: &Outbox) {
        let mut rooms = self.rooms.lock().unwrap();
        match wish {
            Wish::Hear(what) => tell(outbox, what),
            Wish::Join(channel) => rooms
                .members
                .entry(channel)
                .or_default()
                .push(outbox.clone()),
            Wish::Publish(channel, data) => {
                rooms.publishes += 1;
                let keeps = self.honesty == Honesty::KeepsOneBack && rooms.publishes == FAULT_AT;
                let delivery = self.language.delivery(&channel, &data);
                let members = rooms.members.get(&channel).into_iter().flatten();
                // Where publishers are members, they do not hear themselves.
                let others = members.filter(|member| !member.same_channel(outbox));
                others
                    .skip(usize::from(keeps))
                    .for_each(|member| tell(member, delivery.clone()));
            }
        }
    }
}

/// Who has gone is nothing to this server.
fn tell(outbox: &Outbox, what: String) {
    drop(outbox.try_send(what));
}

/// The publish of which one delivery is kept back.
const FAULT_AT: u64 = 50;
const OUTBOX_FRAMES: usize = 10_000;
