//! A row whose fault lies with the lines alone: nobody is away and nothing is cut, but bytes come late, or a few at a time.

use std::ops::RangeInclusive;
use std::time::Duration;

use parlor_tests::Flow;
use rand::Rng as _;

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Settings, Topology};
use crate::workload::Scale;

/// By how much bytes come late, each way. A publish and its answer go four ways: a third of a second at the most.
const LATE_MS: RangeInclusive<u64> = 30..=80;
/// What clients send comes byte by byte, so that a node sees each place at which a frame or a request can be torn.
const SINGLE: Flow = Flow::Slice(1);
/// Elsewhere more bytes pass, and each piece costs a write here and a read there.
const FEW: Flow = Flow::Slice(16);

/// What happens to the bytes of a line, up and down: from who dialled, and back.
type Line = (Flow, Flow);

#[test]
fn row_14_slow_and_sliced_lines() {
    play_all(&Row {
        name: "rows::lines::row_14_slow_and_sliced_lines",
        topology: Topology::three_nodes(),
        settings: Settings::default(),
        // Little enough that the pieces of all of it keep no core busy.
        scale: Scale {
            followers: 12,
            writers: 3,
            pause: Duration::from_millis(100),
            ..Scale::small(&["disk", "memory"])
        },
        promises: Promises::strict(),
        back_within: Duration::from_secs(10),
        rosters: true,
        script: slow_and_sliced,
    });
}

/// All lines are slow, then all of them pass a few bytes at a time, then each does one of both in each direction: nobody misses
/// anything.
fn slow_and_sliced(scene: &mut Scene) {
    scene.last_between(300, 800);
    let mut late = || Flow::Delay(Duration::from_millis(scene.rng.random_range(LATE_MS)));
    let (clients, redis) = (late(), late());
    weather(scene, (clients, clients), (redis, redis));
    weather(scene, (SINGLE, FEW), (FEW, FEW));
    weather(scene, (clients, FEW), (FEW, redis));
    weather(scene, (SINGLE, clients), (redis, FEW));
    weather(scene, (Flow::Pass, Flow::Pass), (Flow::Pass, Flow::Pass));
}

/// Lets every client's line and every node's line to Redis be so for a while.
fn weather(scene: &mut Scene, clients: Line, redis: Line) {
    scene.fault(format!("lines of clients {clients:?}, of Redis {redis:?}"));
    for node in &scene.stage.nodes {
        let back = node.back.as_ref().expect("a proxy");
        for (line, (up, down)) in [(&node.front, clients), (back, redis)] {
            line.up(up);
            line.down(down);
        }
    }
    scene.last_between(1_000, 2_000);
}
