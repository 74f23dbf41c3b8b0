//! A batch: what waits for one partition becomes one call of a script. What comes back is in `outcome`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor_protocol::{ChannelName, EventKind, Tag};
use redis::Cmd;
use tokio::sync::oneshot;

use super::entry;
use super::head::to_hex;
use super::keys::Keys;
use super::partition::{Answer, Settled};
use super::scripts::{APPEND, CHANGE_MEMBERS, Script};
use super::share::Share;
use crate::broker::content::{ContentHash, IdHash};
use crate::broker::random;
use crate::broker::{Append, Error};

/// Items and bytes of one call: it stays below 2 ms.
pub(super) const ITEMS_MAX: usize = 128;
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Where the keys of a batch's first channel stand whose members change, as Lua counts: behind the partition's seven.
const MEMBERS_AT: usize = 8;

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

    /// The channel whose keys it needs.
    fn channel(&self) -> Option<&ChannelName> {
        match self {
            Self::Log { append, .. } => Some(&append.channel),
            Self::Members(change) => Some(&change.channel),
            Self::Ephemeral { .. } | Self::Heartbeat { .. } => None,
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
    /// The number of each item's channel. They count from 1, as Lua does; 0: it is of none.
    channels: Vec<usize>,
    /// Where the first item of each channel stands: that tells what its channel is like.
    firsts: Vec<usize>,
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
    pub(super) share: &'a Share,
}

impl Batch {
    /// With all that it will ever hold.
    pub(super) fn seal(number: u64, items: Vec<Item>, deadline: Instant) -> Self {
        let (channels, firsts) = numbered(&items);
        Self {
            number,
            tag: random::tag(),
            items,
            deadline,
            channels,
            firsts,
        }
    }

    /// What runs it: members have a lane of their own, so a batch is all of one sort.
    pub(super) fn script(&self) -> &'static Script {
        if self.is_of_members() {
            &CHANGE_MEMBERS
        } else {
            &APPEND
        }
    }

    fn is_of_members(&self) -> bool {
        matches!(self.items.first(), Some(Item::Members(_)))
    }

    /// The script's keys: the partition's, then two of each channel.
    pub(super) fn keys(&self, keys: &Keys) -> Vec<String> {
        let mut names: Vec<String> = [
            &keys.meta,
            &keys.stream,
            &keys.dedup[0],
            &keys.dedup[1],
            &keys.batches,
        ]
        .map(String::clone)
        .into();
        if self.is_of_members() {
            // They are no keys of all batches: what is declared and absent makes a batch wait while its slot moves.
            names.extend([keys.present.clone(), keys.owners.clone()]);
        }
        for item in self.firsts() {
            match item {
                Item::Log { append, .. } => {
                    names.push(keys.channel_meta(&append.channel));
                    names.push(keys.channel_log(&append.channel));
                }
                Item::Members(change) => names.extend(keys.channel_present(&change.channel)),
                Item::Ephemeral { .. } | Item::Heartbeat { .. } => {}
            }
        }
        names
    }

    /// The first item of each channel, in the order of their numbers.
    fn firsts(&self) -> impl Iterator<Item = &Item> {
        self.firsts.iter().map(|index| &self.items[*index])
    }

    /// The number and the tag of each item that is logged.
    pub(super) fn logged(&self) -> Vec<Option<(usize, Tag)>> {
        let logged = |(item, number): (&Item, &usize)| match item {
            Item::Log { tag, .. } => Some((*number, *tag)),
            Item::Ephemeral { .. } | Item::Members(_) | Item::Heartbeat { .. } => None,
        };
        self.items.iter().zip(&self.channels).map(logged).collect()
    }

    pub(super) fn arguments(&self, command: &mut Cmd, terms: &Terms<'_>) {
        command
            .arg(&*terms.settled.lineage)
            .arg(terms.settled.generation)
            .arg(terms.not_after_ms)
            .arg(terms.owner)
            .arg(self.number)
            .arg(to_hex(self.tag.0))
            .arg(terms.share.stream_bytes_max)
            .arg(self.items.len());
        if !self.is_of_members() {
            command
                .arg(terms.dedup_window.as_millis() as u64)
                .arg(terms.share.dedup_max)
                .arg(self.firsts.len());
            for item in self.firsts() {
                if let Item::Log { append, .. } = item {
                    channel_arguments(command, append);
                }
            }
        }
        for (item, number) in self.items.iter().zip(&self.channels) {
            match item {
                Item::Log {
                    append, body, tag, ..
                } => event_arguments(command, append, body, *tag, *number, terms.node),
                Item::Ephemeral { words, body } => {
                    command.arg("E").arg(words).arg(&body[..]);
                }
                Item::Members(change) => {
                    command
                        .arg("P")
                        .arg(MEMBERS_AT + 2 * (number - 1))
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

/// The number of each item's channel, and the first item of each.
fn numbered(items: &[Item]) -> (Vec<usize>, Vec<usize>) {
    let (mut known, mut firsts) = (HashMap::new(), Vec::new());
    let mut channels = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        channels.push(match item.channel() {
            Some(channel) => *known.entry(channel).or_insert_with(|| {
                firsts.push(index);
                firsts.len()
            }),
            None => 0,
        });
    }
    (channels, firsts)
}

fn channel_arguments(command: &mut Cmd, append: &Append) {
    let kind = &append.kind;
    let life = (kind.history_age_max * 2).max(LIFE_MIN);
    command
        .arg(append.channel.as_str())
        .arg(kind.history_len_max)
        .arg(life.as_millis() as u64)
        .arg(kind.history_age_max.as_millis() as u64);
}

fn event_arguments(
    command: &mut Cmd,
    append: &Append,
    body: &Bytes,
    tag: Tag,
    number: usize,
    node: &str,
) {
    if append.event == EventKind::Message {
        command.arg(number);
    } else {
        command.arg(format!("-{number}"));
    }
    command.arg(to_hex(tag.0));
    match &append.dedup {
        Some(dedup) => {
            command
                .arg(&IdHash::of(&append.channel, dedup).0[..])
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
