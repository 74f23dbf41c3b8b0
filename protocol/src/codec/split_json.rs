//! Splitting of text frames, by serde_json.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::FrameError;
use super::body::{Body, shorten};
use super::depth::json_depth;
use super::split::{EMPTY, FRAME_DEPTH_MAX, Object, too_deep, too_many};

pub(super) fn split(frame: &[u8], objects_max: usize) -> Result<Vec<Object<'_>>, FrameError> {
    let text = str::from_utf8(frame).map_err(|error| FrameError(format!("not utf-8: {error}")))?;
    // Before parsing: what follows recurses in places.
    if json_depth(frame) > FRAME_DEPTH_MAX {
        return Err(FrameError(too_deep()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let objects = deserializer.deserialize_any(FrameVisitor { objects_max });
    let ended = |objects| deserializer.end().map(|()| objects);
    objects
        .and_then(ended)
        .map_err(|error| FrameError(shorten(format!("not a json frame: {error}"))))
}

/// An object, or an array of objects.
struct FrameVisitor {
    objects_max: usize,
}

impl<'de> Visitor<'de> for FrameVisitor {
    type Value = Vec<Object<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(vec![ObjectVisitor.visit_map(map)?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(object) = seq.next_element()? {
            if objects.len() == self.objects_max {
                return Err(de::Error::custom(too_many()));
            }
            objects.push(object);
        }
        if objects.is_empty() {
            Err(de::Error::custom(EMPTY))
        } else {
            Ok(objects)
        }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut object = Object::new();
        while let Some(Key(key)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            object.push(key, Body::Json(raw.get()));
        }
        Ok(object)
    }
}

/// A key that is borrowed from the frame unless it holds an escape. (`Cow` alone would always be copied.)
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }
}
