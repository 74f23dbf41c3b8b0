//! Rows whose fault lies with clients and the network before a node: half-open sockets, readers that sleep, everybody at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlor_tests::{Flow, Seed};
use tokio::sync::watch;

use crate::checker::Promises;
use crate::recorder::{Fact, Name, Start};
use crate::run::{Row, Scene, play_all, rosters_become};
use crate::stage::{Settings, Topology};
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

/// Bytes of payloads published while the sleepers sleep: many times what kernel buffers hold.
const SLEPT_THROUGH: usize = 24 << 20;
const EVENT_BYTES: usize = 30 << 10;
/// Through their small receive buffers the kernel lets some 350 KB/s pass, of 24 MiB for each.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(240);
const SLEEPERS: usize = 20;
/// The outbox (256 KiB), and what the kernel holds between two sockets of one machine.
const WAITING_MAX: u64 = 7 << 20;
/// Over the memory before the sleep: outboxes, tails, what waits for the log, and what the allocator keeps on a busy machine. Far
/// less than what was slept through.
const MEMORY_GROWTH_MAX: u64 = 36 << 20;

#[test]
#[ignore = "not of the smoke set"]
fn row_16_slow_readers() {
    play_all(&slow_readers());
}

/// Who stops reading is closed at the bound, finds nothing missing on return, and costs others nothing.
pub(crate) fn slow_readers() -> Row {
    let scale = Scale {
        followers: 8,
        ..Scale::small(&["disk"])
    };
    row("rows::clients::row_16_slow_readers", scale, sleep)
}

fn sleep(scene: &mut Scene) {
    let (channel, last): (Name, Name) = ("disk:asleep".into(), "last-of-the-sleep".into());
    let (orders, told) = watch::channel(Sleep::Awake);
    let sleepers: Vec<_> = (0..SLEEPERS)
        .map(|number| {
            let sleeper = Sleeper {
                name: format!("sleeper-{number}").into(),
                recorder: scene.recorder.clone(),
                node: scene.stage.nodes[0].address(),
                channel: channel.clone(),
                last: last.clone(),
                waiting_max: WAITING_MAX,
                orders: told.clone(),
            };
            let life = sleeper.live(Seed(number as u64).rng(7_000));
            scene.workload.spawn(life)
        })
        .collect();
    wait_for_followers(scene, &channel, SLEEPERS);
    let _awake = stay_awake(scene, &channel, &last);
    wait_for_followers(scene, &channel, SLEEPERS + 1);
    let before = scene.stage.nodes[0].memory_bytes();
    scene.fault("sleepers stop reading");
    orders.send_replace(Sleep::Asleep);
    publish_much(scene, &channel);
    let grown = scene.stage.nodes[0].memory_bytes().saturating_sub(before);
    let what = "bytes of memory that node-1 grew by".to_owned();
    let max = MEMORY_GROWTH_MAX;
    scene.note(Fact::Measured {
        what,
        value: grown,
        max,
    });
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

/// Somebody who reads all the time, so that the channel stays live while its sleepers are away.
fn stay_awake(scene: &Scene, channel: &Name, last: &Name) -> watch::Sender<Sleep> {
    let (orders, told) = watch::channel(Sleep::Awake);
    let watcher = Sleeper {
        name: "watcher".into(),
        recorder: scene.recorder.clone(),
        node: scene.stage.nodes[0].address(),
        channel: channel.clone(),
        last: last.clone(),
        waiting_max: u64::MAX,
        orders: told,
    };
    scene.workload.spawn(watcher.live(Seed(99).rng(7_000)));
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
