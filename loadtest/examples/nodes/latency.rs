//! What Redis adds to a delivery: the same publishes at the same fixed rate to a single node, to a node on Redis, and to one node while
//! the subscriber is at another. The paths take turns, so that whatever else the machine does meets all of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use crate::histogram::{Latencies, Summary};
use crate::line::{Dialect, Line};
use crate::stage::{self, Node, Settings};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Publishes per second.
    #[arg(long, default_value_t = 200.0)]
    pub(crate) rate: f64,
    /// Seconds of each path in each round.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
}

/// From where to where, and through what.
struct Path {
    name: &'static str,
    channel: &'static str,
    publisher: SocketAddr,
    subscriber: SocketAddr,
}

/// What one path showed, a summary for each round: from a publish's due time to the subscriber's read.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Summary>,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Measured>> {
    let redis = stage::redis();
    let alone = Node::start(None, Settings::default())?;
    let first = Node::start(Some(&redis), Settings::default())?;
    let second = Node::start(Some(&redis), Settings::default())?;
    let (one, a, b) = (alone.address(), first.address(), second.address());
    let path = |name, channel, publisher, subscriber| Path {
        name,
        channel,
        publisher,
        subscriber,
    };
    let paths = [
        path("one node, embedded log, `memory`", "memory:a", one, one),
        path("one node, embedded log, `disk`", "disk:a", one, one),
        path("one node on Redis", "disk:b", a, a),
        path("from node to node over Redis", "disk:c", a, b),
    ];
    let mut measured: Vec<_> = paths
        .iter()
        .map(|path| Measured {
            name: path.name,
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..options.rounds {
        for (path, measured) in paths.iter().zip(&mut measured) {
            measured.rounds.push(walk(path, options).await?);
        }
    }
    Ok(measured)
}

/// One round of one path.
async fn walk(path: &Path, options: &Options) -> anyhow::Result<Summary> {
    let mut subscriber = Line::open(path.subscriber, Dialect::Parlor, "reader").await?;
    let channel = format!(r#"{{"channel":"{}"}}"#, path.channel);
    subscriber.ask("subscribe", &channel).await?;
    let mut publisher = Line::open(path.publisher, Dialect::Parlor, "writer").await?;
    let start = Instant::now();
    let count = (options.rate * options.seconds) as usize;
    let warm_up = (options.rate * WARM_UP_S) as usize;
    let reading = tokio::spawn(async move {
        let mut latencies = Latencies::new();
        let mut seen = 0;
        while seen < count + warm_up {
            let text = subscriber.hear().await?;
            let now = start.elapsed();
            if let Some(due) = due_in(&text) {
                seen += 1;
                if seen > warm_up {
                    latencies.record_ns(now.saturating_sub(due).as_nanos() as u64);
                }
            }
        }
        anyhow::Ok(latencies.summary())
    });
    publish(
        &mut publisher,
        path.channel,
        start,
        count + warm_up,
        options.rate,
    )
    .await?;
    tokio::time::timeout(PATIENCE, reading).await??
}

/// By the clock, whatever is answered.
pub(crate) async fn publish(
    publisher: &mut Line,
    channel: &str,
    start: Instant,
    count: usize,
    rate: f64,
) -> anyhow::Result<()> {
    let mut clock = interval(Duration::from_secs_f64(1.0 / rate));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut answered = 0;
    let mut sent = 0;
    while answered < count {
        tokio::select! {
            due = clock.tick(), if sent < count => {
                sent += 1;
                let due = due.into_std().saturating_duration_since(start).as_nanos();
                let id = ID_FIRST + sent;
                publisher
                    .say(format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":"due {due:020} {:x<102}"}}}}"#, ""))
                    .await?;
            }
            answer = publisher.hear() => {
                let answer = answer?;
                anyhow::ensure!(!answer.contains(r#""error""#), "{answer}");
                answered += 1;
            }
        }
    }
    Ok(())
}

pub(crate) fn due_in(text: &str) -> Option<Duration> {
    let (_, rest) = text.split_once("\"due ")?;
    let (ns, _) = rest.split_once(' ')?;
    Some(Duration::from_nanos(ns.parse().ok()?))
}

pub(crate) fn print(measured: &[Measured], options: &Options) {
    println!(
        "{} publishes/s of 128 B, one subscriber, {} rounds of {} s; due to read, ms: median of the rounds (lowest to highest)",
        options.rate, options.rounds, options.seconds
    );
    for path in measured {
        let p50 = spread(path.rounds.iter().map(|round| round.p50_ms));
        let p99 = spread(path.rounds.iter().map(|round| round.p99_ms));
        println!("  {:<36} p50 {p50:<24} p99 {p99}", path.name);
    }
}

/// The median and the extremes of some figures.
pub(crate) fn spread(figures: impl Iterator<Item = f64>) -> String {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.as_slice() {
        [] => "-".to_owned(),
        all @ [first, .., last] => format!("{:.2} ({first:.2} to {last:.2})", all[all.len() / 2]),
        [only] => format!("{only:.2}"),
    }
}

const WARM_UP_S: f64 = 1.0;
const ID_FIRST: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);
