//! The moments of a run's timeline: the borders of its stages and every whole second, each called on time.
//!
//! Sleeps and calls; knows nothing of what is done at a moment.

use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

use crate::schedule::Timeline;

/// Something to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So many stages have ended; 0 is the start.
    Boundary(usize),
    /// This second (from 0) has ended.
    Second(u64),
}

/// All moments of a timeline in their order, with their time since the start.
pub(crate) fn moments(timeline: &Timeline) -> Vec<(Duration, Moment)> {
    let mut all = vec![(Duration::ZERO, Moment::Boundary(0))];
    for index in 0..timeline.stages().len() {
        all.push((timeline.end_of(index), Moment::Boundary(index + 1)));
    }
    let seconds = (0..timeline.length().as_secs())
        .map(|second| (Duration::from_secs(second + 1), Moment::Second(second)));
    all.extend(seconds);
    // Stable: where both fall together, the stage ends first.
    all.sort_by_key(|(at, _)| *at);
    all
}

/// Calls `take` at each moment from `start` to the end of the timeline.
pub(crate) fn walk(timeline: &Timeline, start: Instant, mut take: impl FnMut(Moment)) {
    let Ok(()) = try_walk(timeline, start, |moment| -> Result<(), Infallible> {
        take(moment);
        Ok(())
    });
}

/// The same, up to the first call that fails.
///
/// # Errors
/// That of the call.
pub(crate) fn try_walk<E>(
    timeline: &Timeline,
    start: Instant,
    mut take: impl FnMut(Moment) -> Result<(), E>,
) -> Result<(), E> {
    for (at, moment) in moments(timeline) {
        thread::sleep((start + at).saturating_duration_since(Instant::now()));
        take(moment)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Stage;

    #[test]
    fn borders_and_seconds_come_in_order() {
        let stage = |millis| Stage {
            name: "stage".to_owned(),
            length: Duration::from_millis(millis),
            measured: true,
            rates: Vec::new(),
        };
        let timeline = Timeline::new(vec![stage(1_500), stage(1_500)]);
        let order: Vec<_> = moments(&timeline)
            .into_iter()
            .map(|(_, moment)| moment)
            .collect();
        assert_eq!(
            order,
            [
                Moment::Boundary(0),
                Moment::Second(0),
                Moment::Boundary(1),
                Moment::Second(1),
                Moment::Boundary(2),
                Moment::Second(2),
            ]
        );
    }
}
