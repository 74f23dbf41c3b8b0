//! The client session against a scripted server, with time held still. Both sides speak through the codec.

#[path = "client/harness.rs"]
mod harness;

use std::time::Duration;

use harness::{Wire, message, publish, subscribed};
use parlor_protocol::client::{ClientEvent, Continuity, Effect, Failure};
use parlor_protocol::command::{Recover, Subscribe};
use parlor_protocol::push::{Advance, Disconnect, TokenExpiring, Unsubscribed};
use parlor_protocol::reply::{NotRecovered, Published, SubscribeOutcome, Subscribed};
use parlor_protocol::{Alias, Command, ErrorCode, Form, Push, Reply, Time};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

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

#[test]
fn closes_that_say_so_stop_the_session_until_it_is_started_again() {
    for code in [1002, 1009, 4400, 4402, 4599] {
        let mut wire = Wire::live_in("a", 3);
        wire.close(Some(code));
        assert_eq!(
            wire.events(),
            [ClientEvent::Disconnected {
                code: Some(code),
                retry_in: None
            }]
        );
        assert_eq!(wire.session.deadline(), None);
        assert!(wire.session.is_stopped());
        assert_eq!(
            wire.dial().subscriptions[0].recover,
            Some(Recover::From("p3".to_owned()))
        );
    }
}

#[test]
fn the_farewell_overrides_the_close_code_and_the_backoff() {
    let mut wire = Wire::live_in("a", 3);
    let farewell = Disconnect {
        code: 4000,
        name: "draining".to_owned(),
        text: String::new(),
        retry_after_ms: Some(7_000),
    };
    wire.push(Push::Disconnect(farewell));
    wire.close(Some(1002));
    let retry_in = Some(7 * SECOND);
    assert_eq!(
        wire.events()[1],
        ClientEvent::Disconnected {
            code: Some(4000),
            retry_in
        }
    );
    assert_eq!(wire.session.deadline(), Some(wire.now + 7 * SECOND));
    wire.tick(7 * SECOND - MS);
    assert_eq!(wire.session.poll(), None);
    wire.tick(MS);
    assert_eq!(wire.session.poll(), Some(Effect::Connect));
}

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

#[test]
fn a_publish_with_an_id_is_repeated_after_a_reconnect_and_answered_once() {
    let mut wire = Wire::live_in("a", 3);
    let first = wire
        .session
        .publish(publish("a", Some("m1")))
        .expect("room");
    let second = wire
        .session
        .publish(publish("a", Some("m2")))
        .expect("room");
    let lost = wire.session.publish(publish("a", None)).expect("room");
    wire.commands();
    wire.close(None);
    let failed = ClientEvent::Reply {
        request: lost,
        result: Err(Failure::ConnectionLost),
    };
    assert_eq!(wire.events()[0], failed);
    wire.redial();
    assert!(wire.commands().is_empty(), "not before the connect reply");
    wire.welcome(vec![]);
    let commands = wire.commands();
    let ids: Vec<_> = commands
        .iter()
        .map(|envelope| publish_id(&envelope.command))
        .collect();
    assert_eq!(ids, ["m1", "m2"], "in their order");
    wire.events();
    for (envelope, request) in commands.iter().zip([first, second]) {
        let published = published();
        wire.reply(envelope.id, Ok(Reply::Publish(published.clone())));
        let event = ClientEvent::Reply {
            request,
            result: Ok(Reply::Publish(published)),
        };
        assert_eq!(wire.events(), [event]);
    }
}

#[test]
fn a_publish_is_never_repeated_past_the_dedup_window() {
    let mut wire = Wire::live_in("a", 3);
    let request = wire
        .session
        .publish(publish("a", Some("m1")))
        .expect("room");
    wire.commands();
    wire.close(None);
    wire.events();
    let expired = ClientEvent::Reply {
        request,
        result: Err(Failure::Expired),
    };
    let mut told = Vec::new();
    for _ in 0..200 {
        // No socket can be opened for the whole window.
        wire.tick(2 * SECOND);
        if wire.events_and_effects().contains(&Effect::Connect) {
            wire.close(None);
        }
        told.extend(wire.events().into_iter().filter(|event| *event == expired));
        told.extend(
            wire.take_kept()
                .into_iter()
                .filter(|event| *event == expired),
        );
    }
    assert_eq!(told, [expired]);
}

#[test]
fn requests_asked_before_the_connection_are_sent_when_it_lives() {
    let mut wire = Wire::with_form(Form::Json);
    wire.session.publish(publish("a", None)).expect("room");
    wire.dial();
    assert!(wire.commands().is_empty());
    wire.welcome(vec![]);
    assert_eq!(wire.commands().len(), 1);
}

#[test]
fn requests_beyond_the_bound_are_refused() {
    let mut wire = Wire::with_form(Form::Json);
    for _ in 0..parlor_protocol::client::REQUESTS_MAX {
        wire.session.ping().expect("room");
    }
    wire.session.ping().expect_err("full");
}

#[test]
fn a_command_larger_than_a_frame_is_refused_here() {
    let mut wire = Wire::live_in("a", 3);
    let mut large = publish("a", None);
    large.payload.bytes = format!("\"{}\"", "x".repeat(70_000)).into();
    wire.session.publish(large).expect("room");
    let events = wire.events();
    let [
        ClientEvent::Reply {
            result: Err(Failure::Refused(error)),
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(error.kind(), Some(ErrorCode::TooLarge));
    assert!(wire.commands().is_empty());
}

#[test]
fn silence_longer_than_ping_interval_and_grace_ends_the_connection() {
    let mut wire = Wire::live_in("a", 3);
    wire.tick(20 * SECOND);
    wire.push(Push::Ping);
    assert!(
        matches!(wire.commands()[..], [ref pong] if matches!(pong.command, Command::Pong(_)) && pong.id.is_none())
    );
    wire.tick(35 * SECOND - MS);
    assert_eq!(wire.session.poll(), None);
    wire.tick(MS);
    assert_eq!(wire.session.poll(), Some(Effect::Close));
}

#[test]
fn a_connect_without_an_answer_is_given_up() {
    let mut wire = Wire::with_form(Form::Json);
    wire.dial();
    wire.tick(10 * SECOND);
    assert_eq!(wire.session.poll(), Some(Effect::Close));
}

#[test]
fn a_passing_refusal_of_connect_is_tried_again_and_a_lasting_one_is_not() {
    for (code, stops) in [
        (ErrorCode::Busy, false),
        (ErrorCode::BadRequest, true),
        (ErrorCode::BadToken, true),
    ] {
        let mut wire = Wire::with_form(Form::Json);
        wire.dial();
        wire.reply(Some(1), Err(code.into()));
        assert!(wire.events_and_effects().contains(&Effect::Close));
        assert_eq!(wire.session.is_stopped(), stops, "{code:?}");
    }
}

#[test]
fn a_passing_refusal_of_a_subscription_is_asked_again_when_advised() {
    let mut wire = Wire::with_form(Form::Json);
    wire.session.subscribe(Subscribe::new("a"));
    wire.dial();
    let error = ErrorCode::StorageUnavailable.with("").retry_after_ms(3_000);
    wire.welcome(vec![SubscribeOutcome::Refused {
        channel: "a".to_owned(),
        error,
    }]);
    wire.tick(3 * SECOND - MS);
    assert!(wire.commands().is_empty());
    wire.tick(MS);
    let commands = wire.commands();
    wire.reply(commands[0].id, Ok(Reply::Subscribe(subscribed("a", 7, 3))));
    assert_eq!(wire.continuity(), Continuity::First);
}

#[test]
fn an_ended_subscription_is_told_or_renewed_as_the_server_says() {
    for resubscribe in [true, false] {
        let mut wire = Wire::live_in("a", 3);
        let (code, reason) = (2008, "revoked".to_owned());
        wire.push(Push::Unsubscribed(Unsubscribed {
            alias: Alias(7),
            channel: "a".to_owned(),
            code,
            reason,
            resubscribe,
            lost_from: None,
            lost_to: None,
        }));
        let commands = wire.commands();
        assert_eq!(commands.len(), usize::from(resubscribe));
        assert_eq!(wire.events().len(), usize::from(!resubscribe));
        wire.push(message(7, 4));
        assert_eq!(wire.offsets(), [0_u64; 0]);
    }
}

#[test]
fn what_the_server_lost_is_told_before_the_channel_is_subscribed_anew() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(Push::Unsubscribed(Unsubscribed {
        alias: Alias(7),
        channel: "a".to_owned(),
        code: 2501,
        reason: "events were lost".to_owned(),
        resubscribe: true,
        lost_from: Some(2),
        lost_to: Some(3),
    }));
    let events = wire.events();
    assert!(
        matches!(&events[..], [ClientEvent::Lost { channel, from: 2, to: 3 }] if &**channel == "a"),
        "{events:?}"
    );
}

#[test]
fn after_unsubscribe_nothing_of_the_channel_is_told() {
    let mut wire = Wire::live_in("a", 3);
    wire.session.unsubscribe("a");
    wire.push(message(7, 4));
    assert!(wire.events().is_empty());
    assert!(matches!(&wire.commands()[0].command, Command::Unsubscribe(one) if one.channel == "a"));
    wire.close(None);
    assert!(wire.redial().subscriptions.is_empty());
}

#[test]
fn the_reply_to_an_outdated_subscribe_is_passed_over() {
    let mut wire = Wire::live_in("a", 3);
    wire.session.subscribe(Subscribe::new("b"));
    wire.session.unsubscribe("b");
    wire.session
        .subscribe(Subscribe::new("b").with_presence(true));
    let ids: Vec<_> = wire.commands().iter().map(|envelope| envelope.id).collect();
    wire.reply(ids[0], Ok(Reply::Subscribe(subscribed("b", 8, 1))));
    assert!(wire.events().is_empty());
    wire.reply(ids[2], Ok(Reply::Subscribe(subscribed("b", 8, 1))));
    assert_eq!(wire.events().len(), 1);
}

#[test]
fn a_subscription_that_the_server_made_is_adopted_and_resumed() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(Push::Subscribed(subscribed("inbox", 8, 5)));
    wire.push(message(8, 6));
    assert!(matches!(
        wire.events()[..],
        [ClientEvent::Subscribed { .. }, ClientEvent::Event { .. }]
    ));
    wire.close(None);
    let subscriptions = wire.redial().subscriptions;
    assert_eq!(
        subscriptions[1].recover,
        Some(Recover::From("p6".to_owned()))
    );
}

#[test]
fn long_lists_of_subscriptions_are_split_by_the_frame_limit() {
    for form in Form::ALL {
        let mut wire = Wire::with_form(form);
        let names: Vec<_> = (0..500).map(|number| format!("{number:0>250}")).collect();
        for name in &names {
            wire.session.subscribe(Subscribe::new(name));
        }
        let connect = wire.dial();
        let mut asked: Vec<_> = connect
            .subscriptions
            .into_iter()
            .map(|one| one.channel)
            .collect();
        for envelope in wire.commands() {
            let Command::Subscribe(subscribe) = envelope.command else {
                panic!("{envelope:?}")
            };
            asked.push(subscribe.channel);
        }
        assert_eq!(asked, names);
        assert!(
            wire.longest_frame <= 65_536 && wire.longest_frame > 60_000,
            "{}",
            wire.longest_frame
        );
        assert!(wire.most_commands <= 128);
    }
}

#[test]
fn a_frame_that_is_no_frame_drops_the_connection() {
    let mut wire = Wire::live_in("a", 3);
    wire.session.received(b"{", wire.now);
    let effects = wire.events_and_effects();
    assert!(matches!(
        effects[..],
        [Effect::Event(ClientEvent::BadFrame(_)), Effect::Close, _]
    ));
    assert!(!wire.session.is_stopped());
}

#[test]
fn the_token_is_replaced_here_and_for_later_connections() {
    let mut wire = Wire::live_in("a", 3);
    wire.push(Push::TokenExpiring(TokenExpiring {
        expires_in_ms: 60_000,
    }));
    assert_eq!(
        wire.events(),
        [ClientEvent::TokenExpiring {
            expires_in: 60 * SECOND
        }]
    );
    wire.session.refresh("new".to_owned()).expect("room");
    assert!(
        matches!(&wire.commands()[0].command, Command::Refresh(refresh) if refresh.token == "new")
    );
    wire.close(None);
    assert_eq!(wire.redial().token.as_deref(), Some("new"));
}

#[test]
fn stopping_fails_what_waits_and_closes() {
    let mut wire = Wire::live_in("a", 3);
    let request = wire
        .session
        .publish(publish("a", Some("m1")))
        .expect("room");
    wire.commands();
    wire.session.stop();
    let effects = wire.events_and_effects();
    assert_eq!(effects[0], Effect::Close);
    let failed = ClientEvent::Reply {
        request,
        result: Err(Failure::Stopped),
    };
    assert_eq!(effects[1], Effect::Event(failed));
    assert!(wire.session.is_stopped());
}

fn publish_id(command: &Command) -> &str {
    match command {
        Command::Publish(publish) => publish.id.as_deref().expect("an id"),
        other => panic!("{other:?}"),
    }
}

fn published() -> Published {
    Published {
        offset: 4,
        position: "p4".to_owned(),
        time: Time(1),
        durability: "disk".to_owned(),
        duplicate: false,
    }
}
