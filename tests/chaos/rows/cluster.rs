//! Rows on a Redis Cluster: a shard fails over, slots move under load.

use std::collections::BTreeSet;
use std::time::Duration;

use parlor_tests::{RedisCluster, RedisOptions, eventually};
use rand::seq::IndexedRandom as _;

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Settings, Topology};
use crate::workload::Scale;

/// Slots that one run moves.
const MOVES: usize = 12;

fn row(name: &'static str, script: fn(&mut Scene)) -> Row {
    Row {
        name,
        topology: Topology::Cluster {
            nodes: 3,
            options: RedisOptions::default(),
        },
        settings: Settings::default(),
        scale: Scale::small(&["disk", "replicated"]),
        promises: Promises::strict(),
        back_within: Duration::from_secs(10),
        rosters: true,
        script,
    }
}

/// One shard's master dies: its channels pause, and `replicated` ones lose nothing.
#[test]
fn row_08_shard_fails_over() {
    let mut row = row("rows::cluster::row_08_shard_fails_over", |scene| {
        scene.last_between(500, 1_500);
        let cluster = scene.stage.cluster();
        let masters: Vec<_> = cluster
            .nodes
            .iter()
            .filter(|node| node.is_primary())
            .collect();
        let old = *masters.choose(&mut scene.rng).expect("masters");
        let replica = cluster.replica_of(old);
        scene.fault(format!("kill -9 the master at {}", old.port()));
        scene.stopped();
        old.kill();
        eventually("the replica to take over", || {
            replica.is_primary().then_some(())
        });
        scene.flows();
        scene.fault(format!("{} is the master", replica.port()));
        cluster.wait_until_well();
        scene.last_between(500, 1_500);
        old.restart();
        cluster.wait_until_well();
        scene.fault("the old master follows");
        scene.last(Duration::from_secs(2));
    });
    row.promises = Promises::strict()
        .may_lose(&["disk:"])
        .may_retract(&["replicated:"]);
    play_all(&row);
}

/// Slots move while publishes go on: nothing is lost, the order stays, nobody resyncs.
#[test]
#[ignore = "not of the smoke set"]
fn row_08_slots_move() {
    play_all(&row("rows::cluster::row_08_slots_move", |scene| {
        scene.last_between(500, 1_500);
        let cluster = scene.stage.cluster();
        let slots: Vec<u16> = used_slots(&cluster).into_iter().collect();
        for _ in 0..MOVES {
            let slot = *slots.choose(&mut scene.rng).expect("slots");
            let from = cluster.master_of(slot).port();
            let others: Vec<_> = cluster
                .nodes
                .iter()
                .filter(|node| node.is_primary() && node.port() != from)
                .collect();
            let to = *others.choose(&mut scene.rng).expect("another master");
            scene.fault(format!("slot {slot} moves from {from} to {}", to.port()));
            cluster.move_slot(slot, to);
            scene.last_between(50, 300);
        }
        scene.last(Duration::from_secs(1));
    }));
}

fn used_slots(cluster: &RedisCluster) -> BTreeSet<u16> {
    let masters = cluster.nodes.iter().filter(|node| node.is_primary());
    let keys = masters.flat_map(|node| {
        let keys: Vec<String> = redis::from_redis_value(node.ask(&["KEYS", "*"])).expect("keys");
        keys
    });
    keys.map(|key| cluster.slot_of(&key)).collect()
}
