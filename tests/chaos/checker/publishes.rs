//! I5 and the log's side of I3: publishes are placed once, and in the order of real time.

use std::collections::HashMap;

use super::index::{Index, Publish};
use super::{Bug, Findings};
use crate::recorder::Name;

pub(super) fn check(index: &Index, findings: &mut Findings) {
    real_time_order(index, findings);
    once_in_the_log(index, findings);
}

/// A channel and the epoch of one life of its log.
type Life<'a> = (&'a Name, u64);

/// An id, its publish, when it was acknowledged, and its offset.
type Acked<'a> = (&'a Name, &'a Publish, usize, u64);

/// What was asked after an acknowledgement stands behind it.
fn real_time_order(index: &Index, findings: &mut Findings) {
    let mut by_epoch: HashMap<Life<'_>, Vec<Acked<'_>>> = HashMap::new();
    for (id, publish) in &index.publishes {
        if let Some((acked, place)) = publish.acked {
            let key = (&publish.channel, place.epoch);
            by_epoch
                .entry(key)
                .or_default()
                .push((id, publish, acked, place.offset));
        }
    }
    for ((channel, _), publishes) in by_epoch {
        let mut acks: Vec<_> = publishes
            .iter()
            .map(|(id, _, acked, offset)| (*acked, *offset, *id))
            .collect();
        acks.sort_unstable();
        let mut asks = publishes;
        asks.sort_unstable_by_key(|(_, publish, ..)| publish.asked);
        let mut highest: Option<(u64, &Name)> = None;
        let mut acks = acks.into_iter().peekable();
        for (id, publish, acked, offset) in asks {
            while let Some((_, before, other)) = acks.next_if(|(at, ..)| *at < publish.asked) {
                highest = highest.max(Some((before, other)));
            }
            if let Some((before, other)) = highest
                && before > offset
            {
                let text = format!(
                    "{id} at {offset} was asked after {other} at {before} was acknowledged"
                );
                findings.add(Bug::Reorder, acked, Some(channel), text);
            }
        }
    }
}

/// No id at two places of one history.
fn once_in_the_log(index: &Index, findings: &mut Findings) {
    for (channel, histories) in &index.histories {
        for history in histories {
            let mut seen: HashMap<&Name, u64> = HashMap::new();
            for (offset, id) in &history.entries {
                if let Some(before) = seen.insert(id, *offset) {
                    let text = format!("{id} stands at {before} and at {offset}");
                    findings.add(Bug::Duplicate, history.at, Some(channel), text);
                }
            }
        }
    }
}
