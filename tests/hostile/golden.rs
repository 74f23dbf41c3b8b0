//! Every golden frame that is to be refused, over a real socket: the same answers as from the codec.

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::{CloseCode, ErrorCode, Form};
use parlor_tests::{Client, everywhere};
use serde_json::Value;

use crate::bystanders::Bystanders;
use crate::case::Case;

const REFUSED: &str = include_str!("../../protocol/vectors/refused.json");

/// Form and bytes of a vector.
fn frame(vector: &Value) -> (Form, Vec<u8>) {
    let field = |name: &str| vector[name].as_str();
    match (field("json"), field("json_hex"), field("msgpack")) {
        (Some(text), ..) => (Form::Json, text.as_bytes().to_vec()),
        (None, Some(hex), _) => (Form::Json, unhex(hex)),
        (None, None, hex) => (Form::MsgPack, unhex(hex.expect("a frame"))),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

#[test]
fn every_golden_refusal_is_the_same_over_a_socket() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let vectors: Vec<Value> = serde_json::from_str(REFUSED).expect("a vector file");
        let mut mallory = server.join("mallory").await;
        for vector in vectors {
            let (form, bytes) = frame(&vector);
            if form != at.form {
                continue;
            }
            let _case = Case(vector["name"].clone());
            let is_text = form == Form::MsgPack || str::from_utf8(&bytes).is_ok();
            let first = if form == Form::Json {
                crate::raw::TEXT
            } else {
                crate::raw::BINARY
            };
            mallory
                .send_raw(&crate::raw::frame(crate::raw::FIN | first, &bytes))
                .await;
            let answers = vector["answers"].as_array().expect("answers");
            if answers.iter().any(Value::is_null) {
                let code = if is_text {
                    CloseCode::BadFrame
                } else {
                    CloseCode::BadUtf8
                };
                mallory.expect_close(code).await;
                mallory = server.join("mallory").await;
            } else {
                check_answers(&mut mallory, answers).await;
            }
        }
        bystanders.talk().await;
    });
}

/// One message for each answer that is one; the connection lives.
async fn check_answers(mallory: &mut Client, answers: &[Value]) {
    for answer in answers {
        let id = answer["id"].as_u64();
        let Some(name) = answer["error"].as_str() else {
            // A command among others that was understood: whether it succeeds is not the question here.
            if id.is_some() && answer["command"] != "pong" {
                assert!(matches!(
                    mallory.message().await,
                    ServerMessage::Reply { .. }
                ));
            }
            continue;
        };
        let expected = ErrorCode::ALL
            .iter()
            .find(|code| code.name() == name)
            .expect("a code of the table");
        match mallory.message().await {
            ServerMessage::Reply {
                id: told,
                result: Err(error),
            } => {
                assert_eq!(error.kind(), Some(*expected), "{error:?}");
                assert_eq!(u64::from(told), id.unwrap_or(0));
            }
            other => panic!("not an error: {other:?}"),
        }
    }
    mallory.ping().await;
}
