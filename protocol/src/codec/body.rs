//! A frame's second reading: one body into its type, and a text that helps when that fails.

use serde::de::{DeserializeOwned, Deserializer};

use super::split_msgpack::field_that_is_not_utf8;
use crate::error::{ErrorCode, WireError};

/// A well-formed value inside a frame, not yet understood.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    Json(&'a str),
    MsgPack {
        bytes: &'a [u8],
        /// Whether every string in it is.
        utf8: bool,
    },
}

impl Body<'_> {
    /// Reads the body of a command or a push.
    ///
    /// # Errors
    /// `bad_request` naming the field; `bad_payload` when it is a payload that is not UTF-8.
    pub(super) fn parse_object<T: DeserializeOwned>(self) -> Result<T, WireError> {
        if !self.is_object() {
            return Err(ErrorCode::BadRequest.with("a command's body is an object"));
        }
        self.parse()
    }

    /// Reads any value.
    ///
    /// # Errors
    /// As [`Self::parse_object`].
    pub(super) fn parse<T: DeserializeOwned>(self) -> Result<T, WireError> {
        match self {
            Self::Json(text) => serde_json::from_str(text)
                .map_err(|_| explain::<T, _>(&mut serde_json::Deserializer::from_str(text))),
            Self::MsgPack { bytes, utf8: true } => rmp_serde::from_slice(bytes)
                .map_err(|_| explain::<T, _>(&mut rmp_serde::Deserializer::from_read_ref(bytes))),
            Self::MsgPack { bytes, utf8: false } => Err(not_utf8(bytes)),
        }
    }

    fn is_object(self) -> bool {
        match self {
            Self::Json(text) => text.starts_with('{'),
            Self::MsgPack { bytes, .. } => matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf)),
        }
    }
}

/// Reads again, slowly, to learn which field is wrong.
fn explain<'de, T, D>(deserializer: D) -> WireError
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let text = match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Ok(_) => ErrorCode::BadRequest.text().to_owned(),
        Err(error) => {
            let inner = error.inner().to_string();
            // serde_json's place counts from the body's start, which means nothing to the client.
            let inner = inner.split(" at line ").next().unwrap_or_default();
            match error.path().to_string().as_str() {
                "." => inner.to_owned(),
                path => format!("{path}: {inner}"),
            }
        }
    };
    ErrorCode::BadRequest.with(shorten(text))
}

fn not_utf8(body: &[u8]) -> WireError {
    match field_that_is_not_utf8(body) {
        Some(field @ ("data" | "state")) => {
            ErrorCode::BadPayload.with(format!("{field}: not utf-8"))
        }
        Some(field) => {
            ErrorCode::BadRequest.with(shorten(format!("{field}: a string is not utf-8")))
        }
        None => ErrorCode::BadRequest.with("a string is not utf-8"),
    }
}

/// Errors quote the peer's words: never more than a line of them.
pub(super) fn shorten(mut text: String) -> String {
    const TEXT_BYTES_MAX: usize = 200;
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
