//! How a payload stands inside a body: raw JSON, a JSON text in a str, bytes in a bin, or base64.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::error::{ErrorCode, WireError};
use crate::payload::{Format, Payload};

/// The field `data`, copied out of the frame so that no payload keeps a read buffer alive.
pub(super) struct Data(pub(super) Payload);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Box::<RawValue>::deserialize(deserializer)
                .map(|raw| json(String::from(Box::<str>::from(raw))))
        } else {
            deserializer.deserialize_any(DataVisitor)
        }
    }
}

struct DataVisitor;

impl Visitor<'_> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a str with a json text, or a bin")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Data, E> {
        // As raw JSON stands in a text frame: without the blanks around it.
        Ok(json(text.trim_matches([' ', '\t', '\n', '\r']).to_owned()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data(Payload {
            format: Format::Binary,
            bytes: Bytes::copy_from_slice(bytes),
        }))
    }
}

fn json(text: String) -> Data {
    Data(Payload {
        format: Format::Json,
        bytes: Bytes::from(text),
    })
}

/// For `data`: `null` is a payload like any other, not an absent one.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Data>, D::Error> {
    Data::deserialize(deserializer).map(Some)
}

/// For `info` and `state`: JSON always, and `null` is an absent one.
pub(super) fn json_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Payload>, D::Error> {
    match Option::<Data>::deserialize(deserializer)? {
        Some(Data(payload)) if payload.format == Format::Binary => {
            Err(de::Error::custom("bytes where json is needed"))
        }
        Some(Data(payload)) if payload.bytes == "null" => Ok(None),
        data => Ok(data.map(|Data(payload)| payload)),
    }
}

/// For `data_b64`: it exists in JSON alone, and is an unknown field elsewhere.
pub(super) fn base64_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    if deserializer.is_human_readable() {
        Option::deserialize(deserializer)
    } else {
        IgnoredAny::deserialize(deserializer).map(|_| None)
    }
}

/// The one payload that two fields say.
///
/// # Errors
/// `bad_request` when both are there, `bad_payload` when the base64 is none.
pub(super) fn one_of(
    data: Option<Data>,
    data_b64: Option<String>,
) -> Result<Option<Payload>, WireError> {
    match (data, data_b64) {
        (Some(_), Some(_)) => {
            Err(ErrorCode::BadRequest.with("data and data_b64 exclude each other"))
        }
        (Some(Data(payload)), None) => Ok(Some(payload)),
        (None, Some(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(Payload {
                format: Format::Binary,
                bytes: bytes.into(),
            })),
            Err(error) => Err(ErrorCode::BadPayload.with(format!("data_b64: {error}"))),
        },
        (None, None) => Ok(None),
    }
}

/// Writes a payload as `data` or `data_b64`. One that is not what its format says goes as bytes: it must
/// never break the frame around it.
pub(super) fn put_payload<M: SerializeMap>(
    map: &mut M,
    payload: &Payload,
    human: bool,
) -> Result<(), M::Error> {
    match json_text(payload, human) {
        Some(text) => map.serialize_entry("data", &text),
        None if human => map.serialize_entry("data_b64", &STANDARD.encode(&payload.bytes)),
        None => map.serialize_entry("data", &Bin(&payload.bytes)),
    }
}

/// Writes presence `info` or `state`; one that is not JSON is left out.
pub(super) fn put_json<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    payload: &Payload,
    human: bool,
) -> Result<(), M::Error> {
    match json_text(payload, human) {
        Some(text) => map.serialize_entry(key, &text),
        None => Ok(()),
    }
}

/// A JSON payload's text. `Raw` was parsed, since a text frame would be broken by anything else.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum JsonText<'a> {
    Raw(&'a RawValue),
    Str(&'a str),
}

fn json_text(payload: &Payload, human: bool) -> Option<JsonText<'_>> {
    match (payload.format, human) {
        (Format::Binary, _) => None,
        (Format::Json, true) => serde_json::from_slice(&payload.bytes)
            .ok()
            .map(JsonText::Raw),
        (Format::Json, false) => str::from_utf8(&payload.bytes).ok().map(JsonText::Str),
    }
}

struct Bin<'a>(&'a [u8]);

impl Serialize for Bin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
