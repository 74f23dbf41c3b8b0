//! What a client takes up again: its session, and each channel from where it stood.

use parlor_protocol::client::{ClientEvent, Continuity};
use parlor_protocol::command::{Recover, Subscribe};
use parlor_protocol::reply::{NotRecovered, SubscribeOutcome, Subscribed};
use parlor_protocol::{ErrorCode, Form};

use crate::harness::{Wire, message, subscribed};

#[test]
fn connect_carries_the_subscriptions_and_their_outcomes_are_told() {
    for form in Form::ALL {
        let mut wire = Wire::with_form(form);
        wire.session.subscribe(Subscribe::new("a"));
        wire.session.subscribe(Subscribe::new("b"));
        let connect = wire.dial();
        let channels: Vec<_> = connect
            .subscriptions
            .iter()
            .map(|one| one.channel.as_str())
            .collect();
        assert_eq!(channels, ["a", "b"]);
        let refused = SubscribeOutcome::Refused {
            channel: "b".to_owned(),
            error: ErrorCode::NotPermitted.into(),
        };
        wire.welcome(vec![
            SubscribeOutcome::Subscribed(subscribed("a", 7, 3)),
            refused,
        ]);
        let events = wire.events();
        assert!(matches!(events[0], ClientEvent::Connected(_)));
        assert!(matches!(
            &events[1],
            ClientEvent::Subscribed {
                continuity: Continuity::First,
                ..
            }
        ));
        assert!(
            matches!(&events[2], ClientEvent::SubscribeRefused { channel, .. } if &**channel == "b")
        );
        assert!(wire.session.is_live());
    }
}

#[test]
fn a_reconnect_resumes_session_and_position() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(message(7, 4));
    assert_eq!(wire.offsets(), [4]);
    wire.close(Some(1006));
    assert!(matches!(
        wire.events()[..],
        [ClientEvent::Disconnected {
            retry_in: Some(_),
            ..
        }]
    ));
    let connect = wire.redial();
    assert_eq!(connect.session.expect("kept").id, "s1");
    assert_eq!(
        connect.subscriptions[0].recover,
        Some(Recover::From("p4".to_owned()))
    );
    let resumed = Subscribed {
        recovered: Some(true),
        from: Some(5),
        to: Some(6),
        ..subscribed("a", 9, 6)
    };
    wire.welcome(vec![SubscribeOutcome::Subscribed(resumed)]);
    assert_eq!(wire.continuity(), Continuity::Complete);
    wire.push(message(9, 5));
    wire.push(message(9, 6));
    wire.push(message(9, 7));
    assert_eq!(wire.offsets(), [5, 6, 7]);
    assert_eq!(wire.session.position("a"), Some("p7"));
}

#[test]
fn a_connection_lost_before_the_first_missed_event_resumes_from_the_old_position() {
    let mut wire = Wire::live_in("a", 3);
    wire.close(None);
    wire.redial();
    let resumed = Subscribed {
        recovered: Some(true),
        from: Some(4),
        to: Some(6),
        ..subscribed("a", 7, 6)
    };
    wire.welcome(vec![SubscribeOutcome::Subscribed(resumed)]);
    wire.close(None);
    assert_eq!(
        wire.redial().subscriptions[0].recover,
        Some(Recover::From("p3".to_owned()))
    );
}

#[test]
fn a_wish_for_the_latest_events_is_repeated_until_the_first_came() {
    let mut wire = Wire::with_form(Form::Json);
    wire.session
        .subscribe(Subscribe::new("a").recover(Recover::Latest(5)));
    wire.dial();
    let recovering = Subscribed {
        recovered: Some(true),
        from: Some(6),
        to: Some(10),
        ..subscribed("a", 7, 10)
    };
    wire.welcome(vec![SubscribeOutcome::Subscribed(recovering)]);
    wire.close(None);
    assert_eq!(
        wire.redial().subscriptions[0].recover,
        Some(Recover::Latest(5))
    );
}

#[test]
fn a_broken_recovery_is_told_with_its_reason() {
    let mut wire = Wire::live_in("a", 3);
    wire.close(None);
    wire.redial();
    let broken = Subscribed {
        recovered: Some(false),
        reason: Some(NotRecovered::Expired),
        ..subscribed("a", 7, 900)
    };
    wire.welcome(vec![SubscribeOutcome::Subscribed(broken)]);
    assert_eq!(
        wire.continuity(),
        Continuity::Broken(Some(NotRecovered::Expired))
    );
    wire.push(message(7, 901));
    assert_eq!(wire.offsets(), [901]);
}

#[test]
fn a_fresh_start_drops_session_and_position_and_is_told_as_a_break() {
    let mut wire = Wire::live_in("a", 3);
    wire.close(Some(4200));
    let connect = wire.redial();
    assert_eq!(
        (connect.session, &connect.subscriptions[0].recover),
        (None, &None)
    );
    wire.welcome(vec![SubscribeOutcome::Subscribed(subscribed("a", 7, 8))]);
    assert_eq!(wire.continuity(), Continuity::Broken(None));
}
