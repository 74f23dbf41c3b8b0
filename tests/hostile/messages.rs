//! Messages that are well-framed and mean harm: too deep, too many, ambiguous, or beyond every number.

use parlor_protocol::command::{Command, Connect, Direction, History, Recover, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode, Form};
use parlor_tests::{Client, everywhere, in_both_forms};
use serde_json::{Value, json};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::msgpack::encode;

/// Room for what would not fit into a frame otherwise.
fn roomy(config: &mut parlor::config::Config) {
    config.transport.frame_bytes_max = 4 << 20;
}

/// An array of arrays of arrays, in bytes: no value could hold it.
fn nested(form: Form, levels: usize) -> Vec<u8> {
    match form {
        Form::Json => [b"[".repeat(levels), b"]".repeat(levels)].concat(),
        Form::MsgPack => [b"\x91".repeat(levels), vec![0xc0]].concat(),
    }
}

/// A publish of this payload.
fn publish_of(form: Form, payload: &[u8]) -> Vec<u8> {
    match form {
        Form::Json => [
            br#"{"id":7,"publish":{"channel":"memory:a","data":"#,
            payload,
            b"}}",
        ]
        .concat(),
        Form::MsgPack => [
            &b"\x82\xa2id\x07\xa7publish\x82\xa7channel\xa8memory:a\xa4data"[..],
            payload,
        ]
        .concat(),
    }
}

#[test]
fn what_nests_without_end_is_no_frame() {
    everywhere(async |at| {
        let server = at.setup().with(roomy).start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let objects = match at.form {
            Form::Json => [
                br#"{"a":"#.repeat(100_000),
                b"1".to_vec(),
                b"}".repeat(100_000),
            ]
            .concat(),
            Form::MsgPack => [b"\x81\xa1a".repeat(100_000), vec![0xc0]].concat(),
        };
        let rows = [
            ("200 arrays", nested(at.form, 200)),
            ("100,000 arrays", nested(at.form, 100_000)),
            ("1,000,000 arrays", nested(at.form, 1_000_000)),
            (
                "100,000 arrays, cut off",
                nested(at.form, 100_000)[..100_000].to_vec(),
            ),
            ("100,000 objects", objects),
            (
                "a payload of 100,000 arrays",
                publish_of(at.form, &nested(at.form, 100_000)),
            ),
        ];
        for (what, bytes) in rows {
            let _case = Case(what);
            for mut mallory in [server.open().await, server.join("mallory").await] {
                mallory.send_bytes(bytes.clone()).await;
                mallory.expect_close(CloseCode::BadFrame).await;
            }
        }
        bystanders.talk().await;
    });
}

#[test]
fn a_payload_that_nests_too_deeply_is_refused_and_the_connection_lives() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let deep = "[".repeat(33) + &"]".repeat(33);
        let payload = match at.form {
            Form::Json => deep.clone().into_bytes(),
            // A payload is JSON in a str: its depth is the payload's, not the frame's.
            Form::MsgPack => encode(
                at.form,
                &Value::String("[".repeat(10_000) + &"]".repeat(10_000)),
            ),
        };
        mallory.send_bytes(publish_of(at.form, &payload)).await;
        let error = mallory.reply(7).await.expect_err("too deep");
        assert_eq!(error.kind(), Some(ErrorCode::BadPayload), "{error:?}");
        mallory.ping().await;
    });
}

#[test]
fn two_hundred_commands_are_no_frame_and_none_of_them_is_run() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let publish = json!({"publish": {"channel": "memory:many", "data": "1"}});
        mallory
            .send_bytes(encode(at.form, &Value::Array(vec![publish; 200])))
            .await;
        mallory.expect_close(CloseCode::BadFrame).await;
        let mut ann = server.join("ann").await;
        assert!(ann.whole_history("memory:many").await.is_empty());
    });
}

#[test]
fn a_declared_length_is_believed_when_its_bytes_are_there() {
    in_both_forms(async |at| {
        if at.form == Form::Json {
            return;
        }
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        for marker in [0xdd_u8, 0xdf, 0xdb, 0xc6, 0xc9] {
            for behind in [&b""[..], b"\x00", b"\x80\x80\x80"] {
                let _case = Case((marker, behind));
                let length = [&[marker][..], &[0xff; 4], behind].concat();
                for bytes in [
                    length.clone(),
                    publish_of(at.form, &length),
                    [&b"\x91"[..], &length].concat(),
                ] {
                    let mut mallory = server.join("mallory").await;
                    mallory.send_bytes(bytes).await;
                    mallory.expect_close(CloseCode::BadFrame).await;
                }
            }
        }
        bystanders.talk().await;
    });
}

#[test]
fn an_id_that_is_no_small_number_is_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let frames: Vec<Vec<u8>> = match at.form {
            Form::Json => [
                "-1",
                "9007199254740993",
                "4294967296",
                "1e400",
                "1.5",
                "1e3",
                "\"1\"",
                "null",
                "true",
                "[1]",
                "{}",
                "-0.0",
            ]
            .iter()
            .map(|id| format!(r#"{{"id":{id},"ping":{{}}}}"#).into_bytes())
            .collect(),
            Form::MsgPack => {
                let (infinity, nan) = (f64::INFINITY.to_be_bytes(), f64::NAN.to_be_bytes());
                let mut ids = vec![
                    vec![0xff],
                    vec![0xc0],
                    vec![0xc3],
                    b"\xa11".to_vec(),
                    vec![0x91, 1],
                    vec![0x80],
                ];
                ids.push([&[0xcf][..], &(1_u64 << 53).to_be_bytes()].concat());
                ids.push([&[0xd3][..], &i64::MIN.to_be_bytes()].concat());
                ids.push([&[0xcb][..], &infinity].concat());
                ids.push([&[0xcb][..], &nan].concat());
                ids.push(b"\xd6\x01abcd".to_vec());
                ids.iter()
                    .map(|id| [&b"\x82\xa2id"[..], id, b"\xa4ping\x80"].concat())
                    .collect()
            }
        };
        for frame in frames {
            let _case = Case(String::from_utf8_lossy(&frame).into_owned());
            mallory.send_bytes(frame).await;
            let error = mallory.reply(0).await.expect_err("no id");
            assert_eq!(error.kind(), Some(ErrorCode::BadRequest));
            assert!(error.text.starts_with("id: "), "{error:?}");
        }
        mallory.ping().await;
    });
}

#[test]
fn what_is_no_number_is_no_frame() {
    in_both_forms(async |at| {
        if at.form == Form::MsgPack {
            return;
        }
        let server = at.start().await;
        for number in [
            "NaN",
            "Infinity",
            "-Infinity",
            "01",
            "0x1",
            "+1",
            ".5",
            "1.",
            "1e",
            "--1",
            "undefined",
        ] {
            let _case = Case(number);
            for frame in [
                format!(r#"{{"id":{number},"ping":{{}}}}"#),
                format!(r#"{{"id":1,"publish":{{"channel":"memory:a","data":{number}}}}}"#),
            ] {
                let mut mallory = server.join("mallory").await;
                mallory.send_bytes(frame.into_bytes()).await;
                mallory.expect_close(CloseCode::BadFrame).await;
            }
        }
    });
}

#[test]
fn numbers_beyond_every_float_pass_as_they_were_written() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let (mut ann, mut mallory) = (server.join("ann").await, server.join("mallory").await);
        ann.subscribe("memory:a").await;
        for data in [
            "1e400",
            "-1e400",
            "123456789012345678901234567890",
            r#""\ud800""#,
            r#""\udc00\ud800 \u0000""#,
            r#"{"a":1,"a":2}"#,
        ] {
            let _case = Case(data);
            mallory
                .try_publish(parlor_tests::publish("memory:a", parlor_tests::json(data)))
                .await
                .expect("it is JSON");
            let event = ann.event().await;
            assert_eq!(
                &event.payload.expect("a payload").bytes[..],
                data.as_bytes()
            );
        }
    });
}

#[test]
fn what_stands_there_twice_is_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let rows: [(&str, &[u8], &[u8], u32); 5] = [
            (
                "two ids",
                br#"{"id":3,"id":4,"ping":{}}"#,
                b"\x83\xa2id\x03\xa2id\x04\xa4ping\x80",
                0,
            ),
            (
                "one command twice",
                br#"{"id":3,"ping":{},"ping":{}}"#,
                b"\x83\xa2id\x03\xa4ping\x80\xa4ping\x80",
                3,
            ),
            (
                "two commands",
                br#"{"id":3,"ping":{},"unsubscribe":{"channel":"memory:a"}}"#,
                b"\x83\xa2id\x03\xa4ping\x80\xabunsubscribe\x81\xa7channel\xa8memory:a",
                3,
            ),
            (
                "two channels",
                br#"{"id":3,"subscribe":{"channel":"memory:a","channel":"memory:b"}}"#,
                b"\x82\xa2id\x03\xa9subscribe\x82\xa7channel\xa8memory:a\xa7channel\xa8memory:b",
                3,
            ),
            (
                "two payloads",
                br#"{"id":3,"publish":{"channel":"memory:a","data":1,"data":2}}"#,
                b"\x82\xa2id\x03\xa7publish\x83\xa7channel\xa8memory:a\xa4data\xa11\xa4data\xa12",
                3,
            ),
        ];
        for (what, json, msgpack, id) in rows {
            let _case = Case(what);
            let bytes = if at.form == Form::Json { json } else { msgpack };
            mallory.send_bytes(bytes.to_vec()).await;
            let error = mallory.reply(id).await.expect_err("which of the two?");
            assert_eq!(error.kind(), Some(ErrorCode::BadRequest), "{error:?}");
        }
        mallory.ping().await;
    });
}

#[test]
fn a_lone_surrogate_is_no_name() {
    in_both_forms(async |at| {
        if at.form == Form::MsgPack {
            return;
        }
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        mallory
            .send_bytes(br#"{"id":3,"subscribe":{"channel":"memory:\ud800"}}"#.to_vec())
            .await;
        let error = mallory.reply(3).await.expect_err("no text");
        assert_eq!(error.kind(), Some(ErrorCode::BadRequest), "{error:?}");
        mallory.ping().await;
    });
}

#[test]
fn unknown_fields_are_passed_over_and_unknown_commands_told() {
    everywhere(async |at| {
        let server = at.setup().with(roomy).start().await;
        let mut mallory = server.join("mallory").await;
        let many: serde_json::Map<_, _> = (0..10_000)
            .map(|field| (format!("field-{field}"), json!([field])))
            .collect();
        mallory
            .send_bytes(encode(at.form, &json!({"id": 3, "ping": many})))
            .await;
        mallory.reply(3).await.expect("10,000 unknown fields");
        let mut commands = many;
        commands.insert("id".to_owned(), json!(4));
        mallory
            .send_bytes(encode(at.form, &Value::Object(commands)))
            .await;
        let error = mallory
            .reply(4)
            .await
            .expect_err("10,000 commands in one object");
        assert_eq!(error.kind(), Some(ErrorCode::BadRequest), "{error:?}");
        mallory
            .send_bytes(encode(at.form, &json!({"id": 5, "x".repeat(10_000): {}})))
            .await;
        let error = mallory
            .reply(5)
            .await
            .expect_err("a command of 10,000 letters");
        assert_eq!(error.kind(), Some(ErrorCode::UnknownCommand));
        assert!(error.text.len() < 300);
    });
}

fn many_channels(count: usize) -> Vec<Subscribe> {
    (0..count)
        .map(|number| Subscribe::new(format!("memory:{number}")))
        .collect()
}

#[test]
fn ten_thousand_channels_in_one_frame_have_a_clear_end() {
    everywhere(async |at| {
        // By the default limits the frame itself is too large.
        let server = at.start().await;
        let connect = Connect {
            subscriptions: many_channels(10_000),
            ..Connect::default()
        };
        let mut mallory = server.open().await;
        mallory.send(Command::Connect(connect.clone())).await;
        mallory.expect_close(CloseCode::FrameTooLarge).await;
        // With room for it, it is too many channels.
        let server = at.setup().with(roomy).start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let (mut mallory, refused) = server.try_join(connect).await;
        assert_eq!(
            refused.expect_err("too many").kind(),
            Some(ErrorCode::TooMany)
        );
        mallory.expect_close(CloseCode::ConnectRefused).await;
        let mut mallory = server.join("mallory").await;
        mallory
            .send_together(many_channels(10_000).into_iter().map(Command::Subscribe))
            .await;
        mallory.expect_close(CloseCode::BadFrame).await;
        let mut mallory = server.join("mallory").await;
        let names: Vec<_> = (0..10_000)
            .map(|number| format!("memory:{number}"))
            .collect();
        mallory
            .send_bytes(encode(
                at.form,
                &json!({"id": 3, "subscribe": {"channel": names}}),
            ))
            .await;
        let error = mallory.reply(3).await.expect_err("not a channel");
        assert!(error.text.contains("channel"), "{error:?}");
        bystanders.talk().await;
    });
}

#[test]
fn ten_thousand_subscriptions_one_after_the_other_end_at_the_limit() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut mallory = server.join("mallory").await;
        let mut held = 0;
        for frame in many_channels(10_000).chunks(128) {
            let commands = frame.iter().cloned().map(Command::Subscribe);
            for id in mallory.send_together(commands).await {
                match mallory.reply(id).await {
                    Ok(_) => held += 1,
                    Err(error) => assert_eq!(error.kind(), Some(ErrorCode::TooMany), "{error:?}"),
                }
            }
        }
        assert_eq!(held, parlor_protocol::limits::CHANNELS_PER_CONNECTION_MAX);
        bystanders.talk().await;
    });
}

#[test]
fn what_is_no_channel_name_is_refused_everywhere() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let long = format!("memory:{}", "n".repeat(249));
        let names = [
            "",
            "memory:\0",
            "memory:a\r\nb",
            "memory:\u{1b}[31m",
            "memory:*",
            "memory:{a}",
            "memory:..\\",
            "memory:a b",
            "memory:\u{202e}a",
            "memory:\u{e9}",
            "memory:e\u{301}",
            "$memory",
            "memory:%2e",
            "memory:?",
            "memory:'--",
            &long,
        ];
        let mut id = 1_000;
        for name in names {
            for command in [
                "subscribe",
                "unsubscribe",
                "publish",
                "signal",
                "history",
                "presence",
                "presence_set",
            ] {
                let _case = Case((command, name));
                id += 1;
                let mut body = json!({"channel": name});
                if matches!(command, "publish" | "signal") {
                    body["data"] = json!("1");
                }
                mallory
                    .send_bytes(encode(at.form, &json!({"id": id, command: body})))
                    .await;
                let error = mallory.reply(id).await.expect_err("no name");
                assert_eq!(error.kind(), Some(ErrorCode::BadChannel), "{error:?}");
            }
        }
        mallory.ping().await;
    });
}

#[test]
fn a_made_up_position_recovers_nothing_and_harms_nobody() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let real = mallory.publish("disk:a", "one").await.position;
        let parts: Vec<_> = real.split('.').collect();
        let (epoch, tag) = (parts[0], parts[2]);
        let positions = [
            String::new(),
            "..".to_owned(),
            "x".repeat(128),
            format!("{epoch}.18446744073709551615.{tag}"),
            format!("{epoch}.18446744073709551616.{tag}"),
            format!("{epoch}.9007199254740992.{tag}"),
            format!("{epoch}.-1.{tag}"),
            format!("{epoch}.0.{tag}"),
            format!("AAAAAAAAAAA.1.{tag}"),
            format!("{epoch}.1.AAAAAAAAAAA"),
            format!("{epoch}.1"),
            format!("{real}.1"),
            "\u{0}".repeat(30),
            "../../../../etc/passwd".to_owned(),
        ];
        for position in positions {
            let _case = Case(position.clone());
            let subscribed = mallory.resume("disk:a", Recover::From(position)).await;
            assert_eq!(subscribed.recovered, Some(false), "{subscribed:?}");
            mallory.unsubscribe("disk:a").await;
        }
        let subscribed = mallory.resume("disk:a", Recover::From(real)).await;
        assert_eq!(subscribed.recovered, Some(true), "the control");
    });
}

#[test]
fn history_beyond_every_bound_is_a_page_at_most() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        mallory.publish_many("memory:a", 0..20).await;
        for direction in [Direction::Forward, Direction::Backward] {
            for offset in [
                None,
                Some(0),
                Some(u64::MAX),
                Some(i64::MAX as u64 + 1),
                Some(1 << 53),
            ] {
                for limit in [Some(0), Some(u32::MAX)] {
                    let _case = Case((direction, offset, limit));
                    let history = History {
                        channel: "memory:a".to_owned(),
                        direction,
                        offset,
                        time: None,
                        limit,
                    };
                    let page = mallory
                        .try_history(history)
                        .await
                        .expect("a page, if an empty one");
                    assert!(page.events.len() <= 20);
                }
            }
        }
    });
}

#[test]
fn who_says_anything_before_connect_or_says_connect_twice_is_told() {
    everywhere(async |at| {
        let server = at.start().await;
        for command in ["subscribe", "publish", "history", "presence", "signal"] {
            let _case = Case(command);
            let mut stranger: Client = server.open().await;
            let body = json!({"channel": "memory:a", "data": "1"});
            stranger
                .send_bytes(encode(at.form, &json!({"id": 3, command: body})))
                .await;
            let error = stranger.reply(3).await.expect_err("who are you?");
            assert_eq!(error.kind(), Some(ErrorCode::NotConnected));
            stranger.expect_close(CloseCode::ConnectRefused).await;
        }
        let mut mallory = server.join("mallory").await;
        let again = Connect {
            user: Some("ann".to_owned()),
            ..Connect::default()
        };
        let error = mallory.connect(again).await.expect_err("you are mallory");
        assert_eq!(error.kind(), Some(ErrorCode::AlreadyConnected));
        mallory.ping().await;
    });
}
