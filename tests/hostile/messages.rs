//! Messages that are well-framed and mean harm: too deep, too many, too early.

use parlor::config::Config;
use parlor_protocol::command::Connect;
use parlor_protocol::{CloseCode, ErrorCode, Form};
use parlor_tests::{Client, everywhere, in_both_forms};
use serde_json::{Value, json};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::msgpack::encode;

/// Room for what would not fit into a frame otherwise.
pub(crate) fn roomy(config: &mut Config) {
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
