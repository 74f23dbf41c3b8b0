//! What watchers are told.

use std::time::Duration;

use parlor_protocol::push::Push;
use parlor_protocol::{Epoch, Form, Position, Tag, codec};

use super::super::PresenceConfig;
use super::world::{GRACE, TICK, World, channel, entry, json};
use crate::hub::{ConnectionId, EphemeralBody, ShardId};

const NOTHING: &[&str] = &[];

fn small() -> PresenceConfig {
    PresenceConfig {
        grace: GRACE,
        tick: TICK,
        members_pushed_max: 3,
        users_listed_max: 5,
        ..PresenceConfig::default()
    }
}

#[test]
fn a_join_and_a_leave_within_one_tick_cancel() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.leave("room", "s1", 1);
    assert_eq!(world.told(), NOTHING);
    assert_eq!(world.snapshot("room").version, 0);
}

#[test]
fn a_leave_and_a_join_within_one_tick_cancel() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.leave("room", "s1", 1);
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.told(), NOTHING);
}

#[test]
fn a_change_that_a_snapshot_has_shown_is_told_though_undone() {
    let mut world = World::new();
    world.join("room", "ben", "s2", 2);
    world.told();
    world.join("room", "anna", "s1", 1);
    world.leave("room", "s2", 2);
    assert_eq!(world.users("room"), ["anna"]);
    world.leave("room", "s1", 1);
    world.join("room", "ben", "s2", 2);
    assert_eq!(world.told(), ["~ben(s2) -anna 1/1"]);
}

#[test]
fn all_changes_of_a_tick_come_as_one_diff_one_version_on() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("room", "ben", "s2", 2);
    world.join("room", "anna", "s3", 3);
    let first = world.pass(TICK);
    world.leave("room", "s2", 2);
    world.join("room", "cleo", "s4", 4);
    let second = world.pass(TICK);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!((first[0].1.version, second[0].1.version), (1, 2));
    assert_eq!(super::world::brief(&second[0].1), "+cleo(s4) -ben 2/3");
}

#[test]
fn a_diff_waits_one_tick_and_no_longer() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.told_within(TICK - Duration::from_millis(1)), NOTHING);
    assert_eq!(
        world.told_within(Duration::from_millis(1)),
        ["+anna(s1) 1/1"]
    );
}

#[test]
fn a_state_lives_until_the_users_last_entry_leaves() {
    let mut world = World::new();
    assert!(!world.set_state("room", "anna", "1"));
    world.join("room", "anna", "s1", 1);
    world.join("room", "anna", "s2", 2);
    assert!(world.set_state("room", "anna", r#""away""#));
    world.leave("room", "s1", 1);
    assert_eq!(
        world.snapshot("room").members[0].state,
        Some(json(r#""away""#))
    );
    world.leave("room", "s2", 2);
    assert!(!world.set_state("room", "anna", "1"));
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.snapshot("room").members[0].state, None);
    world.told();
}

#[test]
fn a_new_state_is_told_and_an_equal_one_is_not() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.set_state("room", "anna", "1");
    assert_eq!(world.told(), ["~anna(s1) 1/1"]);
    world.set_state("room", "anna", "1");
    assert_eq!(world.told(), NOTHING);
}

#[test]
fn a_new_info_after_a_refresh_is_told() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    let mut anna = entry("anna", "s1");
    anna.info = Some(json(r#"{"name":"Anna"}"#));
    world
        .presence
        .join(&channel("room"), ConnectionId(1), &anna, world.now);
    assert_eq!(world.pass(TICK)[0].1.updated[0].info, anna.info);
}

#[test]
fn a_large_channel_is_told_in_counts_and_seldom() {
    let mut world = World::with(small());
    for number in 0..4 {
        world.join(
            "room",
            &format!("user{number}"),
            &format!("s{number}"),
            number,
        );
    }
    assert_eq!(world.told(), ["4/4"]);
    world.leave("room", "s0", 0);
    world.join("room", "user9", "s9", 9);
    assert_eq!(world.told(), ["4/4"]);
    world.join("room", "user9", "s10", 10);
    assert_eq!(world.told_within(TICK * 9), NOTHING);
    assert_eq!(world.told(), ["4/5"]);
}

#[test]
fn a_channel_that_shrinks_is_told_in_names_again() {
    let mut world = World::with(small());
    for number in 0..4 {
        world.join(
            "room",
            &format!("user{number}"),
            &format!("s{number}"),
            number,
        );
    }
    world.told();
    world.leave("room", "s0", 0);
    assert_eq!(world.told_within(TICK * 10), ["3/3"]);
    world.leave("room", "s1", 1);
    assert_eq!(world.told(), ["-user1 2/2"]);
}

#[test]
fn users_beyond_the_listed_ones_are_counted() {
    let mut world = World::with(small());
    for number in 0..7 {
        world.join(
            "room",
            &format!("user{number}"),
            &format!("s{number}"),
            number,
        );
    }
    world.join("room", "user0", "again", 100);
    assert_eq!(world.users("room").len(), 5);
    assert_eq!(world.presence.counts(&channel("room")), (7, 8));
    assert!(!world.set_state("room", "user6", "1"));
    for number in 0..7 {
        world.leave("room", &format!("s{number}"), number);
    }
    assert_eq!(world.presence.counts(&channel("room")), (1, 1));
    world.end("again", 100);
    for number in 0..7 {
        world.end(&format!("s{number}"), number);
    }
    world.pass(GRACE);
    assert_eq!(world.kept(), 0);
}

#[test]
fn no_diff_is_larger_than_its_bound() {
    let mut world = World::new();
    for number in 0..200 {
        let mut one = entry(&format!("\u{1}\"{number}"), &format!("s{number}"));
        one.info = Some(json(&format!("[{}0]", "0,".repeat(number * 4))));
        world.presence.join(
            &channel("room"),
            ConnectionId(number as u64),
            &one,
            world.now,
        );
        if number % 9 == 0 {
            world.pass(TICK).iter().for_each(|(_, diff)| {
                assert_small(&Push::Presence(diff.clone()), !diff.joined.is_empty())
            });
        }
    }
    for number in 0..200 {
        world.end(&format!("s{number}"), number);
    }
    world
        .pass(TICK)
        .iter()
        .for_each(|(_, diff)| assert_small(&Push::Presence(diff.clone()), true));
    assert_eq!(world.kept(), 0);
}

fn assert_small(push: &Push, has_names: bool) {
    let bytes = Form::ALL.map(|form| codec::encode_push(form, push).len());
    assert!(bytes.iter().all(|bytes| *bytes <= 32 * 1_024), "{bytes:?}");
    assert!(has_names || bytes[0] < 200, "{bytes:?}");
}

#[test]
fn the_hub_is_given_each_diff_once_and_in_order() {
    let world = World::new();
    let live = world.presence.hub.enter(&channel("room"), ShardId(0));
    for (turn, user) in (1..).zip(["anna", "ben", "cleo"]) {
        world.join("room", user, user, u64::from(turn));
        world.presence.tick(world.now + TICK * turn);
    }
    let start = Position {
        epoch: Epoch(0),
        offset: 0,
        tag: Tag(0),
    };
    let told = live.pull(ShardId(0), start, 0).ephemerals;
    let diffs = told.iter().filter_map(|one| match &one.body {
        EphemeralBody::Presence(diff) => Some((diff.version, diff.joined[0].user.clone())),
        EphemeralBody::Signal { .. } => None,
    });
    assert_eq!(
        diffs.collect::<Vec<_>>(),
        [(1, "anna".into()), (2, "ben".into()), (3, "cleo".into())]
    );
}

#[test]
fn a_roster_that_was_dropped_never_returns_with_a_version_that_only_seems_the_next() {
    let mut world = World::new();
    for at in ["room", "attic"] {
        world.join(at, "anna", "s1", 1);
    }
    world.pass(TICK);
    for number in 0..3 {
        world.set_state("attic", "anna", &number.to_string());
        world.pass(TICK);
    }
    world.leave("room", "s1", 1);
    let left = world.pass(TICK).pop().expect("a leave is told").1;
    let empty = world.snapshot("room");
    assert_eq!((left.version, empty.version), (2, 2));
    world.leave("attic", "s1", 1);
    assert_eq!(world.pass(TICK)[0].1.version, 5);

    world.join("room", "ben", "s2", 2);
    let joined = world.pass(TICK).pop().expect("a join is told").1;
    assert!(
        joined.version > left.version + 1,
        "a gap sends the watcher to a new snapshot"
    );
    assert_eq!(world.snapshot("room").version, joined.version);
}

#[test]
fn a_roster_that_comes_back_untouched_goes_on_where_it_was() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.leave("room", "s1", 1);
    world.pass(TICK);
    assert_eq!(world.snapshot("room").version, 0);
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.pass(TICK)[0].1.version, 1);
}
