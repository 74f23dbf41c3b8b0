//! Why a load broke: which of CPU, memory, Redis, disk, network or the generator was at its end.
//!
//! Signs, not proofs: each names its figure, so that a person can disagree.

use serde::{Deserialize, Serialize};

use crate::report::{Report, StageReport};
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
    }
    if reasons.is_empty() {
        reasons.push(Reason {
            what: Scarce::Unknown,
            sign: "no CPU, memory, Redis or disk of this machine was at its end: what is left is a limit in the server's \
                configuration, a lock, or the network between"
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

/// Of one core, or of all.
const CPU_FULL: f64 = 0.9;
const MEMORY_LEFT_MIN: f64 = 0.05;
const DISK_STALLED: f64 = 0.3;
