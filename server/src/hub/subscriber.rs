//! One subscriber of a channel on this shard: what it has, and what it is owed.

use std::rc::Rc;
use std::sync::Arc;

use parlor_protocol::push::{Advance, Push};
use parlor_protocol::{Alias, CloseCode, Position};

use super::entry::{Ephemeral, EphemeralBody, LogEntry};
use super::ids::ConnectionId;
use super::joined::Joined;
use super::tally::Tally;
use crate::kind::SlowPolicy;
use crate::outbox::{Frame, Lane, Outbox, Pushed};
use crate::planted::{self, Bug};

/// A live subscription on this shard.
#[derive(Debug)]
pub struct Subscriber {
    pub connection: ConnectionId,
    pub outbox: Rc<Outbox>,
    /// The last offset that it has: nothing at or below is sent again.
    pub cursor: u64,
    /// From [`super::Table::begin_joining`]: the first ephemeral that it is to have.
    pub ephemerals_since: u64,
    /// Whether presence diffs are wanted.
    pub presence: bool,
    pub slow: SlowPolicy,
}

/// A subscriber in its channel's slab, with what it is owed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) subscriber: Subscriber,
    /// Whether the table lists it as passed over.
    pub(super) is_listed: bool,
    /// Where passing over ended up so far, by the policy "skip to latest".
    skipped_to: Option<Position>,
    /// The newest presence diff, if there was no room for it: its version tells that others are missing, and in a quiet channel no
    /// later one would.
    withheld: Option<Arc<Ephemeral>>,
}

impl Subscriber {
    fn wants(&self, ephemeral: &Ephemeral) -> bool {
        match &ephemeral.body {
            EphemeralBody::Signal { from, .. } => *from != Some(self.connection),
            EphemeralBody::Presence(_) => self.presence,
        }
    }
}

impl Slot {
    pub(super) fn new(subscriber: Subscriber) -> Self {
        Self {
            subscriber,
            is_listed: false,
            skipped_to: None,
            withheld: None,
        }
    }

    /// Whether it is owed something that nobody has noted yet; the caller does.
    pub(super) fn is_to_be_listed(&mut self) -> bool {
        let is_owed = self.skipped_to.is_some() || self.withheld.is_some();
        if !is_owed || self.is_listed {
            return false;
        }
        self.is_listed = true;
        true
    }

    /// Pushes what it is owed, as far as there is room. True when nothing is owed any more.
    pub(super) fn tell(&mut self, alias: Alias, tally: &mut Tally) -> bool {
        if !self.end_skip(alias) {
            return false;
        }
        if let Some(diff) = self.withheld.take() {
            self.push_ephemeral(&diff, alias, Lane::Near, tally);
        }
        self.is_listed = self.withheld.is_some();
        !self.is_listed
    }

    pub(super) fn push_ephemeral(
        &mut self,
        ephemeral: &Arc<Ephemeral>,
        alias: Alias,
        lane: Lane,
        tally: &mut Tally,
    ) {
        if !self.subscriber.wants(ephemeral) {
            return;
        }
        match &ephemeral.body {
            EphemeralBody::Signal { .. } => self.push_signal(ephemeral, alias, lane, tally),
            EphemeralBody::Presence(_) => self.push_diff(ephemeral, alias, lane, tally),
        }
    }

    /// What can be lost without harm is dropped first.
    fn push_signal(&self, signal: &Ephemeral, alias: Alias, lane: Lane, tally: &mut Tally) {
        let outbox = &self.subscriber.outbox;
        if !outbox.is_under_pressure() {
            let frame = signal.frame(alias, outbox.form());
            match outbox.push(&frame, alias, lane) {
                Pushed::Queued => return tally.count(&frame, 1),
                Pushed::Closed => return,
                Pushed::Overflow => {}
            }
        }
        tally.ephemerals_dropped += 1;
    }

    fn push_diff(&mut self, diff: &Arc<Ephemeral>, alias: Alias, lane: Lane, tally: &mut Tally) {
        if self.withheld.take().is_some() {
            tally.ephemerals_dropped += 1;
        }
        let outbox = &self.subscriber.outbox;
        if outbox.is_under_pressure() {
            self.withheld = Some(Arc::clone(diff));
            return;
        }
        let frame = diff.frame(alias, outbox.form());
        tally.count(&frame, 1);
        outbox.push_lasting(frame, lane);
    }

    /// Pushes all of a block at once if this subscriber may have it so; else one entry after the other.
    #[inline]
    pub(super) fn push_joined(
        &mut self,
        joined: &Joined<'_>,
        alias: Alias,
        lane: Lane,
        tally: &mut Tally,
    ) {
        let Subscriber {
            connection,
            outbox,
            cursor,
            ..
        } = &mut self.subscriber;
        if self.skipped_to.is_none()
            && let Some(block) = joined.block_for(*cursor, *connection, outbox.form())
            && outbox.push(&block, alias, lane) == Pushed::Queued
        {
            *cursor = joined.last_offset();
            tally.count(&block, joined.entries().len());
            return;
        }
        for entry in joined.entries() {
            if entry.offset <= self.subscriber.cursor {
                continue;
            }
            self.subscriber.cursor = entry.offset;
            if !planted::strikes(Bug::DropOneInMany, 500) {
                self.push_entry(entry, alias, lane, tally);
            }
        }
    }

    fn push_entry(&mut self, entry: &LogEntry, alias: Alias, lane: Lane, tally: &mut Tally) {
        if self.skipped_to.is_some() && !self.end_skip(alias) {
            self.skipped_to = Some(entry.position());
            tally.skipped += 1;
            return;
        }
        let outbox = &self.subscriber.outbox;
        let frame = entry.frame_for(self.subscriber.connection, alias, outbox.form());
        match outbox.push(&frame, alias, lane) {
            Pushed::Queued => tally.count(&frame, 1),
            Pushed::Closed => {}
            Pushed::Overflow => {
                tally.overflows += 1;
                match self.subscriber.slow {
                    SlowPolicy::Close => outbox.close(CloseCode::Slow, None),
                    SlowPolicy::SkipToLatest => {
                        outbox.take_back(alias);
                        self.skipped_to = Some(entry.position());
                        tally.skipped += 1;
                    }
                }
            }
        }
    }

    /// Sends `advance` for what was passed over, if there is room. True when nothing is being passed over any more.
    fn end_skip(&mut self, alias: Alias) -> bool {
        let Some(position) = self.skipped_to else {
            return true;
        };
        let outbox = &self.subscriber.outbox;
        if outbox.is_under_pressure() {
            return false;
        }
        let advance = Advance {
            alias,
            offset: position.offset,
            position: position.to_string(),
            reason: "skipped".to_owned(),
        };
        outbox.push_reply(Frame::of_push(outbox.form(), &Push::Advance(advance)));
        self.skipped_to = None;
        true
    }
}
