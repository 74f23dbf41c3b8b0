//! Values into frames.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Form;
use super::event::AliasedEvent;
use crate::command::{Command, Envelope};
use crate::error::WireError;
use crate::push::Push;
use crate::reply::Reply;

/// The answer to one command, as one frame's payload.
pub fn encode_reply(form: Form, id: u32, result: &Result<Reply, WireError>) -> Vec<u8> {
    encode(form, &Answer { id, result })
}

/// The same behind what `out` holds already.
pub fn append_reply(out: &mut Vec<u8>, form: Form, id: u32, result: &Result<Reply, WireError>) {
    append(out, form, &Answer { id, result });
}

/// One push, as one frame's payload.
pub fn encode_push(form: Form, push: &Push) -> Vec<u8> {
    encode(form, push)
}

/// The same behind what `out` holds already.
pub fn append_push(out: &mut Vec<u8>, form: Form, push: &Push) {
    append(out, form, push);
}

/// One command, as one frame's payload.
pub fn encode_command(form: Form, envelope: &Envelope) -> Vec<u8> {
    encode(form, envelope)
}

/// Several commands as one frame: an array. At least one, since an empty array is no frame.
pub fn encode_commands(form: Form, envelopes: &[Envelope]) -> Vec<u8> {
    encode(form, envelopes)
}

fn encode<T: Serialize + ?Sized>(form: Form, value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    append(&mut out, form, value);
    out
}

fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, form: Form, value: &T) {
    match form {
        Form::Json => serde_json::to_writer(out, value)
            .expect("keys are strings, and payloads were checked to be json"),
        Form::MsgPack => rmp_serde::encode::write_named(out, value)
            .expect("a vec takes all bytes, and every length is known"),
    }
}

struct Answer<'a> {
    id: u32,
    result: &'a Result<Reply, WireError>,
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = Some(self.id);
        match self.result {
            Err(error) => tagged(serializer, id, "error", error),
            Ok(Reply::Connect(body)) => tagged(serializer, id, "connect", body),
            Ok(Reply::Subscribe(body)) => tagged(serializer, id, "subscribe", body),
            Ok(Reply::Unsubscribe(body)) => tagged(serializer, id, "unsubscribe", body),
            Ok(Reply::Publish(body)) => tagged(serializer, id, "publish", body),
            Ok(Reply::Signal(body)) => tagged(serializer, id, "signal", body),
            Ok(Reply::History(body)) => tagged(serializer, id, "history", body),
            Ok(Reply::Presence(body)) => tagged(serializer, id, "presence", body),
            Ok(Reply::PresenceSet(body)) => tagged(serializer, id, "presence_set", body),
            Ok(Reply::Refresh(body)) => tagged(serializer, id, "refresh", body),
            Ok(Reply::Ping(body)) => tagged(serializer, id, "ping", body),
        }
    }
}

impl Serialize for Push {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event { alias, event } => tagged(
                serializer,
                None,
                "event",
                &AliasedEvent {
                    alias: *alias,
                    event,
                },
            ),
            Self::Advance(body) => tagged(serializer, None, "advance", body),
            Self::Presence(body) => tagged(serializer, None, "presence", body),
            Self::Subscribed(body) => tagged(serializer, None, "subscribed", body),
            Self::Unsubscribed(body) => tagged(serializer, None, "unsubscribed", body),
            Self::TokenExpiring(body) => tagged(serializer, None, "token_expiring", body),
            Self::Status(body) => tagged(serializer, None, "status", body),
            Self::Disconnect(body) => tagged(serializer, None, "disconnect", body),
            Self::Ping => tagged(serializer, None, "ping", &crate::command::Ping {}),
            // Says nothing, and every client passes over it.
            Self::Unknown => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.command {
            Command::Connect(body) => tagged(serializer, self.id, "connect", body),
            Command::Subscribe(body) => tagged(serializer, self.id, "subscribe", body),
            Command::Unsubscribe(body) => tagged(serializer, self.id, "unsubscribe", body),
            Command::Publish(body) => tagged(serializer, self.id, "publish", body),
            Command::Signal(body) => tagged(serializer, self.id, "signal", body),
            Command::History(body) => tagged(serializer, self.id, "history", body),
            Command::Presence(body) => tagged(serializer, self.id, "presence", body),
            Command::PresenceSet(body) => tagged(serializer, self.id, "presence_set", body),
            Command::Refresh(body) => tagged(serializer, self.id, "refresh", body),
            Command::Ping(body) => tagged(serializer, self.id, "ping", body),
            Command::Pong(body) => tagged(serializer, self.id, "pong", body),
        }
    }
}

/// An object with the optional `id` and one body under its name.
fn tagged<S: Serializer, T: Serialize>(
    serializer: S,
    id: Option<u32>,
    name: &'static str,
    body: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1 + usize::from(id.is_some())))?;
    if let Some(id) = id {
        map.serialize_entry("id", &id)?;
    }
    map.serialize_entry(name, body)?;
    map.end()
}
