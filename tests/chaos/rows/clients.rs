//! Rows whose fault lies with clients and the network before a node: half-open sockets, readers that sleep, everybody at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlor_tests::{Flow, Seed};
use tokio::sync::watch;

use crate::checker::Promises;
use crate::recorder::{Fact, Name, Start};
use crate::run::{Row, Scene, play_all, rosters_become};
use crate::stage::{Node, Settings, Topology};
use crate::workload::{Post, Scale, Sleep, Sleeper};

fn row(name: &'static str, scale: Scale, script: fn(&mut Scene)) -> Row {
    Row {
        name,
        topology: Topology::Single,
        settings: Settings::default(),
        scale,
        promises: Promises::strict(),
        back_within: Duration::from_secs(10),
        rosters: true,
        script,
    }
}

fn over_three_nodes(row: Row) -> Row {
    Row {
        topology: Topology::three_nodes(),
        ..row
    }
}

#[test]
fn row_15_half_open_clients() {
    let scale = Scale::small(&["disk", "memory"]);
    play_all(&row(
        "rows::clients::row_15_half_open_clients",
        scale,
        stall,
    ));
}

/// A silent socket is noticed within ping interval and pong timeout (2 s + 3 s on this stage); then its people leave the rosters.
fn stall(scene: &mut Scene) {
    scene.last_between(500, 1_500);
    scene.fault("no byte passes between clients and node-1");
    scene.stage.nodes[0].front.both(Flow::Stall);
    rosters_become(scene, Duration::from_secs(9), |_| BTreeSet::new());
    scene.fault("bytes pass again");
    scene.stage.nodes[0].front.heal();
    scene.last(Duration::from_secs(1));
}

#[test]
#[ignore = "not of the smoke set"]
fn row_15_half_open_clients_over_three_nodes() {
    let scale = Scale::small(&["disk", "memory"]);
    play_all(&over_three_nodes(row(
        "rows::clients::row_15_half_open_clients_over_three_nodes",
        scale,
        stall_one_then_all,
    )));
}

/// First one node's clients fall silent, and go on at the others; then everybody does, and no roster holds anybody.
fn stall_one_then_all(scene: &mut Scene) {
    scene.last_between(500, 1_500);
    let first = scene.some_node();
    let name = scene.stage.nodes[first].name.clone();
    scene.fault(format!("no byte passes between clients and {name}"));
    scene.stage.nodes[first].front.both(Flow::Stall);
    wait_until_left(scene, first);
    scene.publishes_within(Duration::from_secs(10), "at the other nodes");
    scene.fault("no byte passes between clients and any node");
    for node in &scene.stage.nodes {
        node.front.both(Flow::Stall);
    }
    rosters_become(scene, Duration::from_secs(12), |_| BTreeSet::new());
    scene.fault("bytes pass again");
    for node in &scene.stage.nodes {
        node.front.heal();
    }
    scene.last(Duration::from_secs(1));
}

/// Silence is noticed after 5 s; what is sent to say so may take 5 s more, and a socket that said nothing yet 10 s.
const LEFT_WITHIN: Duration = Duration::from_secs(20);

/// Waits until a node knows that none of its sockets has anybody at the other end.
fn wait_until_left(scene: &Scene, node: usize) {
    let node = &scene.stage.nodes[node];
    let connections = || {
        let figures = node.figures();
        let open = figures.try_read("parlor_connections");
        scene.workload.block_on(open)
    };
    let start = Instant::now();
    while connections() != Some(0) {
        if start.elapsed() > LEFT_WITHIN {
            let name = &node.name;
            let what = format!("{name} keeps silent connections after {LEFT_WITHIN:?}");
            return scene.note(Fact::Overdue { what });
        }
        scene.last(Duration::from_millis(20));
    }
}

/// Bytes of payloads published while the sleepers sleep: many times what kernel buffers hold.
const SLEPT_THROUGH: usize = 48 << 20;
const EVENT_BYTES: usize = 30 << 10;
/// Through the smallest receive buffers the kernel lets some 350 KB/s pass, of 48 MiB for each.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(240);
/// The outbox (256 KiB), and what the kernel holds between two sockets of one machine.
const WAITING_MAX: u64 = 7 << 20;
/// Over the memory before the sleep: outboxes, tails, what waits for the log, and what the allocator keeps on a busy machine. Far
/// less than what was slept through.
const MEMORY_GROWTH_MAX: u64 = 36 << 20;

/// Who sleep.
#[derive(Clone, Copy, Debug)]
struct Sleepers {
    /// Dealt out over the nodes.
    count: usize,
    /// What the kernel may take in for each.
    receive_bytes: u32,
}

/// As little room as can be had.
const AT_ONE_NODE: Sleepers = Sleepers {
    count: 20,
    receive_bytes: 4_096,
};
/// Room enough to catch up in seconds.
const AT_THREE_NODES: Sleepers = Sleepers {
    count: 9,
    receive_bytes: 256 << 10,
};

#[test]
#[ignore = "not of the smoke set"]
fn row_16_slow_readers() {
    play_all(&slow_readers());
}

#[test]
#[ignore = "not of the smoke set"]
fn row_16_slow_readers_over_three_nodes() {
    play_all(&over_three_nodes(Row {
        name: "rows::clients::row_16_slow_readers_over_three_nodes",
        script: |scene| sleep(scene, AT_THREE_NODES),
        ..slow_readers()
    }));
}

/// Who stops reading is closed at the bound, finds nothing missing on return, and costs others nothing.
pub(crate) fn slow_readers() -> Row {
    let scale = Scale {
        followers: 8,
        ..Scale::small(&["disk"])
    };
    let script = |scene: &mut Scene| sleep(scene, AT_ONE_NODE);
    row("rows::clients::row_16_slow_readers", scale, script)
}

fn sleep(scene: &Scene, those: Sleepers) {
    let (channel, last): (Name, Name) = ("disk:asleep".into(), "last-of-the-sleep".into());
    let (orders, told) = watch::channel(Sleep::Awake);
    let nodes = scene.stage.nodes.len();
    let sleepers: Vec<_> = (0..those.count)
        .map(|number| {
            let sleeper = Sleeper {
                name: format!("sleeper-{number}").into(),
                recorder: scene.recorder.clone(),
                node: scene.stage.nodes[number % nodes].address(),
                channel: channel.clone(),
                last: last.clone(),
                receive_bytes: those.receive_bytes,
                waiting_max: WAITING_MAX,
                orders: told.clone(),
            };
            let life = sleeper.live(Seed(number as u64).rng(7_000));
            scene.workload.spawn(life)
        })
        .collect();
    wait_for_followers(scene, &channel, those.count);
    let _awake = stay_awake(scene, &channel, &last, those.receive_bytes);
    wait_for_followers(scene, &channel, those.count + nodes);
    let before: Vec<u64> = scene.stage.nodes.iter().map(Node::memory_bytes).collect();
    scene.fault("sleepers stop reading");
    orders.send_replace(Sleep::Asleep);
    publish_much(scene, &channel);
    note_growth(scene, &before);
    scene.fault("sleepers wake up");
    orders.send_replace(Sleep::AwakeAgain);
    scene.workload.block_on(say(scene, &channel, &last, 0));
    for sleeper in sleepers {
        let woken = async { tokio::time::timeout(CAUGHT_UP_WITHIN, sleeper).await };
        if scene.workload.block_on(woken).is_err() {
            let what = "a sleeper never caught up".into();
            scene.note(Fact::Overdue { what });
        }
    }
}

/// Notes by how much the memory of each node has grown.
fn note_growth(scene: &Scene, before: &[u64]) {
    for (node, before) in scene.stage.nodes.iter().zip(before) {
        scene.note(Fact::Measured {
            what: format!("bytes of memory that {} grew by", node.name),
            value: node.memory_bytes().saturating_sub(*before),
            max: MEMORY_GROWTH_MAX,
        });
    }
}

/// Somebody at each node who reads all the time, so that the channel stays live there while its sleepers are away.
fn stay_awake(
    scene: &Scene,
    channel: &Name,
    last: &Name,
    receive_bytes: u32,
) -> watch::Sender<Sleep> {
    let (orders, told) = watch::channel(Sleep::Awake);
    for (node, seed) in scene.stage.nodes.iter().zip(99..) {
        let watcher = Sleeper {
            name: format!("watcher-at-{}", node.name).into(),
            recorder: scene.recorder.clone(),
            node: node.address(),
            channel: channel.clone(),
            last: last.clone(),
            receive_bytes,
            waiting_max: u64::MAX,
            orders: told.clone(),
        };
        scene.workload.spawn(watcher.live(Seed(seed).rng(7_000)));
    }
    orders
}

fn wait_for_followers(scene: &Scene, channel: &Name, count: usize) {
    parlor_tests::eventually("the followers of one channel", || {
        let following = scene.recorder.look(|records| {
            let subscribed = |fact: &Fact| matches!(fact, Fact::Subscribed { channel: one, .. } if one == channel);
            records.iter().filter(|record| subscribed(&record.fact)).count()
        });
        (following >= count).then_some(())
    });
}

fn publish_much(scene: &Scene, channel: &Name) {
    let ids: Vec<Name> = (0..SLEPT_THROUGH / EVENT_BYTES)
        .map(|number| format!("slept-through-{number}").into())
        .collect();
    // Side by side, so that the log's flushes are shared.
    for some in ids.chunks(32) {
        let saying = some.iter().map(|id| say(scene, channel, id, EVENT_BYTES));
        scene.workload.block_on(join_all(saying));
    }
}

async fn say(scene: &Scene, channel: &Name, id: &Name, padding: usize) {
    let nodes = [scene.stage.nodes[0].address()];
    let post = Post {
        recorder: &scene.recorder,
        by: "runner",
        nodes: &nodes,
        channel,
        id,
        padding,
    };
    if !post.within(Duration::from_secs(20)).await {
        let what = format!("{id} was not acknowledged in time");
        scene.note(Fact::Overdue { what });
    }
}

/// Everybody is back within this time of losing the socket together.
const STORM_MAX: Duration = Duration::from_secs(30);

fn storm(scene: &mut Scene) {
    scene.last_between(500, 1_500);
    let resumed = |records: &[crate::recorder::Record]| {
        let complete = records
            .iter()
            .filter(|record| matches!(&record.fact, Fact::Subscribed { start: Start::Complete, by, .. } if by.starts_with("follower")));
        complete.count()
    };
    let before = scene.recorder.look(resumed);
    let wanted = scene.workload.follows().count();
    scene.fault("everybody loses the socket");
    let start = Instant::now();
    scene.workload.storm();
    while scene.recorder.look(resumed) < before + wanted && start.elapsed() < STORM_MAX {
        scene.last(Duration::from_millis(20));
    }
    let what = "milliseconds until everybody was back".to_owned();
    let value = start.elapsed().as_millis() as u64;
    scene.note(Fact::Measured {
        what,
        value,
        max: STORM_MAX.as_millis() as u64 - 1,
    });
    scene.last(Duration::from_secs(1));
}

#[test]
fn row_18_reconnect_storm() {
    let scale = Scale {
        followers: 300,
        ..Scale::small(&["disk"])
    };
    play_all(&row("rows::clients::row_18_reconnect_storm", scale, storm));
}

#[test]
#[ignore = "not of the smoke set"]
fn row_18_reconnect_storm_over_three_nodes() {
    let scale = Scale {
        followers: 300,
        ..Scale::small(&["disk"])
    };
    play_all(&over_three_nodes(row(
        "rows::clients::row_18_reconnect_storm_over_three_nodes",
        scale,
        storm,
    )));
}

#[test]
#[ignore = "long: thousands of clients"]
fn row_18_reconnect_storm_of_thousands() {
    let scale = Scale {
        followers: 3_000,
        followed: 1,
        ..Scale::small(&["disk"])
    };
    play_all(&row(
        "rows::clients::row_18_reconnect_storm_of_thousands",
        scale,
        storm,
    ));
}
