//! Finds the few numbers that the hot path needs in an `event` push, without parsing the rest.
//!
//! A delivery costs the generator little more than its `read`, and the generator shares the machine with the
//! server. What this finds is compared with the real codec in samples, by whoever calls it.

use parlor_protocol::Form;

use crate::stamp::{Finder, Stamp};

/// What stands in a live event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) alias: u32,
    pub(crate) offset: u64,
    /// Absent when the payload is not of this tool.
    pub(crate) stamp: Option<Stamp>,
}

/// Scans frames of one form. Remembers where things stood last time: nearly always they stand there again.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    form: Form,
    hints: [usize; KEYS],
    finder: Finder,
}

impl Scanner {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            hints: [0; KEYS],
            finder: Finder::default(),
        }
    }

    /// `None` when the frame is not one logged event, in the order of fields that the codec writes.
    pub(crate) fn scan(&mut self, frame: &[u8]) -> Option<Sighting> {
        match self.form {
            Form::Json => {
                let rest = frame.strip_prefix(br#"{"event":{"alias":"#)?;
                let (alias, _) = decimal(rest)?;
                let (offset, _) = decimal(self.behind(OFFSET, rest, br#""offset":"#)?)?;
                Some(Sighting {
                    alias: u32::try_from(alias).ok()?,
                    offset,
                    stamp: self.finder.find(rest).map(|(stamp, _)| stamp),
                })
            }
            Form::MsgPack => {
                let rest = frame.strip_prefix(b"\x81\xa5event")?;
                let (alias, _) = unsigned(self.behind(ALIAS, rest, b"\xa5alias")?)?;
                let (offset, _) = unsigned(self.behind(OFFSET, rest, b"\xa6offset")?)?;
                Some(Sighting {
                    alias: u32::try_from(alias).ok()?,
                    offset,
                    stamp: self.finder.find(rest).map(|(stamp, _)| stamp),
                })
            }
        }
    }

    /// What follows the first `key` in `bytes`.
    fn behind<'a>(&mut self, hint: usize, bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
        let at = self.hints[hint];
        if let Some(rest) = bytes.get(at..).and_then(|rest| rest.strip_prefix(key)) {
            return Some(rest);
        }
        let found = bytes.windows(key.len()).position(|window| window == key)?;
        self.hints[hint] = found;
        Some(&bytes[found + key.len()..])
    }
}

/// The digits at the start, and what follows them.
fn decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let value = bytes[..digits].iter().try_fold(0u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    (digits > 0).then_some((value, &bytes[digits..]))
}

/// The MessagePack unsigned integer at the start, and what follows it.
fn unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (marker, rest) = bytes.split_first()?;
    let length = match marker {
        0..=0x7f => return Some((u64::from(*marker), rest)),
        0xcc => 1,
        0xcd => 2,
        0xce => 4,
        0xcf => 8,
        _ => return None,
    };
    let value = rest
        .get(..length)?
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some((value, &rest[length..]))
}

const OFFSET: usize = 0;
const ALIAS: usize = 1;
const KEYS: usize = 2;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parlor_protocol::codec::encode_push;
    use parlor_protocol::{Alias, Event, EventKind, Format, Payload, Push, Tags, Time};

    use super::*;
    use crate::stamp;

    fn event(alias: u32, offset: u64, data: &str) -> Push {
        let event = Event {
            kind: EventKind::Message,
            offset: Some(offset),
            seq: Some(offset),
            position: Some("AAAAAAAAAAA.1.AAAAAAAAAAA".to_owned()),
            time: Time(17_000_000_000_000_000),
            id: Some("p1-77".to_owned()),
            user: Some("load-1".to_owned()),
            tags: Tags::new(),
            payload: Some(Payload {
                format: Format::Json,
                bytes: Bytes::copy_from_slice(data.as_bytes()),
            }),
            own: false,
            erased: false,
        };
        Push::Event {
            alias: Alias(alias),
            event,
        }
    }

    #[test]
    fn the_scan_finds_what_the_codec_wrote() {
        for form in Form::ALL {
            let mut scanner = Scanner::new(form);
            // Numbers of every width, so that hints go stale on the way.
            for (alias, offset) in [
                (1, 1),
                (7, 127),
                (128, 128),
                (300, 70_000),
                (70_000, 5_000_000_000),
                (1, 2),
            ] {
                let stamp = Stamp {
                    due_ns: offset * 3,
                    sent_ns: offset * 3 + 5,
                    number: 1,
                };
                let frame = encode_push(form, &event(alias, offset, &stamp::payload(stamp, 128)));
                assert_eq!(
                    scanner.scan(&frame),
                    Some(Sighting {
                        alias,
                        offset,
                        stamp: Some(stamp)
                    }),
                    "{form:?} {offset}"
                );
            }
        }
    }

    #[test]
    fn an_event_of_somebody_else_has_no_stamp() {
        for form in Form::ALL {
            let frame = encode_push(form, &event(3, 9, r#"{"hello":1}"#));
            assert_eq!(
                Scanner::new(form).scan(&frame),
                Some(Sighting {
                    alias: 3,
                    offset: 9,
                    stamp: None
                })
            );
        }
    }

    #[test]
    fn other_pushes_are_left_to_the_codec() {
        for form in Form::ALL {
            assert_eq!(
                Scanner::new(form).scan(&encode_push(form, &Push::Ping)),
                None
            );
            assert_eq!(Scanner::new(form).scan(b""), None);
        }
    }
}
