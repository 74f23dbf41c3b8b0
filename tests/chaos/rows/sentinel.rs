//! Rows under Sentinel: the primary is killed, frozen, or replaced by a replica that lags.

use std::time::Duration;

use parlor_tests::RedisOptions;

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Settings, Topology};
use crate::workload::Scale;

/// For publishes to be acknowledged again at all; how long it takes is measured.
const BACK_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn row(name: &'static str, script: fn(&mut Scene)) -> Row {
    Row {
        name,
        topology: Topology::Sentinel {
            nodes: 3,
            replicas: 2,
            options: RedisOptions::default(),
        },
        settings: Settings::default(),
        scale: Scale::small(&["disk", "replicated"]),
        promises: Promises::strict()
            .may_lose(&["disk:"])
            .may_retract(&["replicated:"]),
        back_within: Duration::from_secs(10),
        rosters: true,
        script,
    }
}

/// Brings the old primary back and waits until a next failover could happen.
fn mend(scene: &Scene) {
    let group = scene.stage.sentinel();
    for node in &group.nodes {
        if !node.is_running() {
            node.restart();
        }
    }
    group.wait_until_settled();
    scene.fault("the old primary follows");
}

/// The primary dies: publishes are back soon, `replicated` ones lost nothing.
#[test]
fn row_04_primary_killed() {
    play_all(&row("rows::sentinel::row_04_primary_killed", |scene| {
        scene.last_between(500, 1_500);
        let group = scene.stage.sentinel();
        let old = group.primary();
        scene.fault(format!("kill -9 the primary at {}", old.port()));
        scene.stopped();
        old.kill();
        scene.wait_for_promotion(&group, old);
        scene.publishes_within(BACK_WITHIN, "after the failover");
        scene.last_between(500, 1_500);
        mend(scene);
        scene.last(Duration::from_secs(1));
    }));
}

/// Replicas lag, then one of them is promoted: what it lacks is told.
#[test]
#[ignore = "not of the smoke set"]
fn row_06_lagging_replica_promoted() {
    play_all(&lagging());
}

pub(crate) fn lagging() -> Row {
    row("rows::sentinel::row_06_lagging_replica_promoted", |scene| {
        scene.last_between(500, 1_500);
        let group = scene.stage.sentinel();
        let old = group.primary();
        scene.fault("all replicas are cut off");
        group.replicas().iter().for_each(|replica| replica.cut());
        scene.last_between(300, 3_000);
        scene.fault(format!("kill -9 the primary at {}", old.port()));
        scene.stopped();
        old.kill();
        scene.wait_for_promotion(&group, old);
        scene.publishes_within(BACK_WITHIN, "after the failover");
        mend(scene);
        scene.last(Duration::from_secs(1));
    })
}

/// The primary is frozen, replaced, and thawed: nothing that it then does counts.
#[test]
#[ignore = "not of the smoke set"]
fn row_07_primary_frozen_and_replaced() {
    play_all(&row(
        "rows::sentinel::row_07_primary_frozen_and_replaced",
        |scene| {
            scene.last_between(500, 1_500);
            let group = scene.stage.sentinel();
            let old = group.primary();
            scene.fault(format!("the primary at {} is frozen", old.port()));
            scene.stopped();
            old.freeze();
            scene.wait_for_promotion(&group, old);
            scene.publishes_within(BACK_WITHIN, "after the failover");
            scene.last_between(0, 1_000);
            old.thaw();
            scene.fault("the old primary is thawed");
            mend(scene);
            scene.last(Duration::from_secs(1));
        },
    ));
}
