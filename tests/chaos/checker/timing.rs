//! How long things took: until a loss was told, until readiness turned red and green, until publishes were back.
//!
//! Everything is measured and kept; a violation is only what is over a bound with slack, since a loaded machine is no fault.

use std::collections::HashMap;
use std::time::Duration;

use super::{Bug, Findings};
use crate::recorder::{Fact, Name, Outcome, Record, Start};

/// Something that has its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Duty {
    /// From the first node that finds a loss until the verdict: all nodes have said what they miss, or had their time.
    Verdict,
    /// From the verdict, when the channel's partition goes on, until a connected subscriber is told of a loss.
    Notice,
    /// From the moment at which nothing can be delivered until `/readyz` says so.
    Red,
    /// From the moment at which everything could be delivered again until `/readyz` says so.
    Green,
    /// The same until publishes are acknowledged.
    Back,
    /// From the fault until publishes are acknowledged.
    Outage,
}

impl Duty {
    pub(crate) const ALL: [Self; 6] = [
        Self::Verdict,
        Self::Notice,
        Self::Red,
        Self::Green,
        Self::Back,
        Self::Outage,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Notice => "notice",
            Self::Red => "red",
            Self::Green => "green",
            Self::Back => "back",
            Self::Outage => "outage",
        }
    }

    /// What is a violation. The promises are 1 s, 2 s and 3 s; the rest is slack for a machine that does other things.
    fn bound(self) -> Option<(Duration, Bug)> {
        match self {
            Self::Notice => Some((Duration::from_secs(2), Bug::LateNotice)),
            Self::Red => Some((Duration::from_secs(4), Bug::LateRed)),
            Self::Green => Some((Duration::from_secs(10), Bug::LateGreen)),
            Self::Back => Some((Duration::from_secs(6), Bug::LateBack)),
            // The one holds how long others may take to speak, the other how long the fault itself lasted.
            Self::Verdict | Self::Outage => None,
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    pub(crate) duty: Duty,
    pub(crate) time: Duration,
    /// The record at which it began.
    pub(crate) from: usize,
    who: Name,
}

/// Acknowledgements that make publishes be back: one may have been under way.
const ACKS: usize = 3;
/// A channel's verdicts within this time are one.
const ONE_VERDICT: Duration = Duration::from_secs(5);
/// Another node may have said it a moment before its log was read.
const BEFORE_VERDICT: Duration = Duration::from_secs(1);
/// What was under way when a fault began may turn a node green so late, and the runner notes a heal so late.
const UNSHARP: Duration = Duration::from_secs(1);

pub(super) fn check(recording: &[Record], findings: &mut Findings) {
    for took in measure(recording) {
        let Some((bound, bug)) = took.duty.bound() else {
            continue;
        };
        if took.time > bound {
            let (who, name, time) = (&took.who, took.duty.name(), took.time);
            let text = format!("{who}: {name} took {time:.1?}, at most {bound:?} are allowed");
            let channel = recording[took.from].fact.channel();
            findings.add(bug, took.from, channel, text);
        }
    }
    for fault in faults(recording) {
        fault.early_greens(recording, findings);
    }
}

/// All that was measured.
pub(crate) fn measure(recording: &[Record]) -> Vec<Took> {
    let mut all = notices(recording);
    for fault in faults(recording) {
        all.extend(fault.reds(recording));
        all.extend(fault.greens(recording));
        all.extend(fault.backs(recording));
    }
    all
}

/// Between two records nothing could be delivered, through one node or through none.
struct Interval<'a> {
    node: Option<&'a Name>,
    from: usize,
    to: usize,
    /// The next fault, or the end.
    next: usize,
}

fn faults(recording: &[Record]) -> Vec<Interval<'_>> {
    let marks: Vec<usize> = (0..recording.len())
        .filter(|at| matches!(recording[*at].fact, Fact::Stopped { .. } | Fact::Flows))
        .collect();
    let is_stop = |at: usize| matches!(recording[at].fact, Fact::Stopped { .. });
    let pairs = marks.iter().zip(marks.iter().skip(1)).enumerate();
    pairs
        .filter(|(_, (from, to))| is_stop(**from) && !is_stop(**to))
        .map(|(index, (from, to))| Interval {
            node: match &recording[*from].fact {
                Fact::Stopped { node } => node.as_ref(),
                _ => None,
            },
            from: *from,
            to: *to,
            next: marks.get(index + 2).copied().unwrap_or(recording.len()),
        })
        .collect()
}

impl Interval<'_> {
    /// Who is concerned, and was there and ready when it began.
    fn ready_nodes(&self, recording: &[Record]) -> Vec<Name> {
        let mut ready: HashMap<&Name, bool> = HashMap::new();
        for record in &recording[..self.from] {
            match &record.fact {
                Fact::Ready { node, is_ready } => {
                    ready.insert(node, *is_ready);
                }
                Fact::Away { node } => {
                    ready.insert(node, false);
                }
                _ => {}
            }
        }
        let goes_away = |name: &Name| {
            let mut within = recording[self.from..self.to].iter();
            within.any(|record| matches!(&record.fact, Fact::Away { node } if node == name))
        };
        let concerned = |name: &Name| self.node.is_none_or(|node| node == name);
        ready
            .into_iter()
            .filter(|(name, is_ready)| *is_ready && concerned(name) && !goes_away(name))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn reds(&self, recording: &[Record]) -> Vec<Took> {
        let lasted = recording[self.to].at - recording[self.from].at;
        let bound = Duty::Red.bound().map_or(lasted, |(bound, _)| bound);
        let nodes = self.ready_nodes(recording).into_iter();
        nodes
            .filter_map(|who| {
                let red = turn(recording, self.from..self.to, &who, false);
                // What was over before it had to be seen may go unseen.
                let time = match red {
                    Some(at) => recording[at].at - recording[self.from].at,
                    None if lasted > bound => lasted,
                    None => return None,
                };
                Some(Took {
                    duty: Duty::Red,
                    time,
                    from: self.from,
                    who,
                })
            })
            .collect()
    }

    /// Of those who turned red in it.
    fn greens(&self, recording: &[Record]) -> Vec<Took> {
        let nodes = self.ready_nodes(recording).into_iter();
        let red = nodes.filter(|who| {
            let last = recording[self.from..self.to].iter().rev();
            let mut said = last.filter_map(|record| match &record.fact {
                Fact::Ready { node, is_ready } if node == who => Some(*is_ready),
                _ => None,
            });
            said.next() == Some(false)
        });
        red.filter_map(|who| {
            let green = turn(recording, self.to..self.next, &who, true);
            let end = match green {
                Some(at) => at,
                None if self.next == recording.len() => recording.len() - 1,
                // The next fault came first.
                None => return None,
            };
            Some(Took {
                duty: Duty::Green,
                time: recording[end].at - recording[self.to].at,
                from: self.to,
                who,
            })
        })
        .collect()
    }

    fn backs(&self, recording: &[Record]) -> Vec<Took> {
        if self.node.is_some() {
            return Vec::new();
        }
        let acks = (self.to..self.next).filter(|at| is_ack(&recording[*at].fact));
        let end = match acks.take(ACKS).last() {
            Some(at) => at,
            None if self.next == recording.len() => recording.len() - 1,
            None => return Vec::new(),
        };
        let took = |duty, from: usize| Took {
            duty,
            time: recording[end].at - recording[from].at,
            from,
            who: "publishers".into(),
        };
        vec![took(Duty::Back, self.to), took(Duty::Outage, self.from)]
    }

    /// Nobody says that all is well while nothing can be delivered.
    fn early_greens(&self, recording: &[Record], findings: &mut Findings) {
        let (start, end) = (recording[self.from].at, recording[self.to].at);
        let inside = recording.iter().enumerate().take(self.to).skip(self.from);
        for (at, record) in inside {
            let Fact::Ready {
                node,
                is_ready: true,
            } = &record.fact
            else {
                continue;
            };
            let time = record.at;
            let is_inside = time > start + UNSHARP && time + UNSHARP < end;
            if is_inside && self.node.is_none_or(|one| one == node) {
                let text = format!("{node} says that it is ready while nothing can be delivered");
                findings.add(Bug::EarlyGreen, at, None, text);
            }
        }
    }
}

fn turn(
    recording: &[Record],
    range: std::ops::Range<usize>,
    who: &Name,
    wanted: bool,
) -> Option<usize> {
    let mut range = range;
    range.find(|at| {
        matches!(&recording[*at].fact, Fact::Ready { node, is_ready } if node == who && *is_ready == wanted)
    })
}

fn is_ack(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Answered {
            outcome: Outcome::Acked(_),
            ..
        }
    )
}

/// For each verdict, how long it took until each subscriber who stayed connected was told.
fn notices(recording: &[Record]) -> Vec<Took> {
    let mut verdicts: HashMap<&Name, Duration> = HashMap::new();
    let mut all = Vec::new();
    for (from, record) in recording.iter().enumerate() {
        let Fact::LossSeen {
            partition, channel, ..
        } = &record.fact
        else {
            continue;
        };
        let before = verdicts.insert(channel, record.at);
        if before.is_some_and(|before| record.at < before + ONE_VERDICT) {
            continue;
        }
        let verdict = verdict_after(recording, from, *partition);
        if let Some(verdict) = verdict {
            all.push(Took {
                duty: Duty::Verdict,
                time: recording[verdict].at - record.at,
                from,
                who: channel.clone(),
            });
        }
        let start = recording[verdict.unwrap_or(from)].at;
        for who in connected(&recording[..from], channel, record.at) {
            if let Some(time) = told_after(recording, from, start, channel, who) {
                all.push(Took {
                    duty: Duty::Notice,
                    time,
                    from,
                    who: who.clone(),
                });
            }
        }
    }
    all
}

/// Where the first node goes on in a partition, before the next fault.
fn verdict_after(recording: &[Record], from: usize, of: u64) -> Option<usize> {
    let rest = recording.iter().enumerate().skip(from);
    let mut rest = rest.take_while(|(_, record)| !matches!(record.fact, Fact::Stopped { .. }));
    rest.find(
        |(_, record)| matches!(record.fact, Fact::Settled { partition, .. } if partition == of),
    )
    .map(|(at, _)| at)
}

/// Who follows a channel over a socket that is open, and has not been told in the last moment.
fn connected<'a>(before: &'a [Record], channel: &Name, now: Duration) -> Vec<&'a Name> {
    let mut since: HashMap<&Name, (Duration, bool)> = HashMap::new();
    for record in before {
        match &record.fact {
            Fact::Subscribed {
                by,
                channel: one,
                start,
                ..
            } if one == channel => {
                since.insert(by, (record.at, *start != Start::Complete));
            }
            Fact::ToldLost {
                by, channel: one, ..
            } if one == channel => {
                since.insert(by, (record.at, true));
            }
            Fact::Left { by, channel: one } if one == channel => {
                since.remove(by);
            }
            Fact::Disconnected { by, .. } => {
                since.remove(by);
            }
            _ => {}
        }
    }
    since
        .into_iter()
        .filter(|(_, (at, is_new))| !(*is_new && now < *at + BEFORE_VERDICT))
        .map(|(who, _)| who)
        .collect()
}

/// How long after `start`, or after a node came back that had been away: its clients hear of nothing before. Who was told before
/// that waited for nothing. None when the socket ended first, or the next fault came. A break counts, with offsets or without:
/// whether it must have them is judged with the views.
fn told_after(
    recording: &[Record],
    from: usize,
    mut start: Duration,
    channel: &Name,
    who: &Name,
) -> Option<Duration> {
    let patience = Duty::Notice
        .bound()
        .map_or(Duration::ZERO, |(bound, _)| bound)
        * 2;
    for record in &recording[from..] {
        let fact = &record.fact;
        match fact {
            Fact::Stopped { .. } => return None,
            Fact::Here { .. } => start = start.max(record.at),
            _ => {}
        }
        if fact.by() != Some(who) {
            continue;
        }
        let is_told = match fact {
            Fact::Disconnected { .. } => return None,
            Fact::Left { channel: one, .. } if one == channel => return None,
            Fact::ToldLost { channel: one, .. } => one == channel,
            Fact::Subscribed {
                channel: one,
                start: Start::Broken(_),
                ..
            } => one == channel,
            _ => false,
        };
        if is_told {
            return Some(record.at.saturating_sub(start));
        }
        if record.at > start + patience {
            break;
        }
    }
    Some(patience)
}
