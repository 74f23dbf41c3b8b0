//! The open-loop clock: when each publish is due, decided before the run and never moved by what the server does.
//!
//! Pure arithmetic on nanoseconds since the start. A publish's number alone tells its due time and stage, so
//! nothing about it has to be remembered until its answer comes.

use std::time::Duration;

/// A stretch of the run whose rates are steady or change evenly.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) length: Duration,
    /// Whether it counts: warm-ups are driven and checked, but not reported.
    pub(crate) measured: bool,
    /// Publishes, one rate for each group.
    pub(crate) rates: Vec<Rate>,
}

/// Events per second at the start and at the end of a stage; in between it changes evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    pub(crate) from: f64,
    pub(crate) to: f64,
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
    length_s: f64,
    rate: Rate,
}

impl Rate {
    pub(crate) fn steady(rate: f64) -> Self {
        Self {
            from: rate,
            to: rate,
        }
    }

    /// Its mean over the stage.
    pub(crate) fn mean(self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    /// Its value when this share (0 to 1) of the stage has passed.
    pub(crate) fn at(self, share: f64) -> f64 {
        self.from + (self.to - self.from) * share
    }

    /// Seconds into a stage of `length_s` until `count` events were due: the inverse of the rate's integral,
    /// `from·t + (to − from)·t²/(2·length)`, in the form that is exact for steady rates too.
    fn seconds_until(self, count: f64, length_s: f64) -> f64 {
        let curve = (self.to - self.from) / (2.0 * length_s);
        let root = (self.from * self.from + 4.0 * curve * count)
            .max(0.0)
            .sqrt();
        let sum = self.from + root;
        if sum > 0.0 { 2.0 * count / sum } else { 0.0 }
    }
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
        let last = self.ends.len().saturating_sub(1);
        self.stage_at(ns).unwrap_or(last)
    }

    /// The stage in which an instant lies; `None` after the end.
    pub(crate) fn stage_at(&self, ns: u64) -> Option<usize> {
        self.ends.iter().position(|&end| ns < end)
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
        self.schedule_of(|stage| self.stages[stage].rates.get(group).copied())
    }

    /// When each event is due whose rate in each stage is told by `rate_of`.
    pub(crate) fn schedule_of(&self, rate_of: impl Fn(usize) -> Option<Rate>) -> Schedule {
        let mut spans: Vec<Span> = Vec::with_capacity(self.stages.len());
        let (mut first, mut start_ns) = (0, 0);
        for (index, stage) in self.stages.iter().enumerate() {
            let rate = rate_of(index).unwrap_or_default();
            let length_s = stage.length.as_secs_f64();
            let count = (length_s * rate.mean()).round() as u64;
            spans.push(Span {
                first,
                count,
                start_ns,
                length_s,
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
        let within = span
            .rate
            .seconds_until((number - span.first) as f64, span.length_s);
        Some(span.start_ns + (within * NANOS_PER_SECOND) as u64)
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
            name: "stage".to_owned(),
            length: Duration::from_secs(seconds),
            measured: true,
            rates: vec![Rate::steady(rate)],
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
    fn a_ramp_from_nothing_speeds_up_evenly() {
        let ramp = Stage {
            rates: vec![Rate {
                from: 0.0,
                to: 100.0,
            }],
            ..stage(10, 0.0)
        };
        let due = due(&Timeline::new(vec![ramp]));
        assert_eq!(due.len(), 500);
        let in_second = |second: u64| {
            due.iter()
                .filter(|ns| **ns / 1_000_000_000 == second)
                .count()
        };
        // 10 more in each second than in the one before, up to where a due time falls on a border.
        for second in 0..10 {
            let expected = 5 + 10 * second as usize;
            assert!(in_second(second).abs_diff(expected) <= 1, "second {second}");
        }
        assert!(due.is_sorted() && due.last().is_some_and(|&ns| ns < 10_000_000_000));
    }

    #[test]
    fn a_ramp_to_nothing_slows_down() {
        let ramp = Stage {
            rates: vec![Rate {
                from: 100.0,
                to: 0.0,
            }],
            ..stage(2, 0.0)
        };
        let due = due(&Timeline::new(vec![ramp]));
        assert_eq!(due.len(), 100);
        assert_eq!(due.iter().filter(|ns| **ns < 1_000_000_000).count(), 75);
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
