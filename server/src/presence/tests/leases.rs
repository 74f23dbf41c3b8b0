//! Who stays, and for how long.

use std::time::Duration;

use super::world::{GRACE, TICK, World};

const NOTHING: &[&str] = &[];

#[test]
fn a_resume_within_the_grace_is_no_flap() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.told(), ["+anna(s1) 1/1"]);
    world.detach("s1", 1);
    assert_eq!(world.told_within(GRACE - TICK), NOTHING);
    world.attach("s1", 2);
    world.join("room", "anna", "s1", 2);
    assert_eq!(world.told_within(GRACE * 3), NOTHING);
    assert_eq!(world.users("room"), ["anna"]);
}

#[test]
fn a_resume_before_the_old_socket_is_seen_to_be_dead_is_no_flap() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.attach("s1", 2);
    world.join("room", "anna", "s1", 2);
    world.detach("s1", 1);
    assert_eq!(world.told_within(GRACE * 3), NOTHING);
}

#[test]
fn what_an_old_connection_says_too_late_takes_nothing_away() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.attach("s1", 2);
    world.leave("room", "s1", 1);
    world.join("room", "anna", "s1", 2);
    world.join("attic", "anna", "s1", 1);
    world.leave("room", "s1", 1);
    world.end("s1", 1);
    assert_eq!(world.told_within(GRACE * 3), NOTHING);
    assert_eq!(world.users("room"), ["anna"]);
    assert_eq!(world.users("attic"), NOTHING);
}

#[test]
fn a_join_after_the_socket_was_lost_takes_the_session_over() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.detach("s1", 1);
    world.join("room", "anna", "s1", 2);
    world.detach("s1", 1);
    assert_eq!(world.told_within(GRACE * 3), NOTHING);
}

#[test]
fn a_channel_that_is_not_joined_anew_is_left_when_the_grace_ends() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("attic", "anna", "s1", 1);
    world.told();
    world.detach("s1", 1);
    world.pass(GRACE / 2);
    world.attach("s1", 2);
    world.join("room", "anna", "s1", 2);
    assert_eq!(world.told_within(GRACE - TICK), NOTHING);
    assert_eq!(world.told_within(TICK * 2), ["-anna 0/0"]);
    assert_eq!(
        (world.users("room").len(), world.users("attic").len()),
        (1, 0)
    );
}

#[test]
fn a_lost_socket_leaves_when_the_grace_ends_and_not_before() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.detach("s1", 1);
    world.pass(GRACE - Duration::from_millis(1));
    assert_eq!(world.users("room"), ["anna"]);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.users("room"), NOTHING);
    assert_eq!(world.told(), ["-anna 0/0"]);
}

#[test]
fn a_clean_end_leaves_everywhere_at_once() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("attic", "anna", "s1", 1);
    world.told();
    world.end("s1", 1);
    assert_eq!(world.told(), ["-anna 0/0", "-anna 0/0"]);
}

#[test]
fn a_session_in_its_grace_can_be_ended() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.told();
    world.detach("s1", 1);
    world.end("s1", 1);
    assert_eq!(world.told(), ["-anna 0/0"]);
    world.pass(GRACE);
    assert_eq!(world.kept(), 0);
}

#[test]
fn a_user_with_two_tabs_leaves_only_with_the_last() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("room", "anna", "s2", 2);
    assert_eq!(world.told(), ["+anna(s1 s2) 1/2"]);
    world.leave("room", "s1", 1);
    assert_eq!(world.told(), ["~anna(s2) 1/1"]);
    world.detach("s2", 2);
    assert_eq!(world.told_within(GRACE + TICK), ["-anna 0/0"]);
}

#[test]
fn joining_twice_counts_once() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("room", "anna", "s1", 1);
    assert_eq!(world.told(), ["+anna(s1) 1/1"]);
    world.leave("room", "s1", 1);
    world.leave("room", "s1", 1);
    assert_eq!(world.told(), ["-anna 0/0"]);
}

#[test]
fn a_session_never_changes_its_user() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.join("attic", "mallory", "s1", 1);
    world.hold("attic", "mallory", "s1", GRACE);
    assert_eq!(world.told(), ["+anna(s1) 1/1"]);
    assert_eq!(world.users("attic"), NOTHING);
}

#[test]
fn a_held_entry_needs_no_socket_and_ends_by_its_own_deadline() {
    let mut world = World::new();
    world.hold("room", "anna", "poll", Duration::from_secs(30));
    assert_eq!(world.told(), ["+anna(poll) 1/1"]);
    world.pass(Duration::from_secs(20));
    world.hold("room", "anna", "poll", Duration::from_secs(30));
    world.hold("room", "anna", "poll", Duration::from_secs(1));
    assert_eq!(world.told_within(Duration::from_secs(29)), NOTHING);
    assert_eq!(world.told_within(Duration::from_secs(2)), ["-anna 0/0"]);
    assert_eq!(world.kept(), 0);
}

#[test]
fn a_suspended_phone_outlives_its_socket_until_its_deadline() {
    let mut world = World::new();
    world.join("room", "anna", "s1", 1);
    world.hold("room", "anna", "s1", Duration::from_secs(60));
    world.told();
    world.detach("s1", 1);
    assert_eq!(world.told_within(Duration::from_secs(59)), NOTHING);
    assert_eq!(world.told_within(Duration::from_secs(2)), ["-anna 0/0"]);
}

#[test]
fn when_everybody_is_gone_nothing_is_kept() {
    let mut world = World::new();
    for number in 0..300 {
        let (user, session) = (format!("user{}", number % 100), format!("s{number}"));
        world.attach(&session, number);
        world.join("room", &user, &session, number);
        world.join(&format!("room{}", number % 7), &user, &session, number);
        assert!(world.set_state("room", &user, "1"));
    }
    world.pass(GRACE);
    for number in 0..300 {
        let session = format!("s{number}");
        match number % 4 {
            0 => world.end(&session, number),
            1 => world.detach(&session, number),
            2 => {
                world.attach(&session, 1_000 + number);
                world.detach(&session, 1_000 + number);
            }
            _ => {
                world.leave("room", &session, number);
                world.detach(&session, number);
            }
        }
    }
    world.pass(GRACE * 2);
    assert_eq!(world.kept(), 0);
}

#[test]
fn a_session_without_entries_is_forgotten_with_its_socket() {
    let mut world = World::new();
    world.attach("s1", 1);
    assert_eq!(world.kept(), 1);
    world.detach("s1", 1);
    assert_eq!(world.kept(), 0);
    world.pass(TICK);
}

#[test]
fn a_mass_death_is_spread_over_several_ticks() {
    let mut world = World::new();
    for number in 0..5_000 {
        let session = format!("s{number}");
        world.join("room", &session, &session, number);
        world.detach(&session, number);
    }
    world.now += GRACE;
    let mut ticks = 0;
    while world.presence.next_tick().is_some_and(|at| at <= world.now) {
        let before = world.presence.counts(&super::world::channel("room")).1;
        world.presence.tick(world.now);
        let after = world.presence.counts(&super::world::channel("room")).1;
        assert!(
            before - after <= 2_048,
            "one tick ended {} leases",
            before - after
        );
        ticks += 1;
    }
    assert!(ticks >= 3);
    assert_eq!(
        world.presence.counts(&super::world::channel("room")),
        (0, 0)
    );
}

#[tokio::test]
async fn whoever_ticks_is_woken_when_something_earlier_comes_up() {
    let world = World::new();
    world.hold("room", "anna", "poll", Duration::from_secs(30));
    world.presence.rescheduled().await;
    assert_eq!(world.presence.next_tick(), Some(world.now + TICK));
}
