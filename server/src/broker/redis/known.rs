//! What a failover could take back of a partition: the newest entry of each channel that was acknowledged or delivered here and
//! that not all replicas have confirmed.
//!
//! It has a bound. Who knows that there was more than it remembers cannot name what was lost.

use std::collections::HashMap;

use parlor_protocol::{ChannelName, Position};

/// A channel's newest entry that was acknowledged or delivered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pseq: u64,
    pub(super) position: Position,
    /// The entry's epoch had begun when this was the partition's generation.
    pub(super) generation: u64,
}

impl Known {
    /// Entries that came in one batch have one place in the stream.
    fn place(&self) -> (u64, u64) {
        (self.pseq, self.position.offset)
    }
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct KnownEntries {
    newest: HashMap<ChannelName, Known>,
    /// The newest entry of the stream that found no room here. None: all is remembered.
    overflowed_at: Option<u64>,
}

impl KnownEntries {
    /// Remembers it, of so many channels at most.
    pub(super) fn note(&mut self, channel: &ChannelName, known: Known, channels_max: usize) {
        let has_room = self.newest.len() < channels_max;
        match self.newest.get_mut(channel) {
            Some(held) if held.place() < known.place() => *held = known,
            Some(_) => {}
            None if has_room => {
                self.newest.insert(channel.clone(), known);
            }
            None => self.overflowed_at = self.overflowed_at.max(Some(known.pseq)),
        }
    }

    /// What must be looked for after a change of lineage, and whether that is all.
    pub(super) fn all(&self) -> (Vec<(ChannelName, Known)>, bool) {
        let newest = self.newest.iter();
        let newest = newest.map(|(channel, known)| (channel.clone(), *known));
        (newest.collect(), self.overflowed_at.is_none())
    }

    /// A verdict found a channel's log to end here, perhaps in a new life; its life began in this generation.
    pub(super) fn verified(&mut self, channel: &ChannelName, top: Position, generation: u64) {
        if let Some(held) = self.newest.get_mut(channel) {
            held.position = top;
            held.generation = generation;
        }
    }

    /// All of it was verified in a stream that stood here: what comes is newer, and replicas that have this have all of it.
    pub(super) fn rebase(&mut self, pseq: u64) {
        for known in self.newest.values_mut() {
            known.pseq = pseq;
        }
        self.overflowed_at = None;
    }

    /// All replicas have confirmed the stream up to here: nothing before it can be lost by a promotion.
    pub(super) fn forget(&mut self, up_to: u64) {
        self.newest.retain(|_, known| known.pseq > up_to);
        self.overflowed_at = self.overflowed_at.filter(|at| *at > up_to);
        if self.newest.is_empty() {
            self.newest.shrink_to(64);
        }
    }

    /// The epochs of all channels are new: their older entries are nobody's any more.
    pub(super) fn forget_all(&mut self) {
        self.newest.clear();
        self.overflowed_at = None;
    }
}

#[cfg(test)]
mod tests {
    use parlor_protocol::{Epoch, Tag};

    use super::*;

    const CHANNELS_MAX: usize = 2;

    fn note(entries: &mut KnownEntries, channel: &str, pseq: u64) {
        let position = Position {
            epoch: Epoch(1),
            offset: pseq,
            tag: Tag(pseq),
        };
        let known = Known {
            pseq,
            position,
            generation: 1,
        };
        let channel = ChannelName::parse(channel).unwrap();
        entries.note(&channel, known, CHANNELS_MAX);
    }

    #[test]
    fn of_several_entries_in_one_batch_the_last_is_known() {
        let mut entries = KnownEntries::default();
        let channel = ChannelName::parse("a").unwrap();
        let note = |entries: &mut KnownEntries, pseq, offset| {
            let position = Position {
                epoch: Epoch(1),
                offset,
                tag: Tag(offset),
            };
            let known = Known {
                pseq,
                position,
                generation: 1,
            };
            entries.note(&channel, known, CHANNELS_MAX);
        };
        // Both the answer and the tail tell of each.
        for offset in [4, 5, 6, 4] {
            note(&mut entries, 9, offset);
        }
        assert_eq!(entries.all().0[0].1.position.offset, 6);
        // A new life begins before the offset of the last.
        note(&mut entries, 10, 2);
        assert_eq!(entries.all().0[0].1.position.offset, 2);
    }

    fn overflowed() -> KnownEntries {
        let mut entries = KnownEntries::default();
        for (channel, pseq) in [("a", 1), ("b", 2)] {
            note(&mut entries, channel, pseq);
            assert!(entries.all().1);
        }
        note(&mut entries, "c", 3);
        assert!(!entries.all().1);
        entries
    }

    #[test]
    fn what_found_no_room_is_no_matter_once_the_replicas_have_it() {
        let mut entries = overflowed();
        // There is always something that they have not confirmed yet.
        note(&mut entries, "a", 4);
        entries.forget(3);
        let (known, is_all) = entries.all();
        assert_eq!((known.len(), is_all), (1, true));
    }

    #[test]
    fn what_found_no_room_counts_until_the_replicas_have_it() {
        let mut entries = overflowed();
        entries.forget(2);
        let (known, is_all) = entries.all();
        assert_eq!((known.len(), is_all), (0, false));
    }
}
