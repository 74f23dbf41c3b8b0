//! One connection of a client: how it begins, how it ends, and whether the client comes back.

use parlor_protocol::client::{ClientEvent, Effect, Failure};
use parlor_protocol::command::Recover;
use parlor_protocol::push::{Disconnect, TokenExpiring};
use parlor_protocol::{Command, ErrorCode, Form, Push};

use crate::harness::{MS, SECOND, Wire, publish};

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
fn a_farewell_says_nothing_of_a_later_connection() {
    let mut wire = Wire::live_in("a", 3);
    let farewell = Disconnect {
        code: 4401,
        name: "disconnected".to_owned(),
        text: String::new(),
        retry_after_ms: None,
    };
    wire.push(Push::Disconnect(farewell));
    wire.session.stop();
    wire.dial();
    wire.welcome(vec![]);
    wire.close(None);
    assert!(!wire.session.is_stopped());
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
