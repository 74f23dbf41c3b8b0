//! Which load to try next: doubles until one breaks, then bisects. Pure.

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::verdict::Outcome;

/// One load that was tried, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) value: f64,
    pub(crate) outcome: Outcome,
    pub(crate) headline: String,
    pub(crate) deliveries_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) server_cores: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
}

/// The search so far.
#[derive(Debug)]
pub(super) struct Search {
    next: f64,
    most: f64,
    precision: f64,
    tries: u32,
    /// Into how many parts one of what is raised can be divided.
    parts: f64,
    kept: Option<f64>,
    broken: Option<f64>,
    /// Times that the load under way has broken already.
    breaks: u32,
    over: bool,
    steps: Vec<Step>,
}

impl Step {
    pub(super) fn of(value: f64, report: &Report) -> Self {
        let stage = report.stages.last();
        let latency = stage.and_then(|stage| stage.groups.first());
        let latency = latency.map(|group| group.latency).unwrap_or_default();
        Self {
            value,
            outcome: report.verdict.outcome,
            headline: report.verdict.headline(),
            deliveries_per_s: stage.map_or(0.0, |stage| stage.deliveries_per_s),
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
            server_cores: stage.and_then(|stage| stage.server_cpu_cores),
            resident_bytes: report.server.resident_bytes_end,
        }
    }

    pub(super) fn line(&self, unit: &str) -> String {
        format!(
            "{} {unit}: {:.0} deliveries/s, p99 {:.1} ms: {}",
            self.value, self.deliveries_per_s, self.p99_ms, self.headline
        )
    }
}

impl Search {
    pub(super) fn new(first: f64, most: f64, precision: f64, tries: u32, parts: f64) -> Self {
        Self {
            next: first,
            most,
            precision,
            tries,
            parts,
            kept: None,
            broken: None,
            breaks: 0,
            over: false,
            steps: Vec::new(),
        }
    }

    /// The load to try; `None` when the border is known well enough.
    pub(super) fn next(&self) -> Option<f64> {
        (!self.over && self.steps.len() < STEPS_MAX).then_some(self.next)
    }

    pub(super) fn take(&mut self, step: Step) {
        let passed = step.outcome == Outcome::Passed;
        self.steps.push(step);
        if passed {
            self.breaks = 0;
            self.kept = Some(self.next);
        } else {
            self.breaks += 1;
            if self.breaks < self.tries {
                return;
            }
            self.breaks = 0;
            self.broken = Some(self.next);
        }
        self.choose();
    }

    fn choose(&mut self) {
        match (self.kept, self.broken) {
            (Some(kept), None) if kept >= self.most => self.over = true,
            (Some(kept), None) => self.next = (kept * 2.0).min(self.most),
            (Some(kept), Some(broken)) if broken / kept <= 1.0 + self.precision => self.over = true,
            (Some(kept), Some(broken)) => self.next = self.between(kept, broken),
            // Even the first load breaks; nothing below it was asked for.
            (None, _) => self.over = true,
        }
        if self.kept == Some(self.next) || self.broken == Some(self.next) {
            self.over = true;
        }
    }

    /// In the middle of the logarithms: the precision is a ratio.
    fn between(&self, kept: f64, broken: f64) -> f64 {
        let middle = (kept * broken).sqrt();
        let parts = if middle < WHOLE_FROM { self.parts } else { 1.0 };
        (middle * parts).round() / parts
    }

    pub(super) fn highest_kept(&self) -> Option<f64> {
        self.kept
    }

    pub(super) fn lowest_broken(&self) -> Option<f64> {
        self.broken
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

const STEPS_MAX: usize = 64;
/// From here on whole numbers are as fine as any precision that can be asked for.
const WHOLE_FROM: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(value: f64, outcome: Outcome) -> Step {
        Step {
            value,
            outcome,
            headline: String::new(),
            deliveries_per_s: 0.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            server_cores: None,
            resident_bytes: None,
        }
    }

    /// Searches a server that breaks above `limit`.
    fn run(search: &mut Search, limit: f64) -> Vec<f64> {
        let mut tried = Vec::new();
        while let Some(value) = search.next() {
            tried.push(value);
            let outcome = if value > limit {
                Outcome::Broken
            } else {
                Outcome::Passed
            };
            search.take(step(value, outcome));
        }
        tried
    }

    #[test]
    fn the_border_is_closed_in_on() {
        let mut search = Search::new(100.0, 1e6, 0.05, 1, 1.0);
        let tried = run(&mut search, 1_234.0);
        assert_eq!(tried[..5], [100.0, 200.0, 400.0, 800.0, 1600.0]);
        let (kept, broken) = (
            search.highest_kept().unwrap(),
            search.lowest_broken().unwrap(),
        );
        assert!(
            kept <= 1_234.0 && broken > 1_234.0 && broken / kept <= 1.05,
            "{kept} {broken}"
        );
        assert!(tried.len() < 12, "{tried:?}");
    }

    #[test]
    fn one_bad_run_is_tried_again() {
        let mut search = Search::new(10.0, 40.0, 0.1, 2, 1.0);
        search.take(step(10.0, Outcome::Broken));
        assert_eq!(search.next(), Some(10.0));
        search.take(step(10.0, Outcome::Passed));
        assert_eq!(search.next(), Some(20.0));
        assert_eq!(search.lowest_broken(), None);
    }

    #[test]
    fn a_search_ends_where_nothing_breaks_or_nothing_keeps() {
        let mut search = Search::new(10.0, 35.0, 0.1, 1, 1.0);
        assert_eq!(run(&mut search, 1e9), [10.0, 20.0, 35.0]);
        assert_eq!(
            (search.highest_kept(), search.lowest_broken()),
            (Some(35.0), None)
        );
        let mut search = Search::new(10.0, 35.0, 0.1, 1, 1.0);
        assert_eq!(run(&mut search, 1.0), [10.0]);
        assert_eq!(search.highest_kept(), None);
    }

    #[test]
    fn a_border_between_two_low_numbers_is_closed_in_on_where_there_is_something_between() {
        let mut search = Search::new(1.0, 100.0, 0.05, 1, 100.0);
        let tried = run(&mut search, 4.4);
        assert_eq!(tried, [1.0, 2.0, 4.0, 8.0, 5.66, 4.76, 4.36, 4.56]);
        let border = (search.highest_kept(), search.lowest_broken());
        assert_eq!(border, (Some(4.36), Some(4.56)));
        // Nobody can connect four and a half times.
        let mut search = Search::new(1.0, 100.0, 0.05, 1, 1.0);
        assert_eq!(run(&mut search, 4.4), [1.0, 2.0, 4.0, 8.0, 6.0, 5.0]);
    }
}
