//! Sessions that move between nodes, and nodes that die.

use std::time::Duration;

use super::super::world::{GRACE, TICK, channel, json};
use super::net::{HEARTBEAT, Net, STEP};

const NOTHING: &[&str] = &[];
const SOON: Duration = Duration::from_millis(100);

/// Three nodes, of which the last watches.
fn watched() -> Net {
    let mut net = Net::new(3);
    net.watch(2, "room");
    net.join(0, "room", "anna", "s1", 1);
    net.pass(SOON);
    assert_eq!(net.told(2), ["+anna(s1) 1/1"]);
    net
}

#[test]
fn a_join_on_one_node_is_seen_on_another() {
    let mut net = watched();
    assert_eq!(net.users(1, "room"), ["anna"]);
    assert_eq!(net.users(0, "room"), ["anna"]);
}

#[test]
fn a_clean_leave_is_told_everywhere_at_once() {
    let mut net = watched();
    net.leave(0, "room", "s1", 1);
    net.pass(STEP + TICK);
    assert_eq!(net.told(2), ["-anna 0/0"]);
    assert!(net.registry.entries(&channel("room")).is_empty());
}

#[test]
fn a_resume_elsewhere_is_no_flap() {
    let mut net = watched();
    net.detach(0, "s1", 1);
    net.pass(GRACE / 2);
    net.attach(1, "s1", 7);
    net.join(1, "room", "anna", "s1", 7);
    net.pass(GRACE * 3);
    assert_eq!(net.told(2), NOTHING);
    assert_eq!(net.users(2, "room"), ["anna"]);
}

#[test]
fn a_resume_elsewhere_before_the_old_socket_is_seen_to_be_dead_is_no_flap() {
    let mut net = watched();
    net.attach(1, "s1", 7);
    net.join(1, "room", "anna", "s1", 7);
    net.pass(SOON);
    net.detach(0, "s1", 1);
    net.pass(GRACE * 3);
    assert_eq!(net.told(2), NOTHING);
}

#[test]
fn a_resume_elsewhere_and_back_is_no_flap() {
    let mut net = watched();
    for round in 0..4 {
        let (here, before) = (round % 2, (round + 1) % 2);
        net.detach(before, "s1", round as u64);
        net.attach(here, "s1", 10 + round as u64);
        net.join(here, "room", "anna", "s1", 10 + round as u64);
        net.pass(Duration::from_secs(1));
    }
    net.pass(GRACE * 2);
    assert_eq!(net.told(2), NOTHING);
}

#[test]
fn a_clean_leave_elsewhere_ends_what_a_half_dead_socket_holds() {
    let mut net = watched();
    net.attach(1, "s1", 7);
    net.join(1, "room", "anna", "s1", 7);
    net.pass(SOON);
    net.leave(1, "room", "s1", 7);
    net.pass(SOON);
    assert_eq!(net.told(2), ["-anna 0/0"]);
    net.pass(GRACE * 2);
    assert_eq!(net.told(2), NOTHING);
}

#[test]
fn who_lives_here_comes_back_when_the_entry_lapses_elsewhere() {
    let mut net = watched();
    // Two nodes believe to have the session's socket, and the later one loses its own.
    net.attach(1, "s1", 7);
    net.join(1, "room", "anna", "s1", 7);
    net.pass(SOON);
    net.detach(1, "s1", 7);
    net.pass(GRACE + SOON);
    assert_eq!(net.users(2, "room"), ["anna"]);
    net.end(0, "s1", 1);
    net.pass(SOON);
    assert_eq!(net.users(2, "room"), NOTHING);
}

#[test]
fn a_dead_nodes_users_are_gone_within_five_seconds_everywhere() {
    let mut net = watched();
    net.watch(1, "room");
    net.join(1, "room", "ben", "s2", 2);
    net.pass(SOON);
    net.told(2);
    net.kill(0);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.told(2), NOTHING, "not before its lease is over");
    net.pass(Duration::from_secs(2));
    assert_eq!(net.told(2), ["-anna 1/1"]);
    assert_eq!(net.users(1, "room"), ["ben"]);
    net.pass(Duration::from_secs(1));
    let left: Vec<_> = net.registry.entries(&channel("room")).into_keys().collect();
    assert_eq!(left, ["s2"], "and from the registry");
}

#[test]
fn who_resumes_elsewhere_after_a_nodes_death_is_no_flap() {
    let mut net = watched();
    net.kill(0);
    net.pass(Duration::from_secs(2));
    net.attach(1, "s1", 7);
    net.join(1, "room", "anna", "s1", 7);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.told(2), NOTHING);
}

#[test]
fn a_node_that_died_while_nobody_looked_is_cleared_away() {
    let mut net = Net::new(1);
    net.join(0, "room", "anna", "s1", 1);
    net.pass(SOON);
    net.kill(0);
    net.pass(Duration::from_secs(40));
    assert!(net.registry.entries(&channel("room")).is_empty());
    assert_eq!(net.registry.names().len(), 0);
}

#[test]
fn a_redis_that_is_away_is_nobodys_death() {
    let mut net = watched();
    net.join(1, "room", "ben", "s2", 2);
    net.pass(SOON);
    net.told(2);
    net.set_up(false);
    net.pass(Duration::from_secs(60));
    assert_eq!(net.told(2), NOTHING);
    assert_eq!(
        net.users(2, "room"),
        ["anna", "ben"],
        "what is known is shown"
    );
    net.set_up(true);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.told(2), NOTHING);
    assert_eq!(net.users(2, "room"), ["anna", "ben"]);
}

#[test]
fn what_happens_while_redis_is_away_is_told_when_it_is_back() {
    let mut net = watched();
    net.join(1, "room", "ben", "s2", 2);
    net.pass(SOON);
    net.told(2);
    net.set_up(false);
    net.leave(0, "room", "s1", 1);
    net.join(1, "room", "cleo", "s3", 3);
    net.detach(1, "s2", 2);
    net.pass(Duration::from_secs(30));
    net.set_up(true);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.users(2, "room"), ["cleo"]);
}

#[test]
fn a_frozen_node_comes_back_with_everybody_who_is_still_there() {
    let mut net = watched();
    net.nodes[0].is_frozen = true;
    net.pass(Duration::from_secs(15));
    assert_eq!(net.told(2), ["-anna 0/0"]);
    net.nodes[0].is_frozen = false;
    net.pass(Duration::from_secs(2));
    assert_eq!(net.told(2), ["+anna(s1) 1/1"]);
    net.pass(Duration::from_secs(30));
    assert_eq!(net.told(2), NOTHING);
    let owners = net.registry.entries(&channel("room"));
    assert_eq!(owners["s1"].as_str(), "p01.2");
}

#[test]
fn a_frozen_observer_sees_nobody_die() {
    let mut net = watched();
    net.nodes[2].is_frozen = true;
    net.pass(Duration::from_secs(15));
    net.nodes[2].is_frozen = false;
    net.pass(Duration::from_secs(15));
    assert_eq!(net.told(2), NOTHING);
}

#[test]
fn a_new_incarnation_is_no_flap() {
    let mut net = watched();
    net.nodes[0].presence.reincarnate();
    net.pass(Duration::from_secs(20));
    assert_eq!(net.told(2), NOTHING);
    assert_eq!(net.registry.names().len(), 1, "the one before is forgotten");
}

#[test]
fn an_entry_without_a_socket_outlives_its_node_until_its_deadline() {
    let mut net = Net::new(2);
    net.watch(1, "room");
    net.nodes[0].presence.hold(
        &channel("room"),
        &super::super::world::entry("anna", "poll"),
        net.now + Duration::from_secs(30),
        net.now,
    );
    net.pass(SOON);
    assert_eq!(net.told(1), ["+anna(poll) 1/1"]);
    net.kill(0);
    net.pass(Duration::from_secs(29));
    assert_eq!(net.told(1), NOTHING);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.told(1), ["-anna 0/0"]);
}

#[test]
fn a_state_travels_and_lives_until_the_users_last_entry_leaves() {
    let mut net = watched();
    assert!(!net.set_state(0, "room", "ben", "1"));
    assert!(net.set_state(0, "room", "anna", r#""away""#));
    net.pass(SOON);
    assert_eq!(net.told(2), ["~anna(s1) 1/1"]);
    let state = |net: &Net| {
        net.snapshot(2, "room").expect("a roster").members[0]
            .state
            .clone()
    };
    assert_eq!(state(&net), Some(json(r#""away""#)));
    // Her other session, elsewhere, keeps it.
    net.join(1, "room", "anna", "s2", 2);
    net.pass(SOON);
    net.leave(0, "room", "s1", 1);
    net.pass(SOON);
    assert_eq!(state(&net), Some(json(r#""away""#)));
    // And may change it, also where she has no session.
    assert!(net.set_state(2, "room", "anna", "2"));
    net.pass(HEARTBEAT);
    assert_eq!(state(&net), Some(json("2")));
    net.leave(1, "room", "s2", 2);
    net.pass(SOON);
    net.join(1, "room", "anna", "s2", 2);
    net.pass(SOON);
    assert_eq!(state(&net), None);
}

#[test]
fn a_registry_that_lost_everything_is_told_it_again() {
    let mut net = watched();
    assert!(net.set_state(0, "room", "anna", "1"));
    net.pass(SOON);
    net.told(2);
    net.registry = super::registry::Registry::default();
    for node in &net.nodes {
        node.presence.reincarnate();
        node.presence.resync(|_| true);
    }
    net.pass(Duration::from_secs(10));
    let found = net.snapshot(2, "room").expect("a roster");
    assert_eq!(found.members[0].state, Some(json("1")));
    assert_eq!(net.registry.entries(&channel("room")).len(), 1);
}
