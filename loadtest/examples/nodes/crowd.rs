//! One channel with a hundred thousand members over several nodes, who join within seconds: what is pushed to those who watch, what it costs,
//! and whether everybody is counted and can be paged.
//!
//! A process has a bound on its open files, so nodes and members are spread over processes. Read next: `clients`, `part`.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;

use crate::cost::{Cost, Meter};
use crate::line::{Dialect, Line};
use crate::presence::{await_members, pages};
use crate::stage::{self, Node, Settings};

pub(crate) mod clients;
mod part;

use clients::{CHANNEL, Counts, Members};
use part::Part;
pub(crate) use part::{HostOptions, host};

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 100_000)]
    pub(crate) members: usize,
    #[arg(long, default_value_t = 6)]
    pub(crate) nodes: usize,
    /// How many of the members subscribe with presence diffs.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) watchers: usize,
    /// Whether the members of each node are connections of a process of their own; otherwise all are this one's.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) processes: bool,
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From the word to join until the last member was answered.
    pub(crate) joined: Duration,
    /// Until every node counted everybody.
    pub(crate) counted: Duration,
    /// Until every watcher had been told of everybody.
    pub(crate) informed: Duration,
    pub(crate) counts: Counts,
    /// From the word to join until all watchers knew.
    pub(crate) cost: Cost,
    /// Of all nodes, in bytes: started, with all connected, with all joined.
    pub(crate) memory: [u64; 3],
    pub(crate) redis_bytes: [u64; 2],
    /// All pages of the roster, at a node.
    pub(crate) paged: Duration,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let redis = stage::redis();
    let settings = Settings {
        ping_interval: Duration::from_secs(300),
        ..Settings::default()
    };
    let nodes = (0..options.nodes)
        .map(|_| Node::start(Some(&redis), settings))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let memory = || nodes.iter().map(Node::memory_bytes).sum::<u64>();
    let redis_bytes = || {
        let bytes = redis
            .info("used_memory")
            .and_then(|text| text.trim().parse().ok());
        bytes.unwrap_or(0)
    };
    let started = memory();
    let mut parts = open(&nodes, options).await?;
    let (connected, redis_before) = (memory(), redis_bytes());

    let meter = Meter::new(nodes.iter().map(Node::id), redis.id());
    let (before, start) = (meter.read(), Instant::now());
    for part in &mut parts {
        part.begin_to_join()?;
    }
    await_counts(&mut parts, |counts| {
        counts.joined + counts.lost >= options.members as u64
    })
    .await?;
    let joined = start.elapsed();
    for (number, node) in nodes.iter().enumerate() {
        if let Err(error) = await_members(node.address(), CHANNEL, options.members).await {
            bail!("node {number}: {error}; {:?}", sum(&mut parts)?);
        }
    }
    let counted = start.elapsed();
    await_counts(&mut parts, |counts| {
        counts.informed >= options.watchers as u64
    })
    .await?;
    let informed = start.elapsed();
    let cost = meter.since(before, options.members as u64);
    let counts = sum(&mut parts)?;
    let paging = Instant::now();
    let mut line = Line::open(nodes[0].address(), Dialect::Parlor, "asker").await?;
    let named = pages(&mut line).await?;
    ensure!(named == options.members, "{named} members are named");
    Ok(Outcome {
        joined,
        counted,
        informed,
        counts,
        cost,
        memory: [started, connected, memory()],
        redis_bytes: [redis_before, redis_bytes()],
        paged: paging.elapsed(),
    })
}

/// A part of the members at each node, all connected.
async fn open(nodes: &[Node], options: &Options) -> anyhow::Result<Vec<Part>> {
    let share =
        |of: usize, number: usize| of * (number + 1) / nodes.len() - of * number / nodes.len();
    let mut first = 0;
    let mut parts = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let members = Members {
            node: node.address(),
            first,
            count: share(options.members, number),
            watchers: share(options.watchers, number),
        };
        first += members.count;
        parts.push(match options.processes {
            true => Part::in_a_process(members, options.members)?,
            false => Part::here(members, options.members).await?,
        });
    }
    Ok(parts)
}

fn sum(parts: &mut [Part]) -> anyhow::Result<Counts> {
    let mut sum = Counts::default();
    for part in parts {
        sum.add(part.counts()?);
    }
    Ok(sum)
}

async fn await_counts(parts: &mut [Part], is_it: impl Fn(Counts) -> bool) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let counts = sum(parts)?;
        if is_it(counts) {
            return Ok(());
        }
        ensure!(Instant::now() < give_up, "gave up at {counts:?}");
        tokio::time::sleep(LOOK).await;
    }
}

impl Outcome {
    /// Diffs that one watcher was pushed, on average.
    pub(crate) fn diffs_per_watcher(&self, options: &Options) -> f64 {
        self.counts.diffs as f64 / options.watchers as f64
    }

    /// What was promised and not kept, in sentences.
    pub(crate) fn faults(&self, options: &Options) -> Vec<String> {
        let mut faults = Vec::new();
        if self.counts.lost > 0 {
            faults.push(format!("{} members were refused or lost", self.counts.lost));
        }
        // Below the bound of named members diffs come every 50 ms, above it every 500 ms.
        let diffs_max = NAMED_DIFFS_MAX + self.informed.as_secs_f64() / 0.5 * 1.2;
        if self.diffs_per_watcher(options) > diffs_max {
            faults.push(format!(
                "{} diffs for each watcher are not coalesced",
                self.diffs_per_watcher(options)
            ));
        }
        let named = self.counts.named as f64 / options.watchers as f64;
        if named > NAMED_DIFFS_MAX {
            faults.push(format!("{named} diffs for each watcher name members"));
        }
        faults
    }

    pub(crate) fn print(&self, options: &Options) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let each = |bytes: u64| bytes as f64 / options.members as f64;
        println!(
            "{} members in one channel on {} nodes, {} of them with presence diffs",
            options.members, options.nodes, options.watchers
        );
        println!(
            "  all had joined after {:.2} s ({:.0} per s), every node counted all after {:.2} s, every watcher knew after {:.2} s",
            self.joined.as_secs_f64(),
            options.members as f64 / self.joined.as_secs_f64(),
            self.counted.as_secs_f64(),
            self.informed.as_secs_f64()
        );
        println!(
            "  {} times a member was told to ask again later",
            self.counts.put_off
        );
        println!(
            "  each watcher was pushed {:.1} diffs with {:.0} bytes, {:.1} of them with names; one diff for each join would be {} diffs",
            self.diffs_per_watcher(options),
            self.counts.diff_bytes as f64 / options.watchers as f64,
            self.counts.named as f64 / options.watchers as f64,
            options.members
        );
        println!(
            "  CPU s: nodes {:.2} ({:.0} µs per join), Redis {:.2} ({:.0} µs per join)",
            self.cost.servers_s,
            self.cost.server_us(),
            self.cost.redis_s,
            self.cost.redis_us()
        );
        let [started, connected, joined] = self.memory;
        println!(
            "  memory of all nodes, MiB: started {:.0}, connected {:.0}, joined {:.0} (a join: {:.0} bytes over all nodes); Redis {:.1} to {:.1} ({:.0} bytes per member)",
            mib(started),
            mib(connected),
            mib(joined),
            each(joined.saturating_sub(connected)),
            mib(self.redis_bytes[0]),
            mib(self.redis_bytes[1]),
            each(self.redis_bytes[1].saturating_sub(self.redis_bytes[0]))
        );
        println!(
            "  all pages of the roster at one node: {:.0} ms",
            self.paged.as_secs_f64() * 1e3
        );
        for fault in self.faults(options) {
            println!("  FAULT: {fault}");
        }
    }
}

/// Until a channel is larger than the bound of named members its diffs name them, for a few ticks on each node.
const NAMED_DIFFS_MAX: f64 = 20.0;
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(20);
