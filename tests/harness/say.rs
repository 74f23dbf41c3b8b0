//! What tests publish, and how they read it back.

use bytes::Bytes;
use parlor_protocol::command::Publish;
use parlor_protocol::{Event, Format, Payload, Tags};

/// A JSON payload from its text.
pub fn json(text: impl Into<String>) -> Payload {
    Payload {
        format: Format::Json,
        bytes: Bytes::from(text.into()),
    }
}

/// A JSON payload that is one string of letters, digits and spaces.
pub fn text(words: impl std::fmt::Display) -> Payload {
    json(format!("\"{words}\""))
}

/// A JSON string of this many bytes, quotes included.
pub fn blob(bytes: usize) -> Payload {
    text("x".repeat(bytes - 2))
}

pub fn binary(bytes: &[u8]) -> Payload {
    Payload {
        format: Format::Binary,
        bytes: Bytes::copy_from_slice(bytes),
    }
}

/// A publish with nothing but channel and payload.
pub fn publish(channel: &str, payload: Payload) -> Publish {
    Publish {
        channel: channel.to_owned(),
        id: None,
        echo: true,
        tags: Tags::new(),
        payload,
    }
}

/// The words of an event that [`text`] made.
///
/// # Panics
/// When it is no such event.
pub fn said(event: &Event) -> &str {
    let payload = event.payload.as_ref().expect("an event with data");
    let text = str::from_utf8(&payload.bytes).expect("a text");
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .expect("a string")
}
