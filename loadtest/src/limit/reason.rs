//! Why a load broke: which of CPU, memory, Redis, disk, network or the generator was at its end.
//!
//! Signs, not proofs: each names its figure, so that a person can disagree.

use serde::{Deserialize, Serialize};

use crate::report::{NetworkReport, Report, StageReport};
use crate::verdict::Outcome;

/// One sign of what was at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) what: Scarce,
    pub(crate) sign: String,
}

/// What there was too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scarce {
    Generator,
    ServerThread,
    MachineCpu,
    Memory,
    Redis,
    Disk,
    Network,
    Unknown,
}

/// All signs in a run that broke, the strongest kind first.
pub(super) fn of(report: &Report) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut found =
        |what, sign: Option<String>| reasons.extend(sign.map(|sign| Reason { what, sign }));
    if report.verdict.outcome == Outcome::Invalid {
        for sign in &report.verdict.invalid {
            found(
                Scarce::Generator,
                Some(format!("invalid: the generator was at its end: {sign}")),
            );
        }
    }
    if let Some(stage) = report.stages.last() {
        found(Scarce::ServerThread, full_thread(stage));
        found(Scarce::Redis, full_redis(stage));
        found(Scarce::Memory, full_memory(report, stage));
        found(Scarce::MachineCpu, full_machine(stage));
        found(Scarce::Disk, waiting_disk(stage));
        for sign in network(stage) {
            found(Scarce::Network, Some(sign));
        }
    } else {
        // A run that could not be made shows nothing, but it knows why.
        for why in report.troubles.keys() {
            found(Scarce::Unknown, Some(why.clone()));
        }
    }
    if reasons.is_empty() {
        reasons.push(Reason {
            what: Scarce::Unknown,
            sign: "no CPU, memory, Redis, disk or network that this machine shows was at its end: what is left is a limit in the \
                server's configuration, a lock, or a network that lies elsewhere (tell its bound with --network-mbit-s)"
                .to_owned(),
        });
    }
    reasons
}

fn full_thread(stage: &StageReport) -> Option<String> {
    let full = stage
        .server_threads
        .iter()
        .filter(|thread| thread.cpu > CPU_FULL);
    let names: Vec<_> = full
        .map(|thread| format!("{} {:.0} %", thread.name, thread.cpu * 100.0))
        .collect();
    (!names.is_empty()).then(|| format!("the server's threads were full: {}", names.join(", ")))
}

fn full_redis(stage: &StageReport) -> Option<String> {
    let cores = stage.redis?.cpu_cores;
    (cores > CPU_FULL)
        .then(|| format!("Redis, which has one thread for commands, used {cores:.2} cores"))
}

fn full_memory(report: &Report, stage: &StageReport) -> Option<String> {
    let (left, all) = (stage.machine_available_bytes?, report.machine.memory_bytes?);
    let share = left as f64 / all as f64;
    (share < MEMORY_LEFT_MIN)
        .then(|| format!("{:.0} % of the machine's memory was left", share * 100.0))
}

fn full_machine(stage: &StageReport) -> Option<String> {
    let busy = stage.machine_busy?;
    (busy > CPU_FULL).then(|| {
        let server = stage.server_cpu_cores.map_or_else(String::new, |cores| {
            format!(", {cores:.2} cores of it the server")
        });
        format!(
            "all cores of this machine were busy for {:.0} %{server}",
            busy * 100.0
        )
    })
}

fn waiting_disk(stage: &StageReport) -> Option<String> {
    let stalled = stage.machine_io_stalled?;
    (stalled > DISK_STALLED).then(|| {
        format!(
            "something waited for a disk for {:.0} % of the time",
            stalled * 100.0
        )
    })
}

/// Every sign that the network did not carry what was given to it.
fn network(stage: &StageReport) -> Vec<String> {
    let Some(network) = &stage.network else {
        return Vec::new();
    };
    [
        full_interface(network),
        repeated_segments(network),
        full_sockets(network),
        (network.connections_dropped > 0).then(|| {
            format!(
                "the system dropped {} new connections, since the accept queue was full",
                network.connections_dropped
            )
        }),
        (network.memory_pressures > 0).then(|| {
            format!(
                "the kernel ran out of memory for sockets {} times",
                network.memory_pressures
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn full_interface(network: &NetworkReport) -> Option<String> {
    let bound = network.bound_mbit_s?;
    let busiest = network.in_mbit_s.max(network.out_mbit_s);
    (busiest > bound * NETWORK_FULL).then(|| {
        format!(
            "the network was full: {} carried {busiest:.0} of {bound:.0} Mbit/s",
            network.interface
        )
    })
}

fn repeated_segments(network: &NetworkReport) -> Option<String> {
    let percent = network.sent_again_percent;
    (percent > SENT_AGAIN_PERCENT).then(|| {
        format!("the network lost packets: {percent:.1} % of the TCP segments were sent again")
    })
}

fn full_sockets(network: &NetworkReport) -> Option<String> {
    let (full, all) = (network.server_sockets_full, network.server_sockets);
    (full as f64 > all as f64 * SOCKETS_FULL).then(|| {
        format!(
            "{full} of the server's {all} sockets were full: {:.1} MiB waited for the network or for slow readers",
            network.server_unsent_bytes as f64 / f64::from(1 << 20)
        )
    })
}

/// Of one core, or of all.
const CPU_FULL: f64 = 0.9;
const MEMORY_LEFT_MIN: f64 = 0.05;
const DISK_STALLED: f64 = 0.3;
/// Of an interface's bound: the rest is headers and the space between frames.
const NETWORK_FULL: f64 = 0.9;
/// A healthy network repeats one segment in thousands.
const SENT_AGAIN_PERCENT: f64 = 1.0;
/// Of all sockets: a few slow readers are everywhere.
const SOCKETS_FULL: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RedisReport;
    use crate::verdict::ThreadUse;

    /// What a run that broke is told to have lacked, when it was like this.
    fn check(change: impl FnOnce(&mut Report, &mut StageReport), expected: &[Scarce]) {
        let mut report = Report::default();
        report.verdict.outcome = Outcome::Broken;
        report.machine.memory_bytes = Some(1_000);
        let mut stage = StageReport::default();
        change(&mut report, &mut stage);
        report.stages.push(stage);
        let reasons = of(&report);
        let found: Vec<_> = reasons.iter().map(|reason| reason.what).collect();
        assert_eq!(found, expected, "{reasons:?}");
    }

    fn check_network(network: NetworkReport, expected: Scarce) {
        check(|_, stage| stage.network = Some(network), &[expected]);
    }

    #[test]
    fn a_full_thread_and_a_full_machine_are_told_apart() {
        let thread = |cpu| ThreadUse {
            name: "shard-0".to_owned(),
            cpu,
            waiting: 0.0,
        };
        check(
            |_, stage| stage.server_threads = vec![thread(0.95), thread(0.2)],
            &[Scarce::ServerThread],
        );
        check(
            |_, stage| stage.machine_busy = Some(0.95),
            &[Scarce::MachineCpu],
        );
        check(
            |_, stage| {
                (stage.server_threads, stage.machine_busy) = (vec![thread(0.5)], Some(0.5));
            },
            &[Scarce::Unknown],
        );
    }

    #[test]
    fn memory_disk_and_redis_are_named() {
        check(
            |_, stage| stage.machine_available_bytes = Some(40),
            &[Scarce::Memory],
        );
        check(
            |_, stage| stage.machine_io_stalled = Some(0.5),
            &[Scarce::Disk],
        );
        let redis = RedisReport {
            cpu_cores: 0.97,
            ..RedisReport::default()
        };
        check(|_, stage| stage.redis = Some(redis), &[Scarce::Redis]);
    }

    #[test]
    fn a_full_interface_is_the_network() {
        let carrying = |out_mbit_s, bound_mbit_s| NetworkReport {
            out_mbit_s,
            bound_mbit_s,
            ..NetworkReport::default()
        };
        check_network(carrying(950.0, Some(1_000.0)), Scarce::Network);
        check_network(carrying(850.0, Some(1_000.0)), Scarce::Unknown);
        // Without a known bound no rate is too much.
        check_network(carrying(99_000.0, None), Scarce::Unknown);
    }

    #[test]
    fn losses_full_sockets_and_a_kernel_without_memory_are_the_network() {
        let good = NetworkReport {
            server_sockets: 100,
            server_sockets_full: 10,
            sent_again_percent: 1.0,
            ..NetworkReport::default()
        };
        check_network(good.clone(), Scarce::Unknown);
        let bad: [fn(&mut NetworkReport); 4] = [
            |network| network.sent_again_percent = 1.1,
            |network| network.server_sockets_full = 11,
            |network| network.connections_dropped = 1,
            |network| network.memory_pressures = 1,
        ];
        for change in bad {
            let mut network = good.clone();
            change(&mut network);
            check_network(network, Scarce::Network);
        }
    }

    #[test]
    fn the_generator_comes_first() {
        check(
            |report, stage| {
                report.verdict.outcome = Outcome::Invalid;
                report.verdict.invalid = vec!["it was late".to_owned()];
                stage.machine_busy = Some(1.0);
            },
            &[Scarce::Generator, Scarce::MachineCpu],
        );
    }
}
