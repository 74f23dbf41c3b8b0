//! A log that is empty is named anew from time to time: who waits there notices nothing, and a new life is still told apart.

use std::sync::Arc;

use parlor_protocol::{Epoch, Position, Tag};

use super::{EPOCH, Rig, entry, offsets};
use crate::hub::{Advanced, Beginning, LogEntry};
use crate::kind::SlowPolicy;

fn first_of(epoch: Epoch) -> Arc<LogEntry> {
    Arc::new(LogEntry {
        epoch,
        prev: Tag(0),
        ..entry(1, None)
    })
}

fn before_first(epoch: Epoch) -> Position {
    Position {
        epoch,
        offset: 0,
        tag: Tag(0),
    }
}

/// The names of one hour after the other, as each is told.
fn rename(rig: &Rig, epochs: &[u64]) {
    for pair in epochs.windows(2) {
        rig.channel.learn_beginning(Beginning {
            epoch: Epoch(pair[1]),
            before: Epoch(pair[0]),
        });
    }
}

#[test]
fn the_first_event_reaches_who_waited_through_several_names() {
    let mut rig = Rig::new();
    let (_, outbox) = rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rename(&rig, &[EPOCH.0, 6, 7]);
    assert_eq!(
        rig.channel.known_as(before_first(EPOCH)),
        before_first(Epoch(7)),
        "who is told a position is told the present name"
    );
    rig.hub.deliver(rig.channel.name(), first_of(Epoch(7)));
    rig.advance_fully();
    assert_eq!(offsets(&outbox), [1]);
    let delivered = rig.table.delivered(rig.channel.alias()).unwrap();
    assert_eq!((delivered.epoch, delivered.offset), (Epoch(7), 1));
    assert!(rig.channel.is_one_beginning(EPOCH, Epoch(7)));
    assert_eq!(
        rig.channel.known_as(before_first(EPOCH)),
        before_first(Epoch(7))
    );
}

#[test]
fn a_name_that_follows_on_no_known_one_is_a_new_life() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    // From 6 to 7 something may have happened that nobody here was told.
    rename(&rig, &[6, 7]);
    assert!(!rig.channel.is_one_beginning(EPOCH, Epoch(7)));
    rig.hub.deliver(rig.channel.name(), first_of(Epoch(7)));
    assert_eq!(rig.advance(), Advanced::EpochChanged);
}

#[test]
fn only_the_first_event_follows_on_an_empty_log() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rename(&rig, &[EPOCH.0, 6]);
    let second = LogEntry {
        epoch: Epoch(6),
        ..entry(2, None)
    };
    rig.hub.deliver(rig.channel.name(), Arc::new(second));
    assert_eq!(rig.advance(), Advanced::EpochChanged);
}

#[test]
fn a_new_life_ends_the_names_of_the_one_before() {
    let mut rig = Rig::new();
    rig.subscribe(1, 1 << 20, SlowPolicy::Close);
    rename(&rig, &[EPOCH.0, 6]);
    rig.hub
        .restart(rig.channel.name(), before_first(Epoch(9)), None);
    assert!(!rig.channel.is_one_beginning(EPOCH, Epoch(9)));
    assert_eq!(rig.advance(), Advanced::EpochChanged);
}
