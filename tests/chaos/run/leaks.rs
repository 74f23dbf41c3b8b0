//! I9 and I10 once everybody has left: a node holds and does no more than before anybody came.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use parlor_tests::eventually;
use tokio::runtime::Runtime;

use super::Scene;
use crate::checker::is_judged;
use crate::recorder::{Fact, Recorder};
use crate::stage::{Node, Settings};

/// What people leave behind is gone within this time. Who was half-open is noticed in it, and thousands may leave at once.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// More than at its start: a node dials each Redis for each purpose when it first has to.
const FILES_MORE_MAX: u64 = 32;
/// Work is counted over this time.
const STRETCH: Duration = Duration::from_secs(2);
/// Of one core, while nobody asks for anything. A core that spins has 100, or half of that on a busy machine.
const PERCENT_MAX: u64 = 40;
/// What a node counts of its clients.
const GAUGES: [&str; 3] = [
    "parlor_connections",
    "parlor_channels",
    "parlor_users_connected",
];

/// How many files and sockets each node has open now.
pub(super) fn files_of(nodes: &[Node]) -> Vec<u64> {
    nodes.iter().map(Node::open_files).collect()
}

/// Looks until everything is gone or the time for that is over; the checker judges what is noted then.
pub(super) fn compare(scene: &Scene, files_before: &[u64]) {
    let end = Instant::now() + GONE_WITHIN;
    loop {
        let seen = look(scene, files_before);
        if seen.iter().all(is_within) || Instant::now() > end {
            return seen.into_iter().for_each(|fact| scene.note(fact));
        }
    }
}

fn is_within(fact: &Fact) -> bool {
    matches!(fact, Fact::Measured { value, max, .. } if value <= max)
}

/// What each node does over a stretch of time, and holds at its end.
fn look(scene: &Scene, files_before: &[u64]) -> Vec<Fact> {
    let nodes = &scene.stage.nodes;
    let before: Vec<Duration> = nodes.iter().map(Node::cpu_time).collect();
    let start = Instant::now();
    scene.last(STRETCH);
    let after: Vec<Duration> = nodes.iter().map(Node::cpu_time).collect();
    let took = start.elapsed();
    let mut seen = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let worked = after[index].saturating_sub(before[index]);
        seen.push(work(&node.name, worked, took));
        seen.push(files(&node.name, node.open_files(), files_before[index]));
        for name in GAUGES {
            let value = scene.workload.block_on(node.figures().try_read(name));
            seen.push(gauge(&node.name, name, value));
        }
    }
    seen
}

fn work(node: &str, worked: Duration, took: Duration) -> Fact {
    let percent = worked.as_millis() * 100 / took.as_millis().max(1);
    Fact::Measured {
        what: format!("percent of a core that {node} works when everybody has left"),
        value: percent as u64,
        max: PERCENT_MAX,
    }
}

fn files(node: &str, open: u64, before: u64) -> Fact {
    Fact::Measured {
        what: format!("files that {node} has open when everybody has left"),
        value: open,
        max: before + FILES_MORE_MAX,
    }
}

fn gauge(node: &str, name: &str, value: Option<u64>) -> Fact {
    let what = format!("{name} of {node} when everybody has left");
    match value {
        Some(value) => Fact::Measured {
            what,
            value,
            max: 0,
        },
        None => Fact::Overdue {
            what: format!("{what}: not shown"),
        },
    }
}

#[test]
fn a_node_that_spins_when_everybody_has_left_is_told_by_name() {
    let second = Duration::from_secs(1);
    is_judged([work("node-2", second / 10, second)], &[]);
    is_judged(
        [work("node-2", second, second)],
        &[
            "unbounded: percent of a core that node-2 works when everybody has left: 100, at most 40 are allowed",
        ],
    );
}

#[test]
fn files_that_stay_open_when_everybody_has_left_are_told_by_name() {
    is_judged([files("node-1", 52, 20)], &[]);
    is_judged(
        [files("node-1", 53, 20)],
        &[
            "unbounded: files that node-1 has open when everybody has left: 53, at most 52 are allowed",
        ],
    );
}

#[test]
fn connections_and_channels_that_stay_when_everybody_has_left_are_told_by_name() {
    is_judged([gauge("node-3", "parlor_channels", Some(0))], &[]);
    is_judged(
        [gauge("node-3", "parlor_channels", Some(2))],
        &["unbounded: parlor_channels of node-3 when everybody has left: 2, at most 0 are allowed"],
    );
    is_judged(
        [gauge("node-3", "parlor_connections", None)],
        &["stuck: parlor_connections of node-3 when everybody has left: not shown"],
    );
}

/// Who sees nothing finds nothing amiss.
#[test]
fn the_files_the_work_and_the_figures_of_a_node_are_seen() {
    let node = Node::start("node-1".into(), Settings::default(), None, Recorder::new());
    let before = node.open_files();
    let _open = TcpStream::connect(node.address()).expect("connected");
    eventually("one more socket", || {
        (node.open_files() > before).then_some(())
    });
    eventually("some work", || {
        (node.cpu_time() > Duration::ZERO).then_some(())
    });
    let runtime = Runtime::new().expect("a runtime");
    for name in GAUGES {
        let shown = runtime.block_on(node.figures().try_read(name));
        assert_eq!(shown, Some(0), "{name}");
    }
}
