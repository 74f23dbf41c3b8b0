//! Reports of measurements that are made by hand.

use std::time::{Duration, Instant};

use super::*;
use crate::network::SendQueues;
use crate::proc::Process;
use crate::report::markdown;
use crate::verdict::Checked;
use crate::watch::Boundary;

/// Ten subscribers of one channel, a second of warming up and ten seconds of load.
const STEADY: &str = "shape = 'rooms=1x10'\nwarmup = '1s'\nduration = '10s'\n";
/// The same, but that the ten come in the first second.
const RAMP: &str = "shape = 'rooms=1x10'\n\
    [[stages]]\nlength = '1s'\nramp = true\nconnections = 10\nmeasured = false\n\
    [[stages]]\nlength = '10s'\n";

fn scenario(file: &str) -> Scenario {
    Scenario::from_options(toml::from_str(file).unwrap()).unwrap()
}

fn threshold<'a>(report: &'a Report, name: &str) -> &'a Checked {
    let mut all = report.verdict.thresholds.iter();
    all.find(|checked| checked.name == name).unwrap()
}

/// A look at a server that had used so much CPU time, in s, when so many seconds had passed.
fn look(start: Instant, seconds: u64, cpu_seconds: f64) -> Sample {
    Sample {
        at: start + Duration::from_secs(seconds),
        process: Some(Process {
            cpu_seconds,
            resident_bytes: 0,
        }),
        counters: None,
        redis: None,
        machine: None,
        network: None,
    }
}

/// Looks at a server that uses no CPU time but `cpu_s` in the load.
fn looks(cpu_s: f64) -> Looks {
    let start = Instant::now();
    let boundary = |(seconds, cpu_s)| Boundary {
        sample: look(start, seconds, cpu_s),
        threads: Vec::new(),
        send_queues: SendQueues::default(),
    };
    Looks {
        pids: Vec::new(),
        before: look(start, 0, 0.0),
        connected: look(start, 0, 0.0),
        open_files_connected: None,
        boundaries: [(0, 0.0), (1, 0.0), (11, cpu_s)].map(boundary).into(),
        seconds: Vec::new(),
    }
}

fn near(found: Option<f64>, expected: f64) {
    let off = found.map(|found| (found - expected).abs());
    assert!(off.is_some_and(|off| off < 1e-6), "{found:?}, {expected}");
}

#[test]
fn a_server_that_lags_is_told_by_what_came_in_the_stage() {
    let least = "[thresholds]\nmin-deliveries-per-s = 2000.0\n";
    let scenario = scenario(&format!("{STEADY}{least}"));
    let mut outcome = Outcome::nothing(2);
    let load = &mut outcome.readings[0].stages[1];
    // 2,000 a second were due; the rest of them came while the run drained.
    (load.deliveries, load.arrived) = (20_000, 14_000);
    let report = Report::of(&scenario, &outcome, &looks(7.0), Fleet::ALONE);
    let [stage] = report.stages.as_slice() else {
        panic!("{:?}", report.stages);
    };
    near(Some(stage.deliveries_per_s), 1_400.0);
    near(Some(stage.groups[0].deliveries_per_s), 1_400.0);
    near(stage.server_cpu_us_per_delivery, 500.0);
    assert_eq!(stage.groups[0].deliveries, 20_000);
    assert!(!threshold(&report, "min-deliveries-per-s").kept);
}

/// How many connections are told to be lost, of which so many came, and so many were not answered before the end.
fn lost(file: &str, ready: u64, unanswered: u64) -> Option<f64> {
    let mut outcome = Outcome::nothing(2);
    outcome.ready = ready;
    outcome.readings[0].unanswered = unanswered;
    let report = Report::of(&scenario(file), &outcome, &looks(0.0), Fleet::ALONE);
    assert_eq!(report.opening.unanswered, unanswered);
    threshold(&report, "max-closed").value
}

#[test]
fn who_is_never_answered_is_lost_whenever_it_came() {
    // With a ramp nobody is there at the start.
    assert_eq!(lost(RAMP, 0, 10), Some(10.0));
    // All came, and four were cut and did not get back.
    assert_eq!(lost(STEADY, 10, 4), Some(4.0));
    // Of those that begin nobody is lost twice: three wait, and behind them three have not even set out.
    assert_eq!(lost(STEADY, 4, 3), Some(6.0));
    assert_eq!(lost(STEADY, 10, 0), Some(0.0));
}

/// What a thread did in each of two stages, and which of them its use and the verdict are taken from.
fn check_thread(file: &str, stages: [(f64, f64); 2], told: (f64, f64), exit_code: u8) {
    let used = |(cpu, waiting)| {
        let name = "read-rooms-0".to_owned();
        vec![ThreadUse { name, cpu, waiting }]
    };
    let mut outcome = Outcome::nothing(2);
    outcome.ready = 10;
    outcome.uses = Vec::from(stages.map(used));
    let report = Report::of(&scenario(file), &outcome, &looks(0.0), Fleet::ALONE);
    assert_eq!(report.generator.threads, used(told));
    assert_eq!(report.verdict.exit_code(), exit_code);
}

#[test]
fn a_stage_in_which_a_thread_starved_is_not_hidden_by_one_in_which_it_worked() {
    let both = "shape = 'rooms=1x10'\n[[stages]]\nlength = '1s'\n[[stages]]\nlength = '10s'\n";
    let (starved, worked, worn_out) = ((0.3, 0.69), (0.6, 0.1), (0.95, 0.0));
    check_thread(both, [starved, worked], starved, 98);
    check_thread(both, [worked, starved], starved, 98);
    check_thread(both, [worn_out, worked], worn_out, 98);
    check_thread(both, [(0.1, 0.1), worked], worked, 0);
    // What a warm-up was for it does not count.
    check_thread(STEADY, [worn_out, worked], worked, 0);
}

#[test]
fn all_cores_are_those_of_the_machine_and_not_those_that_this_process_may_use() {
    let mut looks = looks(0.0);
    for (boundary, busy_seconds) in looks.boundaries.iter_mut().zip([0.0, 0.0, 5_000.0]) {
        // More than any machine has that runs this.
        boundary.sample.machine = Some(Machine {
            cores: 1_000,
            busy_seconds,
            ..Machine::default()
        });
    }
    let outcome = Outcome::nothing(2);
    let report = Report::of(&scenario(STEADY), &outcome, &looks, Fleet::ALONE);
    near(report.stages[0].machine_busy, 0.5);
}

#[test]
fn only_who_is_opened_before_the_clock_is_opened_at_a_rate() {
    let mut outcome = Outcome::nothing(2);
    (outcome.ready, outcome.opening_s) = (10, 0.5);
    let check = |file: &str, rate: Option<f64>, words: &str| {
        let report = Report::of(&scenario(file), &outcome, &looks(0.0), Fleet::ALONE);
        assert_eq!(report.opening.per_second, rate);
        let text = markdown::render(&report);
        assert!(text.contains(words), "{text}");
    };
    let at_once = " 10 of 10 connections in 0.5 s (20/s, answered in ";
    check(STEADY, Some(20.0), at_once);
    let by_and_by = " 10 of 10 connections, as the stages wanted them (answered in ";
    check(RAMP, None, by_and_by);
}

#[test]
fn memory_for_each_of_a_crowd_that_ramps_is_taken_at_the_top() {
    let mut looks = looks(0.0);
    let grown = |resident_bytes| Sample {
        process: Some(Process {
            resident_bytes,
            ..Process::default()
        }),
        ..looks.before.clone()
    };
    // What it grows by later is not for those that came, and more of them come.
    looks.seconds = vec![grown(1_000_000), grown(9_000_000)];
    let online = |online| Tick {
        online,
        ..Tick::default()
    };
    let mut outcome = Outcome::nothing(2);
    outcome.ticks = vec![online(6), online(10)];
    let told = |file| {
        let report = Report::of(&scenario(file), &outcome, &looks, Fleet::ALONE);
        report.server.bytes_per_connection
    };
    // Six subscribers, and four publishers.
    assert_eq!(told(RAMP), Some(100_000));
    let half = "shape = 'rooms=1x10'\n\
        [[stages]]\nlength = '1s'\nconnections = 5\n[[stages]]\nlength = '10s'\n";
    assert_eq!(told(half), None);
}
