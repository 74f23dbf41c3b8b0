//! What keeps old and new software talking: unknown things are passed over, bad neighbours do no harm.

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::{ErrorCode, Form, Reply};
use parlor_tests::{Client, everywhere, said};
use serde_json::{Value, json};

/// Sends any object in the connection's form: what a client of another version would.
async fn send(client: &mut Client, form: Form, value: &Value) {
    let bytes = match form {
        Form::Json => value.to_string().into_bytes(),
        Form::MsgPack => to_msgpack(value),
    };
    client.send_bytes(bytes).await;
}

/// Enough MessagePack for tests: maps and arrays up to 65,535 entries, strings, small numbers, booleans.
fn to_msgpack(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, value);
    bytes
}

fn put(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(0xc0),
        Value::Bool(value) => bytes.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Number(number) => {
            bytes.push(0xcf);
            bytes.extend(number.as_u64().expect("a natural number").to_be_bytes());
        }
        Value::String(text) => put_str(bytes, text),
        Value::Array(items) => {
            put_len(bytes, 0xdc, items.len());
            items.iter().for_each(|item| put(bytes, item));
        }
        Value::Object(fields) => {
            put_len(bytes, 0xde, fields.len());
            for (name, field) in fields {
                put_str(bytes, name);
                match (name.as_str(), field) {
                    // A JSON payload stands in MessagePack as its text.
                    ("data", field) => put_str(bytes, &field.to_string()),
                    (_, field) => put(bytes, field),
                }
            }
        }
    }
}

fn put_str(bytes: &mut Vec<u8>, text: &str) {
    put_len(bytes, 0xda, text.len());
    bytes.extend(text.as_bytes());
}

fn put_len(bytes: &mut Vec<u8>, kind: u8, len: usize) {
    bytes.push(kind);
    bytes.extend(u16::try_from(len).expect("a short one").to_be_bytes());
}

#[test]
fn an_unknown_command_is_refused_and_the_connection_lives() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        send(
            &mut ann,
            at.form,
            &json!({ "id": 900, "teleport": { "to": "moon" } }),
        )
        .await;
        assert_eq!(
            ann.reply(900).await.unwrap_err().kind(),
            Some(ErrorCode::UnknownCommand)
        );
        ann.ping().await;
    });
}

#[test]
fn unknown_fields_are_passed_over() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let deep = json!({ "a": [{ "b": [] }] });
        send(
            &mut ann,
            at.form,
            &json!({ "id": 900, "subscribe": { "channel": "disk:a", "mood": deep } }),
        )
        .await;
        let Ok(Reply::Subscribe(_)) = ann.reply(900).await else {
            panic!("not subscribed")
        };
        let publish = json!({ "channel": "disk:a", "data": "hi", "priority": 7, "nothing": null });
        send(&mut ann, at.form, &json!({ "id": 901, "publish": publish })).await;
        ann.reply(901).await.expect("published");
        assert_eq!(said(&ann.event().await), "hi");
    });
}

#[test]
fn bad_neighbours_in_a_frame_do_no_harm() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let frame = json!([
            { "id": 1000, "publish": { "channel": "disk:a", "data": 1 } },
            { "id": 1001, "publish": { "channel": 7, "data": 1 } },
            { "id": 1002, "nonsense": {} },
            { "id": 1003 },
            { "id": 1004, "ping": {}, "pong": {} },
            { "id": "five", "ping": {} },
            { "id": 1005, "publish": { "channel": "disk:a", "data": 2 } },
            { "id": 1006, "publish": {} },
            { "id": 1007, "ping": {} },
        ]);
        send(&mut ann, at.form, &frame).await;
        for (id, expected) in [
            (1001, ErrorCode::BadRequest),
            (1002, ErrorCode::UnknownCommand),
            (1003, ErrorCode::BadRequest),
            (1004, ErrorCode::BadRequest),
            // An id that cannot be read is answered as 0.
            (0, ErrorCode::BadRequest),
            (1006, ErrorCode::BadRequest),
        ] {
            assert_eq!(
                ann.reply(id).await.unwrap_err().kind(),
                Some(expected),
                "{id}"
            );
        }
        for (id, offset) in [(1000, 1), (1005, 2)] {
            let Ok(Reply::Publish(published)) = ann.reply(id).await else {
                panic!("not published")
            };
            assert_eq!(published.offset, offset);
        }
        ann.reply(1007).await.expect("pinged");
    });
}

#[test]
fn a_frame_of_many_is_the_same_as_many_frames() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut client = server.open().await;
        // Everything at once, connect included: commands are carried out in their order.
        let frame = json!([
            { "id": 1, "connect": { "user": "ann" } },
            { "id": 2, "subscribe": { "channel": "disk:a" } },
            { "id": 3, "publish": { "channel": "disk:a", "data": "hi" } },
            { "id": 4, "unsubscribe": { "channel": "disk:a" } },
            { "id": 5, "publish": { "channel": "disk:a", "data": "unheard" } },
        ]);
        send(&mut client, at.form, &frame).await;
        let mut order = Vec::new();
        while order.len() < 5 {
            match client.message().await {
                ServerMessage::Reply { id, result } => {
                    result.expect("accepted");
                    order.push(id);
                }
                ServerMessage::Push(push) => {
                    let parlor_protocol::Push::Event { event, .. } = push else {
                        panic!("{push:?}")
                    };
                    assert_eq!((said(&event), order.contains(&4)), ("hi", false));
                }
            }
        }
        assert_eq!(order, [1, 2, 3, 4, 5]);
        assert_eq!(client.pushes_so_far().await, []);
    });
}
