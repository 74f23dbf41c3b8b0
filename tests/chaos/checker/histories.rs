//! I1 and I7: the history that every node gives at the end holds what was acknowledged and what was delivered.

use std::collections::HashMap;

use super::index::{History, Index};
use super::{Bug, Findings, Promises};
use crate::recorder::Name;

pub(super) fn check(index: &Index, promises: &Promises, findings: &mut Findings) {
    for (channel, histories) in &index.histories {
        for history in histories {
            is_dense(channel, history, index, findings);
            holds_its_epoch(channel, history, index, findings);
            if !promises.allow_loss(channel) {
                holds_what_was_acknowledged(channel, history, index, findings);
            }
            holds_no_phantoms(channel, history, index, findings);
        }
        agree(channel, histories, findings);
    }
}

/// A hole that somebody's event stood in is a loss; one that never had an event is a hole for every reader.
fn is_dense(channel: &Name, history: &History, index: &Index, findings: &mut Findings) {
    for pair in history.entries.windows(2) {
        let ((before, _), (after, _)) = (&pair[0], &pair[1]);
        if *after == before + 1 {
            continue;
        }
        let missing = before + 1;
        let named = index.places.get(channel).is_some_and(|places| {
            places
                .keys()
                .any(|place| place.epoch == history.epoch && place.offset == missing)
        });
        let bug = if named { Bug::Lost } else { Bug::SilentGap };
        let text = format!(
            "the history at {} goes from {before} to {after}",
            history.node
        );
        findings.add(bug, history.at, Some(channel), text);
    }
}

/// Everything that was seen in the history's own epoch is there, as far as it is retained.
fn holds_its_epoch(channel: &Name, history: &History, index: &Index, findings: &mut Findings) {
    let Some(places) = index.places.get(channel) else {
        return;
    };
    let entries: HashMap<u64, &Name> = history
        .entries
        .iter()
        .map(|(offset, id)| (*offset, id))
        .collect();
    let oldest = history.entries.first().map_or(0, |(offset, _)| *offset);
    let here = places
        .iter()
        .filter(|(place, _)| place.epoch == history.epoch && place.offset >= oldest);
    for (place, (id, at)) in here {
        // Another id at the place is found where places are gathered.
        if !entries.contains_key(&place.offset) {
            let text = format!(
                "{id} was seen at {place} and is not in the history at {}",
                history.node
            );
            findings.add(Bug::Lost, *at, Some(channel), text);
        }
    }
}

/// By id: a change of the epoch may move events, but not lose them.
fn holds_what_was_acknowledged(
    channel: &Name,
    history: &History,
    index: &Index,
    findings: &mut Findings,
) {
    let held: HashMap<&Name, u64> = history
        .entries
        .iter()
        .map(|(offset, id)| (id, *offset))
        .collect();
    let is_trimmed = history
        .entries
        .first()
        .is_some_and(|(offset, _)| *offset > 1);
    for (id, publish) in &index.publishes {
        let Some((at, place)) = publish.acked else {
            continue;
        };
        // What its own epoch still tells of is found by place.
        let is_told_by_place = place.epoch == history.epoch;
        if publish.channel == *channel && !is_told_by_place && !is_trimmed && !held.contains_key(id)
        {
            let text = format!(
                "{id} was acknowledged at {place} and is not in the history at {}",
                history.node
            );
            findings.add(Bug::Lost, at, Some(channel), text);
        }
    }
}

fn holds_no_phantoms(channel: &Name, history: &History, index: &Index, findings: &mut Findings) {
    for (offset, id) in &history.entries {
        let fault = match index.publishes.get(id) {
            None => Some((Bug::Phantom, "nobody published it")),
            Some(publish) if publish.was_refused() => {
                Some((Bug::Phantom, "its publish was refused"))
            }
            Some(publish) if publish.channel != *channel => {
                Some((Bug::Leak, "it belongs elsewhere"))
            }
            Some(_) => None,
        };
        if let Some((bug, why)) = fault {
            let text = format!(
                "{id} stands at {offset} in the history at {}: {why}",
                history.node
            );
            findings.add(bug, history.at, Some(channel), text);
        }
    }
}

/// All nodes give the same.
fn agree(channel: &Name, histories: &[History], findings: &mut Findings) {
    let Some((first, others)) = histories.split_first() else {
        return;
    };
    for other in others {
        if (first.epoch, &first.entries) != (other.epoch, &other.entries) {
            let text = format!("{} and {} give different histories", first.node, other.node);
            findings.add(Bug::Lost, other.at, Some(channel), text);
        } else {
            say_the_same(channel, first, other, findings);
        }
    }
}

/// Two nodes that give the same entries say the same of each. The first that differs is told: whatever changes one is likely to
/// change many.
fn say_the_same(channel: &Name, first: &History, other: &History, findings: &mut Findings) {
    let mut pairs = first.contents.iter().zip(&other.contents);
    if let Some(place) = pairs.position(|(one, another)| one != another) {
        let (offset, id) = &first.entries[place];
        let (here, there) = (&first.node, &other.node);
        let text = format!("{id} at {offset} is one event at {here} and another at {there}");
        findings.add(Bug::OffsetReuse, other.at, Some(channel), text);
    }
}
