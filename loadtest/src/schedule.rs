//! The open-loop clock: when each publish is due, decided before the run and never moved by what the server does.
//!
//! Pure arithmetic on nanoseconds since the start. A publish's number alone tells its due time and stage, so
//! nothing about it has to be remembered until its answer comes.

use std::time::Duration;

/// A stretch of the run with constant rates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) length: Duration,
    /// Whether it counts: warm-ups are driven and checked, but not reported.
    pub(crate) measured: bool,
    /// Publishes per second, one for each group.
    pub(crate) rates: Vec<f64>,
}

/// All stages, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    stages: Vec<Stage>,
    /// End of each stage, in ns since the start.
    ends: Vec<u64>,
}

/// The due times of one group's publishes.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    first: u64,
    count: u64,
    start_ns: u64,
    rate: f64,
}

impl Timeline {
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        let ends = stages
            .iter()
            .scan(0, |end, stage| {
                *end += nanos(stage.length);
                Some(*end)
            })
            .collect();
        Self { stages, ends }
    }

    pub(crate) fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The stage in which an instant lies; everything after the end belongs to the last.
    pub(crate) fn stage_of(&self, ns: u64) -> usize {
        self.ends
            .iter()
            .position(|&end| ns < end)
            .unwrap_or(self.ends.len().saturating_sub(1))
    }

    /// When a stage ends, since the start.
    pub(crate) fn end_of(&self, stage: usize) -> Duration {
        Duration::from_nanos(self.ends[stage])
    }

    /// From the start to the end of the last stage.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_nanos(self.ends.last().copied().unwrap_or(0))
    }

    /// When each publish of a group is due.
    pub(crate) fn schedule(&self, group: usize) -> Schedule {
        let mut spans: Vec<Span> = Vec::with_capacity(self.stages.len());
        let (mut first, mut start_ns) = (0, 0);
        for stage in &self.stages {
            let rate = stage.rates.get(group).copied().unwrap_or(0.0);
            let count = (stage.length.as_secs_f64() * rate).round() as u64;
            spans.push(Span {
                first,
                count,
                start_ns,
                rate,
            });
            first += count;
            start_ns += nanos(stage.length);
        }
        Schedule { spans }
    }
}

impl Schedule {
    /// How many publishes there are.
    pub(crate) fn len(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.first + span.count)
    }

    /// When the publish with this number (from 0) is due, in ns since the start; `None` behind the last.
    pub(crate) fn due_ns(&self, number: u64) -> Option<u64> {
        let span = self
            .spans
            .iter()
            .find(|span| number < span.first + span.count)?;
        let within = (number - span.first) as f64 * NANOS_PER_SECOND / span.rate;
        Some(span.start_ns + within as u64)
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(seconds: u64, rate: f64) -> Stage {
        Stage {
            name: "stage",
            length: Duration::from_secs(seconds),
            measured: true,
            rates: vec![rate],
        }
    }

    fn due(timeline: &Timeline) -> Vec<u64> {
        let schedule = timeline.schedule(0);
        (0..schedule.len())
            .map(|number| schedule.due_ns(number).unwrap())
            .collect()
    }

    #[test]
    fn publishes_are_due_at_even_steps() {
        assert_eq!(
            due(&Timeline::new(vec![stage(1, 4.0)])),
            [0, 250_000_000, 500_000_000, 750_000_000]
        );
    }

    #[test]
    fn a_stage_starts_on_time_whatever_the_one_before_it_did() {
        let timeline = Timeline::new(vec![stage(1, 0.0), stage(1, 2.0), stage(1, 1.0)]);
        assert_eq!(
            due(&timeline),
            [1_000_000_000, 1_500_000_000, 2_000_000_000]
        );
    }

    #[test]
    fn the_loop_is_open_due_times_depend_on_the_number_alone() {
        let schedule = Timeline::new(vec![stage(10, 1000.0)]).schedule(0);
        // Asking late, twice or out of order never moves a due time.
        assert_eq!(schedule.due_ns(9_999), Some(9_999_000_000));
        assert_eq!(schedule.due_ns(0), Some(0));
        assert_eq!(schedule.due_ns(9_999), Some(9_999_000_000));
        assert_eq!(schedule.due_ns(10_000), None);
    }

    #[test]
    fn an_event_belongs_to_the_stage_of_its_due_time() {
        let timeline = Timeline::new(vec![stage(1, 1.0), stage(2, 1.0)]);
        assert_eq!(
            [0, 999_999_999, 1_000_000_000, 2_999_999_999, 9_000_000_000]
                .map(|ns| timeline.stage_of(ns)),
            [0, 0, 1, 1, 1]
        );
    }

    #[test]
    fn a_group_without_a_rate_publishes_nothing() {
        let timeline = Timeline::new(vec![stage(5, 3.0)]);
        assert_eq!(timeline.schedule(1).len(), 0);
        assert_eq!(timeline.schedule(1).due_ns(0), None);
    }
}
