//! What a log entry says beyond its place, as bytes: written once by the node that took the publish, and never looked
//! into by Redis.
//!
//! Version 1: `1`, format (`j`, `b`, or `x`: erased, which `lua/erase.lua` writes), then kind, id, user, tags and payload. Texts carry a two-byte length, of which
//! all ones mean "absent"; the payload is the rest. A reader skips an entry whose version it does not know.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use parlor_protocol::{EventKind, Format, Payload, Tags};

use crate::broker::Append;

const VERSION: u8 = 1;
const ABSENT: u16 = u16::MAX;

/// An entry's content.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) kind: EventKind,
    pub(super) id: Option<Arc<str>>,
    pub(super) user: Option<Arc<str>>,
    pub(super) tags: Tags,
    /// Empty where it was erased.
    pub(super) payload: Payload,
    pub(super) erased: bool,
}

/// The bytes of a publish.
pub(super) fn encode(append: &Append) -> Bytes {
    let id = append.dedup.as_ref().map(|dedup| &*dedup.id);
    encode_parts(
        &append.event,
        id,
        append.user.as_deref(),
        &append.tags,
        &append.payload,
    )
}

pub(super) fn encode_parts(
    kind: &EventKind,
    id: Option<&str>,
    user: Option<&str>,
    tags: &Tags,
    payload: &Payload,
) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + payload.bytes.len());
    out.put_u8(VERSION);
    out.put_u8(match payload.format {
        Format::Json => b'j',
        Format::Binary => b'b',
    });
    put_text(&mut out, Some(kind.as_str()));
    put_text(&mut out, id);
    put_text(&mut out, user);
    out.put_u16(tags.len() as u16);
    for (name, value) in tags {
        put_text(&mut out, Some(name));
        put_text(&mut out, Some(value));
    }
    out.put_slice(&payload.bytes);
    out.freeze()
}

/// What the bytes say; `None` when they are not of a version that this build knows, or cut.
pub(super) fn decode(bytes: &Bytes) -> Option<Content> {
    let mut rest = Cursor { bytes, at: 0 };
    let (VERSION, format) = (rest.byte()?, rest.byte()?) else {
        return None;
    };
    let (format, erased) = match format {
        b'j' => (Format::Json, false),
        b'b' => (Format::Binary, false),
        b'x' => (Format::Binary, true),
        _ => return None,
    };
    let kind = EventKind::from(rest.text()??);
    let id = rest.text()?.map(Arc::from);
    let user = rest.text()?.map(Arc::from);
    let mut tags = Tags::new();
    for _ in 0..rest.number()? {
        tags.insert(rest.text()??.to_owned(), rest.text()??.to_owned());
    }
    let payload = Payload {
        format,
        bytes: bytes.slice(rest.at..),
    };
    Some(Content {
        kind,
        id,
        user,
        tags,
        payload,
        erased,
    })
}

fn put_text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        // Limits of the protocol keep every text far below this length.
        Some(text) => {
            out.put_u16(text.len() as u16);
            out.put_slice(text.as_bytes());
        }
        None => out.put_u16(ABSENT),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from(self.byte()?) << 8 | u16::from(self.byte()?))
    }

    #[expect(
        clippy::option_option,
        reason = "cut bytes and an absent text are two things"
    )]
    fn text(&mut self) -> Option<Option<&'a str>> {
        let length = self.number()?;
        if length == ABSENT {
            return Some(None);
        }
        let end = self.at + usize::from(length);
        let text = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(Some(std::str::from_utf8(text).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            kind: EventKind::Message,
            id: Some("1".into()),
            user: None,
            tags: [("a".to_owned(), "b".to_owned())].into(),
            payload: Payload {
                format: Format::Json,
                bytes: Bytes::from_static(b"{}"),
            },
            erased: false,
        }
    }

    fn bytes() -> Bytes {
        let Content {
            kind,
            id,
            user,
            tags,
            payload,
            ..
        } = content();
        encode_parts(&kind, id.as_deref(), user.as_deref(), &tags, &payload)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(decode(&bytes()), Some(content()));
    }

    #[test]
    fn version_1_is_these_bytes() {
        assert_eq!(
            &bytes()[..],
            b"\x01j\x00\x07message\x00\x011\xff\xff\x00\x01\x00\x01a\x00\x01b{}"
        );
    }

    /// As `lua/erase.lua` writes it.
    #[test]
    fn what_was_erased_has_nothing_but_its_kind() {
        let bytes = Bytes::from_static(b"\x01x\x00\x07message\xff\xff\xff\xff\x00\x00");
        let expected = Content {
            kind: EventKind::Message,
            id: None,
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Binary,
                bytes: Bytes::new(),
            },
            erased: true,
        };
        assert_eq!(decode(&bytes), Some(expected));
    }

    #[test]
    fn bytes_that_are_cut_or_of_another_version_are_no_content() {
        let whole = bytes();
        for end in 0..whole.len() - 2 {
            assert_eq!(decode(&whole.slice(..end)), None, "cut at {end}");
        }
        let mut other = whole.to_vec();
        other[0] = 2;
        assert_eq!(decode(&Bytes::from(other)), None);
    }
}
