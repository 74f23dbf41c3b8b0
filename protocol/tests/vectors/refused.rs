//! What a server refuses, and how.

use parlor_protocol::codec::{decode_commands, encode_command};
use parlor_protocol::{Form, limits};
use serde_json::{Value, json};

use crate::file::{Answer, Refused, hex, unhex};

pub(crate) fn all() -> Vec<Refused> {
    let mut vectors = Vec::new();
    vectors.extend(
        bad_json_frames()
            .into_iter()
            .map(|(name, frame)| text(name, &frame)),
    );
    vectors.push(refused("not utf-8", Form::Json, b"{\"ping\":{\"\xff\":1}}"));
    vectors.extend(
        bad_msgpack_frames()
            .into_iter()
            .map(|(name, frame)| refused(name, Form::MsgPack, &unhex(&frame.replace(' ', "")))),
    );
    for (name, frame) in bad_commands() {
        vectors.push(refused(name, Form::Json, frame.to_string().as_bytes()));
        vectors.push(refused(
            name,
            Form::MsgPack,
            &rmp_serde::to_vec(&frame).expect("a value"),
        ));
    }
    vectors.extend(
        bad_json_commands()
            .into_iter()
            .map(|(name, frame)| text(name, &frame)),
    );
    vectors.extend(
        bad_msgpack_commands()
            .into_iter()
            .map(|(name, frame)| refused(name, Form::MsgPack, &unhex(&frame.replace(' ', "")))),
    );
    vectors
}

/// Each ends the connection with `bad_frame`.
fn bad_json_frames() -> Vec<(&'static str, String)> {
    let pings = vec!["{\"ping\":{}}"; limits::COMMANDS_PER_FRAME_MAX + 1].join(",");
    let deep = format!(
        "{{\"publish\":{{\"channel\":\"c\",\"data\":{}{}}}}}",
        "[".repeat(63),
        "]".repeat(63)
    );
    [
        ("nothing", ""),
        ("blanks", " \n"),
        ("cut off", "{\"id\":1,\"ping\":{"),
        ("an open string", "{\"id\":1,\"ping\":{\"a"),
        ("something behind its end", "{\"ping\":{}} x"),
        ("two objects in a row", "{\"ping\":{}}\n{\"ping\":{}}"),
        ("a string", "\"ping\""),
        ("a number", "1"),
        ("null", "null"),
        ("an empty array", "[]"),
        ("an array of strings", "[\"ping\"]"),
        ("an array in an array", "[[{\"ping\":{}}]]"),
        ("an array with a null", "[{\"ping\":{}},null]"),
        ("a comma too many", "[{\"ping\":{}},]"),
        ("not a json number", "{\"id\":01,\"ping\":{}}"),
        ("single quotes", "{'ping':{}}"),
        (
            "a control character in a string",
            "{\"ping\":{\"a\":\"\n\"}}",
        ),
        ("129 commands", &format!("[{pings}]")),
        ("65 levels", &deep),
        (
            "65 levels of arrays",
            &format!("{}{}", "[".repeat(65), "]".repeat(65)),
        ),
    ]
    .map(|(name, frame)| (name, frame.to_owned()))
    .into()
}

/// Each ends the connection with `bad_frame`.
fn bad_msgpack_frames() -> Vec<(&'static str, String)> {
    let pings = "81a470696e6780".repeat(limits::COMMANDS_PER_FRAME_MAX + 1);
    [
        ("nothing", ""),
        ("cut off in a key", "82a2"),
        ("cut off in a header", "82a26964cd00"),
        ("cut off behind a key", "81a470696e67"),
        ("something behind its end", "81a470696e678000"),
        ("two objects in a row", "81a470696e678081a470696e6780"),
        ("a str", "a470696e67"),
        ("nil", "c0"),
        ("the unused marker", "81a470696e67c1"),
        ("an empty array", "90"),
        ("an array of strs", "91a470696e67"),
        ("an array in an array", "9191 81a470696e6780"),
        ("a map of 2^32-1 pairs", "dfffffffff"),
        ("an array of 2^32-1 elements", "ddffffffff"),
        ("a str of 2^32-1 bytes", "81dbffffffff"),
        ("a bin of 2^32-1 bytes", "81a470696e6781a178c6ffffffff"),
        (
            "an extension of 2^32-1 bytes",
            "81a470696e6781a178c9ffffffff00",
        ),
        (
            "an inner map longer than the frame",
            "81a470696e67df7fffffff",
        ),
        ("a key that is a number", "810180"),
        ("a key that is not utf-8", "81a1ff80"),
        ("129 commands", &format!("dc0081{pings}")),
        (
            "65 levels",
            &format!("81a470696e6781a178{}c0", "91".repeat(63)),
        ),
    ]
    .map(|(name, frame)| (name, frame.to_owned()))
    .into()
}

/// Each is answered with an error, in both forms.
fn bad_commands() -> Vec<(&'static str, Value)> {
    let long = |bytes: usize| "x".repeat(bytes);
    let tags = |count: usize| {
        (0..count)
            .map(|tag| (format!("t{tag}"), json!("")))
            .collect::<serde_json::Map<_, _>>()
    };
    let publish = |more: Value| {
        let mut body = json!({"channel": "c", "data": "1"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        json!({"id": 1, "publish": body})
    };
    vec![
        ("an unknown command", json!({"id": 1, "dance": {}})),
        ("an unknown command without an id", json!({"dance": 5})),
        ("no command", json!({"id": 1})),
        ("an empty object", json!({})),
        (
            "two commands",
            json!({"id": 1, "ping": {}, "refresh": {"token": "t"}}),
        ),
        ("a negative id", json!({"id": -1, "ping": {}})),
        (
            "an id of 2^32",
            json!({"id": 4_294_967_296_u64, "ping": {}}),
        ),
        ("an id with a fraction", json!({"id": 1.5, "ping": {}})),
        ("an id that is a string", json!({"id": "1", "ping": {}})),
        ("an id that is null", json!({"id": null, "ping": {}})),
        ("a body that is an array", json!({"id": 1, "ping": []})),
        ("a body that is null", json!({"id": 1, "ping": null})),
        (
            "a required field is missing",
            json!({"id": 1, "subscribe": {}}),
        ),
        (
            "a field of a wrong type",
            json!({"id": 1, "subscribe": {"channel": 5}}),
        ),
        (
            "a wrong type deep inside",
            json!({"id": 1, "connect": {"subscriptions": [{"channel": "c"}, {"channel": "d", "presence": "yes"}]}}),
        ),
        (
            "a subscription that is an array",
            json!({"id": 1, "connect": {"subscriptions": [["c"]]}}),
        ),
        (
            "a session that is an array",
            json!({"id": 1, "connect": {"session": ["s1", "hush"]}}),
        ),
        (
            "an unknown kind of recover",
            json!({"id": 1, "subscribe": {"channel": "c", "recover": {"all": true}}}),
        ),
        (
            "two kinds of recover",
            json!({"id": 1, "subscribe": {"channel": "c", "recover": {"from": "p", "latest": 1}}}),
        ),
        (
            "a negative limit",
            json!({"id": 1, "history": {"channel": "c", "limit": -1}}),
        ),
        (
            "a fraction of an offset",
            json!({"id": 1, "history": {"channel": "c", "offset": 1.5}}),
        ),
        (
            "an unknown direction",
            json!({"id": 1, "history": {"channel": "c", "direction": "sideways"}}),
        ),
        (
            "a publish without data",
            json!({"id": 1, "publish": {"channel": "c"}}),
        ),
        ("an empty publish id", publish(json!({"id": ""}))),
        (
            "a publish id of 129 bytes",
            publish(json!({"id": long(limits::PUBLISH_ID_BYTES_MAX + 1)})),
        ),
        (
            "nine tags",
            publish(json!({"tags": tags(limits::TAGS_MAX + 1)})),
        ),
        (
            "a tag's name of 129 bytes",
            publish(json!({"tags": {long(limits::TAG_BYTES_MAX + 1): ""}})),
        ),
        (
            "a tag's value of 129 bytes",
            publish(json!({"tags": {"t": long(limits::TAG_BYTES_MAX + 1)}})),
        ),
        ("a tag that is a number", publish(json!({"tags": {"t": 1}}))),
        (
            "a position of 129 bytes",
            json!({"id": 1, "subscribe": {"channel": "c", "recover": {"from": long(limits::POSITION_BYTES_MAX + 1)}}}),
        ),
        (
            "a token of 8193 bytes",
            json!({"id": 1, "refresh": {"token": long(limits::TOKEN_BYTES_MAX + 1)}}),
        ),
        (
            "a user of 129 bytes",
            json!({"id": 1, "connect": {"user": long(limits::USER_BYTES_MAX + 1)}}),
        ),
        (
            "its neighbours live",
            json!([{"id": 1, "ping": {}}, {"id": 2, "dance": {}}, {"id": 3, "refresh": {}}, {"id": 4, "pong": {}}]),
        ),
    ]
}

fn bad_json_commands() -> Vec<(&'static str, String)> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let publish = |body: &str| format!("{{\"id\":1,\"publish\":{{\"channel\":\"c\",{body}}}}}");
    vec![
        (
            "a payload of 33 levels",
            publish(&format!("\"data\":{}", deep(limits::PAYLOAD_DEPTH_MAX + 1))),
        ),
        (
            "a payload of 32 levels is taken",
            publish(&format!("\"data\":{}", deep(limits::PAYLOAD_DEPTH_MAX))),
        ),
        (
            "data and data_b64",
            publish("\"data\":1,\"data_b64\":\"AA==\""),
        ),
        ("data_b64 that is none", publish("\"data_b64\":\"A\"")),
        (
            "data_b64 without its padding",
            publish("\"data_b64\":\"AA\""),
        ),
        ("data_b64 that is a number", publish("\"data_b64\":1")),
        (
            "a state of 1025 bytes",
            format!(
                "{{\"id\":1,\"presence_set\":{{\"channel\":\"c\",\"state\":\"{}\"}}}}",
                "x".repeat(limits::PRESENCE_STATE_BYTES_MAX - 1)
            ),
        ),
        (
            "a state of 33 levels",
            format!(
                "{{\"id\":1,\"presence_set\":{{\"channel\":\"c\",\"state\":{}}}}}",
                deep(limits::PAYLOAD_DEPTH_MAX + 1)
            ),
        ),
        (
            "the same id twice",
            "{\"id\":1,\"id\":2,\"ping\":{}}".to_owned(),
        ),
        (
            "the same command twice",
            "{\"id\":1,\"ping\":{},\"ping\":{}}".to_owned(),
        ),
        (
            "the same field twice",
            "{\"id\":1,\"subscribe\":{\"channel\":\"c\",\"channel\":\"d\"}}".to_owned(),
        ),
        (
            "the same tag twice",
            publish("\"data\":1,\"tags\":{\"t\":\"a\",\"t\":\"b\"}"),
        ),
        (
            "a time that is a number",
            "{\"id\":1,\"history\":{\"channel\":\"c\",\"time\":17}}".to_owned(),
        ),
        (
            "a time beyond 64 bits",
            "{\"id\":1,\"history\":{\"channel\":\"c\",\"time\":\"18446744073709551616\"}}"
                .to_owned(),
        ),
        (
            "an id with an exponent",
            "{\"id\":1e0,\"ping\":{}}".to_owned(),
        ),
    ]
}

fn bad_msgpack_commands() -> Vec<(&'static str, String)> {
    // {"id":1,"publish":{"channel":"c","data":…}}
    let publish = |data: &str| {
        format!("82 a26964 01 a77075626c697368 82 a76368616e6e656c a163 a464617461 {data}")
    };
    let str = |text: &str| hex(&rmp_serde::to_vec(text).expect("a str"));
    let deep = |levels: usize| str(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    vec![
        ("data that is nil", publish("c0")),
        ("data that is a map", publish("80")),
        ("data that is a number", publish("01")),
        ("data that is not json", publish(&str("{"))),
        ("data that is an empty str", publish(&str(""))),
        ("data with two values", publish(&str("1 2"))),
        ("data that is not utf-8", publish("a4 22 ff ff 22")),
        (
            "data of 33 levels",
            publish(&deep(limits::PAYLOAD_DEPTH_MAX + 1)),
        ),
        (
            "data of 32 levels is taken",
            publish(&deep(limits::PAYLOAD_DEPTH_MAX)),
        ),
        (
            "a channel that is not utf-8",
            "82 a26964 01 a9737562736372696265 81 a76368616e6e656c a1ff".to_owned(),
        ),
        (
            "a state of bytes",
            "82 a26964 01 ac70726573656e63655f736574 82 a76368616e6e656c a163 a57374617465 c40131"
                .to_owned(),
        ),
        (
            "the same id twice",
            "83 a26964 01 a26964 02 a470696e67 80".to_owned(),
        ),
        (
            "the same field twice",
            "82 a26964 01 a9737562736372696265 82 a76368616e6e656c a163 a76368616e6e656c a164"
                .to_owned(),
        ),
        (
            "a time that is a str",
            "82 a26964 01 a7686973746f7279 82 a76368616e6e656c a163 a474696d65 a13 1".to_owned(),
        ),
    ]
}

/// What a server says to a frame.
pub(crate) fn answers(form: Form, frame: &[u8]) -> Vec<Answer> {
    let Ok(commands) = decode_commands(form, frame) else {
        return vec![Answer::BadFrame];
    };
    let answer = |command: Result<_, parlor_protocol::codec::CommandError>| match command {
        Ok(envelope) => {
            let value: Value =
                serde_json::from_slice(&encode_command(Form::Json, &envelope)).expect("json");
            let name = value
                .as_object()
                .and_then(|value| value.keys().find(|key| *key != "id"))
                .expect("a name");
            Answer::Command {
                id: envelope.id,
                command: name.clone(),
            }
        }
        Err(refusal) => Answer::Error {
            id: refusal.id,
            error: refusal.error.name,
        },
    };
    commands.into_iter().map(answer).collect()
}

fn text(name: &str, frame: &str) -> Refused {
    refused(name, Form::Json, frame.as_bytes())
}

fn refused(name: &str, form: Form, frame: &[u8]) -> Refused {
    let readable = String::from_utf8(frame.to_vec()).ok();
    let (json, json_hex, msgpack) = match (form, readable) {
        (Form::MsgPack, _) => (None, None, Some(hex(frame))),
        (Form::Json, Some(text)) => (Some(text), None, None),
        (Form::Json, None) => (None, Some(hex(frame)), None),
    };
    Refused {
        name: name.to_owned(),
        json,
        json_hex,
        msgpack,
        answers: answers(form, frame),
    }
}
