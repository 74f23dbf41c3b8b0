//! The checker is checked first: made-up histories, one for each bug, and clean ones.

use super::{Bug, Promises, Report, check};
use crate::recorder::{Fact, Start};

mod story;

use story::*;

#[test]
fn a_run_in_which_nothing_breaks_is_clean() {
    two()
        .last("b")
        .history("node-1", 1, &[(1, "a"), (2, "b")])
        .is_clean();
}

#[test]
fn an_unknown_outcome_may_be_there_or_not() {
    two()
        .asked("c")
        .unknown("c")
        .history("node-1", 1, &[(1, "a"), (2, "b")])
        .is_clean();
    let there = two().asked("c").unknown("c").hears("ann", "c", at(3));
    there
        .history("node-1", 1, &[(1, "a"), (2, "b"), (3, "c")])
        .is_clean();
}

#[test]
fn a_repetition_that_gets_the_first_ones_place_is_clean() {
    two()
        .asked("c")
        .unknown("c")
        .asked("c")
        .acked("c", at(3))
        .hears("ann", "c", at(3))
        .is_clean();
}

#[test]
fn a_resume_that_continues_is_clean() {
    two()
        .follows("ann", at(2), Start::Complete)
        .said("c", at(3))
        .hears("ann", "c", at(3))
        .is_clean();
}

#[test]
fn trimmed_history_is_clean() {
    two().history("node-1", 1, &[(2, "b")]).is_clean();
}

#[test]
fn a_loss_that_is_announced_is_clean_where_losses_may_be() {
    let told = Fact::ToldLost {
        by: "ann".into(),
        channel: CHANNEL.into(),
        from: 2,
        to: 2,
    };
    let story = two()
        .fact(told)
        .follows("ann", then(1), Start::Broken("epoch_changed".into()))
        .said("c", then(2))
        .hears("ann", "c", then(2))
        .last("c")
        .asked("b")
        .history("node-1", 2, &[(1, "a"), (2, "c")]);
    story.is_clean_with(&may_lose());
    story.is(Bug::Lost);
    story.is(Bug::NeedlessBreak);
}

#[test]
fn what_nobody_acknowledged_may_be_taken_back_where_a_channel_may() {
    let taken_back = Fact::ToldLost {
        by: "ann".into(),
        channel: CHANNEL.into(),
        from: 3,
        to: 3,
    };
    let delivered = || two().asked("c").unknown("c").hears("ann", "c", at(3));
    let again = |story: Story| {
        story
            .fact(taken_back.clone())
            .follows("ann", then(2), Start::Broken("epoch_changed".into()))
            .asked("c")
            .acked("c", then(3))
            .hears("ann", "c", then(3))
            .history("node-1", 2, &[(1, "a"), (2, "b"), (3, "c")])
    };
    let may_retract = Promises::strict().may_retract(&["disk:"]);
    again(delivered()).is_clean_with(&may_retract);
    again(delivered()).is(Bug::Lost);
    let acked = delivered()
        .asked("d")
        .acked("d", at(3))
        .fact(taken_back.clone());
    let acked = acked.history("node-1", 2, &[(1, "a"), (2, "b")]);
    assert!(acked.bugs(&may_retract).contains(&Bug::Lost));
}

#[test]
fn acknowledged_and_gone_is_lost() {
    two().history("node-1", 1, &[(1, "a")]).is(Bug::Lost);
    two().history("node-1", 1, &[]).is(Bug::Lost);
    let delivered = two().asked("c").hears("ann", "c", at(3));
    delivered
        .history("node-1", 1, &[(1, "a"), (2, "b")])
        .is(Bug::Lost);
}

#[test]
fn a_loss_inside_an_epoch_is_found_even_where_losses_may_be() {
    let story = two().history("node-1", 1, &[(1, "a")]);
    assert_eq!(story.bugs(&may_lose()), [Bug::Lost]);
}

#[test]
fn nodes_that_disagree_lost_something() {
    let story = two().history("node-1", 1, &[(1, "a"), (2, "b")]);
    story.history("node-2", 1, &[(1, "a")]).is(Bug::Lost);
}

#[test]
fn a_missing_event_is_a_silent_gap() {
    let story = two()
        .said("c", at(3))
        .said("d", at(4))
        .hears("ann", "d", at(4));
    story.is(Bug::SilentGap);
    assert_eq!(story.bugs(&may_lose()), [Bug::SilentGap]);
    let hole = Fact::Hole {
        by: "ann".into(),
        channel: CHANNEL.into(),
        expected: 3,
        got: 4,
    };
    two().fact(hole).is(Bug::SilentGap);
}

#[test]
fn a_hole_that_never_held_anything_is_a_silent_gap() {
    two()
        .said("d", at(4))
        .history("node-1", 1, &[(1, "a"), (2, "b"), (4, "d")])
        .is(Bug::SilentGap);
}

#[test]
fn an_announced_advance_is_no_gap() {
    let (by, channel, reason) = ("ann".into(), CHANNEL.into(), "skipped".into());
    let advanced = Fact::Advanced {
        by,
        channel,
        offset: 3,
        reason,
    };
    two()
        .said("c", at(3))
        .fact(advanced)
        .said("d", at(4))
        .hears("ann", "d", at(4))
        .is_clean();
}

#[test]
fn an_event_that_comes_again_is_a_duplicate() {
    two().hears("ann", "b", at(2)).is(Bug::Duplicate);
    two().hears("ann", "a", at(3)).is(Bug::Duplicate);
    let repeated = Fact::Repeated {
        by: "ann".into(),
        channel: CHANNEL.into(),
        offset: 2,
    };
    two().fact(repeated).is(Bug::Duplicate);
}

#[test]
fn a_publish_that_stands_twice_is_a_duplicate() {
    two().asked("b").acked("b", at(3)).is(Bug::Duplicate);
    two()
        .history("node-1", 1, &[(1, "a"), (2, "b"), (3, "b")])
        .is(Bug::Duplicate);
}

#[test]
fn what_was_asked_later_stands_behind() {
    Story::default()
        .said("b", at(2))
        .said("a", at(1))
        .is(Bug::Reorder);
    let at_once = Story::default()
        .asked("a")
        .asked("b")
        .acked("b", at(2))
        .acked("a", at(1));
    at_once.is_clean();
}

#[test]
fn an_event_behind_its_successor_is_a_reorder() {
    let late = Fact::Late {
        by: "ann".into(),
        channel: CHANNEL.into(),
        offset: 3,
    };
    two().fact(late).is(Bug::Reorder);
    let story = Story::default()
        .follows("ann", at(0), Start::First)
        .asked("a")
        .asked("b");
    story
        .hears("ann", "b", at(2))
        .hears("ann", "a", at(1))
        .is(Bug::Reorder);
}

#[test]
fn a_place_that_names_two_events_is_an_offset_reuse() {
    let story = two().said("c", at(2));
    story.is(Bug::OffsetReuse);
    assert!(story.bugs(&may_lose()).contains(&Bug::OffsetReuse));
    two()
        .asked("x")
        .history("node-1", 1, &[(1, "a"), (2, "x")])
        .is(Bug::OffsetReuse);
}

#[test]
fn an_event_that_nodes_do_not_tell_alike_is_an_offset_reuse() {
    let told = |contents: [u64; 2]| {
        let entries = [(1, "a"), (2, "b")];
        let one = two().history_with("node-1", 1, &entries, &[7, 8]);
        one.history_with("node-2", 1, &entries, &contents)
    };
    told([7, 8]).is_clean();
    assert_eq!(told([7, 9]).bugs(&may_lose()), [Bug::OffsetReuse]);
    let findings = check(&told([7, 9]).0, &Promises::strict());
    assert_eq!(
        findings[0].text,
        "b at 2 is one event at node-1 and another at node-2"
    );
}

#[test]
fn what_nobody_published_is_a_phantom() {
    two().hears("ann", "x", at(3)).is(Bug::Phantom);
    two()
        .asked("c")
        .refused("c")
        .hears("ann", "c", at(3))
        .is(Bug::Phantom);
    two()
        .history("node-1", 1, &[(1, "a"), (2, "b"), (3, "x")])
        .is(Bug::Phantom);
}

#[test]
fn an_epoch_that_changes_unannounced_is_stale() {
    two()
        .said("c", then(1))
        .hears("ann", "c", then(1))
        .is(Bug::StaleEpoch);
    two()
        .follows("ann", then(2), Start::Complete)
        .is(Bug::StaleEpoch);
    assert_eq!(
        two()
            .follows("ann", then(2), Start::Complete)
            .bugs(&may_lose()),
        [Bug::StaleEpoch]
    );
}

#[test]
fn an_event_after_the_end_or_of_elsewhere_is_a_leak() {
    two()
        .leaves("ann")
        .said("c", at(3))
        .hears("ann", "c", at(3))
        .is(Bug::Leak);
    two()
        .asked_in("other/disk:1", "x")
        .hears("ann", "x", at(3))
        .is(Bug::Leak);
    two().asked("c").hears("bob", "c", at(3)).is(Bug::Leak);
}

#[test]
fn rosters_are_held_against_the_truth() {
    two().present(&["ann"]).roster(&["ann"]).is_clean();
    two()
        .present(&["ann"])
        .roster(&["ann", "bob"])
        .is(Bug::GhostPresence);
    two()
        .present(&["ann", "bob"])
        .roster(&["ann"])
        .is(Bug::MissingPresence);
}

/// Two are there, as a node says.
fn listed() -> Story {
    let both = ["ann", "bob"];
    two().present(&both).roster(&both)
}

#[test]
fn a_roster_that_becomes_what_nodes_list_is_clean() {
    let behind = || two().holds("ann", &["ann", "bob", "cid"]);
    let both = ["ann", "bob"];
    behind()
        .present(&both)
        .roster(&both)
        .holds("ann", &both)
        .is_clean();
    behind().present(&both).roster(&both).is(Bug::StaleRoster);
    behind().is_clean();
}

#[test]
fn a_roster_that_misses_a_leave_is_stale() {
    let story = listed()
        .holds("ann", &["ann", "bob", "cid"])
        .holds("bob", &["ann", "bob"]);
    let findings = check(&story.0, &Promises::strict());
    let found: Vec<_> = findings
        .iter()
        .map(|found| (found.bug, found.text.as_str()))
        .collect();
    let text = r#"ann counts 3 of 2, still knows ["cid"], does not know []"#;
    assert_eq!(found, [(Bug::StaleRoster, text)]);
}

#[test]
fn a_roster_that_misses_a_join_is_stale() {
    listed().holds("ann", &["ann"]).is(Bug::StaleRoster);
    listed().holds("ann", &[]).is(Bug::StaleRoster);
}

#[test]
fn who_was_told_counts_only_is_held_against_the_count() {
    listed().knows("ann", None, 2).is_clean();
    listed().knows("ann", None, 3).is(Bug::StaleRoster);
    let names = Some(users(&["ann", "bob"]));
    listed().knows("ann", names, 3).is(Bug::StaleRoster);
}

#[test]
fn what_outgrows_its_bound_is_unbounded() {
    let measured = |value| Fact::Measured {
        what: "memory".into(),
        value,
        max: 10,
    };
    two().fact(measured(10)).is_clean();
    two().fact(measured(11)).is(Bug::Unbounded);
}

#[test]
fn what_does_not_happen_is_stuck() {
    two()
        .fact(Fact::Overdue {
            what: "publishes".into(),
        })
        .is(Bug::Stuck);
    two().said("c", at(3)).last("c").is(Bug::Stuck);
    two().leaves("ann").said("c", at(3)).last("c").is_clean();
}

#[test]
fn the_report_tells_the_first_offence_its_surroundings_and_the_replay() {
    let story = two()
        .fact(Fact::Fault {
            what: "kill node-1".into(),
        })
        .said("c", at(2));
    let findings = check(&story.0, &Promises::strict());
    let report = Report {
        row: "row_01",
        seed: 7,
        recording: &story.0,
        findings: &findings,
    };
    let text = report.to_string();
    for part in [
        "offset-reuse × 1",
        "first: offset-reuse in disk:1",
        "FAULT kill node-1",
        "→",
        "PARLOR_SEED=7",
        "row_01",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}
