//! The golden vectors: the files under `vectors/` say what this crate does, and this crate does what they say.
//! `PARLOR_BLESS=1 cargo test -p parlor-protocol --test vectors` writes them anew.

#[path = "vectors/commands.rs"]
mod commands;
#[path = "vectors/compat.rs"]
mod compat;
#[path = "vectors/file.rs"]
mod file;
#[path = "vectors/pushes.rs"]
mod pushes;
#[path = "vectors/refused.rs"]
mod refused;
#[path = "vectors/replies.rs"]
mod replies;

use std::collections::BTreeSet;

use file::{Answer, Compat, Refused, Vector, check_file, hex, load, unhex};
use parlor_protocol::codec::{
    ServerMessage, decode_commands, decode_server, encode_command, encode_push, encode_reply,
};
use parlor_protocol::{Envelope, Form};
use serde_json::Value;

#[test]
fn the_files_are_current() {
    check_file("commands.json", &commands::all());
    check_file("replies.json", &replies::all());
    check_file("pushes.json", &pushes::all());
    check_file("compat.json", &compat::all());
    check_file("refused.json", &refused::all());
}

#[test]
fn commands_read_and_write_as_the_vectors_say() {
    for vector in load::<Vector>("commands.json") {
        let [json, msgpack] = frames(&vector.json, &vector.msgpack)
            .map(|(form, frame)| (form, frame.clone(), command(form, &frame)));
        assert_eq!(json.2, msgpack.2, "{}", vector.name);
        for (form, frame, envelope) in [json, msgpack] {
            assert_eq!(
                hex(&encode_command(form, &envelope)),
                hex(&frame),
                "{} {form:?}",
                vector.name
            );
        }
        assert_eq!(
            serde_json::from_str::<Value>(&vector.json).expect("json"),
            vector.value
        );
    }
}

#[test]
fn replies_and_pushes_read_and_write_as_the_vectors_say() {
    for vector in load::<Vector>("replies.json")
        .into_iter()
        .chain(load("pushes.json"))
    {
        let both = frames(&vector.json, &vector.msgpack).map(|(form, frame)| {
            let message = server_message(form, &frame);
            assert_eq!(
                hex(&encode_message(form, &message)),
                hex(&frame),
                "{} {form:?}",
                vector.name
            );
            message
        });
        assert_eq!(both[0], both[1], "{}", vector.name);
        assert_eq!(
            serde_json::from_str::<Value>(&vector.json).expect("json"),
            vector.value
        );
    }
}

#[test]
fn what_later_versions_may_add_is_passed_over() {
    for vector in load::<Compat>("compat.json") {
        for (form, frame) in [
            (Form::Json, vector.json.clone().map(String::into_bytes)),
            (Form::MsgPack, vector.msgpack.as_deref().map(unhex)),
        ] {
            let Some(frame) = frame else { continue };
            let meant = if vector.to == "server" {
                encode_command(Form::Json, &command(form, &frame))
            } else {
                encode_message(Form::Json, &server_message(form, &frame))
            };
            let meant: Value = serde_json::from_slice(&meant).expect("json");
            assert_eq!(meant, vector.value, "{} {form:?}", vector.name);
        }
    }
}

#[test]
fn what_is_refused_is_refused_with_the_documented_error() {
    for vector in load::<Refused>("refused.json") {
        assert_eq!(
            refused::answers(vector.form(), &vector.frame()),
            vector.answers,
            "{}",
            vector.name
        );
    }
}

#[test]
fn every_error_close_and_name_has_a_vector() {
    let replies = load::<Vector>("replies.json");
    let codes: BTreeSet<_> = replies
        .iter()
        .filter_map(|vector| vector.value["error"]["code"].as_u64())
        .collect();
    assert_eq!(
        codes,
        parlor_protocol::ErrorCode::ALL
            .iter()
            .map(|code| u64::from(code.number()))
            .collect()
    );
    let pushes = load::<Vector>("pushes.json");
    let codes: BTreeSet<_> = pushes
        .iter()
        .filter_map(|vector| vector.value["disconnect"]["code"].as_u64())
        .collect();
    assert_eq!(
        codes,
        parlor_protocol::CloseCode::ALL
            .iter()
            .map(|code| u64::from(code.number()))
            .collect()
    );
    let names = |vectors: &[Vector]| -> BTreeSet<String> {
        let keys = vectors
            .iter()
            .filter_map(|vector| vector.value.as_object())
            .flat_map(|value| value.keys().cloned());
        keys.filter(|key| key != "id").collect()
    };
    let set = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let commands = load::<Vector>("commands.json");
    const COMMANDS: &str =
        "connect subscribe unsubscribe publish signal history presence presence_set refresh ping";
    assert_eq!(names(&commands), set(&format!("{COMMANDS} pong")));
    assert_eq!(names(&replies), set(&format!("{COMMANDS} error")));
    assert_eq!(
        names(&pushes),
        set("event advance presence subscribed unsubscribed token_expiring status disconnect ping")
    );
}

#[test]
fn refusals_name_every_error_of_reading() {
    let codes = load::<Refused>("refused.json")
        .into_iter()
        .flat_map(|vector| vector.answers);
    let names: BTreeSet<String> = codes
        .filter_map(|answer| match answer {
            Answer::Error { error, .. } => Some(error),
            Answer::BadFrame | Answer::Command { .. } => None,
        })
        .collect();
    assert_eq!(
        names,
        [
            "bad_payload",
            "bad_request",
            "too_large",
            "too_many",
            "unknown_command"
        ]
        .map(str::to_owned)
        .into()
    );
}

fn frames(json: &str, msgpack: &str) -> [(Form, Vec<u8>); 2] {
    [
        (Form::Json, json.as_bytes().to_vec()),
        (Form::MsgPack, unhex(msgpack)),
    ]
}

fn command(form: Form, frame: &[u8]) -> Envelope {
    let mut commands = decode_commands(form, frame).expect("a frame");
    assert_eq!(commands.len(), 1);
    commands.remove(0).expect("a command")
}

fn server_message(form: Form, frame: &[u8]) -> ServerMessage {
    let mut messages = decode_server(form, frame).expect("a frame");
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn encode_message(form: Form, message: &ServerMessage) -> Vec<u8> {
    match message {
        ServerMessage::Reply { id, result } => encode_reply(form, *id, result),
        ServerMessage::Push(push) => encode_push(form, push),
    }
}
