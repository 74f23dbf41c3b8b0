//! What was said of each publish, each place and each history, gathered from all parties.

use std::collections::{BTreeMap, HashMap};

use super::{Bug, Findings, facts};
use crate::recorder::{Fact, Name, Outcome, Place, Record};

/// One publish over all its attempts.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) channel: Name,
    /// The record of its first attempt.
    pub(super) asked: usize,
    /// The first acknowledgement, and where it says the event stands.
    pub(super) acked: Option<(usize, Place)>,
    attempts: usize,
    refused: usize,
}

impl Publish {
    /// Whether every attempt was certainly not applied.
    pub(super) fn was_refused(&self) -> bool {
        self.acked.is_none() && self.attempts == self.refused
    }
}

/// A channel's history as a node gave it at the end.
#[derive(Debug)]
pub(super) struct History {
    pub(super) at: usize,
    pub(super) node: Name,
    pub(super) epoch: u64,
    pub(super) entries: Vec<(u64, Name)>,
    /// A hash of each entry, in the same order.
    pub(super) contents: Vec<u64>,
}

/// Everything that is looked up by more than one check.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) publishes: HashMap<Name, Publish>,
    /// The event that each place was first seen to name, and at which record.
    pub(super) places: HashMap<Name, HashMap<Place, (Name, usize)>>,
    pub(super) histories: BTreeMap<Name, Vec<History>>,
    pub(super) sentinels: HashMap<Name, (Name, usize)>,
}

impl Index {
    pub(super) fn of(recording: &[Record], findings: &mut Findings) -> Self {
        let mut index = Self::default();
        for (at, fact) in facts(recording) {
            index.take(at, fact, findings);
        }
        index
    }

    /// Whether some node's history holds it. True without histories: nobody looked.
    pub(super) fn is_in_history(&self, channel: &Name, id: &Name) -> bool {
        self.histories.get(channel).is_none_or(|histories| {
            let mut entries = histories.iter().flat_map(|history| &history.entries);
            entries.any(|(_, held)| held == id)
        })
    }

    /// Whether an event that was seen at a place of this epoch did not survive it. True without histories: nobody looked.
    pub(super) fn lost_any_of(&self, channel: &Name, epoch: u64) -> bool {
        let Some(places) = self.places.get(channel) else {
            return false;
        };
        let mut here = places.iter().filter(|(place, _)| place.epoch == epoch);
        here.any(|(place, (id, _))| !self.survived(channel, *place, id))
    }

    pub(super) fn has_histories(&self, channel: &Name) -> bool {
        self.histories.contains_key(channel)
    }

    /// Whether the event of a place stands there to the end, under whichever epoch.
    pub(super) fn survived(&self, channel: &Name, place: Place, id: &Name) -> bool {
        let Some(history) = self.histories.get(channel).and_then(|all| all.first()) else {
            return false;
        };
        // What is acknowledged under another epoch was lost and came again, perhaps to the same offset.
        let came_again = self.publishes.get(id).is_some_and(|publish| {
            let acked = publish.acked.map(|(_, acked)| acked.epoch);
            acked.is_some_and(|epoch| epoch != place.epoch)
        });
        let held = history
            .entries
            .binary_search_by_key(&place.offset, |(offset, _)| *offset);
        let is_there = held.is_ok_and(|at| history.entries[at].1 == *id);
        is_there && (history.epoch == place.epoch || !came_again)
    }

    /// Whether a life of the log, which begins with what survived of the one before under the same offsets, has another event at
    /// this place, or is the last and ends before it.
    pub(super) fn is_gone_from(&self, channel: &Name, place: Place, id: &Name) -> bool {
        let places = self.places.get(channel);
        if let Some((held, _)) = places.and_then(|places| places.get(&place)) {
            return held != id;
        }
        let history = self.histories.get(channel).and_then(|all| all.first());
        history.is_some_and(|history| {
            let newest = history.entries.last().map_or(0, |(offset, _)| *offset);
            history.epoch == place.epoch && newest < place.offset
        })
    }

    fn take(&mut self, at: usize, fact: &Fact, findings: &mut Findings) {
        match fact {
            Fact::Asked { channel, id, .. } => self.asked(at, channel, id),
            Fact::Answered {
                channel,
                id,
                outcome,
                ..
            } => {
                self.answered(at, channel, id, outcome, findings);
            }
            Fact::Received {
                channel, place, id, ..
            } => self.place(at, channel, *place, id, findings),
            Fact::History {
                node,
                channel,
                epoch,
                entries,
                contents,
            } => {
                for (offset, id) in entries {
                    let place = Place {
                        epoch: *epoch,
                        offset: *offset,
                    };
                    self.place(at, channel, place, id, findings);
                }
                self.histories
                    .entry(channel.clone())
                    .or_default()
                    .push(History {
                        at,
                        node: node.clone(),
                        epoch: *epoch,
                        entries: entries.clone(),
                        contents: contents.clone(),
                    });
            }
            Fact::Sentinel { channel, id } => {
                self.sentinels.insert(channel.clone(), (id.clone(), at));
            }
            _ => {}
        }
    }

    fn asked(&mut self, at: usize, channel: &Name, id: &Name) {
        let publish = self.publishes.entry(id.clone()).or_insert_with(|| Publish {
            channel: channel.clone(),
            asked: at,
            acked: None,
            attempts: 0,
            refused: 0,
        });
        publish.attempts += 1;
    }

    fn answered(
        &mut self,
        at: usize,
        channel: &Name,
        id: &Name,
        outcome: &Outcome,
        findings: &mut Findings,
    ) {
        let Some(publish) = self.publishes.get_mut(id) else {
            let text = format!("{id} was answered and never asked");
            return findings.add(Bug::Phantom, at, Some(channel), text);
        };
        match outcome {
            Outcome::Refused(_) => publish.refused += 1,
            Outcome::Unknown(_) => {}
            Outcome::Acked(place) => {
                let (_, before) = *publish.acked.get_or_insert((at, *place));
                if before != *place {
                    let text = format!("{id} was acknowledged at {before} and at {place}");
                    findings.add(Bug::Duplicate, at, Some(channel), text);
                }
                self.place(at, channel, *place, id, findings);
            }
        }
    }

    /// One place names one event, whoever says so.
    fn place(
        &mut self,
        at: usize,
        channel: &Name,
        place: Place,
        id: &Name,
        findings: &mut Findings,
    ) {
        let places = self.places.entry(channel.clone()).or_default();
        let (before, _) = places.entry(place).or_insert_with(|| (id.clone(), at));
        if before != id {
            let text = format!("{place} named {before}, and now {id}");
            findings.add(Bug::OffsetReuse, at, Some(channel), text);
        }
    }
}
