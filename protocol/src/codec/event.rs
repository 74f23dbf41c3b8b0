//! Events as they stand on the wire: in `event` pushes beside the alias, and in history without one.

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::data::{Data, base64_text, one_of, present, put_payload};
use super::null::null_is_default;
use super::publication::unique_tags;
use crate::channel::Alias;
use crate::event::{Event, EventKind, Tags};
use crate::time::Time;

/// The body of an `event` push.
pub(super) struct AliasedEvent<'a> {
    pub(super) alias: Alias,
    pub(super) event: &'a Event,
}

/// Either form of an event, read. `alias` is absent in history.
#[derive(serde::Deserialize)]
pub(super) struct RawEvent {
    #[serde(default)]
    pub(super) alias: Option<Alias>,
    kind: String,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    position: Option<String>,
    time: Time,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default, deserialize_with = "unique_tags")]
    tags: Tags,
    #[serde(default, deserialize_with = "present")]
    data: Option<Data>,
    #[serde(default, deserialize_with = "base64_text")]
    data_b64: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    own: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    erased: bool,
}

impl TryFrom<RawEvent> for Event {
    type Error = crate::error::WireError;

    fn try_from(raw: RawEvent) -> Result<Self, Self::Error> {
        Ok(Self {
            kind: EventKind::from(raw.kind.as_str()),
            offset: raw.offset,
            seq: raw.seq,
            position: raw.position,
            time: raw.time,
            id: raw.id,
            user: raw.user,
            tags: raw.tags,
            payload: one_of(raw.data, raw.data_b64)?,
            own: raw.own,
            erased: raw.erased,
        })
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawEvent::deserialize(deserializer)?
            .try_into()
            .map_err(de::Error::custom)
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        let mut map = serializer.serialize_map(Some(field_count(self)))?;
        put_event(&mut map, self, human)?;
        map.end()
    }
}

impl Serialize for AliasedEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        let mut map = serializer.serialize_map(Some(1 + field_count(self.event)))?;
        map.serialize_entry("alias", &self.alias)?;
        put_event(&mut map, self.event, human)?;
        map.end()
    }
}

/// Known before the first field, since MessagePack writes it first.
fn field_count(event: &Event) -> usize {
    let optional = [
        event.offset.is_some(),
        event.seq.is_some(),
        event.position.is_some(),
        event.id.is_some(),
        event.user.is_some(),
        !event.tags.is_empty(),
        event.payload.is_some(),
        event.own,
        event.erased,
    ];
    2 + optional.into_iter().filter(|there| *there).count()
}

fn put_event<M: SerializeMap>(map: &mut M, event: &Event, human: bool) -> Result<(), M::Error> {
    map.serialize_entry("kind", event.kind.as_str())?;
    put(map, "offset", event.offset.as_ref())?;
    put(map, "seq", event.seq.as_ref())?;
    put(map, "position", event.position.as_ref())?;
    map.serialize_entry("time", &event.time)?;
    put(map, "id", event.id.as_ref())?;
    put(map, "user", event.user.as_ref())?;
    put(
        map,
        "tags",
        Some(&event.tags).filter(|tags| !tags.is_empty()),
    )?;
    if let Some(payload) = &event.payload {
        put_payload(map, payload, human)?;
    }
    put(map, "own", Some(&true).filter(|_| event.own))?;
    put(map, "erased", Some(&true).filter(|_| event.erased))
}

fn put<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}
