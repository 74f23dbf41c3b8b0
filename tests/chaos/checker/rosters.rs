//! I8: after its time every node lists those who are there, and nobody else; and whoever keeps a roster knows the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Bug, Findings, facts};
use crate::recorder::{Fact, Known, Name, Record};

pub(super) fn check(recording: &[Record], findings: &mut Findings) {
    check_nodes(recording, findings);
    check_holders(recording, findings);
}

fn check_nodes(recording: &[Record], findings: &mut Findings) {
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

/// Only what somebody knows last counts: on the way there it may be behind.
fn check_holders(recording: &[Record], findings: &mut Findings) {
    // Of the node that was asked last: where nodes differ, one of them was found above.
    let mut lists: HashMap<&Name, &BTreeSet<Name>> = HashMap::new();
    let mut held: BTreeMap<(&Name, &Name), (usize, &Known)> = BTreeMap::new();
    for (at, fact) in facts(recording) {
        match fact {
            Fact::Roster { channel, users, .. } => {
                lists.insert(channel, users);
            }
            Fact::Holds { by, channel, known } => {
                held.insert((by, channel), (at, known));
            }
            _ => {}
        }
    }
    for ((by, channel), (at, known)) in held {
        if let Some(listed) = lists.get(channel)
            && !known.is_of(listed)
        {
            let text = format!("{by} {}", difference(known, listed));
            findings.add(Bug::StaleRoster, at, Some(channel), text);
        }
    }
}

fn difference(known: &Known, listed: &BTreeSet<Name>) -> String {
    let names = known.names.as_ref().unwrap_or(listed);
    let gone: Vec<_> = names.difference(listed).collect();
    let missed: Vec<_> = listed.difference(names).collect();
    let (count, users) = (known.count, listed.len());
    format!("counts {count} of {users}, still knows {gone:?}, does not know {missed:?}")
}
