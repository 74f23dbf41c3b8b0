//! What a thread counts of its subscribers, who are fed by hand.

use std::time::Duration;

use super::*;
use crate::cli::Options;
use crate::dialect::Hello;
use crate::scenario::Scenario;
use crate::stamp::Stamp;

/// Nobody yet: of one channel, with a second of warming up and a second of load. Tells when they begin.
fn subscribers() -> (Subscribers, Instant) {
    let second = || Some("1s".parse().unwrap());
    let options = Options {
        shape: Some("channel=1x9".to_owned()),
        warmup: second(),
        duration: second(),
        ..Options::default()
    };
    let shared = Shared::new(Scenario::from_options(options).unwrap());
    let start = *shared.start.get_or_init(Instant::now);
    (Subscribers::new(Arc::new(shared), 0), start)
}

/// Sets out.
fn open(subscribers: &mut Subscribers, index: usize, pace: Pace) {
    let (hello, now) = (Hello::default(), Instant::now());
    let dialect = Dialect::Parlor(Form::Json);
    subscribers.begin_opening(index, Some(0), pace, (dialect, &hello), now);
}

/// Is answered, and has missed nothing.
fn join(subscribers: &mut Subscribers, index: usize) {
    let checker = Checker::behind(0);
    let state = State::Live { alias: 1, checker };
    subscribers.start(index, state, Instant::now());
}

#[test]
fn who_is_not_answered_is_counted_at_the_end() {
    let (mut subscribers, _) = subscribers();
    for index in 0..4 {
        open(&mut subscribers, index, Pace::Prompt);
    }
    open(&mut subscribers, 4, Pace::Slow);
    // Of the four that are not slow, one is there, one is cut and on the way back, one is refused, one was never answered.
    join(&mut subscribers, 0);
    join(&mut subscribers, 1);
    subscribers.cut(1);
    open(&mut subscribers, 1, Pace::Prompt);
    subscribers.end(2, "refused");
    let opening = &subscribers.shared.progress.opening;
    assert_eq!(opening.load(Ordering::Relaxed), 2);
    subscribers.finish();
    assert_eq!(subscribers.unanswered, 2);
    let ends: Vec<_> = subscribers.ends.into_values().collect();
    assert_eq!(ends, [2, 1]);
}

#[test]
fn what_comes_late_counts_in_the_stage_where_it_was_due_and_in_the_one_where_it_came() {
    let (mut subscribers, start) = subscribers();
    open(&mut subscribers, 0, Pace::Prompt);
    join(&mut subscribers, 0);
    // One crosses from the warm-up into the load, one is in time, and one comes when the load is over.
    for (offset, due_ms, at_ms) in [(1, 900, 1_100), (2, 1_500, 1_501), (3, 1_900, 2_500)] {
        let due_ns = due_ms * 1_000_000;
        let stamp = Some(Stamp {
            due_ns,
            sent_ns: due_ns,
            number: offset,
        });
        let sighting = Sighting {
            alias: 1,
            offset,
            stamp,
        };
        subscribers.take_event(0, sighting, start + Duration::from_millis(at_ms));
    }
    let stages = subscribers.stages.iter();
    let counted: Vec<_> = stages
        .map(|stage| (stage.deliveries, stage.arrived))
        .collect();
    assert_eq!(counted, [(1, 0), (2, 2)]);
}

#[test]
fn nobody_takes_the_place_of_those_that_ended() {
    let (mut subscribers, _) = subscribers();
    for index in 0..2 {
        open(&mut subscribers, index, Pace::Prompt);
        join(&mut subscribers, index);
    }
    subscribers.end(0, "closed");
    // Of a crowd of three the third may come, of a crowd of two nobody is left.
    assert_eq!(subscribers.next_away(3), Some(2));
    assert_eq!(subscribers.next_away(2), None);
    subscribers.cut(1);
    assert_eq!(subscribers.next_away(2), Some(1));
}
