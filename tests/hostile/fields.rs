//! Each field of each command with a value of every wrong type: the answer names the field, and the connection lives.

use parlor_protocol::{ErrorCode, Form};
use parlor_tests::everywhere;
use serde_json::{Value, json};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::msgpack::encode;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
enum Holds {
    Text,
    OptionalText,
    Switch,
    /// From 0, or absent.
    OptionalNumber,
    Objects,
    Texts,
    OptionalObject,
    /// `{"from": …}` or `{"latest": …}`, or absent.
    Recover,
    /// Names to texts.
    Tags,
    /// `forward` or `backward`.
    Direction,
    /// In JSON a decimal text, in MessagePack a number; or absent.
    OptionalTime,
}

const COMMANDS: &[(&str, &[(&str, Holds)])] = &[
    (
        "connect",
        &[
            ("token", Holds::OptionalText),
            ("user", Holds::OptionalText),
            ("client", Holds::OptionalObject),
            ("session", Holds::OptionalObject),
            ("features", Holds::Texts),
            ("ping_interval_ms", Holds::OptionalNumber),
            ("subscriptions", Holds::Objects),
        ],
    ),
    (
        "subscribe",
        &[
            ("channel", Holds::Text),
            ("token", Holds::OptionalText),
            ("recover", Holds::Recover),
            ("presence", Holds::Switch),
        ],
    ),
    ("unsubscribe", &[("channel", Holds::Text)]),
    (
        "publish",
        &[
            ("channel", Holds::Text),
            ("id", Holds::OptionalText),
            ("echo", Holds::Switch),
            ("tags", Holds::Tags),
        ],
    ),
    ("signal", &[("channel", Holds::Text)]),
    (
        "history",
        &[
            ("channel", Holds::Text),
            ("direction", Holds::Direction),
            ("offset", Holds::OptionalNumber),
            ("time", Holds::OptionalTime),
            ("limit", Holds::OptionalNumber),
        ],
    ),
    (
        "presence",
        &[
            ("channel", Holds::Text),
            ("limit", Holds::OptionalNumber),
            ("cursor", Holds::OptionalText),
        ],
    ),
    ("presence_set", &[("channel", Holds::Text)]),
    ("refresh", &[("token", Holds::Text)]),
];

impl Holds {
    /// Values of other types.
    fn wrong(self, form: Form) -> Vec<Value> {
        let all = [
            json!(null),
            json!(true),
            json!(7),
            json!(-1),
            json!(1.5),
            json!("x"),
            json!([]),
            json!([7]),
            json!([["x"]]),
            json!({}),
            json!({"x": 7}),
        ];
        all.into_iter()
            .filter(|value| !self.takes(value, form))
            .collect()
    }

    fn takes(self, value: &Value, form: Form) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::OptionalText => value.is_string() || value.is_null(),
            Self::Switch => value.is_boolean() || value.is_null(),
            Self::OptionalNumber => value.is_u64() || value.is_null(),
            Self::Objects | Self::Texts => *value == json!([]) || value.is_null(),
            Self::OptionalObject | Self::Recover | Self::Direction => value.is_null(),
            Self::Tags => *value == json!({}) || value.is_null(),
            Self::OptionalTime => value.is_null() || form == Form::MsgPack && value.is_u64(),
        }
    }
}

/// The least that a command needs.
fn body(command: &str) -> Value {
    match command {
        "connect" => json!({}),
        "refresh" => json!({"token": "t"}),
        "publish" | "signal" => json!({"channel": "memory:a", "data": "1"}),
        _ => json!({"channel": "memory:a"}),
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut mallory = server.join("mallory").await;
        let mut id = 1_000;
        for (command, fields) in COMMANDS {
            for (field, holds) in *fields {
                for wrong in holds.wrong(at.form) {
                    let _case = Case((command, field, wrong.clone()));
                    let mut body = body(command);
                    body[*field] = wrong;
                    id += 1;
                    mallory
                        .send_bytes(encode(at.form, &json!({"id": id, (*command): body})))
                        .await;
                    let error = mallory.reply(id).await.expect_err("a wrong type");
                    assert_eq!(error.kind(), Some(ErrorCode::BadRequest), "{error:?}");
                    assert!(error.text.contains(field), "{error:?}");
                    assert!(error.text.len() <= 210, "an answer is a line: {error:?}");
                }
            }
        }
        mallory.ping().await;
        bystanders.talk().await;
        eprintln!("{} wrong fields were named in {:?}", id - 1_000, at.form);
    });
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let mut id = 1_000;
        for command in COMMANDS
            .iter()
            .map(|(command, _)| *command)
            .chain(["ping", "pong"])
        {
            for body in [
                json!(null),
                json!(true),
                json!(7),
                json!("x"),
                json!([]),
                json!([{}]),
                json!([["memory:a"]]),
            ] {
                let _case = Case((command, body.clone()));
                id += 1;
                mallory
                    .send_bytes(encode(at.form, &json!({"id": id, command: body})))
                    .await;
                let error = mallory.reply(id).await.expect_err("no object");
                assert_eq!(error.kind(), Some(ErrorCode::BadRequest), "{error:?}");
            }
        }
    });
}
