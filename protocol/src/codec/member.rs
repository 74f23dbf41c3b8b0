//! Members as they stand on the wire, in rosters and their diffs.

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::data::{json_or_null, put_json};
use crate::payload::Payload;
use crate::reply::Member;

#[derive(serde::Deserialize)]
struct RawMember {
    user: String,
    #[serde(default, deserialize_with = "json_or_null")]
    info: Option<Payload>,
    #[serde(default, deserialize_with = "json_or_null")]
    state: Option<Payload>,
    #[serde(default)]
    sessions: Vec<String>,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawMember::deserialize(deserializer)?;
        Ok(Self {
            user: raw.user,
            info: raw.info,
            state: raw.state,
            sessions: raw.sessions,
        })
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let human = serializer.is_human_readable();
        // Its length stays open, because what is not JSON after all is left out.
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("user", &self.user)?;
        if let Some(info) = &self.info {
            put_json(&mut map, "info", info, human)?;
        }
        if let Some(state) = &self.state {
            put_json(&mut map, "state", state, human)?;
        }
        map.serialize_entry("sessions", &self.sessions)?;
        map.end()
    }
}
