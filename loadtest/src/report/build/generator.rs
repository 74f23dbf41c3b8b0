//! How well the generator itself did, from what all its threads told.

use crate::driver::outcome::Outcome;
use crate::histogram::Latencies;
use crate::scenario::Scenario;
use crate::verdict::{Generator, ThreadUse};

pub(super) fn report(scenario: &Scenario, outcome: &Outcome) -> Generator {
    let stages = scenario.timeline.stages().iter().zip(&outcome.uses);
    let measured = stages.filter(|(stage, _)| stage.measured);
    // The stage of each thread counts that was the hardest for it: one in which it hardly ran may be that for want of a core.
    let mut threads: Vec<ThreadUse> = Vec::new();
    for used in measured.flat_map(|(_, uses)| uses) {
        match threads.iter_mut().find(|thread| thread.name == used.name) {
            Some(thread) if used.strain() > thread.strain() => *thread = used.clone(),
            Some(_) => {}
            None => threads.push(used.clone()),
        }
    }
    let worst = |latencies: &mut dyn Iterator<Item = &Latencies>| {
        latencies
            .map(|latencies| latencies.summary().p99_ms)
            .fold(0.0, f64::max)
    };
    let readings = || outcome.readings.iter();
    Generator {
        threads,
        loop_lag_p99_ms: worst(&mut readings().map(|reading| &reading.loop_lag)),
        slip_p99_ms: worst(&mut outcome.pacings.iter().map(|pacing| &pacing.slip)),
        own_failures: readings().map(|reading| reading.own_failures).sum(),
        misread: readings().map(|reading| reading.misread).sum(),
        files_allowed: outcome.files_allowed,
    }
}
