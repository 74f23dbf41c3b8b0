//! I9 and I10: nothing outgrows its bound, everything happens in its time.

use super::{Bug, Findings, facts};
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
