//! How rosters are loaded, kept up, read again and let go.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parlor_protocol::ErrorCode;

use super::super::super::{Presence, PresenceConfig};
use super::super::world::{GRACE, TICK, channel};
use super::net::{Net, STEP};
use crate::hub::Hub;

const NOTHING: &[&str] = &[];
const SOON: Duration = Duration::from_millis(100);

fn crowd(net: &Net, node: usize, count: u64) {
    for number in 0..count {
        let user = format!("user{number:03}");
        net.join(node, "room", &user, &format!("s{number:03}"), number);
    }
}

#[test]
fn a_node_that_asks_late_gets_the_whole_roster() {
    let mut net = Net::new(2);
    crowd(&net, 0, 50);
    net.pass(SOON);
    assert_eq!(net.users(1, "room").len(), 50);
    assert_eq!(net.told(1), NOTHING, "how it came to be is no news");
}

#[test]
fn who_comes_and_goes_between_two_pages_is_not_lost() {
    let mut net = Net::new(2);
    net.delay_max = 30;
    crowd(&net, 0, 40);
    net.pass(Duration::from_secs(2));
    net.watch(1, "room");
    for number in 0..40 {
        if number % 3 == 0 {
            net.leave(0, "room", &format!("s{number:03}"), number);
        }
        if number % 4 == 0 {
            net.join(
                0,
                "room",
                &format!("late{number:03}"),
                &format!("s{:03}-b", 40 - number),
                100 + number,
            );
        }
        net.pass(STEP);
    }
    net.pass(Duration::from_secs(2));
    let (here, there) = (net.users(0, "room"), net.users(1, "room"));
    assert_eq!(here.len(), 40 - 14 + 10);
    assert_eq!(here, there);
}

#[test]
fn a_roster_that_nobody_watches_is_let_go_and_comes_back_with_a_gap() {
    let mut net = Net::new(2);
    net.watch(1, "room");
    net.join(0, "room", "anna", "s1", 1);
    net.pass(SOON);
    let before = net.snapshot(1, "room").expect("a roster").version;
    net.nodes[1].interests.clear();
    net.pass(Duration::from_secs(20));
    assert_eq!(net.nodes[1].presence.rosters.len(), 1, "it lingers");
    net.pass(Duration::from_secs(20));
    assert_eq!(net.nodes[1].presence.rosters.len(), 0);
    net.told(1);
    net.join(0, "room", "ben", "s2", 2);
    net.pass(SOON);
    assert_eq!(net.told(1), NOTHING);
    assert_eq!(net.users(1, "room"), ["anna", "ben"]);
    net.leave(0, "room", "s2", 2);
    net.pass(SOON);
    let next = net.nodes[1].diffs.pop().expect("a leave is told").1.version;
    assert!(
        next > before + 1,
        "a gap sends the watcher to a new snapshot"
    );
}

#[test]
fn a_roster_that_was_asked_for_is_kept_for_a_while() {
    let mut net = Net::new(2);
    net.join(0, "room", "anna", "s1", 1);
    net.pass(SOON);
    for _ in 0..4 {
        assert_eq!(net.users(1, "room"), ["anna"]);
        net.pass(Duration::from_secs(25));
        assert_eq!(net.nodes[1].presence.rosters.len(), 1);
    }
    net.pass(Duration::from_secs(10));
    assert_eq!(net.nodes[1].presence.rosters.len(), 0);
}

#[test]
fn after_a_hole_in_the_feed_only_true_differences_are_told() {
    let mut net = Net::new(2);
    net.watch(1, "room");
    crowd(&net, 0, 9);
    net.pass(SOON);
    net.told(1);
    net.leave(0, "room", "s004", 4);
    net.join(0, "room", "zoe", "s9", 9);
    net.nodes[1].is_frozen = true;
    net.pass(STEP);
    net.nodes[1].is_frozen = false;
    net.nodes[1].cursor = net.feed.len();
    net.nodes[1].presence.resync(|_| true);
    net.pass(SOON);
    assert_eq!(net.told(1), ["+zoe(s9) -user004 9/9"]);
}

#[test]
fn a_channel_that_is_not_loaded_is_refused_not_empty() {
    let net = Net::new(1);
    let refused = net.nodes[0].presence.snapshot(&channel("room"), 10, None);
    let refused = refused.expect_err("it is not known who is there");
    assert_eq!(refused.kind(), Some(ErrorCode::StorageUnavailable));
}

#[test]
fn whoever_waits_for_a_roster_is_told_when_redis_goes_away() {
    let mut net = Net::new(1);
    let presence = Arc::clone(&net.nodes[0].presence);
    let (name, now) = (channel("room"), net.now);
    let mut waits = Box::pin(presence.ready(&name, now));
    assert!((&mut waits).now_or_never().is_none());
    net.set_up(false);
    let refused = waits.now_or_never().expect("an answer at once");
    let refused = refused.expect_err("it cannot come now");
    assert_eq!(refused.kind(), Some(ErrorCode::StorageUnavailable));
    assert!(refused.retry_after_ms.is_some());
}

#[test]
fn who_asks_before_the_first_word_of_redis_waits() {
    let mut net = Net::new(1);
    net.join(0, "room", "anna", "s1", 1);
    net.pass(SOON);
    net.kill(0);
    let young = Arc::new(Presence::shared(
        PresenceConfig::default(),
        Arc::new(Hub::new(1)),
        "young",
        net.now,
    ));
    net.nodes[0].presence = Arc::clone(&young);
    let (name, now) = (channel("room"), net.now);
    let mut waits = Box::pin(young.ready(&name, now));
    assert!((&mut waits).now_or_never().is_none());
    net.pass(SOON);
    assert!((&mut waits).now_or_never().is_none());
    young.set_healthy(true, net.now);
    net.pass(SOON);
    assert_eq!(waits.now_or_never(), Some(Ok(())));
}

#[test]
fn when_everybody_is_gone_nothing_is_kept() {
    let mut net = Net::new(2);
    net.watch(1, "room");
    crowd(&net, 0, 30);
    for number in 0..30 {
        net.set_state(0, "room", &format!("user{number:03}"), "1");
    }
    net.pass(SOON);
    for number in 0..30 {
        net.detach(0, &format!("s{number:03}"), number);
    }
    net.nodes[1].interests.clear();
    net.pass(GRACE + Duration::from_secs(40));
    for node in &net.nodes {
        assert_eq!(node.presence.sessions.len(), 0);
        assert_eq!(node.presence.rosters.len(), 0);
        assert_eq!(node.presence.desks_len(), 0);
    }
    assert!(net.registry.entries(&channel("room")).is_empty());
}

#[test]
fn who_comes_and_goes_while_redis_is_away_leaves_nothing_behind() {
    let mut net = Net::new(1);
    net.set_up(false);
    for number in 0..10_000 {
        let session = format!("s{number}");
        net.join(0, "room", &session, &session, number);
        net.end(0, &session, number);
    }
    assert!(net.nodes[0].presence.desk_items(&channel("room")) < 200);
    net.set_up(true);
    net.pass(SOON);
    assert_eq!(net.nodes[0].presence.desks_len(), 0);
    assert_eq!(net.users(0, "room"), NOTHING);
    net.pass(TICK);
}
