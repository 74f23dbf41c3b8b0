//! Reports of measurements that are made by hand.

use std::time::{Duration, Instant};

use super::*;
use crate::cli::Options;
use crate::network::SendQueues;
use crate::proc::Process;
use crate::watch::Boundary;

/// One subscriber of one channel: a second of warming up and ten seconds of load.
fn scenario(change: impl FnOnce(&mut Options)) -> Scenario {
    let mut options = Options {
        shape: Some("rooms=1x1".to_owned()),
        warmup: Some("1s".parse().unwrap()),
        duration: Some("10s".parse().unwrap()),
        ..Options::default()
    };
    change(&mut options);
    Scenario::from_options(options).unwrap()
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
    let scenario = scenario(|options| options.thresholds.min_deliveries_per_s = Some(2_000.0));
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
    let mut thresholds = report.verdict.thresholds.iter();
    let rate = thresholds.find(|checked| checked.name == "min-deliveries-per-s");
    assert!(rate.is_some_and(|checked| !checked.kept), "{rate:?}");
}
