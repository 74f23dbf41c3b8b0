//! Rows in which the one Redis fails: frozen, full, emptied, away, or replaced by a copy that lags.

use std::sync::Arc;
use std::time::Duration;

use parlor_tests::{Flow, Redis, RedisOptions};

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Settings, Topology};
use crate::workload::Scale;

/// For publishes to be acknowledged again at all; how long it takes is measured.
const BACK_WITHIN: Duration = Duration::from_secs(15);

fn row(name: &'static str, script: fn(&mut Scene)) -> Row {
    Row {
        name,
        topology: Topology::three_nodes(),
        settings: Settings::default(),
        scale: Scale::small(&["disk", "memory"]),
        promises: Promises::strict(),
        back_within: Duration::from_secs(10),
        rosters: true,
        script,
    }
}

/// A copy that lags takes over: what it lacks is told with exact offsets, and `replicated` publishes lose nothing.
#[test]
#[ignore = "not of the smoke set"]
fn row_06_lagging_copy_promoted() {
    play_all(&lagging_copy());
}

pub(crate) fn lagging_copy() -> Row {
    Row {
        topology: Topology::Standalone {
            nodes: 3,
            copies: 1,
            options: RedisOptions::default(),
        },
        scale: Scale::small(&["disk", "replicated"]),
        promises: Promises::strict()
            .may_lose(&["disk:"])
            .may_retract(&["replicated:"]),
        ..row("rows::redis::row_06_lagging_copy_promoted", |scene| {
            let (old, copy) = (scene.stage.redis(), scene.stage.copies[0].clone());
            scene.last_between(1_000, 2_000);
            scene.fault("the copy is cut off");
            copy.cut();
            scene.last_between(300, 3_000);
            scene.fault("the primary is killed, and the copy promoted");
            scene.stopped();
            old.kill();
            copy.promote();
            scene.flows();
            lead_to(scene, &copy);
            scene.publishes_within(BACK_WITHIN, "after the promotion");
            let next = copy.start_replica();
            scene.fault("a new copy follows");
            scene.last_between(1_000, 2_000);
            scene.stage.copies.push(Arc::new(next));
        })
    }
}

#[test]
fn row_06_silent_line_then_promoted() {
    play_all(&lagging_copies());
}

/// The same with a copy that seems to be there, over a line on which nothing arrives: `WAIT` must notice.
pub(crate) fn lagging_copies() -> Row {
    Row {
        script: |scene| {
            let (old, copy) = (scene.stage.redis(), scene.stage.copies[0].clone());
            scene.last_between(1_000, 2_000);
            scene.fault("nothing reaches the copy");
            scene.stage.lines[0].both(Flow::Stall);
            scene.last_between(500, 3_000);
            scene.fault("the primary is killed, and the copy promoted");
            scene.stopped();
            old.kill();
            scene.stage.lines[0].reset();
            copy.promote();
            scene.flows();
            lead_to(scene, &copy);
            scene.publishes_within(BACK_WITHIN, "after the promotion");
            let next = copy.start_replica();
            scene.fault("a new copy follows");
            scene.last_between(1_000, 2_000);
            scene.stage.copies.push(Arc::new(next));
        },
        name: "rows::redis::row_06_silent_line_then_promoted",
        ..lagging_copy()
    }
}

/// A Redis gets its first copy while nodes use it: the same data under a new replication id.
#[test]
#[ignore = "not of the smoke set"]
fn first_copy_comes() {
    let mut row = row("rows::redis::first_copy_comes", |scene| {
        scene.last_between(500, 1_000);
        scene.fault("the first copy comes");
        let copy = scene.stage.redis().start_replica();
        scene.stage.copies.push(Arc::new(copy));
        scene.last(Duration::from_secs(3));
    });
    // Nothing is lost; but nodes that did not notice in time are taken for missing.
    row.promises = Promises::strict().may_break(&["disk:", "memory:"]);
    play_all(&row);
}

/// All nodes reach another Redis from now on.
fn lead_to(scene: &Scene, redis: &Redis) {
    for node in &scene.stage.nodes {
        let back = node.back.as_ref().expect("a proxy");
        back.turn_to(redis.address());
    }
}

/// A frozen Redis makes outcomes unknown; the same batch goes again, and nothing is published twice.
#[test]
#[ignore = "not of the smoke set"]
fn row_07_redis_frozen() {
    play_all(&row("rows::redis::row_07_redis_frozen", |scene| {
        for (least, most) in [(500, 1_500), (2_000, 7_000)] {
            scene.last_between(500, 1_500);
            let redis = scene.stage.redis();
            scene.fault("Redis is frozen");
            scene.stopped();
            redis.freeze();
            scene.last_between(least, most);
            scene.flows();
            redis.thaw();
            scene.fault("Redis is thawed");
            scene.publishes_within(BACK_WITHIN, "after the thaw");
        }
    }));
}

#[test]
#[ignore = "long"]
fn row_07_redis_frozen_for_30_s() {
    play_all(&row("rows::redis::row_07_redis_frozen_for_30_s", |scene| {
        scene.last_between(500, 1_500);
        let redis = scene.stage.redis();
        scene.fault("Redis is frozen");
        scene.stopped();
        redis.freeze();
        scene.last(Duration::from_secs(30));
        scene.flows();
        redis.thaw();
        scene.publishes_within(BACK_WITHIN, "after the thaw");
    }));
}

/// A full Redis refuses publishes; everything else goes on, and publishes too once there is room.
#[test]
#[ignore = "not of the smoke set"]
fn row_09_redis_out_of_memory() {
    play_all(&row("rows::redis::row_09_redis_out_of_memory", |scene| {
        scene.last_between(1_000, 2_000);
        let redis = scene.stage.redis();
        scene.fault("Redis has no memory left");
        redis.set_config("maxmemory", "1");
        scene.stopped();
        scene.last_between(1_000, 4_000);
        scene.flows();
        redis.set_config("maxmemory", "0");
        scene.fault("Redis has memory again");
        scene.publishes_within(BACK_WITHIN, "after there was room");
        scene.last(Duration::from_secs(1));
    }));
}

/// An emptied Redis begins a new epoch, and everybody is told.
#[test]
#[ignore = "not of the smoke set"]
fn row_10_redis_emptied() {
    play_all(&emptied());
}

pub(crate) fn emptied() -> Row {
    Row {
        promises: Promises::strict().may_lose(&["disk:", "memory:"]),
        ..row("rows::redis::row_10_redis_emptied", |scene| {
            scene.last_between(1_000, 2_000);
            scene.fault("FLUSHALL");
            scene.stage.redis().flush_all();
            scene.publishes_within(BACK_WITHIN, "after FLUSHALL");
            scene.last_between(1_000, 2_000);
            scene.fault("Redis starts empty");
            scene.stage.redis().restart_empty();
            scene.publishes_within(BACK_WITHIN, "after an empty start");
            scene.last(Duration::from_secs(1));
        })
    }
}

fn away(scene: &mut Scene, time: Duration) {
    scene.last_between(500, 1_500);
    scene.fault("kill -9 Redis");
    scene.stopped();
    scene.stage.redis().kill();
    scene.last(time);
    scene.stage.redis().restart();
    scene.flows();
    scene.fault("Redis is back");
    scene.publishes_within(BACK_WITHIN, "after Redis came back");
    scene.last(Duration::from_secs(1));
}

fn away_row(name: &'static str, script: fn(&mut Scene)) -> Row {
    // With `everysec` Redis holds writes back for up to 2 s while a flush takes long: a kill then loses what was acknowledged.
    let options = RedisOptions::default().appendonly("always");
    Row {
        topology: Topology::Standalone {
            nodes: 3,
            copies: 0,
            options,
        },
        ..row(name, script)
    }
}

/// A Redis that keeps a file comes back with everything: open sockets stay, nothing is lost, nobody resyncs.
#[test]
#[ignore = "not of the smoke set"]
fn row_12_redis_away() {
    play_all(&back_with_all());
}

pub(crate) fn back_with_all() -> Row {
    away_row("rows::redis::row_12_redis_away", |scene| {
        away(scene, Duration::from_secs(4));
    })
}

#[test]
#[ignore = "long"]
fn row_12_redis_away_for_5_min() {
    play_all(&away_row(
        "rows::redis::row_12_redis_away_for_5_min",
        |scene| {
            away(scene, Duration::from_secs(300));
        },
    ));
}
