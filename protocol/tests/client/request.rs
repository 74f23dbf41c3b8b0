//! What was asked and not yet answered: repeated after a reconnect, bounded, never past its time.

use parlor_protocol::client::{ClientEvent, Effect, Failure};
use parlor_protocol::reply::Published;
use parlor_protocol::{Command, ErrorCode, Form, Reply, Time};

use crate::harness::{SECOND, Wire, publish};

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
