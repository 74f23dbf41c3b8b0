//! Every push, sparse and full, and a `disconnect` for every close.

use parlor_protocol::codec::encode_push;
use parlor_protocol::push::{
    Advance, Disconnect, PresenceDiff, Status, TokenExpiring, Unsubscribed,
};
use parlor_protocol::reply::Subscribed;
use parlor_protocol::{Alias, CloseCode, Event, EventKind, Form, Push, Tags};

use crate::commands::{binary, json};
use crate::file::{Vector, hex};
use crate::replies::{TIME, members, subscribed};

pub(crate) fn all() -> Vec<Vector> {
    let alias = Alias(7);
    let mut vectors = events();
    let (position, reason) = (
        "AAAAAAAAAAE.60.AAAAAAAAAAQ".to_owned(),
        "skipped".to_owned(),
    );
    vectors.push(vector(
        "advance",
        Push::Advance(Advance {
            alias,
            offset: 60,
            position,
            reason,
        }),
    ));
    vectors.extend(presence());
    vectors.push(vector(
        "subscribed",
        Push::Subscribed(Subscribed {
            presence: true,
            ..subscribed()
        }),
    ));
    for (code, reason, resubscribe) in [
        (2000, "unsubscribed by the application", false),
        (2500, "subscribe again", true),
        (2501, "events were lost", true),
    ] {
        let ended = Unsubscribed {
            alias,
            channel: "room:lobby".to_owned(),
            code,
            reason: reason.to_owned(),
            resubscribe,
            lost_from: (code == 2501).then_some(42),
            lost_to: (code == 2501).then_some(44),
        };
        vectors.push(vector(
            &format!("unsubscribed {code}"),
            Push::Unsubscribed(ended),
        ));
    }
    vectors.push(vector(
        "token_expiring",
        Push::TokenExpiring(TokenExpiring {
            expires_in_ms: 60_000,
        }),
    ));
    for degraded in [true, false] {
        let name = if degraded { "degraded" } else { "well again" };
        vectors.push(vector(
            &format!("status: {name}"),
            Push::Status(Status { degraded }),
        ));
    }
    vectors.push(vector("ping", Push::Ping));
    for code in CloseCode::ALL {
        vectors.push(vector(
            &format!("disconnect {}", code.name()),
            disconnect(*code, None),
        ));
    }
    vectors.push(vector(
        "disconnect with advice",
        disconnect(CloseCode::Draining, Some(4_200)),
    ));
    vectors
}

fn events() -> Vec<Vector> {
    let push = |name: &str, event| {
        vector(
            name,
            Push::Event {
                alias: Alias(7),
                event,
            },
        )
    };
    vec![
        push("event: a message", message()),
        push("event: a message of bytes, with tags", binary_event()),
        push("event: a signal", signal()),
        push(
            "event: the publisher's own copy",
            Event {
                payload: None,
                own: true,
                ..message()
            },
        ),
        push(
            "event: a payload of null",
            Event {
                payload: Some(json("null")),
                ..message()
            },
        ),
        push(
            "event: from a backend",
            Event {
                user: None,
                id: None,
                ..message()
            },
        ),
        push(
            "event: of a later kind",
            Event {
                kind: EventKind::Other("reaction".to_owned()),
                seq: None,
                ..message()
            },
        ),
        push("event: an erased message", tombstone()),
        push(
            "event: an erasure",
            Event {
                kind: EventKind::Erase,
                offset: Some(45),
                seq: None,
                position: Some("AAAAAAAAAAE.45.AAAAAAAAAAQ".to_owned()),
                id: None,
                user: None,
                payload: Some(json("{\"offsets\":[44]}")),
                ..message()
            },
        ),
        vector(
            "event: the largest alias",
            Push::Event {
                alias: Alias(u32::MAX),
                event: message(),
            },
        ),
    ]
}

fn presence() -> Vec<Vector> {
    let [ada, bob] = <[_; 2]>::try_from(members()).expect("two members");
    let diff = PresenceDiff {
        alias: Alias(7),
        version: 18,
        joined: vec![],
        updated: vec![],
        left: vec![],
        users: 2,
        connections: 3,
    };
    vec![
        vector(
            "presence: joined and updated",
            Push::Presence(PresenceDiff {
                joined: vec![bob],
                updated: vec![ada],
                ..diff.clone()
            }),
        ),
        vector(
            "presence: left",
            Push::Presence(PresenceDiff {
                left: vec!["bob".to_owned()],
                ..diff
            }),
        ),
    ]
}

fn disconnect(code: CloseCode, retry_after_ms: Option<u64>) -> Push {
    let (name, text) = (code.name().to_owned(), code.text().to_owned());
    Push::Disconnect(Disconnect {
        code: code.number(),
        name,
        text,
        retry_after_ms,
    })
}

pub(crate) fn message() -> Event {
    Event {
        kind: EventKind::Message,
        offset: Some(44),
        seq: Some(40),
        position: Some("AAAAAAAAAAE.44.AAAAAAAAAAM".to_owned()),
        time: TIME,
        id: Some("m-1".to_owned()),
        user: Some("ada".to_owned()),
        tags: Tags::new(),
        payload: Some(json("{\"text\": \"hi\"}")),
        own: false,
        erased: false,
    }
}

/// What an erased message left behind.
pub(crate) fn tombstone() -> Event {
    Event {
        id: None,
        user: None,
        payload: None,
        erased: true,
        ..message()
    }
}

pub(crate) fn binary_event() -> Event {
    let tags = Tags::from([("lang".to_owned(), "en".to_owned())]);
    Event {
        tags,
        payload: Some(binary(&[0x00, 0xff, 0x7b])),
        ..message()
    }
}

pub(crate) fn signal() -> Event {
    let payload = Some(json("{\"typing\":true}"));
    Event {
        kind: EventKind::Signal,
        offset: None,
        seq: None,
        position: None,
        id: None,
        payload,
        ..message()
    }
}

fn vector(name: &str, push: Push) -> Vector {
    let json = String::from_utf8(encode_push(Form::Json, &push)).expect("utf-8");
    let msgpack = hex(&encode_push(Form::MsgPack, &push));
    let value = serde_json::from_str(&json).expect("json");
    Vector {
        name: name.to_owned(),
        value,
        json,
        msgpack,
    }
}
