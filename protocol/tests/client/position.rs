//! Where a client stands in a channel: holes, repeats, and what moves it on without an event.

use parlor_protocol::client::ClientEvent;
use parlor_protocol::command::Recover;
use parlor_protocol::push::Advance;
use parlor_protocol::reply::{SubscribeOutcome, Subscribed};
use parlor_protocol::{Alias, Command, Push, Reply};

use crate::harness::{Wire, message, subscribed};

#[test]
fn a_hole_is_told_and_closed_by_subscribing_again() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(message(7, 5));
    let gap = ClientEvent::Gap {
        channel: "a".into(),
        expected: 4,
        got: 5,
    };
    assert_eq!(wire.events(), [gap]);
    wire.push(message(7, 6));
    assert_eq!(
        wire.offsets(),
        [0_u64; 0],
        "what comes of the old subscription is passed over"
    );
    let commands = wire.commands();
    assert!(matches!(&commands[0].command, Command::Unsubscribe(_)));
    let Command::Subscribe(subscribe) = &commands[1].command else {
        panic!("{commands:?}")
    };
    assert_eq!(subscribe.recover, Some(Recover::From("p3".to_owned())));
    let resumed = Subscribed {
        recovered: Some(true),
        from: Some(4),
        to: Some(6),
        ..subscribed("a", 7, 6)
    };
    wire.reply(commands[1].id, Ok(Reply::Subscribe(resumed)));
    for offset in 4..=6 {
        wire.push(message(7, offset));
    }
    assert_eq!(wire.offsets(), [4, 5, 6]);
}

#[test]
fn a_hole_that_stays_is_passed_in_the_end() {
    let mut wire = Wire::live_in("a", 3);
    for _ in 0..3 {
        wire.push(message(7, 9));
        assert!(matches!(wire.events()[..], [ClientEvent::Gap { .. }]));
        let id = wire.commands()[1].id;
        let resumed = Subscribed {
            recovered: Some(true),
            from: Some(4),
            to: Some(9),
            ..subscribed("a", 7, 9)
        };
        wire.reply(id, Ok(Reply::Subscribe(resumed)));
        wire.events();
    }
    wire.push(message(7, 9));
    assert_eq!(wire.offsets(), [9]);
}

#[test]
fn a_complete_recovery_that_starts_too_late_is_told_as_a_hole() {
    let mut wire = Wire::live_in("a", 3);
    wire.close(None);
    wire.redial();
    let resumed = Subscribed {
        recovered: Some(true),
        from: Some(6),
        to: Some(8),
        ..subscribed("a", 7, 8)
    };
    wire.welcome(vec![SubscribeOutcome::Subscribed(resumed)]);
    let gap = ClientEvent::Gap {
        channel: "a".into(),
        expected: 4,
        got: 6,
    };
    assert_eq!(wire.events().last(), Some(&gap));
}

#[test]
fn a_redelivered_event_is_told_once() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(message(7, 4));
    wire.push(message(7, 4));
    wire.push(message(7, 2));
    wire.push(message(7, 5));
    let events = wire.events();
    let duplicate = |offset| ClientEvent::Duplicate {
        channel: "a".into(),
        offset,
    };
    assert_eq!(events[1..3], [duplicate(4), duplicate(2)]);
    assert_eq!(wire.session.position("a"), Some("p5"));
}

#[test]
fn an_advance_moves_the_position_without_a_hole() {
    let mut wire = Wire::live_in("a", 3);
    let advance = Advance {
        alias: Alias(7),
        offset: 8,
        position: "p8".to_owned(),
        reason: "skipped".to_owned(),
    };
    wire.push(Push::Advance(advance));
    wire.push(message(7, 9));
    let events = wire.events();
    assert!(matches!(events[0], ClientEvent::Advanced { offset: 8, .. }));
    assert!(matches!(events[1], ClientEvent::Event { .. }));
}
