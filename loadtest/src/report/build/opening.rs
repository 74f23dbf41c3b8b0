//! How the connections came, and what they cost the server.

use super::merged;
use crate::driver::outcome::Outcome;
use crate::report::{Opening, Server};
use crate::scenario::Scenario;
use crate::watch::{Looks, Sample};

pub(super) fn server(scenario: &Scenario, outcome: &Outcome, looks: &Looks) -> Server {
    let connections = outcome.ready + u64::from(scenario.publishers());
    let cpu = looks.before.process.zip(looks.connected.process);
    Server {
        pids: looks.pids.clone(),
        nodes: nodes(scenario, looks),
        resident_bytes_before: resident(&looks.before),
        resident_bytes_connected: resident(&looks.connected),
        resident_bytes_end: looks
            .boundaries
            .last()
            .and_then(|last| resident(&last.sample)),
        open_files_connected: looks.open_files_connected,
        bytes_per_connection: bytes_per_connection(scenario, outcome, looks),
        // Where a crowd comes later, the rest of the load is in the time that its coming takes.
        cpu_us_per_new_connection: cpu
            .filter(|_| all_begin(scenario) && connections > 0)
            .map(|(from, to)| (to.cpu_seconds - from.cpu_seconds) * 1e6 / connections as f64),
    }
}

pub(super) fn report(scenario: &Scenario, outcome: &Outcome) -> Opening {
    Opening {
        wanted: scenario.shape.connections(),
        publishers: scenario.publishers(),
        channels: scenario.groups.iter().map(|group| group.channels).sum(),
        ready: outcome.ready,
        failed: outcome.failed,
        closed_later: outcome.closed,
        unanswered: unanswered(outcome),
        seconds: outcome.opening_s,
        per_second: all_begin(scenario).then(|| outcome.ready as f64 / outcome.opening_s.max(1e-3)),
        latency: merged(outcome.readings.iter().map(|reading| &reading.opening)).summary(),
    }
}

fn resident(sample: &Sample) -> Option<u64> {
    sample.process.map(|process| process.resident_bytes)
}

/// What each connection added when all that begin were there, or all that come with the first ramp.
fn bytes_per_connection(scenario: &Scenario, outcome: &Outcome, looks: &Looks) -> Option<u64> {
    let (there, subscribers) = if all_begin(scenario) {
        (&looks.connected, outcome.ready)
    } else {
        top_of_ramp(scenario, outcome, looks)?
    };
    let grown = resident(there)?.saturating_sub(resident(&looks.before)?);
    grown.checked_div(subscribers + u64::from(scenario.publishers()))
}

/// The last whole second of a first stage that ramps from nobody, and who was online by then.
fn top_of_ramp<'a>(
    scenario: &Scenario,
    outcome: &Outcome,
    looks: &'a Looks,
) -> Option<(&'a Sample, u64)> {
    let comes = scenario.activity.first()?.online.to > 0.0;
    let ended = scenario.timeline.end_of(0).as_secs();
    let last = usize::try_from(ended).ok()?.checked_sub(1)?;
    let (look, tick) = (looks.seconds.get(last)?, outcome.ticks.get(last)?);
    (scenario.begins_with() == 0 && comes).then_some((look, tick.online))
}

/// Whether all are opened before the clock starts.
fn all_begin(scenario: &Scenario) -> bool {
    scenario.begins_with() == scenario.shape.connections()
}

/// Subscribers that had no answer when the run ended.
pub(super) fn unanswered(outcome: &Outcome) -> u64 {
    let readings = outcome.readings.iter();
    readings.map(|reading| reading.unanswered).sum()
}

/// As many as are seen in one way or another.
fn nodes(scenario: &Scenario, looks: &Looks) -> u32 {
    let seen = looks.pids.len().max(scenario.watched.metrics_urls.len());
    u32::try_from(seen.max(scenario.targets.len())).unwrap_or(u32::MAX)
}
