//! Files that misbehave: locked by somebody else, damaged, with an event missing.

use super::*;

fn open(place: &Place) -> DiskLogs {
    let config = EmbeddedConfig::default();
    DiskLogs::open(
        place.0.path(),
        &config,
        Arc::new(Hub::new(1)),
        Arc::new(Stats::default()),
    )
    .unwrap()
}

fn read_all(logs: &DiskLogs, channel: &str) -> Result<LogPage, Error> {
    let read = Read {
        channel: name(channel),
        kind: kind(100, HOUR),
        range: Range::AfterOffset(0),
        limit: 100,
    };
    wait(logs.read(read))
}

fn check_out_of_service(logs: &DiskLogs) {
    let kind = kind(100, HOUR);
    logs.health().unwrap_err();
    let answers = [
        wait(logs.append(message("room", &kind))).map(|_| ()),
        wait(logs.top(&name("room"), &kind)).map(|_| ()),
        read_all(logs, "room").map(|_| ()),
    ];
    for answer in answers {
        assert!(
            matches!(answer, Err(Error::Unavailable { .. })),
            "{answer:?}"
        );
    }
}

#[test]
fn a_damaged_file_ends_the_service_for_good() {
    let place = Place::new();
    let logs = open(&place);
    let kind = kind(100, HOUR);
    wait(logs.append(message("room", &kind))).unwrap();
    place
        .tool()
        .execute_batch("ALTER TABLE event RENAME TO elsewhere")
        .unwrap();
    // More than one may wait in the batch that meets the damage, and behind it.
    let waiting: Vec<_> = (0..100)
        .map(|_| logs.append(message("room", &kind)))
        .collect();
    for answer in wait(join_all(waiting)) {
        assert!(
            matches!(answer, Err(Error::Unavailable { .. })),
            "{answer:?}"
        );
    }
    check_out_of_service(&logs);
    place
        .tool()
        .execute_batch("ALTER TABLE elsewhere RENAME TO event")
        .unwrap();
    check_out_of_service(&logs);
    logs.shut_down();
}

#[test]
fn a_missing_event_is_damage_and_not_a_shorter_page() {
    let place = Place::new();
    let logs = open(&place);
    let kind = kind(100, HOUR);
    for answer in wait(join_all(
        (0..5).map(|_| logs.append(message("room", &kind))),
    )) {
        answer.unwrap();
    }
    assert_eq!(read_all(&logs, "room").unwrap().entries.len(), 5);
    place
        .tool()
        .execute_batch("DELETE FROM event WHERE offset = 3")
        .unwrap();
    assert!(matches!(
        read_all(&logs, "room"),
        Err(Error::Unavailable { .. })
    ));
    check_out_of_service(&logs);
}

#[test]
fn a_lock_that_somebody_holds_passes() {
    let place = Place::new();
    let logs = open(&place);
    let kind = kind(100, HOUR);
    let tool = place.tool();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = wait(logs.append(message("room", &kind)));
    assert!(
        matches!(&refused, Err(Error::Unavailable { retry_after, .. }) if !retry_after.is_zero()),
        "{refused:?}"
    );
    assert_eq!(logs.health(), Ok(()), "the store itself is sound");
    assert_eq!(
        read_all(&logs, "room").unwrap().top.offset,
        0,
        "reads go on meanwhile"
    );
    tool.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        wait(logs.append(message("room", &kind)))
            .unwrap()
            .position
            .offset,
        1
    );
}
