//! The programs behind the figures of several nodes (`examples/nodes`), small: they run to their end, and what they check holds.

#[path = "../examples/nodes/main.rs"]
#[allow(
    dead_code,
    reason = "tests print nothing and need no processes of members"
)]
mod nodes;

use nodes::{
    cost, crowd, frames, histogram, history, hosted, latency, leaves, light, line, million, peer,
    presence, proc, rolling, stage, stream, trust, wire,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_and_repeats_nothing() {
    let options = rolling::Options {
        clients: 200,
        nodes: 3,
        channels: 20,
        rate: 100.0,
        drain_window_s: 1.0,
        calm_s: 1.0,
        // On a machine that does other work, too. What it is on a quiet one stands in docs/benchmarks.md.
        pause_ms_max: 3_000.0,
    };
    let outcome = rolling::run(&options).await.expect("it can be played");
    assert_eq!(outcome.faults(&options), [""; 0], "{outcome:?}");
    assert!(
        outcome.seen.reconnects_ns.len() >= options.clients,
        "{outcome:?}"
    );
    // A window of a second has ten slots; half of the clients of a node in one would be a storm.
    let stormiest = outcome
        .reconnects_per_100_ms()
        .into_iter()
        .max()
        .unwrap_or(0);
    assert!(stormiest <= options.clients / 3, "{stormiest} in 100 ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_joins_and_those_who_watch_are_told_in_few_words() {
    rlimit::increase_nofile_limit(u64::MAX).expect("sockets for everybody");
    let options = crowd::Options {
        members: 3_000,
        nodes: 2,
        watchers: 300,
        processes: false,
    };
    let outcome = crowd::run(&options).await.expect("it can be played");
    assert_eq!(outcome.faults(&options), [""; 0], "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clean_leave_is_told_on_every_node() {
    let options = leaves::Options {
        leaves: 120,
        rate: 50.0,
        nodes: 3,
        rooms: 4,
        // What it is on a quiet machine stands in docs/benchmarks.md.
        p99_ms_max: f64::INFINITY,
    };
    let outcome = leaves::run(&options).await.expect("it can be played");
    assert_eq!(outcome.faults(&options), [""; 0], "{outcome:?}");
    assert_eq!(outcome.unsubscribed.everywhere.count, 60, "{outcome:?}");
    assert_eq!(outcome.closed.everywhere.count, 60, "{outcome:?}");
    assert_eq!(outcome.all.same_node.count, 120, "{outcome:?}");
    assert_eq!(outcome.all.other_nodes.count, 240, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_nodes_at_once_hold_idle_connections_and_carry_a_channel() {
    rlimit::increase_nofile_limit(u64::MAX).expect("sockets for everybody");
    let options = million::Options {
        connections: 2_000,
        nodes: 50,
        listeners: 200,
        rate: 10.0,
        seconds: 3.0,
        ping_interval_s: 300,
        // What it is on a quiet machine stands in docs/benchmarks.md.
        p99_ms_max: f64::INFINITY,
        processes: false,
    };
    let outcome = million::run(&options).await.expect("it can be played");
    assert_eq!(outcome.faults(&options), [""; 0], "{outcome:?}");
    assert_eq!(outcome.beside.count, 30 * 200, "each to each, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_is_measured() {
    let options = latency::Options {
        rate: 50.0,
        seconds: 1.0,
        rounds: 1,
    };
    let paths = latency::run(&options).await.expect("it can be measured");
    assert!(
        paths.iter().all(|path| path.rounds[0].count == 50),
        "{paths:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_rosters_are_read() {
    let history = history::Options {
        readers: 2,
        page: 100,
        seconds: 0.5,
        rounds: 1,
        peer: None,
    };
    let sources = history::run(&history).await.expect("it can be measured");
    assert!(
        sources.iter().all(|source| source.rounds[0].pieces > 0),
        "{sources:?}"
    );
    let presence = presence::Options {
        members: 700,
        snapshots: 2,
        rounds: 1,
        peer: None,
    };
    let sources = presence::run(&presence).await.expect("it can be measured");
    assert_eq!(sources.len(), 3, "{sources:?}");
}
