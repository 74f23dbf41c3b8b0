//! What a client session wants done, and what it tells its user.

use std::sync::Arc;
use std::time::Duration;

use crate::codec::FrameError;
use crate::error::WireError;
use crate::event::Event;
use crate::push::{Disconnect, PresenceDiff, Status};
use crate::reply::{Connected, NotRecovered, Reply, Subscribed};

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a socket now, then report `opened` or `closed`.
    Connect,
    /// Write one message: text in JSON, binary in MessagePack.
    Send(Vec<u8>),
    /// Drop the socket. Nothing more of it may be reported, its end neither.
    Close,
    /// Tell the user.
    Event(ClientEvent),
}

/// Names a request until its reply, over reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What happened, for the user.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientEvent {
    /// The server accepted `connect`. The outcomes of its subscriptions follow as events of their own.
    Connected(Box<Connected>),
    /// The connection ended. Without `retry_in` the session is stopped.
    Disconnected {
        code: Option<u16>,
        retry_in: Option<Duration>,
    },
    /// The server refused `connect`; the session is stopped unless the error is a passing one.
    ConnectRefused(WireError),
    /// The server said why it is about to close.
    Farewell(Disconnect),
    /// A channel is subscribed: at first, after each reconnect, or because the server wanted it.
    Subscribed {
        subscribed: Box<Subscribed>,
        continuity: Continuity,
    },
    /// A channel cannot be subscribed; the session asks no more for it.
    SubscribeRefused { channel: Arc<str>, error: WireError },
    /// The server ended a subscription for good.
    Unsubscribed {
        channel: Arc<str>,
        code: u16,
        reason: String,
    },
    /// An event of a channel: logged ones once and in order.
    Event { channel: Arc<str>, event: Event },
    /// The server passed over events up to this offset, and says so.
    Advanced {
        channel: Arc<str>,
        offset: u64,
        reason: String,
    },
    /// The roster changed. After a skipped version, ask for a new snapshot; after a diff without names, when names are needed again.
    Presence {
        channel: Arc<str>,
        diff: PresenceDiff,
    },
    /// Events are missing without a word: a fault of the server. The session subscribes again from the
    /// last position, so they still come if they can.
    Gap {
        channel: Arc<str>,
        expected: u64,
        got: u64,
    },
    /// An event that was told before came again; it is not told twice.
    Duplicate { channel: Arc<str>, offset: u64 },
    /// The answer to a request.
    Reply {
        request: RequestId,
        result: Result<Reply, Failure>,
    },
    /// Events of these offsets had been acknowledged or delivered and are gone: the server lost them, and says so.
    /// The session subscribes again.
    Lost {
        channel: Arc<str>,
        from: u64,
        to: u64,
    },
    /// The server can keep and pass on events again, or cannot for now.
    Status(Status),
    /// The token ends soon: get another and call `refresh`.
    TokenExpiring { expires_in: Duration },
    /// The server sent what is not of this protocol; the connection is dropped.
    BadFrame(FrameError),
}

/// Whether something may be missing before a subscription's next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The first time, nothing to continue.
    First,
    /// All that was missed follows.
    Complete,
    /// Something may be missing. Without a reason: the server wanted a fresh start.
    Broken(Option<NotRecovered>),
}

/// Why a request has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server's answer.
    #[error(transparent)]
    Refused(#[from] WireError),
    /// The outcome is unknown. A publish without an id must not be repeated blindly.
    #[error("the connection was lost; the outcome is unknown")]
    ConnectionLost,
    /// The outcome is unknown, and the time in which a repetition is safe has passed.
    #[error("no answer in the time in which a repetition is safe; the outcome is unknown")]
    Expired,
    #[error("the session was stopped")]
    Stopped,
}
