//! The commands that carry a payload: `publish`, `signal` and `presence_set` as they stand on the wire.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

use super::data::{Data, base64_text, json_or_null, one_of, present, put_json, put_payload};
use super::null::null_is_default;
use crate::command::{PresenceSet, Publish, Signal};
use crate::error::{ErrorCode, WireError};
use crate::event::Tags;
use crate::payload::Payload;

/// `publish` before its two data fields are one payload.
#[derive(serde::Deserialize)]
pub(super) struct RawPublish {
    channel: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default, deserialize_with = "unique_tags")]
    tags: Tags,
    #[serde(default, deserialize_with = "present")]
    data: Option<Data>,
    #[serde(default, deserialize_with = "base64_text")]
    data_b64: Option<String>,
}

/// `signal` before its two data fields are one payload.
#[derive(serde::Deserialize)]
pub(super) struct RawSignal {
    channel: String,
    #[serde(default, deserialize_with = "present")]
    data: Option<Data>,
    #[serde(default, deserialize_with = "base64_text")]
    data_b64: Option<String>,
}

#[derive(serde::Deserialize)]
struct RawPresenceSet {
    channel: String,
    #[serde(default, deserialize_with = "json_or_null")]
    state: Option<Payload>,
}

impl TryFrom<RawPublish> for Publish {
    type Error = WireError;

    fn try_from(raw: RawPublish) -> Result<Self, WireError> {
        let payload = required(one_of(raw.data, raw.data_b64)?)?;
        Ok(Self {
            channel: raw.channel,
            id: raw.id,
            echo: raw.echo.unwrap_or(true),
            tags: raw.tags,
            payload,
        })
    }
}

impl TryFrom<RawSignal> for Signal {
    type Error = WireError;

    fn try_from(raw: RawSignal) -> Result<Self, WireError> {
        let payload = required(one_of(raw.data, raw.data_b64)?)?;
        Ok(Self {
            channel: raw.channel,
            payload,
        })
    }
}

fn required(payload: Option<Payload>) -> Result<Payload, WireError> {
    payload.ok_or_else(|| ErrorCode::BadRequest.with("missing field `data`"))
}

impl<'de> Deserialize<'de> for PresenceSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawPresenceSet::deserialize(deserializer)?;
        Ok(Self {
            channel: raw.channel,
            state: raw.state,
        })
    }
}

impl Serialize for Publish {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        let fields = 2
            + usize::from(self.id.is_some())
            + usize::from(!self.echo)
            + usize::from(!self.tags.is_empty());
        let mut map = serializer.serialize_map(Some(fields))?;
        map.serialize_entry("channel", &self.channel)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        if !self.echo {
            map.serialize_entry("echo", &false)?;
        }
        if !self.tags.is_empty() {
            map.serialize_entry("tags", &self.tags)?;
        }
        put_payload(&mut map, &self.payload, human)?;
        map.end()
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("channel", &self.channel)?;
        put_payload(&mut map, &self.payload, human)?;
        map.end()
    }
}

impl Serialize for PresenceSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("channel", &self.channel)?;
        if let Some(state) = &self.state {
            put_json(&mut map, "state", state, human)?;
        }
        map.end()
    }
}

/// Tags in which no name stands twice: which of the two was meant, nobody could say.
pub(super) fn unique_tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
    null_is_default(deserializer).map(|UniqueTags(tags)| tags)
}

#[derive(Default)]
struct UniqueTags(Tags);

impl<'de> Deserialize<'de> for UniqueTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TagsVisitor).map(Self)
    }
}

struct TagsVisitor;

impl<'de> Visitor<'de> for TagsVisitor {
    type Value = Tags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
        let mut tags = Tags::new();
        while let Some((name, value)) = map.next_entry()? {
            if tags.insert(name, value).is_some() {
                return Err(de::Error::custom("a tag is there twice"));
            }
        }
        Ok(tags)
    }
}
