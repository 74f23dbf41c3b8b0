//! Every command, sparse and full.

use bytes::Bytes;
use parlor_protocol::codec::encode_command;
use parlor_protocol::command::{
    ClientInfo, Connect, Direction, History, Ping, Pong, Presence, PresenceSet, Publish, Recover,
    Refresh, SessionKey, Signal, Subscribe, Unsubscribe,
};
use parlor_protocol::{Command, Envelope, Form, Format, Payload, Tags, Time};

use crate::file::{Vector, hex};

pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = connecting();
    vectors.extend(publishing());
    vectors.extend(asking());
    vectors
}

fn connecting() -> Vec<Vector> {
    let full = Connect {
        token: Some("eyJ.e30.c2ln".to_owned()),
        user: Some("ada".to_owned()),
        client: Some(ClientInfo {
            name: "parlor-js".to_owned(),
            version: "0.1.0".to_owned(),
        }),
        session: Some(SessionKey {
            id: "s1".to_owned(),
            secret: "hush".to_owned(),
        }),
        features: vec!["delta".to_owned()],
        ping_interval_ms: Some(25_000),
        subscriptions: vec![
            Subscribe::new("room:lobby")
                .recover(Recover::From("AAAAAAAAAAE.41.AAAAAAAAAAI".to_owned())),
            Subscribe {
                token: Some("t2".to_owned()),
                ..Subscribe::new("room:attic").with_presence(true)
            },
        ],
    };
    vec![
        vector(
            "connect with nothing",
            Some(1),
            Command::Connect(Connect::default()),
        ),
        vector("connect with everything", Some(1), Command::Connect(full)),
        vector(
            "subscribe",
            Some(2),
            Command::Subscribe(Subscribe::new("room:lobby")),
        ),
        vector(
            "subscribe from a position",
            Some(2),
            Command::Subscribe(
                Subscribe::new("room:lobby")
                    .recover(Recover::From("AAAAAAAAAAE.41.AAAAAAAAAAI".to_owned())),
            ),
        ),
        vector(
            "subscribe with the latest",
            Some(2),
            Command::Subscribe(Subscribe::new("room:lobby").recover(Recover::Latest(20))),
        ),
        vector(
            "subscribe with a token and presence",
            Some(2),
            Command::Subscribe(Subscribe {
                token: Some("t2".to_owned()),
                ..Subscribe::new("room:lobby").with_presence(true)
            }),
        ),
        vector(
            "unsubscribe",
            Some(3),
            Command::Unsubscribe(Unsubscribe {
                channel: "room:lobby".to_owned(),
            }),
        ),
        vector(
            "refresh",
            Some(4),
            Command::Refresh(Refresh {
                token: "eyJ.e30.c2ln".to_owned(),
            }),
        ),
        vector("ping", Some(5), Command::Ping(Ping {})),
        vector("a command without an id", None, Command::Ping(Ping {})),
        vector("the smallest id", Some(0), Command::Ping(Ping {})),
        vector("the largest id", Some(u32::MAX), Command::Ping(Ping {})),
        vector("pong", None, Command::Pong(Pong {})),
    ]
}

fn publishing() -> Vec<Vector> {
    let full = Publish {
        channel: "room:lobby".to_owned(),
        id: Some("m-1".to_owned()),
        echo: false,
        tags: Tags::from([
            ("lang".to_owned(), "en".to_owned()),
            ("tone".to_owned(), "kind".to_owned()),
        ]),
        payload: json("{\"text\":\"hi\"}"),
    };
    let mut vectors = vec![vector(
        "publish with everything",
        Some(6),
        Command::Publish(full),
    )];
    let payloads = [
        (
            "an object with blanks and a newline",
            json("{\n \"text\" : [1, 2.50, -0, 1e3]\n}"),
        ),
        ("a number beyond 2^53", json("9007199254740993")),
        (
            "text beyond ASCII",
            json("\"é 語 🦜 \\ud83e\\udd9c \\u0000\""),
        ),
        ("null", json("null")),
        ("the same key twice", json("{\"a\":1,\"a\":2}")),
        ("no bytes", binary(b"")),
        ("bytes", binary(&[0x00, 0xff, 0x7b, 0x80])),
        ("bytes that look like json", binary(b"{}")),
        ("256 bytes", binary(&(0..=255).collect::<Vec<u8>>())),
    ];
    for (what, payload) in payloads {
        let publish = Publish {
            channel: "c".to_owned(),
            id: None,
            echo: true,
            tags: Tags::new(),
            payload,
        };
        vectors.push(vector(
            &format!("publish {what}"),
            Some(6),
            Command::Publish(publish),
        ));
    }
    let signal = |payload| {
        Command::Signal(Signal {
            channel: "room:lobby".to_owned(),
            payload,
        })
    };
    vectors.push(vector(
        "signal json",
        Some(7),
        signal(json("{\"typing\":true}")),
    ));
    vectors.push(vector(
        "signal bytes without an id",
        None,
        signal(binary(&[1, 2, 3])),
    ));
    vectors
}

fn asking() -> Vec<Vector> {
    let channel = || "room:lobby".to_owned();
    let page = History {
        channel: channel(),
        direction: Direction::Backward,
        offset: None,
        time: None,
        limit: None,
    };
    let members = Presence {
        channel: channel(),
        limit: None,
        cursor: None,
    };
    let time = Some(Time(17_000_000_000_000_001));
    vec![
        vector("history", Some(8), Command::History(page.clone())),
        vector(
            "history forward from an offset",
            Some(8),
            Command::History(History {
                direction: Direction::Forward,
                offset: Some(41),
                limit: Some(50),
                ..page.clone()
            }),
        ),
        vector(
            "history before the largest offset",
            Some(8),
            Command::History(History {
                offset: Some((1 << 53) - 1),
                ..page.clone()
            }),
        ),
        vector(
            "history by time",
            Some(8),
            Command::History(History { time, ..page }),
        ),
        vector("presence", Some(9), Command::Presence(members.clone())),
        vector(
            "presence counts alone",
            Some(9),
            Command::Presence(Presence {
                limit: Some(0),
                ..members.clone()
            }),
        ),
        vector(
            "presence, next page",
            Some(9),
            Command::Presence(Presence {
                limit: Some(100),
                cursor: Some("YWRh".to_owned()),
                ..members
            }),
        ),
        vector(
            "presence_set",
            Some(10),
            Command::PresenceSet(PresenceSet {
                channel: channel(),
                state: Some(json("{\"mood\":\"busy\"}")),
            }),
        ),
        vector(
            "presence_set removes",
            Some(10),
            Command::PresenceSet(PresenceSet {
                channel: channel(),
                state: None,
            }),
        ),
    ]
}

fn vector(name: &str, id: Option<u32>, command: Command) -> Vector {
    let envelope = Envelope { id, command };
    let json = String::from_utf8(encode_command(Form::Json, &envelope)).expect("utf-8");
    let msgpack = hex(&encode_command(Form::MsgPack, &envelope));
    let value = serde_json::from_str(&json).expect("json");
    Vector {
        name: name.to_owned(),
        value,
        json,
        msgpack,
    }
}

pub(crate) fn json(text: &'static str) -> Payload {
    Payload {
        format: Format::Json,
        bytes: Bytes::from_static(text.as_bytes()),
    }
}

pub(crate) fn binary(bytes: &[u8]) -> Payload {
    Payload {
        format: Format::Binary,
        bytes: Bytes::copy_from_slice(bytes),
    }
}
