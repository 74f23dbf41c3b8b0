//! A batch: what waits for one partition becomes one call of the append script, and its answer becomes outcomes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor_protocol::{ChannelName, Epoch, EventKind, Position, Tag, Time};
use redis::Cmd;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::entry;
use super::head::{hex, to_hex};
use super::keys::Keys;
use super::partition::{Answer, Settled};
use crate::broker::content::ContentHash;
use crate::broker::random;
use crate::broker::{Append, Appended, Error};

/// Items and bytes of one call: it stays below 2 ms.
pub(super) const ITEMS_MAX: usize = 128;
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Dedup entries of a partition before the older half goes early.
const DEDUP_MAX: usize = 100_000;

/// A channel lives at least this long after its last event: twice the time for which the epoch of unwritten channels holds.
const LIFE_MIN: Duration = Duration::from_secs(2 * 3_600 + 60);

/// Something to put into a partition's stream.
#[derive(Debug)]
pub(super) enum Item {
    Log {
        append: Append,
        body: Bytes,
        tag: Tag,
        since: Instant,
        answer: Answer,
    },
    /// Not logged; nobody waits for it.
    Ephemeral { words: String, body: Bytes },
    /// Changes of who is in a channel, as the script takes them.
    Members(MembersChange),
    /// This node lives.
    Heartbeat { words: String, made: Instant },
}

/// What one node wants changed of who is in a channel.
#[derive(Debug)]
pub(super) struct MembersChange {
    pub(super) channel: ChannelName,
    pub(super) owner: Arc<str>,
    /// How many changes the words are.
    pub(super) changes: usize,
    pub(super) words: Vec<Bytes>,
    pub(super) answer: oneshot::Sender<Result<(), Error>>,
}

impl Item {
    pub(super) fn log(append: Append, answer: Answer) -> Self {
        let body = entry::encode(&append);
        Self::Log {
            append,
            body,
            tag: random::tag(),
            since: Instant::now(),
            answer,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        const OVERHEAD: usize = 256;
        OVERHEAD
            + match self {
                Self::Log { body, .. } => body.len(),
                Self::Ephemeral { words, body } => words.len() + body.len(),
                // Up to four calls of Redis each (33 µs were seen on a busy machine), so that a batch with many stays short.
                Self::Members(MembersChange { changes, words, .. }) => {
                    changes * 2_048 + words.iter().map(Bytes::len).sum::<usize>()
                }
                Self::Heartbeat { words, .. } => words.len(),
            }
    }
}

/// Items that travel together. Its number makes it recognisable when it is sent again.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) number: u64,
    /// The tag of its entry in the stream; the same when it is sent again, since its answer may be the first one's.
    pub(super) tag: Tag,
    pub(super) items: Vec<Item>,
    /// Nothing is written after this time.
    pub(super) deadline: Instant,
}

/// Where the script finds the keys of channels.
#[derive(Debug, Default)]
pub(super) struct Places<'a> {
    logs: HashMap<&'a ChannelName, usize>,
    members: HashMap<&'a ChannelName, usize>,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Logged {
        pseq: u64,
        position: Position,
        time: Time,
    },
    Duplicate {
        position: Position,
        time: Time,
    },
    IdReused,
    PassedOn {
        pseq: u64,
    },
    Refused(String),
}

/// What stands around a batch in its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) settled: &'a Settled,
    /// Node and lane: batches of one owner never overlap.
    pub(super) owner: &'a str,
    pub(super) node: &'a str,
    /// In Redis's clock.
    pub(super) not_after_ms: u64,
    pub(super) dedup_window: Duration,
}

impl Batch {
    /// The script's keys: the partition's, then two of each channel and purpose; and the places of those.
    pub(super) fn keys(&self, keys: &Keys) -> (Vec<String>, Places<'_>) {
        let mut names: Vec<String> = [
            &keys.meta,
            &keys.stream,
            &keys.dedup[0],
            &keys.dedup[1],
            &keys.batches,
        ]
        .map(String::clone)
        .into();
        if self
            .items
            .iter()
            .any(|item| matches!(item, Item::Members(_)))
        {
            // They have a lane of their own, so this is where the script looks for these two. They are no keys of all
            // batches: what is declared and absent makes a batch wait while its slot moves.
            names.extend([keys.present.clone(), keys.owners.clone()]);
        }
        let mut places = Places::default();
        for item in &self.items {
            // Lua counts from 1.
            let next = names.len() + 1;
            match item {
                Item::Log { append, .. } if !places.logs.contains_key(&append.channel) => {
                    places.logs.insert(&append.channel, next);
                    names.push(keys.channel_meta(&append.channel));
                    names.push(keys.channel_log(&append.channel));
                }
                Item::Members(change) if !places.members.contains_key(&change.channel) => {
                    places.members.insert(&change.channel, next);
                    names.extend(keys.channel_present(&change.channel));
                }
                _ => {}
            }
        }
        (names, places)
    }

    pub(super) fn arguments(&self, command: &mut Cmd, terms: &Terms<'_>, places: &Places<'_>) {
        command
            .arg(&*terms.settled.lineage)
            .arg(terms.settled.generation)
            .arg(terms.not_after_ms);
        command
            .arg(terms.owner)
            .arg(self.number)
            .arg(to_hex(self.tag.0));
        command
            .arg(terms.dedup_window.as_millis() as u64)
            .arg(DEDUP_MAX)
            .arg(self.items.len());
        for item in &self.items {
            match item {
                Item::Log {
                    append, body, tag, ..
                } => {
                    log_arguments(
                        command,
                        append,
                        body,
                        *tag,
                        places.logs[&append.channel],
                        terms.node,
                    );
                }
                Item::Ephemeral { words, body } => {
                    command.arg("E").arg(words).arg(&body[..]);
                }
                Item::Members(change) => {
                    command
                        .arg("P")
                        .arg(places.members[&change.channel])
                        .arg(change.channel.as_str());
                    command.arg(&*change.owner).arg(change.changes);
                    change.words.iter().for_each(|word| {
                        command.arg(&word[..]);
                    });
                }
                Item::Heartbeat { words, .. } => {
                    command.arg("H").arg(words).arg("");
                }
            }
        }
    }
}

fn log_arguments(
    command: &mut Cmd,
    append: &Append,
    body: &Bytes,
    tag: Tag,
    key: usize,
    node: &str,
) {
    let kind = &append.kind;
    let life = (kind.history_age_max * 2).max(LIFE_MIN);
    command
        .arg("L")
        .arg(key)
        .arg(append.channel.as_str())
        .arg(to_hex(tag.0));
    command.arg(u8::from(append.event == EventKind::Message));
    command
        .arg(kind.history_len_max)
        .arg(life.as_millis() as u64)
        .arg(kind.history_age_max.as_millis() as u64);
    match &append.dedup {
        Some(dedup) => {
            command
                .arg(&field(append, &dedup.sender, &dedup.id)[..])
                .arg(&ContentHash::of(append).0[..]);
        }
        None => {
            command.arg("").arg("");
        }
    }
    match append.no_echo_to {
        Some(connection) => command.arg(format!("{node}/{}", connection.0)),
        None => command.arg("-"),
    };
    command.arg(&body[..]);
}

/// The dedup field: channel, sender and id in 16 bytes.
fn field(append: &Append, sender: &str, id: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in [append.channel.as_str(), sender, id] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

/// What the script's lines say, one per item.
pub(super) fn outcomes(answer: &str) -> Option<Vec<Outcome>> {
    answer.split('\n').map(outcome).collect()
}

fn outcome(line: &str) -> Option<Outcome> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "A" => {
            let (pseq, place) = rest.split_once(' ')?;
            let (position, time) = place_of(place)?;
            Outcome::Logged {
                pseq: pseq.parse().ok()?,
                position,
                time,
            }
        }
        "D" => {
            let (position, time) = place_of(rest)?;
            Outcome::Duplicate { position, time }
        }
        "R" => Outcome::IdReused,
        "E" => Outcome::PassedOn {
            pseq: rest.parse().ok()?,
        },
        "X" => Outcome::Refused(rest.to_owned()),
        _ => return None,
    })
}

/// "offset epoch tag time".
fn place_of(raw: &str) -> Option<(Position, Time)> {
    let mut words = raw.split(' ');
    let offset = words.next()?.parse().ok()?;
    let epoch = Epoch(hex(words.next()?)?);
    let tag = Tag(hex(words.next()?)?);
    Some((
        Position { epoch, offset, tag },
        Time(words.next()?.parse().ok()?),
    ))
}

impl Outcome {
    /// What the publisher is told of a kept event.
    pub(super) fn appended(&self, append: &Append) -> Option<Appended> {
        let (position, time, duplicate) = match self {
            Self::Logged { position, time, .. } => (*position, *time, false),
            Self::Duplicate { position, time } => (*position, *time, true),
            Self::IdReused | Self::PassedOn { .. } | Self::Refused(_) => return None,
        };
        Some(Appended {
            position,
            time,
            durability: append.kind.durability,
            duplicate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_outcome() {
        let place = "7 00000000000000aa 00000000000000bb 17000000000000000";
        let found = outcomes(&format!("A 12 {place}\nD {place}\nR\nE 13\nX no room")).unwrap();
        let position = Position {
            epoch: Epoch(0xaa),
            offset: 7,
            tag: Tag(0xbb),
        };
        let time = Time(17_000_000_000_000_000);
        let expected = [
            Outcome::Logged {
                pseq: 12,
                position,
                time,
            },
            Outcome::Duplicate { position, time },
            Outcome::IdReused,
            Outcome::PassedOn { pseq: 13 },
            Outcome::Refused("no room".to_owned()),
        ];
        assert_eq!(found, expected);
        assert_eq!(outcomes("A 12"), None);
    }
}
