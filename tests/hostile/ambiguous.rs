//! Messages that could be read in two ways, or in none: numbers beyond every number, names that stand there twice.

use parlor_protocol::{CloseCode, ErrorCode, Form};
use parlor_tests::{everywhere, in_both_forms};
use serde_json::{Value, json};

use crate::case::Case;
use crate::messages::roomy;
use crate::msgpack::encode;

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
