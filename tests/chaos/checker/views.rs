//! What each subscriber saw of each channel: I2, I3, I4, I6, and the sentinel of I10.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::index::Index;
use super::{Bug, Findings, Promises, epochs, facts};
use crate::recorder::{Fact, Name, Place, Record, Start};

mod breaks;

/// One subscriber's view of one channel.
#[derive(Debug, Default)]
struct View {
    /// The last event that it has, or where it began.
    cursor: Option<Place>,
    /// Where each publish stood when it came.
    seen: HashMap<Name, Place>,
    open: bool,
    /// When anything of the channel came last, as a place in the recording.
    heard: usize,
    /// When the subscription last began.
    since: usize,
    /// Since then an event came that was published later: it has caught up.
    is_live: bool,
    /// Since then it was told what is gone.
    is_told: bool,
}

struct Check<'a> {
    recording: &'a [Record],
    index: &'a Index,
    promises: &'a Promises,
    /// Whether a channel lost anything of an epoch, once it was asked.
    losses: HashMap<(Name, u64), bool>,
    /// When each client last lost its socket, as a place in the recording.
    disconnected: HashMap<Name, usize>,
    findings: &'a mut Findings,
}

pub(super) fn check(
    recording: &[Record],
    index: &Index,
    promises: &Promises,
    findings: &mut Findings,
) {
    let mut views: HashMap<(Name, Name), View> = HashMap::new();
    let mut check = Check {
        recording,
        index,
        promises,
        losses: HashMap::new(),
        disconnected: HashMap::new(),
        findings,
    };
    for (at, fact) in facts(recording) {
        if let Fact::Disconnected { by, .. } = fact {
            check.disconnected.insert(by.clone(), at);
        }
        if let (Some(by), Some(channel)) = (fact.by(), fact.channel()) {
            let view = views.entry((by.clone(), channel.clone())).or_default();
            check.take(at, fact, by, channel, view);
        }
    }
    check.sentinels(&views, recording.len());
}

impl Check<'_> {
    fn take(&mut self, at: usize, fact: &Fact, by: &Name, channel: &Name, view: &mut View) {
        match fact {
            Fact::Subscribed { top, start, .. } => {
                self.subscribed(at, by, channel, view, *top, start)
            }
            Fact::Received { place, id, .. } => self.received(at, by, channel, view, *place, id),
            Fact::Advanced { offset, .. } => {
                if let Some(cursor) = &mut view.cursor {
                    cursor.offset = cursor.offset.max(*offset);
                }
            }
            Fact::Hole { expected, got, .. } => {
                let text = format!("{by} got {got} without {expected}");
                self.find(Bug::SilentGap, at, channel, text);
            }
            Fact::Late { offset, .. } => {
                let text = format!("{by} got {offset} behind its successor");
                self.find(Bug::Reorder, at, channel, text);
            }
            Fact::Repeated { offset, .. } => {
                let text = format!("{by} got {offset} twice");
                self.find(Bug::Duplicate, at, channel, text);
            }
            Fact::ToldLost { from, to, .. } => {
                view.is_told = true;
                self.told_lost(at, by, channel, view, *from..=*to);
            }
            Fact::Left { .. } => view.open = false,
            _ => {}
        }
        view.heard = at;
    }

    fn subscribed(
        &mut self,
        at: usize,
        by: &Name,
        channel: &Name,
        view: &mut View,
        top: Place,
        start: &Start,
    ) {
        view.open = true;
        match start {
            Start::First => view.cursor = Some(top),
            Start::Broken(reason) => {
                let before = view.cursor.replace(top);
                if let Some(why) = self.is_needless(at, view.heard, channel, before, top) {
                    let text = format!("{by} was told of a break ({reason}) where {why}");
                    self.find(Bug::NeedlessBreak, at, channel, text);
                }
                if let Some(place) = self.unnamed(at, by, channel, view, before, top) {
                    let text =
                        format!("{by} was told of a break ({reason}), not that {place} is gone");
                    self.find(Bug::UnexplainedBreak, at, channel, text);
                }
            }
            Start::Complete => {
                let before = view.cursor.get_or_insert(top);
                if before.epoch != top.epoch {
                    let text = format!(
                        "{by} stood at {before} and continues at {top} as if nothing happened"
                    );
                    *before = top;
                    self.find(Bug::StaleEpoch, at, channel, text);
                }
            }
        }
        view.since = at;
        view.is_live = false;
        view.is_told = false;
    }

    /// Why a break was not needed.
    fn is_needless(
        &mut self,
        at: usize,
        heard: usize,
        channel: &Name,
        before: Option<Place>,
        top: Place,
    ) -> Option<&'static str> {
        if self.promises.allow_break(channel) {
            return None;
        }
        if !self.promises.allow_retract(channel) {
            return Some("nothing may be lost");
        }
        // Who had nothing has lost nothing, but may stand in another epoch now.
        let before = before.filter(|before| before.offset > 0)?;
        // A node that has not heard of the loss yet names the epoch of before.
        let is_lost = self.has_lost(channel, before.epoch) || self.has_lost(channel, top.epoch);
        let is_excused = is_lost || epochs::somebody_was_missing(self.recording, at, heard);
        (!is_excused).then_some("nothing was lost")
    }

    fn has_lost(&mut self, channel: &Name, epoch: u64) -> bool {
        let index = self.index;
        let entry = self.losses.entry((channel.clone(), epoch));
        *entry.or_insert_with(|| index.lost_any_of(channel, epoch))
    }

    /// Where nothing may be lost, only what nobody acknowledged may be taken back.
    fn told_lost(
        &mut self,
        at: usize,
        by: &Name,
        channel: &Name,
        view: &View,
        offsets: RangeInclusive<u64>,
    ) {
        if let Some(cursor) = view.cursor {
            self.is_exact(at, by, channel, view, cursor.epoch, &offsets);
        }
        if self.promises.allow_loss(channel) {
            return;
        }
        let epoch = view.cursor.map(|cursor| cursor.epoch);
        let acked = self.index.publishes.iter().filter(|(_, publish)| {
            let place = publish.acked.map(|(_, place)| place);
            publish.channel == *channel
                && place.is_some_and(|place| {
                    Some(place.epoch) == epoch && offsets.contains(&place.offset)
                })
        });
        // A notice that names too much costs its reader nothing but the exactness.
        let is_lost = acked
            .clone()
            .any(|(id, _)| !self.index.is_in_history(channel, id));
        if is_lost || !self.promises.allow_retract(channel) {
            let text = format!("{by} was told that {offsets:?} are lost");
            self.find(Bug::Lost, at, channel, text);
        }
    }

    /// A notice names what this subscriber had and has lost, and nothing that is still there.
    fn is_exact(
        &mut self,
        at: usize,
        by: &Name,
        channel: &Name,
        view: &View,
        epoch: u64,
        offsets: &RangeInclusive<u64>,
    ) {
        // Where a node is missing, whole partitions begin anew, and nobody knows how much of each channel is gone.
        if epochs::somebody_was_missing(self.recording, at, view.heard) {
            return;
        }
        // What it had before an earlier break was told by that break.
        let top = view.cursor.map_or(0, |cursor| cursor.offset);
        let is_of_it = |place: &Place| place.epoch == epoch && place.offset <= top;
        let had = view.seen.iter().filter(|(_, place)| is_of_it(place));
        for (id, place) in had {
            let is_named = offsets.contains(&place.offset);
            let is_there = self.index.survived(channel, *place, id);
            // One that nobody acknowledged may be lost and come again to its place.
            let is_acked = self
                .index
                .publishes
                .get(id)
                .and_then(|publish| publish.acked);
            let is_known = is_acked.is_some_and(|(_, acked)| acked == *place);
            if is_known && self.index.has_histories(channel) && is_named == is_there {
                let what = if is_there { "is there" } else { "is gone" };
                let text =
                    format!("{by} was told that {offsets:?} are lost; {id} at {place} {what}");
                return self.find(Bug::InexactNotice, at, channel, text);
            }
        }
    }

    fn received(
        &mut self,
        at: usize,
        by: &Name,
        channel: &Name,
        view: &mut View,
        place: Place,
        id: &Name,
    ) {
        self.is_of_this_channel(at, by, channel, view, id);
        let asked = self.index.publishes.get(id).map(|publish| publish.asked);
        view.is_live |= asked.is_some_and(|asked| asked > view.since);
        let before = view.seen.insert(id.clone(), place);
        if let Some(before) = before
            && before != place
            && (before.epoch == place.epoch || !self.promises.allow_retract(channel))
        {
            let text = format!("{by} got {id} at {before} and at {place}");
            self.find(Bug::Duplicate, at, channel, text);
        }
        let Some(cursor) = view.cursor.replace(place) else {
            return;
        };
        let next = cursor.offset + 1;
        if cursor.epoch != place.epoch {
            let text = format!("{by} stood at {cursor} and got {place}");
            self.find(Bug::StaleEpoch, at, channel, text);
        } else if place.offset > next {
            let text = format!("{by} got {place} without {next}");
            self.find(Bug::SilentGap, at, channel, text);
        } else if place.offset < next {
            view.cursor = Some(cursor);
            let (bug, text) = match before {
                Some(_) => (Bug::Duplicate, format!("{by} got {place} {id} again")),
                None => (
                    Bug::Reorder,
                    format!("{by} stood at {cursor} and got {place}"),
                ),
            };
            self.find(bug, at, channel, text);
        }
    }

    fn is_of_this_channel(&mut self, at: usize, by: &Name, channel: &Name, view: &View, id: &Name) {
        if !view.open {
            let text = format!("{by} got {id} without following the channel");
            self.find(Bug::Leak, at, channel, text);
        }
        match self.index.publishes.get(id) {
            None => {
                let text = format!("{by} got {id}, which nobody published");
                self.find(Bug::Phantom, at, channel, text);
            }
            Some(publish) if publish.asked > at => {
                let text = format!("{by} got {id} before it was published");
                self.find(Bug::Phantom, at, channel, text);
            }
            Some(publish) if publish.was_refused() => {
                let text = format!("{by} got {id}, whose publish was refused");
                self.find(Bug::Phantom, at, channel, text);
            }
            Some(publish) if publish.channel != *channel => {
                let text = format!("{by} got {id} of {}", publish.channel);
                self.find(Bug::Leak, at, channel, text);
            }
            Some(_) => {}
        }
    }

    /// Who follows a channel at the end has seen its last event.
    fn sentinels(&mut self, views: &HashMap<(Name, Name), View>, end: usize) {
        for ((by, channel), view) in views {
            let Some((id, _)) = self.index.sentinels.get(channel) else {
                continue;
            };
            // Who was told of a break may stand behind it without having received it.
            let place = self
                .index
                .publishes
                .get(id)
                .and_then(|publish| publish.acked);
            let stands_behind = place.zip(view.cursor).is_some_and(|((_, place), cursor)| {
                cursor.epoch == place.epoch && cursor.offset >= place.offset
            });
            if view.open && !stands_behind && !view.seen.contains_key(id) {
                let cursor = view
                    .cursor
                    .map_or_else(|| "nowhere".to_owned(), |cursor| cursor.to_string());
                let text = format!(
                    "{by} follows the channel and never got its last event {id}; it stands at {cursor}"
                );
                self.find(Bug::Stuck, end.saturating_sub(1), channel, text);
            }
        }
    }

    fn find(&mut self, bug: Bug, at: usize, channel: &Name, text: String) {
        self.findings.add(bug, at, Some(channel), text);
    }
}
