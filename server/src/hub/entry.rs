//! Events as the hub holds them: shared by all subscribers, each wire form made at most once.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parlor_protocol::push::{PresenceDiff, Push};
use parlor_protocol::{
    Alias, Epoch, Erasure, Event, EventKind, Form, Format, Payload, Position, Tag, Tags, Time,
};

use super::ids::ConnectionId;
use crate::outbox::Frame;

/// One entry of a channel's log, with its frames once somebody needed them.
#[derive(Debug)]
pub struct LogEntry {
    pub epoch: Epoch,
    /// Dense per channel, from 1.
    pub offset: u64,
    /// Counts messages only, from 1.
    pub seq: u64,
    /// Random; the next entry repeats it as its `prev`.
    pub tag: Tag,
    /// The tag of the entry before; `Tag(0)` on the first.
    pub prev: Tag,
    pub time: Time,
    pub kind: EventKind,
    pub id: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub tags: Tags,
    /// Empty where it was erased.
    pub payload: Payload,
    /// What it said is gone: the place is left, so that offsets and the chain of tags have no hole.
    pub erased: bool,
    /// Receives the event without data. Known only to the live copy: the log does not keep it.
    pub no_echo_to: Option<ConnectionId>,
    /// Starts empty: `Frames::default()`.
    pub frames: Frames,
}

impl LogEntry {
    /// The place just behind this entry.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.offset,
            tag: self.tag,
        }
    }

    /// Whether it is the very next entry behind `at`, of the same life of the log.
    pub fn follows(&self, at: Position) -> bool {
        // In front of the first entry stands none whose tag could differ.
        let continues = at.offset == 0 || self.prev == at.tag;
        self.epoch == at.epoch && self.offset == at.offset + 1 && continues
    }

    /// What it costs to hold, in bytes, without its frames.
    pub fn bytes(&self) -> usize {
        bytes_of(&self.payload, &self.tags)
    }

    /// The earlier events that this one ends, if it is an erasure.
    pub fn erases(&self) -> Option<Erasure> {
        (self.kind == EventKind::Erase && !self.erased).then(|| Erasure::parse(&self.payload))?
    }

    /// What is left of it after an erasure.
    #[must_use]
    pub fn to_tombstone(&self) -> Self {
        Self {
            epoch: self.epoch,
            offset: self.offset,
            seq: self.seq,
            tag: self.tag,
            prev: self.prev,
            time: self.time,
            kind: self.kind.clone(),
            id: None,
            user: None,
            tags: Tags::new(),
            payload: Payload {
                format: Format::Binary,
                bytes: Bytes::new(),
            },
            erased: true,
            no_echo_to: None,
            frames: Frames::default(),
        }
    }

    /// Lets go of what these entries of a run said, erasures excepted: they say only offsets, and readers need them. Offsets that
    /// the run does not hold are passed over. Returns by how many bytes it became smaller.
    pub fn erase_in(run: &mut VecDeque<Arc<Self>>, offsets: &[u64]) -> usize {
        let Some(first) = run.front().map(|entry| entry.offset) else {
            return 0;
        };
        let mut freed = 0;
        for offset in offsets {
            let index = offset.checked_sub(first).map(|index| index as usize);
            let Some(entry) = index.and_then(|index| run.get_mut(index)) else {
                continue;
            };
            if entry.kind != EventKind::Erase {
                let tombstone = entry.to_tombstone();
                freed += entry.bytes() - tombstone.bytes();
                *entry = Arc::new(tombstone);
            }
        }
        freed
    }

    /// The event as it stands on the wire.
    pub fn to_event(&self) -> Event {
        Event {
            kind: self.kind.clone(),
            offset: Some(self.offset),
            seq: (self.kind == EventKind::Message).then_some(self.seq),
            position: Some(self.position().to_string()),
            time: self.time,
            id: self.id.as_deref().map(str::to_owned),
            user: self.user.as_deref().map(str::to_owned),
            tags: self.tags.clone(),
            payload: (!self.erased).then(|| self.payload.clone()),
            own: false,
            erased: self.erased,
        }
    }

    /// The push of this entry for one connection: the shared frame, unless it asked for no echo of its own.
    pub fn frame_for(&self, connection: ConnectionId, alias: Alias, form: Form) -> Frame {
        if self.no_echo_to == Some(connection) {
            self.own_frame(alias, form)
        } else {
            self.frame(alias, form)
        }
    }

    /// The live push of this entry: one frame per wire form, whoever asks.
    pub fn frame(&self, alias: Alias, form: Form) -> Frame {
        self.frames.of(alias, form, || Push::Event {
            alias,
            event: self.to_event(),
        })
    }

    /// The publisher's own copy when it asked for no echo: the place without the data.
    fn own_frame(&self, alias: Alias, form: Form) -> Frame {
        let event = Event {
            payload: None,
            tags: Tags::new(),
            own: true,
            ..self.to_event()
        };
        Frame::of_push(form, &Push::Event { alias, event })
    }
}

/// What an event costs to hold, or an append that waits to become one, in bytes.
pub fn bytes_of(payload: &Payload, tags: &Tags) -> usize {
    const OVERHEAD: usize = 256;
    payload.bytes.len()
        + tags
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
        + OVERHEAD
}

/// An event that is never logged.
#[derive(Debug)]
pub struct Ephemeral {
    pub body: EphemeralBody,
    frames: Frames,
}

#[derive(Clone, Debug)]
pub enum EphemeralBody {
    Signal {
        event: Event,
        from: Option<ConnectionId>,
    },
    /// For subscribers who asked for presence. Its alias is filled in by the hub.
    Presence(PresenceDiff),
}

impl Ephemeral {
    pub(super) fn new(body: EphemeralBody) -> Self {
        Self {
            body,
            frames: Frames::default(),
        }
    }

    pub(super) fn is_diff(&self) -> bool {
        matches!(self.body, EphemeralBody::Presence(_))
    }

    pub fn frame(&self, alias: Alias, form: Form) -> Frame {
        self.frames.of(alias, form, || match &self.body {
            EphemeralBody::Signal { event, .. } => Push::Event {
                alias,
                event: event.clone(),
            },
            EphemeralBody::Presence(diff) => Push::Presence(PresenceDiff {
                alias,
                ..diff.clone()
            }),
        })
    }
}

/// One frame per wire form, made when first asked for, with the alias that it carries.
#[derive(Debug, Default)]
pub struct Frames([OnceLock<(Alias, Frame)>; 2]);

impl Frames {
    fn of(&self, alias: Alias, form: Form, push: impl Fn() -> Push) -> Frame {
        let slot = match form {
            Form::Json => &self.0[0],
            Form::MsgPack => &self.0[1],
        };
        let make = || Frame::of_push(form, &push());
        let (made_for, frame) = slot.get_or_init(|| (alias, make()));
        if *made_for == alias {
            return frame.clone();
        }
        // A memory log outlives the channel's stay in the hub: its entries were sent under an earlier alias.
        make()
    }
}
