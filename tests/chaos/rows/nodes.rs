//! Rows in which nodes fail while their one Redis is well: killed, frozen, restarted one by one, cut off from Redis.

use std::time::Duration;

use parlor_tests::{Flow, Seed};

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Node, Settings, Topology};
use crate::workload::{Phase, Scale, Workload};

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

#[test]
fn three_nodes_are_one() {
    play_all(&calm());
}

/// Nothing breaks: three nodes are one server.
pub(crate) fn calm() -> Row {
    row("rows::nodes::three_nodes_are_one", |scene| {
        scene.last(Duration::from_secs(3));
    })
}

#[test]
fn two_tenants_are_apart() {
    play_all(&two_tenants());
}

/// Another Parlor on the same Redis, with channels of the same names: neither hears of the other.
pub(crate) fn two_tenants() -> Row {
    row("rows::nodes::two_tenants_are_apart", |scene| {
        let settings = Settings {
            redis: Some(scene.stage.redis().url()),
            prefix: Some("other"),
            planted: scene.stage.nodes[0].planted(),
            ..Settings::default()
        };
        let recorder = scene.recorder.of_tenant("other");
        let node = Node::start("other-node".into(), settings, None, recorder.clone());
        let scale = Scale {
            names: "other-",
            ..Scale::small(&["disk", "memory"])
        };
        let addresses = [node.front.address()];
        let other = Workload::start(&scale, &addresses, &recorder, Seed(0));
        scene.last(Duration::from_secs(3));
        other.order(Phase::Finishing);
        other.wait_for_publishers(Duration::from_secs(10));
        other.order(Phase::Over);
    })
}

#[test]
fn row_01_node_killed() {
    play_all(&killed());
}

/// `kill -9` of a node: its people go on elsewhere and miss nothing.
pub(crate) fn killed() -> Row {
    row("rows::nodes::row_01_node_killed", |scene| {
        for _ in 0..2 {
            scene.last_between(500, 1_500);
            let node = scene.some_node();
            scene.stage.nodes[node].kill();
            scene.last_between(500, 3_000);
            scene.stage.nodes[node].restart();
        }
        scene.last(Duration::from_secs(1));
    })
}

fn freeze(scene: &mut Scene, time: Duration) {
    scene.last_between(500, 1_500);
    let node = scene.some_node();
    scene.stage.nodes[node].freeze();
    scene.last(time);
    scene.stage.nodes[node].thaw();
    scene.last(Duration::from_secs(2));
}

/// A thawed node reads the log before it delivers anything.
#[test]
fn row_02_node_frozen() {
    play_all(&row("rows::nodes::row_02_node_frozen", |scene| {
        freeze(scene, Duration::from_secs(3));
    }));
}

#[test]
#[ignore = "long"]
fn row_02_node_frozen_for_15_s() {
    play_all(&row("rows::nodes::row_02_node_frozen_for_15_s", |scene| {
        freeze(scene, Duration::from_secs(15));
    }));
}

#[test]
#[ignore = "long"]
fn row_02_node_frozen_for_60_s() {
    play_all(&row("rows::nodes::row_02_node_frozen_for_60_s", |scene| {
        freeze(scene, Duration::from_secs(60));
    }));
}

/// SIGTERM one by one: each drains, and comes back before the next.
#[test]
fn row_03_rolling_restart() {
    play_all(&row("rows::nodes::row_03_rolling_restart", |scene| {
        for node in 0..scene.stage.nodes.len() {
            scene.last_between(300, 800);
            scene.stage.nodes[node].drain();
            scene.stage.nodes[node].restart();
        }
        scene.last(Duration::from_secs(1));
    }));
}

/// A node whose Redis connections are reset, refused, or silent in one direction or both.
#[test]
#[ignore = "not of the smoke set"]
fn row_13_node_cut_off_from_redis() {
    play_all(&row(
        "rows::nodes::row_13_node_cut_off_from_redis",
        |scene| {
            for round in 0..4 {
                scene.last_between(500, 1_000);
                let node = scene.some_node();
                let back = scene.stage.nodes[node].back.as_ref().expect("a proxy");
                let how = [
                    "cut",
                    "silent in both directions",
                    "silent upwards",
                    "silent downwards",
                ][round];
                scene.fault(format!("node-{} and Redis: {how}", node + 1));
                scene.stopped_at(node);
                match round {
                    0 => back.cut(),
                    1 => back.both(Flow::Stall),
                    2 => back.up(Flow::Stall),
                    _ => back.down(Flow::Stall),
                }
                scene.last_between(1_000, 4_000);
                let back = scene.stage.nodes[node].back.as_ref().expect("a proxy");
                scene.fault("passes again");
                scene.flows();
                back.heal();
            }
            scene.last(Duration::from_secs(2));
        },
    ));
}
