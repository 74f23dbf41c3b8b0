//! The words between presence and its scripts in Redis: changes as arguments, and entries, records and what came of changes
//! as bytes. `broker/redis/lua/members.lua` is the other side.
//!
//! Payloads of presence are JSON always, so only their bytes travel.

use std::sync::Arc;

use bytes::Bytes;
use parlor_protocol::{Format, Payload};

use crate::broker::redis::MemberRow;
use crate::presence::registry::{Applied, Change, NodeId, Row, Why};

/// The arguments of changes, one behind the other.
pub(super) fn words(changes: &[Change]) -> Vec<Bytes> {
    let mut words = Vec::with_capacity(changes.len() * 7);
    for change in changes {
        match change {
            Change::Put {
                session,
                user,
                info,
                lasts,
                claims,
            } => {
                words.extend([text("P"), text(session), text(user), flag(*claims)]);
                words.push(lasts.map_or_else(Bytes::new, |lasts| {
                    lasts.as_millis().min(LASTS_MS_MAX).to_string().into()
                }));
                words.extend(payload(info.as_ref()));
            }
            Change::Remove { session, why } => {
                words.extend([text("R"), text(session), text(letter(*why))]);
            }
            Change::State {
                user,
                state,
                if_absent,
            } => {
                words.extend([text("S"), text(user), flag(*if_absent)]);
                words.extend(payload(state.as_ref()));
            }
        }
    }
    words
}

/// A hundred years: Lua writes numbers without an exponent up to 10^14.
const LASTS_MS_MAX: u128 = 3_155_760_000_000;

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn flag(is: bool) -> Bytes {
    Bytes::from_static(if is { b"1" } else { b"0" })
}

/// Whether it is there, and its bytes.
fn payload(payload: Option<&Payload>) -> [Bytes; 2] {
    match payload {
        Some(payload) => [flag(true), payload.bytes.clone()],
        None => [flag(false), Bytes::new()],
    }
}

fn letter(why: Why) -> &'static str {
    match why {
        Why::Left => "l",
        Why::Lapsed => "t",
        Why::Reaped => "r",
    }
}

/// What came of changes; `None` for bytes that no script of this version wrote.
pub(super) fn applied(body: &[u8]) -> Option<Vec<Applied>> {
    let mut rest = Rest(body);
    let mut all = Vec::new();
    while !rest.0.is_empty() {
        all.push(match rest.word()? {
            "P0" => Applied::Put(rest.put(false)?),
            "P1" => Applied::Put(rest.put(true)?),
            "Rl" => rest.removed(Why::Left)?,
            "Rt" => rest.removed(Why::Lapsed)?,
            "Rr" => rest.removed(Why::Reaped)?,
            "S" => rest.state()?,
            _ => return None,
        });
    }
    Some(all)
}

/// An entry with its user's record; `None` for bytes that no script of this version wrote.
pub(super) fn row(row: &MemberRow) -> Option<Row> {
    let mut entry = Rest(row.entry.strip_prefix(b"1")?);
    let has_deadline = entry.word()? != "0";
    let owner = entry.number()?;
    let owner = NodeId::parse(entry.text(owner)?)?;
    let user = std::str::from_utf8(entry.0).ok()?.into();
    let mut record = Rest(row.record.strip_prefix(b"1")?);
    let _count = record.number()?;
    let (info, state) = (record.length()?, record.length()?);
    Some(Row {
        session: std::str::from_utf8(&row.session).ok()?.into(),
        owner,
        has_deadline,
        user,
        info: record.payload(info)?,
        state: record.payload(state)?,
    })
}

/// Bytes that are read from the front: words end with a space, texts have a length that stood before.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn word(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == b' ')?;
        let word = std::str::from_utf8(&self.0[..end]).ok()?;
        self.0 = &self.0[end + 1..];
        Some(word)
    }

    fn number(&mut self) -> Option<usize> {
        self.word()?.parse().ok()
    }

    /// A number, or "-" for what is absent.
    #[expect(
        clippy::option_option,
        reason = "bytes of another form and an absent payload are two things"
    )]
    fn length(&mut self) -> Option<Option<usize>> {
        match self.word()? {
            "-" => Some(None),
            number => number.parse().ok().map(Some),
        }
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    #[expect(
        clippy::option_option,
        reason = "bytes of another form and an absent payload are two things"
    )]
    fn payload(&mut self, length: Option<usize>) -> Option<Option<Payload>> {
        let Some(length) = length else {
            return Some(None);
        };
        Some(Some(Payload {
            format: Format::Json,
            // Copied: it would keep the whole block alive that came from Redis.
            bytes: Bytes::copy_from_slice(self.bytes(length)?),
        }))
    }

    fn put(&mut self, has_deadline: bool) -> Option<Row> {
        let (owner, session, user) = (self.number()?, self.number()?, self.number()?);
        let (info, state) = (self.length()?, self.length()?);
        Some(Row {
            owner: NodeId::parse(self.text(owner)?)?,
            session: self.text(session)?.into(),
            user: self.text(user)?.into(),
            has_deadline,
            info: self.payload(info)?,
            state: self.payload(state)?,
        })
    }

    fn removed(&mut self, why: Why) -> Option<Applied> {
        let (owner, session) = (self.number()?, self.number()?);
        Some(Applied::Removed {
            owner: NodeId::parse(self.text(owner)?)?,
            session: self.text(session)?.into(),
            why,
        })
    }

    fn state(&mut self) -> Option<Applied> {
        let (user, state) = (self.number()?, self.length()?);
        let user: Arc<str> = self.text(user)?.into();
        Some(Applied::State {
            user,
            state: self.payload(state)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &'static str) -> Option<Payload> {
        Some(Payload {
            format: Format::Json,
            bytes: Bytes::from_static(text.as_bytes()),
        })
    }

    fn anna(state: Option<Payload>) -> Row {
        Row {
            session: "s1".into(),
            owner: NodeId::parse("aa.1").unwrap(),
            has_deadline: true,
            user: "an na".into(),
            info: json("{}"),
            state,
        }
    }

    #[test]
    fn what_came_of_changes_is_read() {
        let body = b"P1 4 2 5 2 - aa.1s1an na{}Rt 4 2 aa.1s1S 5 1 an na7S 5 - an na";
        let removed = Applied::Removed {
            session: "s1".into(),
            owner: NodeId::parse("aa.1").unwrap(),
            why: Why::Lapsed,
        };
        let state = |state| Applied::State {
            user: "an na".into(),
            state,
        };
        let expected = vec![
            Applied::Put(anna(None)),
            removed,
            state(json("7")),
            state(None),
        ];
        assert_eq!(applied(body), Some(expected));
    }

    #[test]
    fn bytes_of_another_form_are_nothing() {
        let body = b"P1 4 2 5 2 - aa.1s1an na{}";
        for end in 1..body.len() {
            assert_eq!(applied(&body[..end]), None, "cut at {end}");
        }
        for other in [
            "X 1 a",
            "P2 4 2 5 2 - aa.1s1an na{}",
            "Rl 99999999999999999999 1 x",
        ] {
            assert_eq!(applied(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_row_is_read() {
        let stored = MemberRow {
            session: b"s1".to_vec(),
            entry: b"11700000000000 4 aa.1an na".to_vec(),
            record: b"12 2 1 {}7".to_vec(),
        };
        assert_eq!(row(&stored), Some(anna(json("7"))));
        let later = MemberRow {
            entry: b"21700000000000 4 aa.1an na".to_vec(),
            ..stored
        };
        assert_eq!(row(&later), None);
    }
}
