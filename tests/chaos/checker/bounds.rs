//! I9 and I10: nothing outgrows its bound, everything happens in its time.

use std::time::Duration;

use super::{Bug, Findings, Promises, facts};
use crate::recorder::{Fact, Record};

pub(super) fn check(recording: &[Record], findings: &mut Findings) {
    for (at, fact) in facts(recording) {
        match fact {
            Fact::Measured { what, value, max } if value > max => {
                let text = format!("{what}: {value}, at most {max} are allowed");
                findings.add(Bug::Unbounded, at, None, text);
            }
            Fact::Overdue { what } => findings.add(Bug::Stuck, at, None, what.clone()),
            _ => {}
        }
    }
}

/// What the checker finds in a run of which this is all that is known.
#[track_caller]
pub(crate) fn is_judged(facts: impl IntoIterator<Item = Fact>, expected: &[&str]) {
    let at = Duration::ZERO;
    let recording: Vec<_> = facts.into_iter().map(|fact| Record { at, fact }).collect();
    let findings = super::check(&recording, &Promises::strict());
    let findings = findings
        .iter()
        .map(|found| format!("{}: {}", found.bug, found.text));
    assert_eq!(findings.collect::<Vec<_>>(), expected);
}
