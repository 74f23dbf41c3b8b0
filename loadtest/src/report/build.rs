//! From measurements to a report: arithmetic, and no opinion.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    Described, ErrandReport, GroupReport, MachineReport, RedisReport, Report, ReturnsReport,
    SecondReport, Server, StageReport,
};
use crate::checker::Faults;
use crate::driver::outcome::{Outcome, Tick};
use crate::driver::subscriber::Returns;
use crate::histogram::{Latencies, Summary};
use crate::proc::{Machine, Thread};
use crate::scenario::Scenario;
use crate::scenario::activity::Errand;
use crate::target::{Sources, Target};
use crate::verdict::{Figures, Generator, ThreadUse, Verdict};
use crate::watch::metrics::Counters;
use crate::watch::{Looks, Sample};

mod generator;
mod network;
mod opening;

/// Who made the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) workers: u32,
    pub(crate) clock_error_ms: f64,
}

impl Fleet {
    pub(crate) const ALONE: Self = Self {
        workers: 1,
        clock_error_ms: 0.0,
    };
}

impl Report {
    pub(crate) fn of(scenario: &Scenario, outcome: &Outcome, looks: &Looks, fleet: Fleet) -> Self {
        let stages = stages(scenario, outcome, looks);
        let server = opening::server(scenario, outcome, looks);
        let generator = generator::report(scenario, outcome);
        let mut faults = Faults::default();
        let readings = outcome.readings.iter();
        readings.for_each(|reading| faults += reading.faults);
        let figures = figures(scenario, outcome, &stages, &server, faults, &generator);
        Self {
            schema: super::SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            finished_unix_ms: unix_ms(),
            scenario: described(scenario, fleet),
            machine: machine(),
            opening: opening::report(scenario, outcome),
            returns: returns(outcome),
            stages,
            seconds: seconds(scenario, outcome, looks),
            faults,
            foreign: figures.foreign,
            troubles: troubles(outcome),
            server,
            generator,
            verdict: Verdict::of(&figures, &scenario.thresholds),
        }
    }
}

pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn described(scenario: &Scenario, fleet: Fleet) -> Described {
    Described {
        url: urls(&scenario.targets),
        shape: scenario.shape.to_string(),
        form: scenario.load.forms.to_string(),
        payload_bytes: scenario.load.payload_sizes.mean(),
        publish_ids: scenario.load.publish_ids,
        publishers: scenario.publishers(),
        reading_threads: scenario.load.threads,
        source_addresses: scenario.load.sources.map_or(1, Sources::count),
        workers: fleet.workers,
        clock_error_ms: fleet.clock_error_ms,
    }
}

/// All of them, with commas between.
pub(crate) fn urls(targets: &[Target]) -> String {
    let urls: Vec<_> = targets.iter().map(|target| target.url.as_str()).collect();
    urls.join(",")
}

fn machine() -> MachineReport {
    let machine = Machine::read();
    MachineReport {
        cores: machine.map_or_else(usable_cores, |machine| machine.cores),
        memory_bytes: machine.map(|machine| machine.memory_bytes),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default(),
    }
}

/// Where the system does not tell how many there are.
fn usable_cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

fn returns(outcome: &Outcome) -> Option<ReturnsReport> {
    let mut all = Returns::default();
    for reading in &outcome.readings {
        all.add(&reading.returns);
    }
    (all.cut > 0).then(|| ReturnsReport {
        cut: all.cut,
        latency: all.latency.summary(),
    })
}

fn stages(scenario: &Scenario, outcome: &Outcome, looks: &Looks) -> Vec<StageReport> {
    let all = scenario.timeline.stages().iter().enumerate();
    all.filter(|(_, stage)| stage.measured)
        .map(|(index, _)| stage_report(scenario, outcome, looks, index))
        .collect()
}

fn stage_report(
    scenario: &Scenario,
    outcome: &Outcome,
    looks: &Looks,
    index: usize,
) -> StageReport {
    let stage = &scenario.timeline.stages()[index];
    let seconds = stage.length.as_secs_f64();
    let groups: Vec<_> = (0..scenario.groups.len())
        .map(|group| group_report(scenario, outcome, index, group))
        .collect();
    let arrived: u64 = groups.iter().map(|group| group.arrived).sum();
    let published: u64 = groups.iter().map(|group| group.published).sum();
    let (begin, end) = (&looks.boundaries[index], &looks.boundaries[index + 1]);
    let (from, to) = (&begin.sample, &end.sample);
    let looked = (to.at - from.at).as_secs_f64().max(1e-3);
    let cpu = from.process.zip(to.process);
    let cpu = cpu.map(|(from, to)| to.cpu_seconds - from.cpu_seconds);
    let machine = from.machine.zip(to.machine);
    let count = |read: fn(&Counters) -> Option<f64>| counted(from, to, read);
    let (server_deliveries, wakeups) = (
        count(|counters| counters.deliveries),
        count(|counters| counters.write_wakeups),
    );
    StageReport {
        name: stage.name.clone(),
        seconds,
        online: online(scenario, outcome, index),
        publishes_per_s: published as f64 / seconds,
        deliveries_per_s: arrived as f64 / seconds,
        groups,
        server_cpu_cores: cpu.map(|cpu| cpu / looked),
        server_cpu_us_per_delivery: cpu
            .filter(|_| arrived > 0)
            .map(|cpu| cpu * 1e6 / arrived as f64),
        server_threads: server_threads(&begin.threads, &end.threads, looked),
        server_deliveries,
        server_delivery_bytes: count(|counters| counters.delivery_bytes),
        server_received_bytes: count(|counters| counters.received_bytes),
        server_write_calls: count(|counters| counters.write_calls),
        server_write_wakeups: wakeups,
        write_wakeups_percent: wakeups
            .zip(server_deliveries)
            .filter(|(_, of)| *of > 0.0)
            .map(|(wakeups, of)| wakeups * 100.0 / of),
        redis: redis(from, to, looked),
        machine_busy: machine.map(|(from, to)| to.busy_since(from, looked)),
        machine_io_stalled: machine
            .and_then(|(from, to)| Some(to.io_stalled_seconds? - from.io_stalled_seconds?))
            .map(|stalled| stalled / looked),
        machine_available_bytes: to.machine.map(|machine| machine.available_bytes),
        network: network::report(begin, end, scenario.watched.network_mbit_s),
        errands: errands(scenario, outcome, index, seconds),
    }
}

fn counted(from: &Sample, to: &Sample, read: fn(&Counters) -> Option<f64>) -> Option<f64> {
    let (from, to) = from.counters.as_ref().zip(to.counters.as_ref())?;
    Some(read(to)? - read(from)?)
}

fn online(scenario: &Scenario, outcome: &Outcome, stage: usize) -> f64 {
    let within = |second: usize| stage_at(scenario, second) == stage;
    let ticks = outcome.ticks.iter().enumerate();
    let online: Vec<f64> = ticks
        .filter(|(second, _)| within(*second))
        .map(|(_, tick)| tick.online as f64)
        .collect();
    if online.is_empty() {
        outcome.ready as f64
    } else {
        online.iter().sum::<f64>() / online.len() as f64
    }
}

fn redis(from: &Sample, to: &Sample, seconds: f64) -> Option<RedisReport> {
    let (from, to) = from.redis.zip(to.redis)?;
    Some(RedisReport {
        cpu_cores: (to.cpu_seconds - from.cpu_seconds) / seconds,
        memory_bytes: to.memory_bytes,
        memory_growth_bytes: to.memory_bytes - from.memory_bytes,
        in_bytes_per_s: (to.in_bytes - from.in_bytes) / seconds,
        out_bytes_per_s: (to.out_bytes - from.out_bytes) / seconds,
        commands_per_s: (to.commands - from.commands) / seconds,
    })
}

fn server_threads(before: &[Thread], after: &[Thread], seconds: f64) -> Vec<ThreadUse> {
    let use_of = |thread: &Thread| {
        let earlier = before.iter().find(|earlier| earlier.id == thread.id);
        let cpu = thread.cpu_seconds - earlier.map_or(0.0, |earlier| earlier.cpu_seconds);
        ThreadUse {
            name: thread.name.clone(),
            cpu: cpu / seconds,
            waiting: 0.0,
        }
    };
    let mut uses: Vec<_> = after.iter().map(use_of).collect();
    uses.sort_by(|one, two| two.cpu.total_cmp(&one.cpu));
    uses.truncate(SERVER_THREADS_MAX);
    uses
}

fn group_report(scenario: &Scenario, outcome: &Outcome, stage: usize, group: usize) -> GroupReport {
    let readings = outcome.readings.iter();
    let of_group = readings.filter(|reading| reading.group == group);
    let received: Vec<_> = of_group.map(|reading| &reading.stages[stage]).collect();
    let arrived: u64 = received.iter().map(|received| received.arrived).sum();
    let answered = &outcome.acks.groups[group][stage];
    let described = &scenario.timeline.stages()[stage];
    let pacings = outcome.pacings.iter();
    let histogram = merged(received.iter().map(|received| &received.latency));
    GroupReport {
        name: scenario.groups[group].name.to_owned(),
        connections: scenario.groups[group].connections,
        channels: scenario.groups[group].channels,
        publishes_due_per_s: described.rates.get(group).map_or(0.0, |rate| rate.mean()),
        published: pacings
            .filter(|pacing| pacing.group == group)
            .map(|pacing| pacing.sent[stage])
            .sum(),
        acknowledged: answered.acknowledged,
        refused: answered.refused,
        deliveries: received.iter().map(|received| received.deliveries).sum(),
        arrived,
        deliveries_per_s: arrived as f64 / described.length.as_secs_f64(),
        latency: histogram.summary(),
        latency_raw: merged(received.iter().map(|received| &received.raw)).summary(),
        acknowledge_latency: answered.latency.summary(),
        histogram,
    }
}

fn errands(
    scenario: &Scenario,
    outcome: &Outcome,
    stage: usize,
    seconds: f64,
) -> Vec<ErrandReport> {
    let report = |errand: Errand| {
        let due = scenario.errand_rate(errand, stage).mean();
        let ran = outcome
            .errands
            .get(stage)
            .and_then(|ran| ran.get(errand as usize));
        let (answered, failed) = ran.map_or((0, 0), |ran| (ran.answered, ran.failed));
        (due > 0.0 || answered + failed > 0).then(|| ErrandReport {
            name: errand.name().to_owned(),
            due_per_s: (due * seconds).round() / seconds,
            answered,
            failed,
            latency: ran.map_or_else(Summary::default, |ran| ran.latency.summary()),
        })
    };
    Errand::ALL.into_iter().filter_map(report).collect()
}

fn stage_at(scenario: &Scenario, second: usize) -> usize {
    scenario
        .timeline
        .stage_of(second as u64 * 1_000_000_000 + 500_000_000)
}

fn seconds(scenario: &Scenario, outcome: &Outcome, looks: &Looks) -> Vec<SecondReport> {
    let first = looks.boundaries.first().map(|first| &first.sample);
    let mut before = (Tick::default(), first);
    let mut all = Vec::with_capacity(outcome.ticks.len());
    for (second, tick) in outcome.ticks.iter().enumerate() {
        let sample = looks.seconds.get(second);
        let (tick_before, sample_before) = std::mem::replace(&mut before, (*tick, sample));
        // What happened before the clock started is nobody's second.
        let tick_before = if second == 0 {
            Tick {
                cpu_s: tick.cpu_s,
                ..tick_before
            }
        } else {
            tick_before
        };
        let latencies = merged_coarse(outcome, second);
        let some = latencies.len() > 0;
        let at = |share| some.then(|| latencies.quantile_ms(share));
        all.push(SecondReport {
            at_s: (second + 1) as f64,
            stage: scenario.timeline.stages()[stage_at(scenario, second)]
                .name
                .clone(),
            online: tick.online,
            publishes: tick.published - tick_before.published,
            refused: tick.refused - tick_before.refused,
            deliveries: latencies.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            generator_cores: (second > 0).then_some(tick.cpu_s - tick_before.cpu_s),
            ..seen(sample_before, sample)
        });
    }
    all
}

/// The server's side of a second.
fn seen(from: Option<&Sample>, to: Option<&Sample>) -> SecondReport {
    let Some((from, to)) = from.zip(to) else {
        return SecondReport::default();
    };
    let seconds = (to.at - from.at).as_secs_f64().max(1e-3);
    let process = from.process.zip(to.process);
    let machine = from.machine.zip(to.machine);
    SecondReport {
        server_cores: process.map(|(from, to)| (to.cpu_seconds - from.cpu_seconds) / seconds),
        server_resident_bytes: to.process.map(|process| process.resident_bytes),
        machine_busy: machine.map(|(from, to)| to.busy_since(from, seconds)),
        redis_cores: redis(from, to, seconds).map(|redis| redis.cpu_cores),
        redis_memory_bytes: to.redis.map(|redis| redis.memory_bytes),
        ..SecondReport::default()
    }
}

fn merged_coarse(outcome: &Outcome, second: usize) -> Latencies {
    let mut sum = Latencies::coarse();
    let groups = outcome.latencies.iter();
    groups
        .filter_map(|seconds| seconds.get(second))
        .for_each(|latencies| sum.add(latencies));
    sum
}

fn figures(
    scenario: &Scenario,
    outcome: &Outcome,
    stages: &[StageReport],
    server: &Server,
    faults: Faults,
    generator: &Generator,
) -> Figures {
    // The first group is the one whose latency is asked for: all of them, or the bystanders' room.
    let first = stages.iter().filter_map(|stage| stage.groups.first());
    let watched: Vec<_> = first.filter(|group| group.latency.count > 0).collect();
    let worst = |of: fn(&GroupReport) -> f64| watched.iter().map(move |group| of(group));
    let answered = || outcome.acks.groups.iter().flatten();
    let answers: u64 = answered().map(|stage| stage.acknowledged).sum();
    let published: u64 = outcome.pacings.iter().flat_map(|pacing| &pacing.sent).sum();
    let unsent: u64 = outcome.pacings.iter().map(|pacing| pacing.unsent).sum();
    let failed_errands: u64 = outcome.errands.iter().flatten().map(|ran| ran.failed).sum();
    // Who begins and was never answered is among both: behind those that wait, others have not even set out.
    let settled = outcome.ready + outcome.failed;
    let never_came = u64::from(scenario.begins_with()).saturating_sub(settled);
    let unanswered = opening::unanswered(outcome).max(never_came);
    Figures {
        faults,
        foreign: outcome.readings.iter().map(|reading| reading.foreign).sum(),
        refused: published.saturating_sub(answers) + unsent + failed_errands,
        closed: outcome.failed + outcome.closed + unanswered,
        p99_ms: worst(|group| group.latency.p99_ms).reduce(f64::max),
        p99_9_ms: worst(|group| group.latency.p99_9_ms).reduce(f64::max),
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
        generator: generator.clone(),
    }
}

fn troubles(outcome: &Outcome) -> BTreeMap<String, u64> {
    let mut troubles = outcome.acks.troubles.clone();
    let ends = outcome.readings.iter().flat_map(|reading| &reading.ends);
    for (why, count) in ends {
        *troubles.entry(why.clone()).or_default() += count;
    }
    troubles
}

fn merged<'a>(all: impl Iterator<Item = &'a Latencies>) -> Latencies {
    let mut sum = Latencies::new();
    all.for_each(|latencies| sum.add(latencies));
    sum
}

/// The rest of a server's threads rests.
const SERVER_THREADS_MAX: usize = 8;

#[cfg(test)]
mod tests;
