//! Failover after failover under publish load, in each way that a primary is replaced.

use std::time::Duration;

use parlor_tests::{Flow, Redis, RedisOptions, RedisSentinel};
use rand::Rng as _;

use crate::recorder::Fact;
use crate::rows::sentinel;
use crate::run::{Row, Scene, play_all};
use crate::stage::Topology;

/// Failovers of one run. Two in a row count twice.
const FAILOVERS: usize = 10;
/// For publishes to be acknowledged again at all; how long it takes is measured.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// The next fault waits so long for nodes that are not ready, so that each is measured by itself.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// A dead node counts as missing until it was not heard for its lease, 5 s without any pause of Redis. Until then each
/// failover ends epochs, for it may have acknowledged something.
const UNTIL_FORGOTTEN: Duration = Duration::from_secs(8);
/// How far the old primary runs ahead of replicas that lag.
const AHEAD: Duration = Duration::from_secs(3);

/// How the primary is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `kill -9`.
    Killed,
    /// `SENTINEL FAILOVER`: the old primary goes on taking writes for a while.
    Forced,
    /// `kill -9`, and the new primary refuses each node's first dials.
    FirstDialsRefused,
    /// `kill -9` of a primary that ran ahead of all its replicas.
    Lagging,
    /// The new primary is killed as well.
    TwoInARow,
    /// A node that acknowledged what is lost dies in the same moment.
    WithNode,
}

const WAYS: [Way; 6] = [
    Way::Killed,
    Way::Forced,
    Way::FirstDialsRefused,
    Way::Lagging,
    Way::TwoInARow,
    Way::WithNode,
];

/// The rows under Sentinel, with lines between nodes and Redis that can be cut.
fn row(name: &'static str, script: fn(&mut Scene)) -> Row {
    Row {
        topology: Topology::Sundered {
            nodes: 3,
            replicas: 2,
            options: RedisOptions::default(),
        },
        back_within: Duration::from_secs(20),
        ..sentinel::row(name, script)
    }
}

/// `replicated` loses nothing, what others lose is told at once and exactly, and who lost nothing is left alone.
#[test]
#[ignore = "not of the smoke set"]
fn scripted_failovers() {
    play_all(&row("rows::failovers::scripted_failovers", |scene| {
        scene.stage.sentinel().fail_over_quickly();
        let first = scene.rng.random_range(0..WAYS.len());
        let (mut number, mut done) = (first, 0);
        while done < FAILOVERS {
            let way = WAYS[number % WAYS.len()];
            fail_over(scene, way);
            number += 1;
            done += if way == Way::TwoInARow { 2 } else { 1 };
        }
        scene.last(Duration::from_secs(1));
    }));
}

/// One failover to a replica that lagged: what a planted fault is looked for with.
pub(crate) fn one_lagging() -> Row {
    row("rows::failovers::one_lagging", |scene| {
        scene.stage.sentinel().fail_over_quickly();
        fail_over(scene, Way::Lagging);
        scene.last(Duration::from_secs(1));
    })
}

fn fail_over(scene: &mut Scene, way: Way) {
    scene.last_between(500, 1_500);
    let group = scene.stage.sentinel();
    let old = group.primary();
    scene.fault(format!("{way:?}: the primary at {} is to go", old.port()));
    match way {
        Way::Killed => kill(scene, &group, old),
        Way::Forced => {
            scene.stopped();
            group.failover();
            scene.wait_for_promotion(&group, old);
        }
        Way::FirstDialsRefused => refuse_first_dials(scene, &group, old),
        Way::Lagging => {
            group.replicas().iter().for_each(|replica| replica.cut());
            scene.last(AHEAD);
            kill(scene, &group, old);
        }
        Way::TwoInARow => {
            kill(scene, &group, old);
            scene.last_between(0, 700);
            kill(scene, &group, group.primary());
        }
        Way::WithNode => {
            group.replicas().iter().for_each(|replica| replica.cut());
            scene.last_between(300, 1_500);
            let node = scene.some_node();
            scene.stage.nodes[node].kill();
            kill(scene, &group, old);
        }
    }
    scene.publishes_within(BACK_WITHIN, "after the failover");
    scene.last_between(200, 1_000);
    mend(scene, &group);
    if way == Way::WithNode {
        scene.last(UNTIL_FORGOTTEN);
    }
}

fn kill(scene: &Scene, group: &RedisSentinel, primary: &Redis) {
    scene.fault(format!("kill -9 the primary at {}", primary.port()));
    scene.stopped();
    primary.kill();
    scene.wait_for_promotion(group, primary);
}

/// Whoever is promoted cannot be dialled by any node for a while.
fn refuse_first_dials(scene: &mut Scene, group: &RedisSentinel, old: &Redis) {
    let ways = |scene: &Scene, act: fn(&parlor_tests::Proxy)| {
        for view in &scene.stage.views {
            let others = group.nodes.iter().filter(|node| node.port() != old.port());
            others.for_each(|node| act(view.way(node)));
        }
    };
    ways(scene, |way| way.refuse());
    scene.stopped();
    old.kill();
    group.wait_for_primary_other_than(old);
    scene.last_between(100, 900);
    ways(scene, |way| way.accept());
    scene.fault("the new primary can be dialled");
    scene.flows();
}

/// Everybody is back, and a next failover could happen.
fn mend(scene: &Scene, group: &RedisSentinel) {
    for node in group.nodes.iter().filter(|node| !node.is_running()) {
        node.restart();
    }
    group.follow_primary();
    group.wait_until_settled();
    for node in scene.stage.nodes.iter().filter(|node| !node.is_running()) {
        node.restart();
    }
    scene.fault("everybody follows the new primary");
    scene.ready_within(READY_WITHIN);
}

/// The primary is cut off together with one node, whose clients go on publishing there while another takes its place: what that
/// side acknowledged and lost is told to everybody once both sides meet again.
#[test]
#[ignore = "not of the smoke set"]
fn row_05_split_brain() {
    let row = row("rows::failovers::row_05_split_brain", |scene| {
        scene.last_between(500, 1_500);
        let group = scene.stage.sentinel();
        let old = group.primary();
        let node = scene.some_node();
        let alone = scene.stage.nodes[node].id();
        scene.fault(format!(
            "{alone} and the primary at {} are cut off",
            old.port()
        ));
        // Its word is missing from the verdict of the others.
        scene.note(Fact::Away {
            node: alone.clone(),
        });
        sunder(scene, &group, old, node, Flow::Stall);
        scene.wait_for_promotion(&group, old);
        scene.publishes_within(BACK_WITHIN, "on the side of the new primary");
        scene.last_between(500, 4_000);
        sunder(scene, &group, old, node, Flow::Pass);
        scene.fault("both sides meet again");
        scene.note(Fact::Here { node: alone });
        scene.last_between(0, 2_000);
        mend(scene, &group);
        scene.last(Duration::from_secs(1));
    });
    let topology = Topology::Sundered {
        nodes: 3,
        replicas: 2,
        options: RedisOptions::default().replicas_min(1),
    };
    play_all(&Row { topology, ..row });
}

/// What happens to all bytes between the primary with one node, and everybody else.
fn sunder(scene: &Scene, group: &RedisSentinel, primary: &Redis, node: usize, flow: Flow) {
    group.line(primary).both(flow);
    for (number, view) in scene.stage.views.iter().enumerate() {
        if number != node {
            view.way(primary).both(flow);
            continue;
        }
        view.blind(flow == Flow::Stall);
        let others = group
            .nodes
            .iter()
            .filter(|one| one.port() != primary.port());
        others.for_each(|other| view.way(other).both(flow));
    }
}
