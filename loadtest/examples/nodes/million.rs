//! A million idle connections on one machine, both ends on it, each with two channels, while one channel goes on that a thousand listen to.
//!
//! A process has a bound on its open files, so there are as many nodes on one Redis, and as many processes of clients, as that takes. The clients of each node have a
//! loopback address of their own. Read next: `idle`, `pulse`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use clap::Args;

use crate::cost::{Cost, Meter};
use crate::histogram::Summary;
use crate::proc;
use crate::stage::{self, Node, Settings};

mod idle;
mod pulse;

use idle::{Counts, Part};
pub(crate) use idle::{HostOptions, host};
use pulse::Pulse;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) connections: usize,
    /// Each holds its share of the connections, and of the files that a process may hold.
    #[arg(long, default_value_t = 53)]
    pub(crate) nodes: usize,
    #[arg(long, default_value_t = 1_000)]
    pub(crate) listeners: usize,
    /// Messages per second that all listeners are sent.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) rate: f64,
    /// Seconds of each measurement of the channel: alone, then beside all connections.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) seconds: f64,
    /// What the idle connections ask for. 300 is the longest that a server grants unless it is configured.
    #[arg(long, default_value_t = 300)]
    pub(crate) ping_interval_s: u64,
    /// The highest p99 of the channel beside all connections, in ms.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) p99_ms_max: f64,
    /// Whether the connections of each node belong to a process of their own; otherwise all are this one's.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) processes: bool,
}

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    /// The opening of all connections.
    pub(crate) opening: Cost,
    /// The second measurement.
    pub(crate) idling: Cost,
    pub(crate) alone: Summary,
    pub(crate) beside: Summary,
    before: Memory,
    after: Memory,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    nodes: u64,
    clients: u64,
    redis: u64,
    /// Of the machine, the kernel's share of sockets included.
    available: u64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let redis = stage::redis();
    let nodes = (0..options.nodes)
        .map(|_| Node::start(Some(&redis), Settings::default()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let addresses: Vec<SocketAddr> = nodes.iter().map(Node::address).collect();
    let mut pulse = Pulse::open(&addresses, options.listeners).await?;
    let alone = pulse.measure(options.rate, options.seconds).await?;

    let memory = |parts: &[Part]| Memory {
        nodes: nodes.iter().map(Node::memory_bytes).sum(),
        clients: parts.iter().map(|part| resident_bytes(part.id())).sum(),
        redis: resident_bytes(redis.id()),
        available: available_bytes(),
    };
    let meter = Meter::new(nodes.iter().map(Node::id), redis.id());
    let (before, reading) = (memory(&[]), meter.read());
    let mut parts = open(&addresses, options).await?;
    let opening = meter.since(reading, options.connections as u64);

    let reading = meter.read();
    let beside = pulse.measure(options.rate, options.seconds).await?;
    let idling = meter.since(reading, options.connections as u64);
    let after = memory(&parts);
    let mut counts = Counts::default();
    for part in &mut parts {
        counts = counts.plus(part.counts()?);
    }
    Ok(Outcome {
        counts,
        opening,
        idling,
        alone,
        beside,
        before,
        after,
    })
}

/// Each node's share of the connections, one node after the other.
async fn open(nodes: &[SocketAddr], options: &Options) -> anyhow::Result<Vec<Part>> {
    let (start, mut parts, mut first) = (Instant::now(), Vec::new(), 0);
    for (number, node) in nodes.iter().enumerate() {
        let end = options.connections * (number + 1) / nodes.len();
        let source = Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250) as u8 + 1);
        let share = HostOptions {
            node: *node,
            source,
            first,
            count: end - first,
            ping_interval_s: options.ping_interval_s,
        };
        first = end;
        parts.push(Part::open(share, options.processes).await?);
        if options.processes {
            eprintln!(
                "{:6.1} s: {first} connections, {} MiB available",
                start.elapsed().as_secs_f64(),
                available_bytes() >> 20
            );
        }
    }
    Ok(parts)
}

fn resident_bytes(process: Option<u32>) -> u64 {
    process
        .and_then(proc::Process::read)
        .map_or(0, |process| process.resident_bytes)
}

fn available_bytes() -> u64 {
    proc::Machine::read().map_or(0, |machine| machine.available_bytes)
}

impl Outcome {
    /// What was promised and not kept, in sentences.
    pub(crate) fn faults(&self, options: &Options) -> Vec<String> {
        let mut faults = Vec::new();
        let held = self.counts.connected - self.counts.lost.min(self.counts.connected);
        if self.counts.lost > 0 || held != options.connections as u64 {
            faults.push(format!(
                "{held} of {} connections are held",
                options.connections
            ));
        }
        if self.beside.p99_ms > options.p99_ms_max {
            faults.push(format!("p99 is {} ms", self.beside.p99_ms));
        }
        faults
    }

    pub(crate) fn print(&self, options: &Options) {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let each = |after: u64, before: u64| {
            after.saturating_sub(before) as f64 / options.connections as f64 / 1_024.0
        };
        let (before, after) = (self.before, self.after);
        println!(
            "{} connections with two channels each, on {} nodes over one Redis; {} lost; pings every {} s, {} of them answered",
            self.counts.connected,
            options.nodes,
            self.counts.lost,
            options.ping_interval_s,
            self.counts.pings
        );
        println!(
            "  opened in {:.0} s ({:.0} per s); CPU of the nodes {:.0} µs each, of Redis {:.0} µs each",
            self.opening.took.as_secs_f64(),
            self.opening.per_s(),
            self.opening.server_us(),
            self.opening.redis_us()
        );
        println!(
            "  GiB: nodes {:.2} (before: {:.2}; {:.2} KiB per connection), clients {:.2} ({:.2} KiB), Redis {:.2}; of the machine {:.2} KiB per connection, both ends and the kernel's share",
            gib(after.nodes),
            gib(before.nodes),
            each(after.nodes, before.nodes),
            gib(after.clients),
            each(after.clients, 0),
            gib(after.redis),
            each(before.available, after.available)
        );
        println!(
            "  {} messages/s to {} listeners, due to read, ms: alone {}; beside all connections {}",
            options.rate,
            options.listeners,
            shown(&self.alone),
            shown(&self.beside)
        );
        println!(
            "  cores while it idles: nodes {:.2}, Redis {:.2}",
            self.idling.servers_s / self.idling.took.as_secs_f64(),
            self.idling.redis_s / self.idling.took.as_secs_f64()
        );
        for fault in self.faults(options) {
            println!("  FAULT: {fault}");
        }
    }
}

fn shown(summary: &Summary) -> String {
    format!(
        "p50 {:.1}, p99 {:.1}, max {:.1}",
        summary.p50_ms, summary.p99_ms, summary.max_ms
    )
}
