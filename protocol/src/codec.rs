//! Bytes to values and back, for both wire forms. The form is fixed by the WebSocket subprotocol.
//!
//! Server side: [`decode_commands`], [`append_reply`], [`append_push`], and [`encode_reply`], [`encode_push`] where a payload is wanted
//! for itself. Client side: [`encode_command`], [`decode_server`]. A frame is one object or an array of objects.

mod body;
mod check;
mod commands;
mod data;
mod depth;
mod encode;
mod event;
mod member;
pub(crate) mod null;
pub(crate) mod object;
mod publication;
mod server;
mod split;
mod split_json;
mod split_msgpack;

use crate::error::WireError;
use crate::push::Push;
use crate::reply::Reply;

/// A wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Text frames.
    Json,
    /// Binary frames.
    MsgPack,
}

impl Form {
    pub const ALL: [Self; 2] = [Self::Json, Self::MsgPack];

    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "parlor.v1.json",
            Self::MsgPack => "parlor.v1.msgpack",
        }
    }

    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|form| form.subprotocol() == name)
    }
}

/// The frame as a whole is not of the documented form: the connection is closed with `bad_frame`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to read the frame; {0}")]
pub struct FrameError(pub String);

/// One command of a frame that could not be understood: answered with an error, the connection lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    pub id: Option<u32>,
    pub error: WireError,
}

/// What a client finds in a frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerMessage {
    Reply {
        id: u32,
        result: Result<Reply, WireError>,
    },
    Push(Push),
}

pub use commands::decode_commands;
pub use encode::{
    append_push, append_reply, encode_command, encode_commands, encode_push, encode_reply,
};
pub use server::decode_server;
