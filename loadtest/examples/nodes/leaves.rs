//! Clean leaves among several nodes: members come to rooms and leave them in good order, one half by an unsubscribe, the other by a close of the
//! socket, and in each room somebody watches on every node. How long each leave takes until they are told is measured.
//!
//! Leaves come by a clock and each member is a task of its own, so that nobody waits for another's. Read next: `member`, `watchers`, `ledger`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::crowd::clients::number_after;
use crate::line::Line;
use crate::stage::{self, Node, Settings};

mod ledger;
mod member;
mod watchers;

use ledger::{Ledger, Told};
use member::{Member, Way};
use watchers::Watchers;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Members, each of whom comes and leaves once.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) leaves: usize,
    /// Leaves per second, over all rooms and nodes.
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Somebody watches each of them on every node.
    #[arg(long, default_value_t = 10)]
    pub(crate) rooms: usize,
    /// The highest p99, in ms, of the time until a leave was told everywhere.
    #[arg(long, default_value_t = 250.0)]
    pub(crate) p99_ms_max: f64,
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) unsubscribed: Told,
    pub(crate) closed: Told,
    /// Both together.
    pub(crate) all: Told,
    /// Leaves that some watcher was never told of.
    pub(crate) untold: usize,
    /// Members of whom a watcher was told that they had left when they had not.
    pub(crate) slandered: usize,
    /// Why members could not come or leave.
    pub(crate) failures: Vec<String>,
}

/// Plays it. Bounded in time: who has not been told by then counts as never told.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let redis = stage::redis();
    let settings = Settings {
        // Members shall not be asked whether they live in their short stay.
        ping_interval: Duration::from_secs(300),
        ..Settings::default()
    };
    let nodes = (0..options.nodes)
        .map(|_| Node::start(Some(&redis), settings))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let addresses: Vec<SocketAddr> = nodes.iter().map(Node::address).collect();
    let members: Vec<Member> = (0..options.leaves)
        .map(|number| Member::nth(number, options.nodes, options.rooms))
        .collect();
    let ledger = Arc::new(Ledger::new(&members, options.nodes));
    let mut watchers = Watchers::open(&addresses, options.rooms, &ledger).await?;
    let failures = play(&members, &addresses, options.rate, &ledger).await?;
    let give_up = Instant::now() + PATIENCE;
    loop {
        watchers.check()?;
        if ledger.untold() == 0 || Instant::now() >= give_up {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Outcome {
        unsubscribed: ledger.told(|member| member.way == Way::Unsubscribe),
        closed: ledger.told(|member| member.way == Way::Close),
        all: ledger.told(|_| true),
        untold: ledger.untold(),
        slandered: ledger.slandered(),
        failures,
    })
}

/// Has all members come by the clock and leave after a while, whatever becomes of those before. Returns why some could not.
async fn play(
    members: &[Member],
    nodes: &[SocketAddr],
    rate: f64,
    ledger: &Arc<Ledger>,
) -> anyhow::Result<Vec<String>> {
    let mut clock = interval(Duration::from_secs_f64(1.0 / rate));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut playing = JoinSet::new();
    for member in members {
        // Of various lengths: otherwise each leave would meet somebody's coming, and the same moment of the nodes' ticks.
        let stay = Duration::from_millis(rng.random_range(STAY_MS_MIN..STAY_MS_MAX));
        let leaves_at = clock.tick().await + stay;
        playing.spawn(member.live(nodes[member.node], leaves_at, Arc::clone(ledger)));
    }
    let mut failures = Vec::new();
    while let Some(lived) = playing.join_next().await {
        if let Err(reason) = lived? {
            failures.push(format!("{reason:#}"));
        }
    }
    Ok(failures)
}

/// Asks until it is granted: a busy node puts some off for a while, and says for how long.
async fn subscribe(line: &mut Line, wish: &str) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let Err(refusal) = line.ask("subscribe", wish).await else {
            return Ok(());
        };
        let pause_ms = number_after(&refusal.to_string(), r#""retry_after_ms":"#);
        match pause_ms.map(Duration::from_millis) {
            Some(pause) if Instant::now() < give_up => tokio::time::sleep(pause).await,
            Some(_) | None => return Err(refusal),
        }
    }
}

fn channel(room: usize) -> String {
    format!("memory:room-{room}")
}

impl Outcome {
    /// What was promised and not kept, in sentences.
    pub(crate) fn faults(&self, options: &Options) -> Vec<String> {
        let p99_ms = self.all.everywhere.p99_ms;
        let is_late = p99_ms > options.p99_ms_max;
        let late = is_late.then(|| format!("p99 until a leave was told everywhere is {p99_ms} ms"));
        let counts = [
            (self.failures.len(), "members could not come or leave"),
            (self.untold, "leaves were never told to somebody"),
            (
                self.slandered,
                "members were said to have left who had not left",
            ),
        ];
        let reasons = self.failures.iter().take(REASONS_MAX).cloned();
        counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .chain(reasons)
            .chain(late)
            .collect()
    }

    pub(crate) fn print(&self, options: &Options) {
        println!(
            "{} clean leaves from {} rooms on {} nodes, {} per s, a watcher in each room on each node; sent to told:",
            options.leaves, options.rooms, options.nodes, options.rate
        );
        for (way, told) in [
            ("unsubscribe", &self.unsubscribed),
            ("close of the socket", &self.closed),
            ("both", &self.all),
        ] {
            for (place, summary) in [
                ("same node", &told.same_node),
                ("other nodes", &told.other_nodes),
                ("everywhere", &told.everywhere),
            ] {
                println!(
                    "  {way:<20} {place:<12} ms  p50 {:8.1}  p99 {:8.1}  max {:8.1}  ({})",
                    summary.p50_ms, summary.p99_ms, summary.max_ms, summary.count
                );
            }
        }
        for fault in self.faults(options) {
            println!("  FAULT: {fault}");
        }
    }
}

/// Long enough that everybody was told of a coming before it is a leave: what is undone within one tick is told to nobody.
const STAY_MS_MIN: u64 = 1_500;
const STAY_MS_MAX: u64 = 2_500;
/// Of the lengths of stays.
const SEED: u64 = 1;
const REASONS_MAX: usize = 3;
/// For a member to be answered, and for a watcher to be told.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);
