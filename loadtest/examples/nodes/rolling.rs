//! A rolling restart: nodes are told to end one after the other (SIGTERM) and started again, while thousands of people listen and messages
//! come by the clock. What must hold: nothing lost, nothing twice, deliveries pause for less than a second, and people come back spread.
//!
//! Reading order: `client`, `publisher`, `ledger` (what they must agree on), `message`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::histogram::Latencies;
use crate::stage::{self, Node, Settings};

mod client;
mod ledger;
mod message;
mod publisher;

use client::{Client, Seen};
use ledger::{Disagreements, Ledger};
use publisher::{Publisher, Said};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 5_000)]
    pub(crate) clients: usize,
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    #[arg(long, default_value_t = 100)]
    pub(crate) channels: usize,
    /// Publishes per second, over all channels.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// Over how many seconds a node sends its clients away (`server.drain_window`).
    #[arg(long, default_value_t = 10.0)]
    pub(crate) drain_window_s: f64,
    /// Seconds of load before the first restart and after each.
    #[arg(long, default_value_t = 5.0)]
    pub(crate) calm_s: f64,
    /// What p99 of the time that a client is without its channels may be.
    #[arg(long, default_value_t = 1_000.0)]
    pub(crate) pause_ms_max: f64,
}

/// What all clients of a run share.
struct Shared {
    nodes: Vec<SocketAddr>,
    channels: Vec<Arc<str>>,
    ledger: Ledger,
    clock: Instant,
    /// Clients that have had all their channels.
    ready: AtomicUsize,
    /// Numbers of messages that were given out.
    messages: AtomicU64,
    /// When the first restart began, in ns of the clock.
    restarts_from_ns: AtomicU64,
    calm: Mutex<Latencies>,
    restless: Mutex<Latencies>,
}

impl Shared {
    fn new(options: &Options, nodes: Vec<SocketAddr>) -> Self {
        Self {
            nodes,
            channels: (0..options.channels)
                .map(|number| format!("disk:{number}").into())
                .collect(),
            ledger: Ledger::new(options.channels),
            clock: Instant::now(),
            ready: AtomicUsize::new(0),
            messages: AtomicU64::new(1),
            restarts_from_ns: AtomicU64::new(u64::MAX),
            calm: Mutex::new(Latencies::new()),
            restless: Mutex::new(Latencies::new()),
        }
    }

    fn now_ns(&self) -> u64 {
        self.at_ns(Instant::now())
    }

    fn at_ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.clock);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Where the latency of a message that was due then belongs.
    fn latencies(&self, due_ns: u64) -> &Mutex<Latencies> {
        let is_restless = due_ns >= self.restarts_from_ns.load(Ordering::Acquire);
        if is_restless {
            &self.restless
        } else {
            &self.calm
        }
    }
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) said: Said,
    pub(crate) seen: Seen,
    pub(crate) disagreements: Disagreements,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Plays it. Bounded in time: whoever has not got everything then counts as having missed it.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let redis = stage::redis();
    let settings = Settings {
        drain_window: Duration::from_secs_f64(options.drain_window_s),
        ..Settings::default()
    };
    let mut nodes = (0..options.nodes)
        .map(|_| Node::start(Some(&redis), settings))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = nodes.iter().map(Node::address).collect();
    let shared = Arc::new(Shared::new(options, addresses));
    let (over, is_over) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let (up, time_is_up) = watch::channel(false);

    let clients = open(&shared, options.clients, &is_over, &time_is_up).await?;
    let publishers = PUBLISHERS.min(options.channels);
    let publishing: Vec<_> = (0..publishers)
        .map(|number| {
            let publisher = Publisher::new(Arc::clone(&shared), number, publishers, options.rate);
            tokio::spawn(publisher.live(publishers, stopped.clone(), time_is_up.clone()))
        })
        .collect();
    let calm = Duration::from_secs_f64(options.calm_s);
    tokio::time::sleep(calm).await;
    shared
        .restarts_from_ns
        .store(shared.now_ns(), Ordering::Release);
    for number in 0..nodes.len() {
        nodes = restart(nodes, number).await?;
        tokio::time::sleep(calm).await;
    }
    stop.send_replace(true);
    let said = gather(publishing, &up, Said::add).await?;
    over.send_replace(true);
    let seen = gather(clients, &up, Seen::add).await?;
    let disagreements = shared.ledger.judge();
    Ok(Outcome {
        said,
        seen,
        disagreements,
        shared,
    })
}

/// All clients, connected and subscribed.
async fn open(
    shared: &Arc<Shared>,
    count: usize,
    is_over: &client::Orders,
    time_is_up: &client::Orders,
) -> anyhow::Result<Vec<JoinHandle<Seen>>> {
    let mut clients = Vec::with_capacity(count);
    for number in 0..count {
        let client = Client::new(Arc::clone(shared), number);
        clients.push(tokio::spawn(
            client.live(is_over.clone(), time_is_up.clone()),
        ));
        tokio::time::sleep(OPENING).await;
    }
    let give_up = Instant::now() + PATIENCE;
    while shared.ready.load(Ordering::Acquire) < count {
        ensure!(Instant::now() < give_up, "not all clients could connect");
        tokio::time::sleep(LOOK).await;
    }
    Ok(clients)
}

/// Off the runtime's threads: it waits for processes.
async fn restart(mut nodes: Vec<Node>, number: usize) -> anyhow::Result<Vec<Node>> {
    let restarting = tokio::task::spawn_blocking(move || {
        nodes[number].terminate();
        nodes[number].spawn()?;
        anyhow::Ok(nodes)
    });
    restarting.await.context("a restart failed")?
}

/// What all of them saw. Tells them when time is up.
async fn gather<T: Default>(
    tasks: Vec<JoinHandle<T>>,
    up: &watch::Sender<bool>,
    add: fn(&mut T, T),
) -> anyhow::Result<T> {
    let mut sum = T::default();
    let give_up = tokio::time::Instant::now() + PATIENCE;
    for mut task in tasks {
        let done = match tokio::time::timeout_at(give_up, &mut task).await {
            Ok(done) => done,
            Err(_) => {
                up.send_replace(true);
                task.await
            }
        };
        add(&mut sum, done?);
    }
    Ok(sum)
}

impl Said {
    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.failed += other.failed;
        self.complaints.extend(other.complaints);
        self.answered_ns.extend(other.answered_ns);
    }
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.missed += other.missed;
        self.repeated += other.repeated;
        self.redelivered += other.redelivered;
        self.gaps += other.gaps;
        self.broken += other.broken;
        self.disagreed += other.disagreed;
        self.failed_attempts += other.failed_attempts;
        self.complaints.extend(other.complaints);
        self.reconnects_ns.extend(other.reconnects_ns);
        self.away_ns.extend(other.away_ns);
        self.late_ns.extend(other.late_ns);
    }
}

impl Outcome {
    /// What was promised and not kept, in sentences.
    pub(crate) fn faults(&self, options: &Options) -> Vec<String> {
        let pause_ms = self.pause_p99_ms();
        let is_long = pause_ms > options.pause_ms_max;
        let pause = is_long.then(|| format!("p99 of the pauses is {pause_ms} ms"));
        let (seen, said) = (&self.seen, &self.said);
        let Disagreements {
            lost,
            doubled,
            holes,
        } = self.disagreements;
        let counts = [
            (
                lost as u64,
                "acknowledged messages are not where they were acknowledged",
            ),
            (doubled as u64, "messages stand at two offsets"),
            (holes as u64, "offsets were seen by nobody"),
            (seen.missed, "events never came to a subscriber"),
            (seen.repeated, "events were told twice"),
            (seen.gaps, "holes were met on the way"),
            (seen.broken, "resumes were not complete"),
            (
                seen.disagreed,
                "events were another message than others saw there",
            ),
            (said.failed, "publishes failed"),
        ];
        let told = seen.complaints.iter().chain(&said.complaints).cloned();
        counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .chain(told)
            .chain(pause)
            .collect()
    }

    /// p99 of the time that a client was without its channels, in ms.
    fn pause_p99_ms(&self) -> f64 {
        latencies(&self.seen.away_ns).summary().p99_ms
    }

    /// Connections that were accepted in each 100 ms, from the first to the last restart.
    pub(crate) fn reconnects_per_100_ms(&self) -> Vec<usize> {
        let slots: Vec<usize> = self
            .seen
            .reconnects_ns
            .iter()
            .map(|at| (at / SLOT_NS) as usize)
            .collect();
        let first = slots.iter().min().copied().unwrap_or(0);
        let last = slots.iter().max().copied().unwrap_or(0);
        let mut counts = vec![0; last - first + 1];
        for slot in slots {
            counts[slot - first] += 1;
        }
        counts
    }

    pub(crate) fn print(&self, options: &Options) {
        println!(
            "{} clients in 2 of {} channels on {} nodes, {} publishes/s, drain window {} s, every node restarted once",
            options.clients, options.channels, options.nodes, options.rate, options.drain_window_s
        );
        println!(
            "  {} publishes acknowledged ({} repeated after a lost answer), {} events received, {} told again on the wire and dropped by the client",
            self.said.acknowledged, self.said.repeated, self.seen.events, self.seen.redelivered
        );
        println!(
            "  {} reconnects, {} attempts that failed",
            self.seen.reconnects_ns.len(),
            self.seen.failed_attempts
        );
        let shared = &self.shared;
        for (what, summary) in [
            (
                "a client without its channels",
                latencies(&self.seen.away_ns).summary(),
            ),
            (
                "events due in an absence: due to read",
                latencies(&self.seen.late_ns).summary(),
            ),
            (
                "all events, before: due to read",
                shared.calm.lock().summary(),
            ),
            (
                "all events, restarting: due to read",
                shared.restless.lock().summary(),
            ),
            (
                "publishes: due to answer",
                latencies(&self.said.answered_ns).summary(),
            ),
        ] {
            println!(
                "  {what:<36} ms  p50 {:8.1}  p99 {:8.1}  max {:8.1}  ({})",
                summary.p50_ms, summary.p99_ms, summary.max_ms, summary.count
            );
        }
        self.print_spread();
        for fault in self.faults(options) {
            println!("  FAULT: {fault}");
        }
    }

    fn print_spread(&self) {
        let counts = self.reconnects_per_100_ms();
        let mut busy: Vec<usize> = counts.iter().copied().filter(|count| *count > 0).collect();
        busy.sort_unstable();
        let at = |share: usize| busy.get(busy.len() * share / 100).copied().unwrap_or(0);
        println!(
            "  reconnects per 100 ms (where there were any: {} of {} slots)  p50 {}  p90 {}  max {}",
            busy.len(),
            counts.len(),
            at(50),
            at(90),
            busy.last().unwrap_or(&0)
        );
        for (second, slots) in counts.chunks(10).enumerate() {
            if slots.iter().any(|count| *count > 0) {
                println!(
                    "    {second:3} s  {}",
                    slots
                        .iter()
                        .map(|count| format!("{count:4}"))
                        .collect::<String>()
                );
            }
        }
    }
}

fn latencies(ns: &[u64]) -> Latencies {
    let mut latencies = Latencies::new();
    ns.iter().for_each(|ns| latencies.record_ns(*ns));
    latencies
}

const PUBLISHERS: usize = 10;
/// Between two clients that connect for the first time.
const OPENING: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_millis(20);
/// For all to connect, and for what is owed to come.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOT_NS: u64 = 100_000_000;
