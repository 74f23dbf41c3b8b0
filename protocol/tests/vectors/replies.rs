//! Every reply, sparse and full, and every error.

use parlor_protocol::codec::encode_reply;
use parlor_protocol::command::SessionKey;
use parlor_protocol::reply::{
    Connected, ConnectionLimits, Member, Members, NotRecovered, Page, Pinged, PresenceWasSet,
    Published, Refreshed, Signalled, SubscribeOutcome, Subscribed, Unsubscribed,
};
use parlor_protocol::{Alias, ErrorCode, Form, Reply, Time, WireError};

use crate::commands::json;
use crate::file::{Vector, hex};
use crate::pushes::{binary_event, message, signal, tombstone};

pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = connected();
    vectors.extend(subscriptions());
    vectors.extend(publications());
    vectors.extend(pages());
    for code in ErrorCode::ALL {
        vectors.push(vector(
            &format!("error {}", code.name()),
            Err((*code).into()),
        ));
    }
    let advised = ErrorCode::RateLimited
        .with("slow down")
        .retry_after_ms(1_500);
    vectors.push(vector("an error with advice", Err(advised)));
    vectors
}

fn connected() -> Vec<Vector> {
    let sparse = Connected {
        connection: "c1".to_owned(),
        session: SessionKey {
            id: "s1".to_owned(),
            secret: "hush".to_owned(),
        },
        user: None,
        server: "parlor/0.1.0".to_owned(),
        time: TIME,
        ping_interval_ms: 25_000,
        features: vec![],
        limits: ConnectionLimits {
            frame_bytes_max: 65_536,
            commands_per_frame_max: 128,
            channels_max: 512,
            payload_bytes_max: 32_768,
            history_page_max: 1_000,
            dedup_window_ms: 300_000,
        },
        expires_in_ms: None,
        degraded: false,
        subscriptions: vec![],
    };
    let full = Connected {
        user: Some("ada".to_owned()),
        features: vec!["delta".to_owned()],
        expires_in_ms: Some(3_600_000),
        degraded: true,
        subscriptions: vec![
            SubscribeOutcome::Subscribed(Subscribed {
                recovered: Some(true),
                from: Some(42),
                to: Some(43),
                ..subscribed()
            }),
            SubscribeOutcome::Refused {
                channel: "room:attic".to_owned(),
                error: ErrorCode::NotPermitted.into(),
            },
        ],
        ..sparse.clone()
    };
    vec![
        vector("connect", Ok(Reply::Connect(Box::new(sparse)))),
        vector(
            "connect with everything",
            Ok(Reply::Connect(Box::new(full))),
        ),
    ]
}

fn subscriptions() -> Vec<Vector> {
    let reply = |name: &str, subscribed| vector(name, Ok(Reply::Subscribe(subscribed)));
    let mut vectors = vec![
        reply("subscribe", subscribed()),
        reply(
            "subscribe with presence",
            Subscribed {
                presence: true,
                ..subscribed()
            },
        ),
        reply(
            "subscribe, recovered, nothing missed",
            Subscribed {
                recovered: Some(true),
                ..subscribed()
            },
        ),
        reply(
            "subscribe, recovered, two events follow",
            Subscribed {
                recovered: Some(true),
                from: Some(42),
                to: Some(43),
                ..subscribed()
            },
        ),
    ];
    for reason in NOT_RECOVERED {
        let subscribed = Subscribed {
            recovered: Some(false),
            reason: Some(*reason),
            ..subscribed()
        };
        vectors.push(reply(
            &format!("subscribe, not recovered: {reason:?}"),
            subscribed,
        ));
    }
    vectors.push(vector(
        "unsubscribe",
        Ok(Reply::Unsubscribe(Unsubscribed {})),
    ));
    vectors
}

fn publications() -> Vec<Vector> {
    let published = Published {
        offset: 44,
        position: "AAAAAAAAAAE.44.AAAAAAAAAAM".to_owned(),
        time: TIME,
        durability: "disk".to_owned(),
        duplicate: false,
    };
    vec![
        vector("publish", Ok(Reply::Publish(published.clone()))),
        vector(
            "publish, a duplicate",
            Ok(Reply::Publish(Published {
                duplicate: true,
                ..published.clone()
            })),
        ),
        vector(
            "publish, the largest offset",
            Ok(Reply::Publish(Published {
                offset: (1 << 53) - 1,
                ..published
            })),
        ),
        vector("signal", Ok(Reply::Signal(Signalled { time: TIME }))),
        vector(
            "signal, the largest time",
            Ok(Reply::Signal(Signalled {
                time: Time(u64::MAX),
            })),
        ),
        vector("presence_set", Ok(Reply::PresenceSet(PresenceWasSet {}))),
        vector(
            "refresh",
            Ok(Reply::Refresh(Refreshed {
                expires_in_ms: Some(3_600_000),
            })),
        ),
        vector(
            "refresh, never ends",
            Ok(Reply::Refresh(Refreshed {
                expires_in_ms: None,
            })),
        ),
        vector("ping", Ok(Reply::Ping(Pinged { time: TIME }))),
    ]
}

fn pages() -> Vec<Vector> {
    let page = Page {
        events: vec![message(), binary_event(), signal()],
        more: true,
        epoch: "AAAAAAAAAAE".to_owned(),
        position: "AAAAAAAAAAE.44.AAAAAAAAAAM".to_owned(),
        offset: 44,
    };
    let members = Members {
        members: members(),
        users: 2,
        connections: 3,
        version: 17,
        next: Some("YWRh".to_owned()),
    };
    let counts = Members {
        members: vec![],
        next: None,
        ..members
    };
    vec![
        vector(
            "history, empty",
            Ok(Reply::History(Page {
                events: vec![],
                more: false,
                ..page.clone()
            })),
        ),
        vector("history", Ok(Reply::History(page.clone()))),
        vector(
            "history, an erased message in it",
            Ok(Reply::History(Page {
                events: vec![tombstone()],
                ..page
            })),
        ),
        vector("presence", Ok(Reply::Presence(members))),
        vector("presence, counts alone", Ok(Reply::Presence(counts))),
    ]
}

pub(crate) fn members() -> Vec<Member> {
    vec![
        Member {
            user: "ada".to_owned(),
            info: Some(json("{\"name\":\"Ada\"}")),
            state: Some(json("\"busy\"")),
            sessions: vec!["s1".to_owned(), "s2".to_owned()],
        },
        Member {
            user: "bob".to_owned(),
            info: None,
            state: None,
            sessions: vec!["s3".to_owned()],
        },
    ]
}

pub(crate) fn subscribed() -> Subscribed {
    Subscribed {
        channel: "room:lobby".to_owned(),
        alias: Alias(7),
        position: "AAAAAAAAAAE.43.AAAAAAAAAAI".to_owned(),
        offset: 43,
        recovered: None,
        from: None,
        to: None,
        reason: None,
        presence: false,
        durability: "disk".to_owned(),
    }
}

fn vector(name: &str, result: Result<Reply, WireError>) -> Vector {
    let json = String::from_utf8(encode_reply(Form::Json, 1, &result)).expect("utf-8");
    let msgpack = hex(&encode_reply(Form::MsgPack, 1, &result));
    let value = serde_json::from_str(&json).expect("json");
    Vector {
        name: name.to_owned(),
        value,
        json,
        msgpack,
    }
}

pub(crate) const TIME: Time = Time(17_000_000_000_000_001);

const NOT_RECOVERED: &[NotRecovered] = &[
    NotRecovered::Expired,
    NotRecovered::EpochChanged,
    NotRecovered::Diverged,
    NotRecovered::TooMany,
    NotRecovered::NotPermitted,
    NotRecovered::BadPosition,
];
