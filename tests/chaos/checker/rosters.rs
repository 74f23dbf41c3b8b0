//! I8: after its time every node lists those who are there, and nobody else.

use std::collections::{BTreeSet, HashMap};

use super::{Bug, Findings, facts};
use crate::recorder::{Fact, Name, Record};

pub(super) fn check(recording: &[Record], findings: &mut Findings) {
    let mut truth: HashMap<&Name, &BTreeSet<Name>> = HashMap::new();
    for (at, fact) in facts(recording) {
        match fact {
            Fact::Present { channel, users } => {
                truth.insert(channel, users);
            }
            Fact::Roster {
                node,
                channel,
                users,
            } => {
                let Some(present) = truth.get(channel) else {
                    continue;
                };
                for ghost in users.difference(present) {
                    let text = format!("{node} lists {ghost}, who is gone");
                    findings.add(Bug::GhostPresence, at, Some(channel), text);
                }
                for missing in present.difference(users) {
                    let text = format!("{node} does not list {missing}, who is there");
                    findings.add(Bug::MissingPresence, at, Some(channel), text);
                }
            }
            _ => {}
        }
    }
}
