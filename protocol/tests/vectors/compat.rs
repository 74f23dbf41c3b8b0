//! What a later version may say, and other ways to say the same: each is read as the value beside it.

use serde_json::{Value, json};

use crate::file::{Compat, hex};

pub(crate) fn all() -> Vec<Compat> {
    let mut vectors = to_server();
    vectors.extend(nulls_to_server());
    vectors.extend(to_client());
    vectors.extend(nulls_to_client());
    vectors.extend(other_writings());
    vectors
}

fn to_server() -> Vec<Compat> {
    let publish = publish();
    vec![
        both(
            "server",
            "unknown fields in a command",
            &json!({"id": 1, "ping": {"later": {"deep": [1]}}}),
            &json!({"id": 1, "ping": {}}),
        ),
        both(
            "server",
            "an unknown field in a subscription",
            &json!({"connect": {"subscriptions": [{"channel": "c", "delta": true}], "later": null}}),
            &json!({"connect": {"subscriptions": [{"channel": "c"}]}}),
        ),
        both(
            "server",
            "defaults that are written out",
            &json!({"id": 1, "history": {"channel": "c", "direction": "backward"}}),
            &json!({"id": 1, "history": {"channel": "c", "direction": "backward"}}),
        ),
        json_only(
            "server",
            "an escaped name",
            r#"{"\u0069d":1,"\u0070ing":{}}"#,
            &json!({"id": 1, "ping": {}}),
        ),
        json_only(
            "server",
            "blanks around everything",
            " \r\n\t{ \"id\" : 1 , \"ping\" : { } } \n",
            &json!({"id": 1, "ping": {}}),
        ),
        json_only(
            "server",
            "the id behind the command",
            r#"{"ping":{},"id":1}"#,
            &json!({"id": 1, "ping": {}}),
        ),
        json_only(
            "server",
            "an array of one",
            r#"[{"id":1,"ping":{}}]"#,
            &json!({"id": 1, "ping": {}}),
        ),
        json_only(
            "server",
            "blanks around a payload",
            "{\"id\":1,\"publish\":{\"channel\":\"c\",\"data\": \n\"hi\"\t}}",
            &publish,
        ),
        msgpack_only(
            "server",
            "blanks around a payload",
            &json!({"id": 1, "publish": {"channel": "c", "data": " \n\"hi\"\t"}}),
            &publish,
        ),
        msgpack_only(
            "server",
            "data_b64 is an unknown field in MessagePack",
            &json!({"id": 1, "publish": {"channel": "c", "data": "\"hi\"", "data_b64": 5}}),
            &publish,
        ),
    ]
}

fn nulls_to_server() -> Vec<Compat> {
    let history = json!({"id": 1, "history": {"channel": "c", "direction": "backward"}});
    vec![
        both(
            "server",
            "optional fields of connect that are null",
            &json!({"id": 1, "connect": {"token": null, "user": null, "client": null, "session": null, "features": null, "ping_interval_ms": null, "subscriptions": null}}),
            &json!({"id": 1, "connect": {}}),
        ),
        both(
            "server",
            "optional fields of subscribe that are null",
            &json!({"id": 1, "subscribe": {"channel": "c", "token": null, "recover": null, "presence": null}}),
            &json!({"id": 1, "subscribe": {"channel": "c"}}),
        ),
        json_only(
            "server",
            "optional fields of publish that are null",
            r#"{"id":1,"publish":{"channel":"c","id":null,"echo":null,"tags":null,"data":"hi","data_b64":null}}"#,
            &publish(),
        ),
        msgpack_only(
            "server",
            "optional fields of publish that are null",
            &json!({"id": 1, "publish": {"channel": "c", "id": null, "echo": null, "tags": null, "data": "\"hi\""}}),
            &publish(),
        ),
        both(
            "server",
            "optional fields of history that are null",
            &json!({"id": 1, "history": {"channel": "c", "direction": null, "offset": null, "time": null, "limit": null}}),
            &history,
        ),
        both(
            "server",
            "optional fields of presence that are null",
            &json!({"id": 1, "presence": {"channel": "c", "limit": null, "cursor": null}}),
            &json!({"id": 1, "presence": {"channel": "c"}}),
        ),
        both(
            "server",
            "a state that is null",
            &json!({"id": 1, "presence_set": {"channel": "c", "state": null}}),
            &json!({"id": 1, "presence_set": {"channel": "c"}}),
        ),
    ]
}

fn publish() -> Value {
    json!({"id": 1, "publish": {"channel": "c", "data": "hi"}})
}

fn to_client() -> Vec<Compat> {
    let unknown = json!({});
    let pinged = json!({"id": 1, "signal": {"time": "1"}});
    vec![
        both(
            "client",
            "an unknown push",
            &json!({"later": {"alias": 7}}),
            &unknown,
        ),
        both("client", "a push without a name", &json!({}), &unknown),
        both(
            "client",
            "a reply to an unknown command",
            &json!({"id": 1, "later": {}}),
            &unknown,
        ),
        both(
            "client",
            "an unknown error code",
            &json!({"id": 1, "error": {"code": 1999, "name": "later", "text": "wait", "hint": "x"}}),
            &json!({"id": 1, "error": {"code": 1999, "name": "later", "text": "wait"}}),
        ),
        both(
            "client",
            "an unknown close code",
            &json!({"disconnect": {"code": 4399, "name": "later", "text": "fresh", "more": 1}}),
            &json!({"disconnect": {"code": 4399, "name": "later", "text": "fresh"}}),
        ),
        both(
            "client",
            "an unknown reason of advance",
            &json!({"advance": {"alias": 7, "offset": 3, "position": "p", "reason": "later"}}),
            &json!({"advance": {"alias": 7, "offset": 3, "position": "p", "reason": "later"}}),
        ),
        both(
            "client",
            "an unknown reason why nothing was recovered",
            &json!({"id": 1, "subscribe": not_recovered("later")}),
            &json!({"id": 1, "subscribe": not_recovered("expired")}),
        ),
        timed(
            "client",
            "an unknown reason why nothing was recovered, in a connect reply",
            |time| connect_reply(time, &json!({"subscriptions": [not_recovered("later")]})),
            &connect_reply(
                json!("1"),
                &json!({"subscriptions": [not_recovered("expired")]}),
            ),
        ),
        both(
            "client",
            "an unknown field in the ping push",
            &json!({"ping": {"later": 1}}),
            &json!({"ping": {}}),
        ),
        json_only(
            "client",
            "an unknown kind of event, with unknown fields",
            r#"{"event":{"alias":7,"kind":"reaction","offset":5,"position":"p","time":"1","to":4,"data":"+1"}}"#,
            &json!({"event": {"alias": 7, "kind": "reaction", "offset": 5, "position": "p", "time": "1", "data": "+1"}}),
        ),
        msgpack_only(
            "client",
            "an unknown kind of event, with unknown fields",
            &json!({"event": {"alias": 7, "kind": "reaction", "offset": 5, "position": "p", "time": 1, "to": 4, "data": "\"+1\""}}),
            &json!({"event": {"alias": 7, "kind": "reaction", "offset": 5, "position": "p", "time": "1", "data": "+1"}}),
        ),
        json_only(
            "client",
            "unknown fields beside and in a reply",
            r#"{"id":1,"trace":"x","signal":{"time":"1","later":[]}}"#,
            &pinged,
        ),
        msgpack_only(
            "client",
            "unknown fields beside and in a reply",
            &json!({"id": 1, "trace": "x", "signal": {"time": 1, "later": []}}),
            &pinged,
        ),
    ]
}

fn nulls_to_client() -> Vec<Compat> {
    let event = |time: Value| json!({"alias": 7, "kind": "message", "offset": 3, "position": "p", "time": time});
    let published =
        |time: Value| json!({"offset": 3, "position": "p", "time": time, "durability": "disk"});
    let subscribed =
        json!({"channel": "c", "alias": 7, "position": "p", "offset": 3, "durability": "disk"});
    let diff = json!({"alias": 7, "version": 2, "users": 1, "connections": 1});
    vec![
        timed(
            "client",
            "optional fields of a connect reply that are null",
            |time| {
                connect_reply(
                    time,
                    &json!({"user": null, "expires_in_ms": null, "degraded": null, "subscriptions": []}),
                )
            },
            &connect_reply(json!("1"), &json!({"subscriptions": []})),
        ),
        both(
            "client",
            "optional fields of a subscribe reply that are null",
            &json!({"id": 1, "subscribe": with_nulls(&subscribed, &["recovered", "from", "to", "reason", "presence"])}),
            &json!({"id": 1, "subscribe": subscribed}),
        ),
        timed(
            "client",
            "optional fields of a publish reply that are null",
            |time| json!({"id": 1, "publish": with_nulls(&published(time), &["duplicate"])}),
            &json!({"id": 1, "publish": published(json!("1"))}),
        ),
        timed(
            "client",
            "optional fields of an event that are null",
            |time| json!({"event": with_nulls(&event(time), &["seq", "id", "user", "tags", "own", "erased"])}),
            &json!({"event": event(json!("1"))}),
        ),
        both(
            "client",
            "optional fields of a presence push that are null",
            &json!({"presence": with_nulls(&diff, &["joined", "updated", "left"])}),
            &json!({"presence": diff}),
        ),
    ]
}

fn with_nulls(body: &Value, names: &[&str]) -> Value {
    let mut body = body.clone();
    for name in names {
        body[*name] = Value::Null;
    }
    body
}

/// What a subscription gets that resumes in vain.
fn not_recovered(reason: &str) -> Value {
    json!({"channel": "c", "alias": 7, "position": "p", "offset": 3, "recovered": false, "reason": reason, "durability": "disk"})
}

/// A connect reply with what always is in it, and these fields.
fn connect_reply(time: Value, fields: &Value) -> Value {
    let mut body = json!({
        "connection": "c1",
        "session": {"id": "s1", "secret": "x"},
        "server": "later/2",
        "time": time,
        "ping_interval_ms": 25_000,
        "features": [],
        "limits": {
            "frame_bytes_max": 65_536,
            "commands_per_frame_max": 128,
            "channels_max": 512,
            "payload_bytes_max": 32_768,
            "history_page_max": 1_000,
            "dedup_window_ms": 300_000,
        },
    });
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    json!({"id": 1, "connect": body})
}

/// MessagePack has several ways to write the same number, string or container.
fn other_writings() -> Vec<Compat> {
    let ping = json!({"id": 1, "ping": {}});
    let writings = [
        (
            "wide lengths",
            "df00000002db000000026964ce00000001da000470696e67de0000",
        ),
        ("the id as int64", "82a26964d30000000000000001a470696e6780"),
        ("the id as uint64", "82a26964cf0000000000000001a470696e6780"),
        (
            "an extension in an unknown field",
            "82a26964 01 a470696e67 81 a178 d6ff00000000",
        ),
        (
            "a float in an unknown field",
            "82a26964 01 a470696e67 81 a178 cb3ff0000000000000",
        ),
    ];
    let vector = |(name, writing): (&str, &str)| Compat {
        name: name.to_owned(),
        to: "server".to_owned(),
        value: ping.clone(),
        json: None,
        msgpack: Some(writing.replace(' ', "")),
    };
    writings.into_iter().map(vector).collect()
}

fn both(to: &str, name: &str, written: &Value, value: &Value) -> Compat {
    Compat {
        json: Some(written.to_string()),
        ..msgpack_only(to, name, written, value)
    }
}

/// For what holds a time, which is a number in MessagePack alone.
fn timed(to: &str, name: &str, written: impl Fn(Value) -> Value, value: &Value) -> Compat {
    Compat {
        json: Some(written(json!("1")).to_string()),
        ..msgpack_only(to, name, &written(json!(1)), value)
    }
}

fn json_only(to: &str, name: &str, written: &str, value: &Value) -> Compat {
    Compat {
        name: name.to_owned(),
        to: to.to_owned(),
        value: value.clone(),
        json: Some(written.to_owned()),
        msgpack: None,
    }
}

fn msgpack_only(to: &str, name: &str, written: &Value, value: &Value) -> Compat {
    let msgpack = Some(hex(&rmp_serde::to_vec(written).expect("a value")));
    Compat {
        name: name.to_owned(),
        to: to.to_owned(),
        value: value.clone(),
        json: None,
        msgpack,
    }
}
