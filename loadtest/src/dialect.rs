//! The languages that the load tester speaks: Parlor's own, and those of the servers that it is compared with.
//!
//! A dialect says how a connection introduces itself, how a publish looks, and what a frame from the server means. It knows
//! no sockets and no clock; everything else of the generator is the same for all, or the comparison would not be fair.
//! Servers other than Parlor number nothing, so their order is checked by the number in the stamp.

use anyhow::bail;
use parlor_protocol::Form;

use crate::frames;
use crate::scan::Sighting;
use crate::stamp::Finder;

mod centrifuge;
mod nats;
pub(crate) mod parlor;
mod pusher;
mod socket_io;

/// A language, by `--form`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Parlor(Form),
    /// Centrifugo's JSON protocol.
    Centrifuge,
    /// The NATS text protocol in WebSocket frames.
    Nats,
    /// Socket.IO 5 on Engine.IO 4, over WebSocket only. See `bench/peers` for the three events that its server must know.
    SocketIo,
    /// Pusher's protocol 7, publishing by client events in private channels. The token is `KEY:SECRET`.
    Pusher,
    /// Every frame is a payload; the URL names the channel.
    Raw,
}

/// Who a connection is and what it wants to join.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello {
    pub(crate) user: String,
    pub(crate) token: Option<String>,
    pub(crate) channels: Vec<String>,
    /// The position in the first channel from which to go on. Parlor only.
    pub(crate) recover: Option<String>,
}

/// How far a connection with somebody else's server has come.
#[derive(Debug)]
pub(crate) struct Talk {
    hello: Hello,
    /// Channels whose joining was confirmed.
    joined: usize,
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Delivery(Sighting),
    /// All channels are joined.
    Ready,
    /// This frame wants to be sent.
    Answer(Vec<u8>),
    /// A request of ours failed.
    Refused(String),
}

/// Understands one thread's frames of a dialect other than Parlor's.
#[derive(Debug)]
pub(crate) struct Ear {
    dialect: Dialect,
    finder: Finder,
}

impl Dialect {
    /// # Errors
    /// When there is no such dialect.
    pub(crate) fn parse(raw: &str) -> anyhow::Result<Self> {
        let all = [
            Self::Parlor(Form::Json),
            Self::Parlor(Form::MsgPack),
            Self::Centrifuge,
            Self::Nats,
            Self::SocketIo,
            Self::Pusher,
            Self::Raw,
        ];
        match all.into_iter().find(|dialect| dialect.name() == raw) {
            Some(dialect) => Ok(dialect),
            None => bail!(
                "`{raw}` is not a wire form; {} are",
                all.map(Self::name).join(", ")
            ),
        }
    }

    /// As the command line and the report call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parlor(Form::Json) => "json",
            Self::Parlor(Form::MsgPack) => "msgpack",
            Self::Centrifuge => "centrifuge",
            Self::Nats => "nats",
            Self::SocketIo => "socket.io",
            Self::Pusher => "pusher",
            Self::Raw => "raw",
        }
    }

    /// What the handshake offers.
    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Parlor(form) => Some(form.subprotocol()),
            Self::Centrifuge | Self::Nats | Self::SocketIo | Self::Pusher | Self::Raw => None,
        }
    }

    /// Whether the server answers publishes and numbers events. Where not, what was written counts as acknowledged.
    pub(crate) fn acknowledges(self) -> bool {
        matches!(self, Self::Parlor(_))
    }

    /// Whether each connection speaks of the channels in its URL alone.
    pub(crate) fn names_channels_in_url(self) -> bool {
        self == Self::Raw
    }

    /// Whether only members may publish.
    pub(crate) fn publishes_as_member(self) -> bool {
        self == Self::Pusher
    }

    /// What the client says first, if it does not wait for the server.
    pub(crate) fn greeting(self, hello: &Hello) -> Vec<u8> {
        match self {
            Self::Parlor(form) => parlor::connect(form, hello),
            Self::Centrifuge => frames::text(centrifuge::greeting(hello).as_bytes()),
            Self::Nats => frames::binary(nats::greeting(hello).as_bytes()),
            Self::SocketIo | Self::Pusher | Self::Raw => Vec::new(),
        }
    }

    /// The answer to a ping of the server's.
    pub(crate) fn pong(self) -> Vec<u8> {
        match self {
            Self::Parlor(form) => parlor::pong(form),
            Self::Centrifuge => frames::text(b"{}"),
            Self::Nats => frames::binary(b"PONG\r\n"),
            Self::SocketIo => frames::text(b"3"),
            Self::Pusher => frames::text(pusher::PONG),
            Self::Raw => frames::pong(b""),
        }
    }

    /// A publish of `data` with the number that the whole run gives it. Not Parlor's, which has more to say.
    pub(crate) fn publish(self, number: u64, channel: &str, data: &str) -> Vec<u8> {
        match self {
            Self::Parlor(form) => parlor::publish(form, number, None, channel, data),
            Self::Centrifuge => frames::text(centrifuge::publish(number, channel, data).as_bytes()),
            Self::Nats => frames::binary(nats::publish(channel, data).as_bytes()),
            Self::SocketIo => frames::text(socket_io::publish(channel, data).as_bytes()),
            Self::Pusher => frames::text(pusher::publish(channel, data).as_bytes()),
            Self::Raw => frames::text(data.as_bytes()),
        }
    }
}

impl Talk {
    pub(crate) fn new(hello: Hello) -> Self {
        Self { hello, joined: 0 }
    }
}

impl Ear {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            finder: Finder::default(),
        }
    }

    /// Tells what a frame says, piece by piece: some servers put many messages into one.
    pub(crate) fn listen(&mut self, talk: &mut Talk, payload: &[u8], tell: impl FnMut(Heard)) {
        match self.dialect {
            Dialect::Centrifuge => self.centrifuge(talk, payload, tell),
            Dialect::Nats => self.nats(payload, tell),
            Dialect::SocketIo => self.socket_io(talk, payload, tell),
            Dialect::Pusher => self.pusher(talk, payload, tell),
            // Parlor's frames go another way: through the scanner and the codec.
            Dialect::Parlor(_) | Dialect::Raw => {
                self.delivery(payload).into_iter().for_each(tell);
            }
        }
    }

    /// What a message with a stamp is.
    fn delivery(&mut self, message: &[u8]) -> Option<Heard> {
        let (stamp, _) = self.finder.find(message)?;
        Some(Heard::Delivery(Sighting {
            alias: 0,
            offset: stamp.number,
            stamp: Some(stamp),
        }))
    }
}

#[cfg(test)]
mod tests;
