//! The server's reading: frames into commands, each understood or refused by itself.

use super::body::Body;
use super::check;
use super::publication::{RawPublish, RawSignal};
use super::split::{Id, Object, split};
use super::{CommandError, Form, FrameError};
use crate::command::{Command, Envelope, PresenceSet, Publish, Signal};
use crate::error::{ErrorCode, WireError};
use crate::limits::COMMANDS_PER_FRAME_MAX;

/// Splits a frame and understands each of its commands by itself. Payloads are checked and copied out.
///
/// # Errors
/// [`FrameError`] when the frame is not an object or a flat array of objects of the documented form.
pub fn decode_commands(
    form: Form,
    frame: &[u8],
) -> Result<Vec<Result<Envelope, CommandError>>, FrameError> {
    let objects = split(form, frame, COMMANDS_PER_FRAME_MAX)?;
    Ok(objects.into_iter().map(envelope).collect())
}

fn envelope(object: Object<'_>) -> Result<Envelope, CommandError> {
    let id = match object.id {
        Id::Absent => None,
        Id::Is(id) => Some(id),
        Id::Bad => {
            let error = ErrorCode::BadRequest.with("id: needs one number of 0 to 4294967295");
            return Err(CommandError { id: None, error });
        }
    };
    let found = match object.entries.as_slice() {
        [(name, body)] => command(name, *body),
        [] => Err(ErrorCode::BadRequest.with("there is no command beside the id")),
        _ => Err(ErrorCode::BadRequest.with("there is more than one command beside the id")),
    };
    match found {
        Ok(command) => Ok(Envelope { id, command }),
        Err(error) => Err(CommandError { id, error }),
    }
}

fn command(name: &str, body: Body<'_>) -> Result<Command, WireError> {
    Ok(match name {
        "connect" => Command::Connect(checked(body.parse_object()?, check::check_connect)?),
        "subscribe" => Command::Subscribe(checked(body.parse_object()?, check::check_subscribe)?),
        "unsubscribe" => Command::Unsubscribe(body.parse_object()?),
        "publish" => Command::Publish(checked(
            body.parse_object::<RawPublish>()?.try_into()?,
            Publish::check,
        )?),
        "signal" => Command::Signal(checked(
            body.parse_object::<RawSignal>()?.try_into()?,
            Signal::check,
        )?),
        "history" => Command::History(body.parse_object()?),
        "presence" => Command::Presence(checked(body.parse_object()?, check::check_presence)?),
        "presence_set" => Command::PresenceSet(checked(body.parse_object()?, PresenceSet::check)?),
        "refresh" => Command::Refresh(checked(body.parse_object()?, check::check_refresh)?),
        "ping" => Command::Ping(body.parse_object()?),
        "pong" => Command::Pong(body.parse_object()?),
        _ => return Err(ErrorCode::UnknownCommand.into()),
    })
}

fn checked<T>(body: T, check: impl Fn(&T) -> Result<(), WireError>) -> Result<T, WireError> {
    check(&body).map(|()| body)
}
