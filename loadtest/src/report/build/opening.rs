//! How the connections came, and what they cost the server.

use super::merged;
use crate::driver::outcome::Outcome;
use crate::report::{Opening, Server};
use crate::scenario::Scenario;
use crate::watch::{Looks, Sample};

pub(super) fn server(scenario: &Scenario, outcome: &Outcome, looks: &Looks) -> Server {
    let resident = |sample: &Sample| sample.process.map(|process| process.resident_bytes);
    let (before, connected) = (resident(&looks.before), resident(&looks.connected));
    let connections = outcome.ready + u64::from(scenario.publishers());
    let both = before.zip(connected);
    let grown = both.map(|(before, connected)| connected.saturating_sub(before));
    let cpu = looks.before.process.zip(looks.connected.process);
    Server {
        pids: looks.pids.clone(),
        nodes: nodes(scenario, looks),
        resident_bytes_before: before,
        resident_bytes_connected: connected,
        resident_bytes_end: looks
            .boundaries
            .last()
            .and_then(|last| resident(&last.sample)),
        open_files_connected: looks.open_files_connected,
        // Where a crowd comes later, nobody knows what each of them added.
        bytes_per_connection: grown
            .filter(|_| all_begin(scenario))
            .and_then(|grown| grown.checked_div(connections)),
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
        per_second: all_begin(scenario)
            .then(|| outcome.ready as f64 / outcome.opening_s.max(1e-3)),
        latency: merged(outcome.readings.iter().map(|reading| &reading.opening)).summary(),
    }
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
