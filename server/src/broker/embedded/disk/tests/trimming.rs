//! Retention and forgetting, as they stand in the tables.

use parlor_protocol::Position;

use super::*;
use crate::broker::embedded::outcome::Outcome;

fn log(place: &Place, change: impl FnOnce(&mut EmbeddedConfig)) -> Log {
    let mut config = EmbeddedConfig::default();
    change(&mut config);
    Log::open(&place.path(), &config).unwrap()
}

fn commit(log: &mut Log, appends: &[Append]) -> Vec<Position> {
    let outcomes = log.commit(appends.iter()).unwrap();
    let logged = outcomes.iter().map(|outcome| match outcome {
        Outcome::Logged(entry) => entry.position(),
        other => panic!("{other:?}"),
    });
    logged.collect()
}

/// Trims until nothing is due. Returns the steps it took.
fn trim_all(log: &mut Log) -> usize {
    (1..).find(|_| log.trim().unwrap().is_done).unwrap()
}

#[test]
fn events_beyond_the_count_leave_the_file() {
    let place = Place::new();
    let mut log = log(&place, |_| ());
    let kind = kind(5, HOUR);
    commit(&mut log, &vec![message("room", &kind); 20]);
    trim_all(&mut log);
    assert_eq!(place.count("event"), 5);
    // What is remembered of the channel agrees with the file after the trim.
    let next = commit(&mut log, &[message("room", &kind)]);
    assert_eq!(next[0].offset, 21);
    assert_eq!(place.count("event WHERE offset BETWEEN 16 AND 21"), 6);
    assert_eq!(place.count("channel WHERE offset = 21 AND oldest = 16"), 1);
}

#[test]
fn expired_events_leave_the_file_in_bounded_steps() {
    let place = Place::new();
    let mut log = log(&place, |_| ());
    let kind = kind(1_000_000, Duration::ZERO);
    commit(&mut log, &vec![message("room", &kind); 5_000]);
    let first = log.trim().unwrap();
    assert_eq!((first.events, first.is_done), (trim::BUDGET, false));
    assert_eq!(trim_all(&mut log), 2);
    assert_eq!(place.count("event"), 0);
    assert_eq!(
        place.count("channel WHERE trim_at IS NULL AND oldest = 5001"),
        1,
        "it is not looked at again"
    );
    assert_eq!(commit(&mut log, &[message("room", &kind)])[0].offset, 5_001);
    assert_eq!(place.count("channel WHERE trim_at IS NOT NULL"), 1);
}

#[test]
fn what_is_retained_is_left_alone() {
    let place = Place::new();
    let mut log = log(&place, |_| ());
    let kind = kind(100, HOUR);
    commit(&mut log, &vec![message("room", &kind); 100]);
    trim_all(&mut log);
    assert_eq!(log.trim().unwrap().events, 0);
    assert_eq!(place.count("event"), 100);
}

#[test]
fn many_channels_share_a_step() {
    let place = Place::new();
    let mut log = log(&place, |_| ());
    let kind = kind(10, Duration::ZERO);
    let appends: Vec<_> = (0..500)
        .map(|index| message(&format!("room{index}"), &kind))
        .collect();
    commit(&mut log, &appends);
    assert!(trim_all(&mut log) > 1);
    assert_eq!(place.count("event"), 0);
    assert_eq!(
        place.count("channel"),
        500,
        "rows of channels are never deleted"
    );
}

fn ids(count: usize) -> Vec<Append> {
    (0..count)
        .map(|id| with_id(id, message("room", &kind(10, HOUR))))
        .collect()
}

#[test]
fn publish_ids_are_forgotten_after_their_window_and_by_number() {
    let place = Place::new();
    let mut short = log(&place, |config| config.dedup_window = Duration::ZERO);
    commit(&mut short, &ids(10));
    trim_all(&mut short);
    assert_eq!(place.count("dedup"), 0);

    let place = Place::new();
    let mut few = log(&place, |config| config.dedup_len_max = 3);
    commit(&mut few, &ids(10));
    trim_all(&mut few);
    assert_eq!(place.count("dedup"), 3);
    assert_eq!(
        place.count("dedup WHERE offset IN (8, 9, 10)"),
        3,
        "the oldest go first"
    );

    let place = Place::new();
    let mut long = log(&place, |_| ());
    commit(&mut long, &ids(10));
    trim_all(&mut long);
    assert_eq!(place.count("dedup"), 10);
}

#[test]
fn only_publish_ids_that_had_to_go_inside_their_window_are_told() {
    let forgotten_early = |window| {
        let place = Place::new();
        let mut few = log(&place, |config| {
            config.dedup_window = window;
            config.dedup_len_max = 3;
        });
        commit(&mut few, &ids(10));
        few.trim().unwrap().ids_forgotten_early
    };
    assert_eq!(forgotten_early(HOUR), 7);
    assert_eq!(forgotten_early(Duration::ZERO), 0, "they were due anyway");
}

#[test]
fn a_batch_that_fails_in_its_middle_leaves_no_trace() {
    let place = Place::new();
    let mut log = log(&place, |_| ());
    let kind = kind(100, HOUR);
    let before = commit(&mut log, &[message("known", &kind)])[0];
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON event WHEN NEW.kind = 'poison' BEGIN SELECT RAISE(ABORT, ''); END";
    place.tool().execute_batch(poison).unwrap();
    let poisoned = Append {
        event: EventKind::Other("poison".to_owned()),
        ..message("known", &kind)
    };
    let batch = [
        with_id(1, message("known", &kind)),
        with_id(1, message("new", &kind)),
        poisoned,
    ];
    log.commit(batch.iter()).unwrap_err();
    assert_eq!(
        (
            place.count("event"),
            place.count("channel"),
            place.count("dedup")
        ),
        (1, 1, 0)
    );

    place.tool().execute_batch("DROP TRIGGER poison").unwrap();
    let after = commit(&mut log, &batch);
    assert_eq!(
        after
            .iter()
            .map(|position| position.offset)
            .collect::<Vec<_>>(),
        [2, 1, 3]
    );
    assert_eq!(
        place.count(&format!(
            "event WHERE offset = 2 AND prev = {}",
            before.tag.0.cast_signed()
        )),
        1
    );
}
