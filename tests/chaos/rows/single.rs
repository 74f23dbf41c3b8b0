//! Rows that need one node only: the embedded log under `kill -9` and a restart.

use std::time::Duration;

use crate::checker::Promises;
use crate::run::{Row, Scene, play_all};
use crate::stage::{Settings, Topology};
use crate::workload::Scale;

fn row(name: &'static str, script: fn(&mut Scene)) -> Row {
    Row {
        name,
        topology: Topology::Single,
        settings: Settings::default(),
        scale: Scale::small(&["disk", "memory"]),
        // What is kept in memory ends with the process.
        promises: Promises::strict().may_lose(&["memory:"]),
        back_within: Duration::from_secs(10),
        rosters: true,
        script,
    }
}

#[test]
fn nothing_happens() {
    play_all(&calm());
}

/// Nothing breaks: the checker finds nothing.
pub(crate) fn calm() -> Row {
    let script = |scene: &mut Scene| scene.last(Duration::from_secs(3));
    Row {
        promises: Promises::strict(),
        ..row("rows::single::nothing_happens", script)
    }
}

#[test]
fn a_lone_node_is_killed_and_comes_back() {
    play_all(&lone_kill());
}

/// `kill -9` in the middle of everything: what is on the disk is there again.
pub(crate) fn lone_kill() -> Row {
    row(
        "rows::single::a_lone_node_is_killed_and_comes_back",
        |scene| {
            for _ in 0..2 {
                scene.last_between(500, 1_500);
                let node = &scene.stage.nodes[0];
                node.kill();
                node.restart();
            }
            scene.last(Duration::from_secs(1));
        },
    )
}

#[test]
fn row_24_power_cut() {
    play_all(&power_cut());
}

/// The power goes in the middle of everything: what was acknowledged had been flushed.
pub(crate) fn power_cut() -> Row {
    let row = row("rows::single::row_24_power_cut", |scene| {
        for _ in 0..2 {
            scene.last_between(500, 1_500);
            let node = &scene.stage.nodes[0];
            node.cut_power();
            node.restart();
        }
        scene.last(Duration::from_secs(1));
    });
    let settings = Settings {
        keeps_shadow: true,
        ..row.settings
    };
    Row { settings, ..row }
}
