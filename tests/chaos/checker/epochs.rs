//! A whole partition begins new epochs only where a node was missing that may have acknowledged something.

use std::collections::HashMap;
use std::time::Duration;

use super::{Bug, Findings, Promises, facts};
use crate::recorder::{Fact, Name, Record};

/// Who was killed counts as alive until its lease ends, which runs only while Redis delivers. The one that took its place is
/// another to the others.
const UNTIL_FORGOTTEN: Duration = Duration::from_secs(15);
/// A node that lagged tells of new epochs later than the others.
const UNTIL_TOLD: Duration = Duration::from_secs(20);
/// A node's log is read so late at most: who it told may have noted it before.
const UNTIL_READ: Duration = Duration::from_secs(1);

pub(super) fn check(recording: &[Record], promises: &Promises, findings: &mut Findings) {
    if !promises.may_break.is_empty() {
        return;
    }
    for (at, fact) in facts(recording) {
        if let Fact::NewEpochs { node, partition } = fact
            && !is_missing_one(recording, at)
        {
            let text =
                format!("{node} began new epochs in partition {partition}: nobody was missing");
            findings.add(Bug::NeedlessBreak, at, None, text);
        }
    }
}

/// Whether new epochs that a missing node caused may be told here, to one that was last told anything at `heard`.
pub(super) fn somebody_was_missing(recording: &[Record], at: usize, heard: usize) -> bool {
    let now = recording[at].at;
    let read = recording.partition_point(|record| record.at <= now + UNTIL_READ);
    let recent = recording[..read].iter().enumerate().rev();
    // Who was away learns of it when it is back.
    let mut recent = recent.take_while(|(at, record)| *at > heard || record.at + UNTIL_TOLD > now);
    recent.any(|(at, record)| {
        matches!(record.fact, Fact::NewEpochs { .. }) && is_missing_one(recording, at)
    })
}

/// Whether a node was away then, or was a moment before.
fn is_missing_one(recording: &[Record], at: usize) -> bool {
    let now = recording[at].at;
    let mut away: HashMap<&Name, Option<Duration>> = HashMap::new();
    for record in &recording[..at] {
        match &record.fact {
            Fact::Away { node } => {
                away.insert(node, None);
            }
            Fact::Here { node } => {
                away.insert(node, Some(record.at));
            }
            _ => {}
        }
    }
    away.values()
        .any(|back| back.is_none_or(|back| now < back + UNTIL_FORGOTTEN))
}
