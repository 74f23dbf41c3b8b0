//! Bytes to values and back, for both wire forms. The form is fixed by the WebSocket subprotocol.
//!
//! Server side: [`decode_commands`], [`encode_reply`], [`encode_push`]. Client side: [`encode_command`],
//! [`decode_server`]. A frame is one object or an array of objects.

use crate::command::Envelope;
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
        Self::ALL.into_iter().find(|form| form.subprotocol() == name)
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
    Reply { id: u32, result: Result<Reply, WireError> },
    Push(Push),
}

/// Splits a frame and understands each of its commands by itself.
///
/// # Errors
/// [`FrameError`] when the frame is not an object or a flat array of objects of the documented form.
pub fn decode_commands(form: Form, frame: &[u8]) -> Result<Vec<Result<Envelope, CommandError>>, FrameError> {
    let _ = (form, frame);
    todo!()
}

/// The answer to one command, as one frame's payload.
pub fn encode_reply(form: Form, id: u32, result: &Result<Reply, WireError>) -> Vec<u8> {
    let _ = (form, id, result);
    todo!()
}

/// One push, as one frame's payload.
pub fn encode_push(form: Form, push: &Push) -> Vec<u8> {
    let _ = (form, push);
    todo!()
}

/// One command, as one frame's payload.
pub fn encode_command(form: Form, envelope: &Envelope) -> Vec<u8> {
    let _ = (form, envelope);
    todo!()
}

/// Several commands as one frame: an array.
pub fn encode_commands(form: Form, envelopes: &[Envelope]) -> Vec<u8> {
    let _ = (form, envelopes);
    todo!()
}

/// Everything a server's frame holds.
///
/// # Errors
/// [`FrameError`] when the frame is not of the documented form.
pub fn decode_server(form: Form, frame: &[u8]) -> Result<Vec<ServerMessage>, FrameError> {
    let _ = (form, frame);
    todo!()
}
