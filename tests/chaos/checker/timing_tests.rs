//! Made-up runs in which something took its time, and losses that were told too widely or without need.

use std::time::Duration;

use super::{Bug, Duty, Promises, check, measure};
use crate::recorder::{Fact, Name, Outcome, Place, Record, Recording, Start};

const CHANNEL: &str = "disk:1";

/// A made-up run on a clock of its own.
#[derive(Default)]
struct Clock {
    now: Duration,
    recording: Recording,
}

impl Clock {
    fn fact(mut self, fact: Fact) -> Self {
        let at = self.now;
        self.recording.push(Record { at, fact });
        self
    }

    fn after(mut self, ms: u64) -> Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn ready(self, is_ready: bool) -> Self {
        let node = "node-1".into();
        self.fact(Fact::Ready { node, is_ready })
    }

    fn stopped(self) -> Self {
        self.fact(Fact::Stopped { node: None })
    }

    /// So many publishes with ids of their own, acknowledged in a channel that nobody follows.
    fn acked(mut self, epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Self {
        for offset in offsets {
            let (by, id): (Name, Name) = ("writer".into(), format!("{epoch}-{offset}").into());
            let (channel, place) = (Name::from(CHANNEL), Place { epoch, offset });
            self = self.fact(Fact::Asked {
                by: by.clone(),
                channel: channel.clone(),
                id: id.clone(),
            });
            let outcome = Outcome::Acked(place);
            self = self.fact(Fact::Answered {
                by,
                channel,
                id,
                outcome,
            });
        }
        self
    }

    fn heard(mut self, epoch: u64, offsets: std::ops::RangeInclusive<u64>) -> Self {
        for offset in offsets {
            self = self.fact(Fact::Received {
                by: "ann".into(),
                channel: CHANNEL.into(),
                place: Place { epoch, offset },
                id: format!("{epoch}-{offset}").into(),
            });
        }
        self
    }

    fn follows(self, epoch: u64, offset: u64, start: Start) -> Self {
        let (by, channel, top) = ("ann".into(), CHANNEL.into(), Place { epoch, offset });
        self.fact(Fact::Subscribed {
            by,
            channel,
            top,
            start,
        })
    }

    fn broken(self, epoch: u64, offset: u64) -> Self {
        self.follows(epoch, offset, Start::Broken("epoch_changed".into()))
    }

    fn told(self, from: u64, to: u64) -> Self {
        let (by, channel) = ("ann".into(), CHANNEL.into());
        self.fact(Fact::ToldLost {
            by,
            channel,
            from,
            to,
        })
    }

    fn disconnected(self) -> Self {
        let (by, code) = ("ann".into(), None);
        self.fact(Fact::Disconnected { by, code })
    }

    fn found(self, from: u64, to: u64) -> Self {
        let (node, channel) = ("node-1".into(), CHANNEL.into());
        self.fact(Fact::LossSeen {
            node,
            partition: 1,
            channel,
            from,
            to,
        })
    }

    fn settled(self, partition: u64) -> Self {
        let node = "node-2".into();
        self.fact(Fact::Settled { node, partition })
    }

    /// What survived, under a new epoch.
    fn history(self, epoch: u64, ids: &[&str]) -> Self {
        let ids = ids.iter().map(|id| Name::from(*id));
        let (node, channel) = ("node-1".into(), CHANNEL.into());
        self.fact(Fact::History {
            node,
            channel,
            epoch,
            entries: (1..).zip(ids).collect(),
            contents: Vec::new(),
        })
    }

    fn bugs(&self) -> Vec<Bug> {
        let promises = Promises::strict().may_lose(&["disk:"]);
        let findings = check(&self.recording, &promises);
        findings.iter().map(|finding| finding.bug).collect()
    }

    fn took(&self, duty: Duty) -> Vec<u128> {
        let all = measure(&self.recording);
        let some = all.iter().filter(|took| took.duty == duty);
        some.map(|took| took.time.as_millis()).collect()
    }
}

fn fault() -> Clock {
    Clock::default().ready(true).after(100).stopped()
}

#[test]
fn red_green_and_back_are_measured() {
    let run = fault().after(1_700).ready(false).after(3_000);
    let run = run.fact(Fact::Flows).after(400).acked(1, 1..=3);
    let run = run.after(200).ready(true);
    assert_eq!(run.took(Duty::Red), [1_700]);
    assert_eq!(run.took(Duty::Green), [600]);
    assert_eq!(run.took(Duty::Back), [400]);
    assert_eq!(run.took(Duty::Outage), [5_100]);
    assert_eq!(run.bugs(), []);
}

#[test]
fn a_node_that_stays_green_is_late() {
    let run = fault().after(4_500).fact(Fact::Flows).acked(1, 1..=3);
    assert_eq!(run.bugs(), [Bug::LateRed]);
    let short = fault().after(1_900).fact(Fact::Flows).acked(1, 1..=3);
    assert_eq!(short.bugs(), []);
    assert_eq!(short.took(Duty::Red), []);
}

#[test]
fn a_frozen_node_need_not_say_anything() {
    let away = Fact::Away {
        node: "node-1".into(),
    };
    let run = Clock::default().ready(true).fact(away).stopped();
    let run = run.after(9_000).fact(Fact::Flows).acked(1, 1..=3);
    assert_eq!(run.bugs(), []);
}

#[test]
fn a_node_that_is_green_in_between_is_early() {
    let run = fault().after(1_700).ready(false).after(2_000).ready(true);
    let run = run.after(2_000).fact(Fact::Flows).acked(1, 1..=3);
    assert_eq!(run.bugs(), [Bug::EarlyGreen]);
}

#[test]
fn who_never_comes_back_is_late() {
    let run = fault().after(1_700).ready(false).after(1_000);
    let run = run.fact(Fact::Flows).after(11_000).acked(1, 1..=2);
    let mut bugs = run.bugs();
    bugs.sort_unstable();
    assert_eq!(bugs, [Bug::LateGreen, Bug::LateBack]);
}

/// Ann has three events.
fn three(run: Clock) -> Clock {
    let run = run.follows(1, 0, Start::First);
    run.acked(1, 1..=3).heard(1, 1..=3)
}

/// Ann has three events; the last is lost.
fn loss() -> Clock {
    three(Clock::default()).after(1_000).found(3, 3)
}

/// She is told that she begins anew behind the second, and no more.
fn bare(run: Clock) -> Clock {
    run.broken(2, 2).history(2, &["1-1", "1-2"])
}

#[test]
fn a_notice_is_measured_from_the_verdict() {
    let judged = || loss().after(300).settled(9).after(700).settled(1);
    let run = judged().after(400).told(3, 3).broken(2, 2);
    let run = run.history(2, &["1-1", "1-2"]);
    assert_eq!(run.took(Duty::Verdict), [1_000]);
    assert_eq!(run.took(Duty::Notice), [400]);
    assert_eq!(run.bugs(), []);
    let late = judged().after(2_500).told(3, 3).broken(2, 2);
    assert_eq!(late.history(2, &["1-1", "1-2"]).bugs(), [Bug::LateNotice]);
}

#[test]
fn who_is_told_before_the_verdict_waited_for_nothing() {
    let run = loss()
        .after(200)
        .told(3, 3)
        .after(100)
        .settled(1)
        .broken(2, 2);
    assert_eq!(run.took(Duty::Notice), [0]);
}

#[test]
fn where_no_node_goes_on_a_notice_is_measured_from_the_loss() {
    let run = loss().after(400).told(3, 3).broken(2, 2);
    assert_eq!(run.took(Duty::Verdict), []);
    assert_eq!(run.took(Duty::Notice), [400]);
}

#[test]
fn who_stays_with_a_node_that_is_away_is_told_when_it_is_back() {
    let node = || Name::from("node-1");
    let away = loss().settled(1).fact(Fact::Away { node: node() });
    let back = away.after(3_000).fact(Fact::Here { node: node() });
    let told = back.after(400).told(3, 3).broken(2, 2);
    assert_eq!(told.took(Duty::Notice), [400]);
}

#[test]
fn who_lost_the_socket_is_not_waited_for() {
    let run = bare(loss().disconnected().after(9_000));
    assert_eq!(run.took(Duty::Notice), []);
    assert_eq!(run.bugs(), []);
}

#[test]
fn a_notice_names_what_is_gone_and_nothing_else() {
    let told = |from, to| {
        loss()
            .told(from, to)
            .broken(2, 2)
            .history(2, &["1-1", "1-2"])
    };
    assert_eq!(told(3, 3).bugs(), []);
    assert_eq!(told(3, 9).bugs(), []);
    assert_eq!(told(2, 3).bugs(), [Bug::InexactNotice]);
    assert_eq!(told(4, 9).bugs(), [Bug::InexactNotice]);
}

#[test]
fn a_break_that_does_not_name_what_a_subscriber_had_is_unexplained() {
    let run = bare(loss().settled(1).after(400));
    assert_eq!(run.took(Duty::Notice), [400]);
    assert_eq!(run.bugs(), [Bug::UnexplainedBreak]);
    // The place of what is gone is another event's now.
    let run = loss().broken(2, 2).acked(2, 3..=3);
    let run = run.history(2, &["1-1", "1-2", "2-3"]);
    assert_eq!(run.bugs(), [Bug::UnexplainedBreak]);
    // Where everything is gone, everything is named.
    let run = loss().broken(2, 0).history(2, &[]);
    assert_eq!(run.bugs(), [Bug::UnexplainedBreak]);
    let run = loss().told(1, 3).broken(2, 0).history(2, &[]);
    assert_eq!(run.bugs(), []);
}

#[test]
fn who_had_nothing_of_what_is_gone_may_be_told_of_the_break_alone() {
    let run = Clock::default().follows(1, 0, Start::First);
    let run = run.acked(1, 1..=3).heard(1, 1..=2).found(3, 3);
    assert_eq!(bare(run).bugs(), []);
}

#[test]
fn a_break_need_not_name_what_is_lost_after_it() {
    let run = three(Clock::default()).broken(2, 3);
    let run = run.acked(2, 4..=4).heard(2, 4..=4);
    let run = run.told(3, 4).broken(3, 2);
    assert_eq!(run.history(3, &["1-1", "1-2"]).bugs(), []);
}

#[test]
fn where_a_node_was_missing_a_break_need_not_name_what_is_gone() {
    let away = Fact::Away {
        node: "node-2".into(),
    };
    let new_epochs = Fact::NewEpochs {
        node: "node-1".into(),
        partition: 1,
    };
    let run = three(Clock::default().fact(away)).fact(new_epochs);
    assert_eq!(bare(run).bugs(), []);
}

#[test]
fn who_was_still_catching_up_is_owed_no_offsets() {
    let back = || {
        let run = three(Clock::default()).disconnected();
        run.follows(1, 3, Start::Complete)
    };
    assert_eq!(bare(back()).bugs(), []);
    let live = back().acked(1, 4..=4).heard(1, 4..=4);
    assert_eq!(bare(live).bugs(), [Bug::UnexplainedBreak]);
}

#[test]
fn who_was_asked_to_subscribe_again_before_the_next_fault_is_owed_no_offsets() {
    let asked = loss().settled(1).stopped().fact(Fact::Flows);
    assert_eq!(bare(asked).bugs(), []);
    let judged = loss().stopped().fact(Fact::Flows).settled(1);
    assert_eq!(bare(judged).bugs(), [Bug::UnexplainedBreak]);
}

#[test]
fn a_break_without_a_loss_is_needless_even_where_losses_may_be() {
    let run = Clock::default().follows(1, 0, Start::First);
    let run = run.acked(1, 1..=3).heard(1, 1..=3);
    let told = run.broken(2, 3).history(2, &["1-1", "1-2", "1-3"]);
    assert_eq!(told.bugs(), [Bug::NeedlessBreak]);
}

#[test]
fn a_partition_begins_anew_only_for_a_node_that_is_missing() {
    let node = || Name::from("node-2");
    let new_epochs = Fact::NewEpochs {
        node: "node-1".into(),
        partition: 1,
    };
    let whole = |run: Clock| {
        let run = run.follows(1, 0, Start::First).acked(1, 1..=3);
        let run = run.heard(1, 1..=3).fact(new_epochs.clone());
        run.broken(2, 3).history(2, &["1-1", "1-2", "1-3"])
    };
    let away = Clock::default().fact(Fact::Away { node: node() });
    assert_eq!(whole(away).bugs(), []);
    let late = Clock::default().fact(Fact::Away { node: node() });
    let late = late.follows(1, 0, Start::First).acked(1, 1..=3);
    let late = late.heard(1, 1..=3).fact(new_epochs.clone()).after(60_000);
    let late = late.broken(2, 3).history(2, &["1-1", "1-2", "1-3"]);
    assert_eq!(late.bugs(), [], "who was away learns of it late");
    let unread = Clock::default().fact(Fact::Away { node: node() });
    let unread = unread.follows(1, 0, Start::First).acked(1, 1..=3);
    let unread = unread.heard(1, 1..=3).broken(2, 3).after(2);
    let unread = unread.fact(new_epochs.clone());
    let unread = unread.history(2, &["1-1", "1-2", "1-3"]);
    assert_eq!(unread.bugs(), [], "the node's log is read a moment later");
    let back = Clock::default().fact(Fact::Away { node: node() });
    let back = back.fact(Fact::Here { node: node() }).after(60_000);
    assert_eq!(whole(back).bugs(), [Bug::NeedlessBreak; 2]);
}
