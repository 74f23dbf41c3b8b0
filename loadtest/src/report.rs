//! The result in the form in which it is kept: JSON with a version, and Markdown for people.
//!
//! Turns what the threads measured into figures; judges nothing itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use crate::checker::Faults;
use crate::driver::{Boundary, Outcome};
use crate::histogram::{Latencies, Summary};
use crate::scenario::{Outputs, Scenario};
use crate::target::Sources;
use crate::verdict::{Figures, Generator, ThreadUse, Verdict};

mod markdown;

/// One run, told in full.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Changes when a field changes its meaning or goes.
    schema: &'static str,
    version: &'static str,
    finished_unix_ms: u128,
    scenario: Described,
    machine: Machine,
    server: Server,
    opening: Opening,
    stages: Vec<StageReport>,
    faults: Faults,
    /// Events of channels that their subscriber did not ask for.
    foreign: u64,
    /// Why connections and publishes failed, and how often.
    troubles: BTreeMap<String, u64>,
    generator: Generator,
    pub(crate) verdict: Verdict,
}

/// What was run.
#[derive(Debug, Serialize)]
struct Described {
    url: String,
    shape: String,
    form: String,
    payload_bytes: usize,
    publish_ids: bool,
    publishers: u32,
    reading_threads: u32,
    source_addresses: u32,
}

#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    kernel: String,
}

/// The server's process, where it can be seen.
#[derive(Debug, Serialize)]
struct Server {
    pid: Option<u32>,
    resident_bytes_before: Option<u64>,
    resident_bytes_connected: Option<u64>,
    resident_bytes_end: Option<u64>,
    open_files_connected: Option<u64>,
    /// (resident memory when all were connected − before) / connections.
    bytes_per_connection: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Opening {
    wanted: u32,
    ready: u64,
    failed: u64,
    closed_later: u64,
    seconds: f64,
    per_second: f64,
    /// From the first SYN to the answer to `connect`.
    latency: Summary,
}

/// One measured stage.
#[derive(Debug, Serialize)]
struct StageReport {
    name: &'static str,
    seconds: f64,
    groups: Vec<GroupReport>,
    deliveries_per_s: f64,
    server_cpu_cores: Option<f64>,
    /// The server's CPU time for everything it did, divided by deliveries.
    server_cpu_us_per_delivery: Option<f64>,
    /// The server's own counters over the stage.
    server_deliveries: Option<f64>,
    server_write_calls: Option<f64>,
    server_write_wakeups: Option<f64>,
    write_wakeups_percent: Option<f64>,
}

#[derive(Debug, Serialize)]
struct GroupReport {
    name: &'static str,
    connections: u32,
    channels: u32,
    publishes_due_per_s: f64,
    published: u64,
    acknowledged: u64,
    refused: u64,
    deliveries: u64,
    deliveries_per_s: f64,
    /// From the due time to each subscriber's read.
    latency: Summary,
    /// From the time of sending.
    latency_raw: Summary,
    /// From the due time to the publisher's answer.
    acknowledge_latency: Summary,
}

impl Report {
    pub(crate) fn of(scenario: &Scenario, outcome: Outcome) -> Self {
        let stages = stages(scenario, &outcome);
        let server = server(scenario, &outcome);
        let generator = generator(scenario, &outcome);
        let mut faults = Faults::default();
        outcome
            .readings
            .iter()
            .for_each(|reading| faults += reading.faults);
        let figures = figures(
            scenario,
            &outcome,
            &stages,
            &server,
            faults,
            generator.clone(),
        );
        Self {
            schema: "parlor.loadtest.result/1",
            version: env!("CARGO_PKG_VERSION"),
            finished_unix_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |now| now.as_millis()),
            scenario: described(scenario),
            machine: machine(),
            opening: opening(scenario, &outcome),
            stages,
            faults,
            foreign: outcome.readings.iter().map(|reading| reading.foreign).sum(),
            troubles: troubles(&outcome),
            server,
            generator,
            verdict: Verdict::of(&figures, &scenario.thresholds),
        }
    }

    /// Writes both forms where they are wanted.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, outputs: &Outputs) -> anyhow::Result<()> {
        if let Some(path) = &outputs.json {
            let json = serde_json::to_string_pretty(self)?;
            fs::write(path, json + "\n")
                .with_context(|| format!("unable to write {}", path.display()))?;
        }
        let markdown = markdown::render(self);
        match &outputs.markdown {
            Some(path) => fs::write(path, markdown)
                .with_context(|| format!("unable to write {}", path.display())),
            None => std::io::stdout()
                .write_all(markdown.as_bytes())
                .context("unable to write to stdout"),
        }
    }
}

fn described(scenario: &Scenario) -> Described {
    Described {
        url: scenario.target.url.clone(),
        shape: scenario.shape.to_string(),
        form: scenario.load.dialect.name().to_owned(),
        payload_bytes: scenario.load.payload_bytes,
        publish_ids: scenario.load.publish_ids,
        publishers: scenario.publishers(),
        reading_threads: scenario.load.threads,
        source_addresses: scenario.load.sources.map_or(1, Sources::count),
    }
}

fn machine() -> Machine {
    Machine {
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default(),
    }
}

fn server(scenario: &Scenario, outcome: &Outcome) -> Server {
    let before = outcome.before.process.map(|process| process.resident_bytes);
    let connected = outcome
        .connected
        .process
        .map(|process| process.resident_bytes);
    let end = outcome
        .boundaries
        .last()
        .and_then(|boundary| boundary.server.process);
    let connections = outcome.ready + u64::from(scenario.publishers());
    let grown = before
        .zip(connected)
        .map(|(before, connected)| connected.saturating_sub(before));
    Server {
        pid: outcome.server_pid,
        resident_bytes_before: before,
        resident_bytes_connected: connected,
        resident_bytes_end: end.map(|process| process.resident_bytes),
        open_files_connected: outcome.connected.process.map(|process| process.open_files),
        bytes_per_connection: grown.and_then(|grown| grown.checked_div(connections)),
    }
}

fn opening(scenario: &Scenario, outcome: &Outcome) -> Opening {
    let seconds = outcome.opening.as_secs_f64();
    Opening {
        wanted: scenario.shape.connections(),
        ready: outcome.ready,
        failed: outcome.failed,
        closed_later: outcome.closed,
        seconds,
        per_second: outcome.ready as f64 / seconds,
        latency: merged(outcome.readings.iter().map(|reading| &reading.opening)),
    }
}

fn stages(scenario: &Scenario, outcome: &Outcome) -> Vec<StageReport> {
    let all = scenario.timeline.stages().iter().enumerate();
    all.filter(|(_, stage)| stage.measured)
        .map(|(index, _)| stage_report(scenario, outcome, index))
        .collect()
}

fn stage_report(scenario: &Scenario, outcome: &Outcome, index: usize) -> StageReport {
    let stage = &scenario.timeline.stages()[index];
    let seconds = stage.length.as_secs_f64();
    let groups: Vec<_> = (0..scenario.groups.len())
        .map(|group| group_report(scenario, outcome, index, group))
        .collect();
    let deliveries: u64 = groups.iter().map(|group| group.deliveries).sum();
    let (from, to) = (
        &outcome.boundaries[index].server,
        &outcome.boundaries[index + 1].server,
    );
    let cpu = from
        .process
        .zip(to.process)
        .map(|(from, to)| to.cpu_seconds - from.cpu_seconds);
    let counted = |read: fn(&crate::server_watch::metrics::Counters) -> Option<f64>| {
        let (from, to) = from.counters.as_ref().zip(to.counters.as_ref())?;
        Some(read(to)? - read(from)?)
    };
    let (server_deliveries, wakeups) = (
        counted(|counters| counters.deliveries),
        counted(|counters| counters.write_wakeups),
    );
    StageReport {
        name: stage.name,
        seconds,
        deliveries_per_s: deliveries as f64 / seconds,
        server_cpu_cores: cpu.map(|cpu| cpu / (to.at - from.at).as_secs_f64()),
        server_cpu_us_per_delivery: cpu
            .filter(|_| deliveries > 0)
            .map(|cpu| cpu * 1e6 / deliveries as f64),
        server_deliveries,
        server_write_calls: counted(|counters| counters.write_calls),
        server_write_wakeups: wakeups,
        write_wakeups_percent: wakeups
            .zip(server_deliveries)
            .filter(|(_, of)| *of > 0.0)
            .map(|(wakeups, of)| wakeups * 100.0 / of),
        groups,
    }
}

fn group_report(scenario: &Scenario, outcome: &Outcome, stage: usize, group: usize) -> GroupReport {
    let received: Vec<_> = outcome
        .readings
        .iter()
        .filter(|reading| reading.group == group)
        .map(|reading| &reading.stages[stage])
        .collect();
    let deliveries: u64 = received.iter().map(|received| received.deliveries).sum();
    let answered = &outcome.acks.groups[group][stage];
    let described = &scenario.timeline.stages()[stage];
    GroupReport {
        name: scenario.groups[group].name,
        connections: scenario.groups[group].connections,
        channels: scenario.groups[group].channels,
        publishes_due_per_s: described.rates.get(group).copied().unwrap_or(0.0),
        published: outcome
            .pacings
            .iter()
            .filter(|pacing| pacing.group == group)
            .map(|pacing| pacing.sent[stage])
            .sum(),
        acknowledged: answered.acknowledged,
        refused: answered.refused,
        deliveries,
        deliveries_per_s: deliveries as f64 / described.length.as_secs_f64(),
        latency: merged(received.iter().map(|received| &received.latency)),
        latency_raw: merged(received.iter().map(|received| &received.raw)),
        acknowledge_latency: answered.latency.summary(),
    }
}

fn generator(scenario: &Scenario, outcome: &Outcome) -> Generator {
    let stages = scenario
        .timeline
        .stages()
        .iter()
        .enumerate()
        .filter(|(_, stage)| stage.measured);
    let uses = stages.flat_map(|(index, _)| {
        thread_uses(&outcome.boundaries[index], &outcome.boundaries[index + 1])
    });
    // The busiest stage of each thread counts.
    let mut threads: Vec<ThreadUse> = Vec::new();
    for used in uses {
        match threads.iter_mut().find(|thread| thread.name == used.name) {
            Some(thread) if used.cpu > thread.cpu => *thread = used,
            Some(_) => {}
            None => threads.push(used),
        }
    }
    let loop_lag = outcome
        .readings
        .iter()
        .map(|reading| reading.loop_lag.summary().p99_ms)
        .fold(0.0, f64::max);
    let slip = outcome
        .pacings
        .iter()
        .map(|pacing| pacing.slip.summary().p99_ms)
        .fold(0.0, f64::max);
    Generator {
        threads,
        loop_lag_p99_ms: loop_lag,
        slip_p99_ms: slip,
        own_failures: outcome
            .readings
            .iter()
            .map(|reading| reading.own_failures)
            .sum(),
        misread: outcome.readings.iter().map(|reading| reading.misread).sum(),
        files_allowed: outcome.files_allowed,
    }
}

fn thread_uses(from: &Boundary, to: &Boundary) -> Vec<ThreadUse> {
    let seconds = (to.server.at - from.server.at).as_secs_f64();
    let use_of = |(name, cpu, waiting): &(String, f64, f64)| {
        let (_, cpu_before, waiting_before) =
            from.threads.iter().find(|(before, ..)| before == name)?;
        Some(ThreadUse {
            name: name.clone(),
            cpu: (cpu - cpu_before) / seconds,
            waiting: (waiting - waiting_before) / seconds,
        })
    };
    to.threads.iter().filter_map(use_of).collect()
}

fn figures(
    scenario: &Scenario,
    outcome: &Outcome,
    stages: &[StageReport],
    server: &Server,
    faults: Faults,
    generator: Generator,
) -> Figures {
    // The first group is the one whose latency is asked for: all of them, or the bystanders' room.
    let watched: Vec<_> = stages
        .iter()
        .filter_map(|stage| stage.groups.first())
        .filter(|group| group.latency.count > 0)
        .collect();
    let answered = || outcome.acks.groups.iter().flatten();
    let answers: u64 = answered().map(|stage| stage.acknowledged).sum();
    let published: u64 = outcome.pacings.iter().flat_map(|pacing| &pacing.sent).sum();
    let unsent: u64 = outcome.pacings.iter().map(|pacing| pacing.unsent).sum();
    let all_settled = outcome.ready + outcome.failed;
    Figures {
        faults,
        refused: published.saturating_sub(answers) + unsent,
        closed: outcome.failed
            + outcome.closed
            + u64::from(scenario.shape.connections()).saturating_sub(all_settled),
        p99_ms: watched
            .iter()
            .map(|group| group.latency.p99_ms)
            .reduce(f64::max),
        p99_9_ms: watched
            .iter()
            .map(|group| group.latency.p99_9_ms)
            .reduce(f64::max),
        deliveries_per_s: stages
            .iter()
            .map(|stage| stage.deliveries_per_s)
            .reduce(f64::min),
        bytes_per_connection: server.bytes_per_connection,
        cpu_us_per_delivery: stages
            .iter()
            .rev()
            .find_map(|stage| stage.server_cpu_us_per_delivery),
        wakeups_percent: stages
            .iter()
            .filter_map(|stage| stage.write_wakeups_percent)
            .reduce(f64::max),
        generator,
    }
}

fn troubles(outcome: &Outcome) -> BTreeMap<String, u64> {
    let mut troubles = outcome.acks.troubles.clone();
    for (why, count) in outcome.readings.iter().flat_map(|reading| &reading.ends) {
        *troubles.entry(why.clone()).or_default() += count;
    }
    troubles
}

fn merged<'a>(all: impl Iterator<Item = &'a Latencies>) -> Summary {
    let mut sum = Latencies::new();
    all.for_each(|latencies| sum.add(latencies));
    sum.summary()
}
