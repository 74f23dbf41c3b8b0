//! What holds for every input of a decoder, whoever made it. Shared by the plain test and by cargo-fuzz.

use std::time::Duration;

use parlor_protocol::client::{ClientConfig, ClientSession, Effect};
use parlor_protocol::codec::{
    ServerMessage, decode_commands, decode_server, encode_command, encode_push, encode_reply,
};
use parlor_protocol::command::Subscribe;
use parlor_protocol::{Form, Push};

/// A server survives any frame, and what it understood is written and read again as the same.
pub(crate) fn check_commands(form: Form, frame: &[u8]) {
    let Ok(commands) = decode_commands(form, frame) else {
        return;
    };
    assert!(!commands.is_empty());
    for envelope in commands.into_iter().flatten() {
        for form in Form::ALL {
            let written = encode_command(form, &envelope);
            let read = decode_commands(form, &written).expect("what was written is a frame");
            assert_eq!(read, [Ok(envelope.clone())]);
        }
    }
}

/// A client survives any frame, and what it understood is written and read again as the same.
pub(crate) fn check_server(form: Form, frame: &[u8]) {
    let Ok(messages) = decode_server(form, frame) else {
        return;
    };
    for message in messages {
        for form in Form::ALL {
            let written = match &message {
                ServerMessage::Reply { id, result } => encode_reply(form, *id, result),
                ServerMessage::Push(push) => encode_push(form, push),
            };
            let read = decode_server(form, &written).expect("what was written is a frame");
            if has_checked_payloads(&message) {
                assert_eq!(read, std::slice::from_ref(&message));
            }
        }
    }
}

/// A client trusts its server to have checked JSON payloads; one that is not JSON changes its format on the
/// way into a text frame, so it is not compared.
fn has_checked_payloads(message: &ServerMessage) -> bool {
    match message {
        ServerMessage::Push(Push::Event { event, .. }) => event
            .payload
            .as_ref()
            .is_none_or(|payload| payload.check().is_ok()),
        ServerMessage::Push(Push::Presence(_)) => false,
        ServerMessage::Push(_) => true,
        ServerMessage::Reply {
            result: Ok(reply), ..
        } => !matches!(
            reply,
            parlor_protocol::Reply::History(_) | parlor_protocol::Reply::Presence(_)
        ),
        ServerMessage::Reply { .. } => true,
    }
}

/// A session survives any frame in any state, asks for a bounded number of things, and never sends what
/// its server would refuse.
pub(crate) fn check_session(form: Form, frames: &[&[u8]]) {
    let mut session = ClientSession::new(
        ClientConfig {
            form,
            ..ClientConfig::default()
        },
        1,
    );
    session.subscribe(Subscribe::new("room:lobby"));
    session.ping().expect("room for one");
    let mut now = Duration::ZERO;
    session.start(now);
    for frame in frames {
        now += Duration::from_millis(700);
        session.tick(now);
        session.received(frame, now);
        let mut effects = 0;
        while let Some(effect) = session.poll() {
            effects += 1;
            match effect {
                Effect::Connect => session.opened(now),
                Effect::Send(sent) => {
                    let commands = decode_commands(form, &sent).expect("a frame");
                    assert!(commands.iter().all(Result::is_ok), "{commands:?}");
                }
                Effect::Close | Effect::Event(_) => {}
            }
        }
        assert!(effects < 100 + 10 * frame.len());
    }
}
