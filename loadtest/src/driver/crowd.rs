//! Who comes and goes while the clock runs: ramps of the crowd, churn, and storms of reconnects.
//!
//! Counts only; [`readers`](super::readers) opens and cuts. Everybody who is cut comes back from the last position
//! and must be given exactly what was missed.

use std::time::Duration;

use crate::scenario::activity::Activity;
use crate::schedule::Timeline;

/// One thread's part of the crowd.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Connections of this thread.
    size: u32,
    /// Its share of the whole load.
    share: f64,
    stage: Option<usize>,
    /// Cuts that are due, of which the whole ones are made.
    owed_cuts: f64,
    at: Duration,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// How many of this thread's connections should be online.
    pub(super) online: u32,
    /// How many to cut that come back at once.
    pub(super) cuts: u32,
}

impl Crowd {
    /// `size` connections out of `all` of the whole load.
    pub(super) fn new(size: u32, all: u32) -> Self {
        Self {
            size,
            share: f64::from(size) / f64::from(all.max(1)),
            stage: None,
            owed_cuts: 0.0,
            at: Duration::ZERO,
        }
    }

    /// What is due at `at` since the start.
    pub(super) fn change(
        &mut self,
        timeline: &Timeline,
        activity: &[Activity],
        at: Duration,
    ) -> Change {
        let stage = timeline.stage_of(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        let Some(activity) = activity.get(stage) else {
            return Change::default();
        };
        let end = timeline.end_of(stage);
        let length = timeline.stages()[stage].length;
        let left = end.saturating_sub(at).as_secs_f64() / length.as_secs_f64();
        let passed = 1.0 - left;
        let online = activity.online.at(passed);
        if self.stage.replace(stage) != Some(stage) {
            self.owed_cuts += activity.storm * online * f64::from(self.size);
        }
        let seconds = at.saturating_sub(self.at).as_secs_f64();
        // The run is over; who is cut now could not be checked any more.
        if left > 0.0 {
            self.owed_cuts += activity.churn.at(passed) * seconds * self.share;
        }
        self.at = at;
        let cuts = self.owed_cuts.floor();
        self.owed_cuts -= cuts;
        Change {
            online: (online * f64::from(self.size)).round() as u32,
            cuts: cuts as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Rate, Stage};

    fn timeline(seconds: &[u64]) -> Timeline {
        let stage = |length: &u64| Stage {
            name: String::new(),
            length: Duration::from_secs(*length),
            measured: true,
            rates: Vec::new(),
        };
        Timeline::new(seconds.iter().map(stage).collect())
    }

    #[test]
    fn a_ramp_brings_the_crowd_in_evenly() {
        let activity = [Activity {
            online: Rate { from: 0.0, to: 1.0 },
            ..Activity::default()
        }];
        let mut crowd = Crowd::new(100, 1_000);
        let online = [0, 5, 10].map(|at| {
            crowd
                .change(&timeline(&[10]), &activity, Duration::from_secs(at))
                .online
        });
        assert_eq!(online, [0, 50, 100]);
    }

    #[test]
    fn churn_is_shared_out_and_loses_no_fraction() {
        let activity = [Activity {
            churn: Rate::steady(3.0),
            ..Activity::quiet()
        }];
        let mut crowd = Crowd::new(100, 200);
        let cuts: u32 = (1..200)
            .map(|tick| {
                let at = Duration::from_millis(tick * 50);
                crowd.change(&timeline(&[10]), &activity, at).cuts
            })
            .sum();
        assert!((14..=15).contains(&cuts), "{cuts}");
    }

    #[test]
    fn a_storm_breaks_once() {
        let storm = Activity {
            storm: 0.5,
            ..Activity::quiet()
        };
        let activity = [Activity::quiet(), storm];
        let mut crowd = Crowd::new(100, 100);
        let cuts = [0, 999, 1000, 1050, 1900].map(|ms| {
            let at = Duration::from_millis(ms);
            crowd.change(&timeline(&[1, 1]), &activity, at).cuts
        });
        assert_eq!(cuts, [0, 0, 50, 0, 0]);
    }
}
