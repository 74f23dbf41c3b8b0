//! Whether a break said enough: who had received what is gone is told its offsets, before the channel begins anew for them.
//!
//! The server owes offsets to whoever follows a channel live when the loss is found. Who is away, is still catching up or is just
//! being asked to subscribe again may get `recovered: false` alone on its return. Where a node is missing, whole partitions
//! begin anew, and nobody knows how much of each channel is gone.

use super::{Check, View};
use crate::checker::epochs;
use crate::recorder::{Fact, Name, Place, Record};

impl Check<'_> {
    /// The first event that this subscriber, who stood at `before`, had and should have been told of when it was led into the
    /// life of `top`.
    pub(super) fn unnamed(
        &self,
        at: usize,
        by: &Name,
        channel: &Name,
        view: &View,
        before: Option<Place>,
        top: Place,
    ) -> Option<Place> {
        let stood = before.filter(|_| self.is_owed_offsets(at, by, view))?;
        // What it had before an earlier break was told by that break.
        let is_of_it = |place: &Place| place.epoch == stood.epoch && place.offset <= stood.offset;
        let had = view.seen.iter().filter(|(_, place)| is_of_it(place));
        let gone = had.filter(|(id, place)| {
            let there = Place {
                epoch: top.epoch,
                offset: place.offset,
            };
            self.index.is_gone_from(channel, there, id)
        });
        let places = gone.map(|(_, place)| *place);
        places.min_by_key(|place| place.offset)
    }

    fn is_owed_offsets(&self, at: usize, by: &Name, view: &View) -> bool {
        let ended = self.disconnected.get(by);
        let is_connected = ended.is_none_or(|ended| *ended < view.since);
        is_connected
            && view.is_live
            && !view.is_told
            && !was_asked_again(&self.recording[view.heard..at])
            && !epochs::somebody_was_missing(self.recording, at, view.heard)
    }
}

/// Whether a fault came behind a verdict: who was asked to subscribe again after that verdict may have got the answer after the next.
fn was_asked_again(since: &[Record]) -> bool {
    let facts = since.iter().map(|record| &record.fact);
    let mut later = facts.skip_while(|fact| !matches!(fact, Fact::Settled { .. }));
    later.any(|fact| matches!(fact, Fact::Stopped { .. }))
}
