//! The client's reading: frames into replies and pushes. What this build does not know is passed over.

use serde::de::DeserializeOwned;

use super::body::Body;
use super::event::RawEvent;
use super::split::{Id, Object, split};
use super::{Form, FrameError, ServerMessage};
use crate::error::{ErrorCode, WireError};
use crate::push::Push;
use crate::reply::Reply;

/// Everything a server's frame holds.
///
/// # Errors
/// [`FrameError`] when the frame is not of the documented form.
pub fn decode_server(form: Form, frame: &[u8]) -> Result<Vec<ServerMessage>, FrameError> {
    let objects = split(form, frame, usize::MAX)?;
    objects
        .iter()
        .map(message)
        .collect::<Result<_, _>>()
        .map_err(|error| FrameError(error.text))
}

fn message(object: &Object<'_>) -> Result<ServerMessage, WireError> {
    let mut entries = object.entries.iter();
    match object.id {
        Id::Bad => {
            Err(ErrorCode::BadRequest.with("a reply's id is not a number of 0 to 4294967295"))
        }
        Id::Absent => {
            let known = entries.find_map(|(name, body)| push(name, *body));
            known.unwrap_or(Ok(Push::Unknown)).map(ServerMessage::Push)
        }
        Id::Is(id) => match entries.find_map(|(name, body)| reply(name, *body)) {
            Some(result) => Ok(ServerMessage::Reply {
                id,
                result: result?,
            }),
            // An answer to nothing that this build can ask.
            None => Ok(ServerMessage::Push(Push::Unknown)),
        },
    }
}

/// `None` when this build does not know the name.
fn push(name: &str, body: Body<'_>) -> Option<Result<Push, WireError>> {
    Some(match name {
        "event" => event(body),
        "advance" => read(body, Push::Advance),
        "presence" => read(body, Push::Presence),
        "subscribed" => read(body, Push::Subscribed),
        "unsubscribed" => read(body, Push::Unsubscribed),
        "token_expiring" => read(body, Push::TokenExpiring),
        "status" => read(body, Push::Status),
        "disconnect" => read(body, Push::Disconnect),
        "ping" => Ok(Push::Ping),
        _ => return None,
    })
}

fn event(body: Body<'_>) -> Result<Push, WireError> {
    let raw: RawEvent = body.parse_object()?;
    let alias = raw
        .alias
        .ok_or_else(|| ErrorCode::BadRequest.with("missing field `alias`"))?;
    Ok(Push::Event {
        alias,
        event: raw.try_into()?,
    })
}

/// `None` when this build does not know the name.
fn reply(name: &str, body: Body<'_>) -> Option<Result<Result<Reply, WireError>, WireError>> {
    Some(match name {
        "error" => body.parse_object().map(Err),
        "connect" => read(body, Reply::Connect).map(Ok),
        "subscribe" => read(body, Reply::Subscribe).map(Ok),
        "unsubscribe" => read(body, Reply::Unsubscribe).map(Ok),
        "publish" => read(body, Reply::Publish).map(Ok),
        "signal" => read(body, Reply::Signal).map(Ok),
        "history" => read(body, Reply::History).map(Ok),
        "presence" => read(body, Reply::Presence).map(Ok),
        "presence_set" => read(body, Reply::PresenceSet).map(Ok),
        "refresh" => read(body, Reply::Refresh).map(Ok),
        "ping" => read(body, Reply::Ping).map(Ok),
        _ => return None,
    })
}

fn read<T: DeserializeOwned, U>(body: Body<'_>, wrap: impl Fn(T) -> U) -> Result<U, WireError> {
    body.parse_object().map(wrap)
}
