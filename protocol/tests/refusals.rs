//! Refusals that are too large for the vectors, and texts that must help: they name the field, and never
//! quote more than a line of what the peer said.

use parlor_protocol::codec::{CommandError, decode_commands, decode_server};
use parlor_protocol::{ChannelName, Command, ErrorCode, Form, limits};
use serde_json::{Value, json};

#[test]
fn a_wrong_type_is_answered_with_the_fields_path() {
    let cases = [
        (json!({"subscribe": {"channel": 5}}), "channel: "),
        (
            json!({"connect": {"subscriptions": [{"channel": "c"}, {"channel": "d", "presence": 1}]}}),
            "subscriptions[1].presence: ",
        ),
        (
            json!({"publish": {"channel": "c", "data": "1", "tags": {"t": 1}}}),
            "tags.t: ",
        ),
        (json!({"subscribe": {}}), "missing field `channel`"),
        (json!({"history": {"channel": "c", "limit": -1}}), "limit: "),
    ];
    for (command, start) in cases {
        for form in Form::ALL {
            let error = refusal(form, &write(form, &command)).error;
            assert_eq!(error.kind(), Some(ErrorCode::BadRequest));
            assert!(error.text.starts_with(start), "{form:?}: {}", error.text);
        }
    }
}

#[test]
fn an_error_never_quotes_a_long_text() {
    let long = "é".repeat(10_000);
    for form in Form::ALL {
        for command in [
            json!({"history": {"channel": "c", "limit": long}}),
            json!({"publish": {"channel": "c", "tags": {"t": 1, &long: 2}}}),
        ] {
            let text = refusal(form, &write(form, &command)).error.text;
            assert!(text.len() < 256, "{}", text.len());
        }
        let frame = match form {
            Form::Json => format!("\"{long}\"").into_bytes(),
            Form::MsgPack => write(form, &json!([long])),
        };
        assert!(
            decode_commands(form, &frame)
                .expect_err("no object")
                .0
                .len()
                < 512
        );
    }
}

#[test]
fn the_largest_payload_is_taken_and_one_byte_more_is_not() {
    for form in Form::ALL {
        for (bytes, taken) in [
            (limits::PAYLOAD_BYTES_MAX, true),
            (limits::PAYLOAD_BYTES_MAX + 1, false),
        ] {
            let text = format!("\"{}\"", "x".repeat(bytes - 2));
            let data = if form == Form::Json {
                serde_json::from_str(&text).expect("json")
            } else {
                Value::from(text)
            };
            let frame = write(
                form,
                &json!({"id": 1, "publish": {"channel": "c", "data": data}}),
            );
            let command = decode_commands(form, &frame).expect("a frame").remove(0);
            let error = command.err().and_then(|refusal| refusal.error.kind());
            assert_eq!(
                error,
                (!taken).then_some(ErrorCode::TooLarge),
                "{form:?} {bytes}"
            );
        }
    }
}

#[test]
fn deep_frames_are_refused_without_recursion() {
    for levels in [65, 1_000, 1_000_000] {
        let json = format!("{{\"ping\":{{\"a\":{}", "[".repeat(levels));
        let msgpack = [
            b"\x81\xa4ping\x81\xa1a".to_vec(),
            vec![0x91; levels],
            vec![0xc0],
        ]
        .concat();
        assert!(decode_commands(Form::Json, json.as_bytes()).is_err());
        assert!(decode_commands(Form::MsgPack, &msgpack).is_err());
        assert!(decode_server(Form::Json, json.as_bytes()).is_err());
        assert!(decode_server(Form::MsgPack, &msgpack).is_err());
    }
}

#[test]
fn as_many_commands_as_allowed_are_taken_and_one_more_is_named() {
    for form in Form::ALL {
        let pings = |count: usize| write(form, &Value::from(vec![json!({"ping": {}}); count]));
        let max = limits::COMMANDS_PER_FRAME_MAX;
        assert_eq!(
            decode_commands(form, &pings(max)).expect("a frame").len(),
            max
        );
        let error = decode_commands(form, &pings(max + 1)).expect_err("too many");
        assert!(error.0.contains("more than 128 commands"), "{error}");
    }
}

#[test]
fn half_a_surrogate_pair_is_json() {
    let frame = br#"{"publish":{"channel":"c","data":"\ud83e"}}"#;
    let read = decode_commands(Form::Json, frame)
        .expect("a frame")
        .remove(0)
        .expect("a command");
    let Command::Publish(publish) = read.command else {
        panic!("{read:?}")
    };
    assert_eq!(&publish.payload.bytes[..], br#""\ud83e""#);
}

#[test]
fn a_payload_does_not_keep_the_frame_alive() {
    for form in Form::ALL {
        let frame = write(form, &json!({"publish": {"channel": "c", "data": "1"}}));
        let read = decode_commands(form, &frame)
            .expect("a frame")
            .remove(0)
            .expect("a command");
        let Command::Publish(publish) = read.command else {
            panic!("{read:?}")
        };
        let inside = frame
            .as_ptr_range()
            .contains(&publish.payload.bytes.as_ptr());
        assert!(!inside);
        assert!(publish.payload.bytes.is_unique(), "its own memory");
    }
}

#[test]
fn the_servers_own_channels_have_names_that_nobody_else_can_say() {
    let own = ChannelName::reserved("$control");
    assert!(own.is_reserved());
    assert!(ChannelName::parse(own.as_str()).is_err());
    assert_eq!(ChannelName::stored("$control"), Some(own));
    assert!(ChannelName::stored("room:1").is_some());
    let long = format!("${}", "c".repeat(255));
    for bad in ["", "$", "$$", "a$b", "$a b", &long] {
        assert!(ChannelName::stored(bad).is_none(), "{bad}");
    }
    assert!(!ChannelName::parse("control").expect("a name").is_reserved());
}

fn refusal(form: Form, frame: &[u8]) -> CommandError {
    decode_commands(form, frame)
        .expect("a frame")
        .remove(0)
        .expect_err("a refusal")
}

fn write(form: Form, value: &Value) -> Vec<u8> {
    match form {
        Form::Json => value.to_string().into_bytes(),
        Form::MsgPack => rmp_serde::to_vec(value).expect("a value"),
    }
}
