//! Every JSON example of SPEC.md is what it says, and every command, reply and push has one.

use std::collections::BTreeSet;

use parlor_protocol::codec::{
    ServerMessage, decode_commands, decode_server, encode_command, encode_push, encode_reply,
};
use parlor_protocol::{Form, Push};
use serde_json::Value;

#[test]
fn every_example_is_read_and_written_back_the_same() {
    for (kind, text) in examples() {
        let written = match kind.as_str() {
            "command" => {
                let read = decode_commands(Form::Json, text.as_bytes())
                    .expect("a frame")
                    .remove(0);
                encode_command(Form::Json, &read.expect("a command"))
            }
            "reply" | "push" => match decode_server(Form::Json, text.as_bytes())
                .expect("a frame")
                .remove(0)
            {
                ServerMessage::Reply { id, result } => encode_reply(Form::Json, id, &result),
                ServerMessage::Push(Push::Unknown) => panic!("{text}"),
                ServerMessage::Push(push) => encode_push(Form::Json, &push),
            },
            other => panic!("an example of unknown kind: {other}"),
        };
        // What is at its default is shown in examples but not written.
        let defaults = ["\"features\":[],", "\"features\": [],"];
        let shown = if kind == "command" {
            defaults
                .iter()
                .fold(text.clone(), |text, default| text.replace(default, ""))
        } else {
            text
        };
        let [shown, written] = [shown.as_bytes(), &written]
            .map(|text| serde_json::from_slice::<Value>(text).expect("json"));
        assert_eq!(written, shown);
    }
}

#[test]
fn every_name_of_the_wire_has_an_example() {
    let names = |kind: &str| -> BTreeSet<String> {
        let of_kind = examples().into_iter().filter(|(found, _)| found == kind);
        let values = of_kind.map(|(_, text)| serde_json::from_str::<Value>(&text).expect("json"));
        values
            .flat_map(|value| {
                value
                    .as_object()
                    .expect("an object")
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .filter(|key| key != "id")
            .collect()
    };
    let set = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    const BOTH: &str =
        "connect subscribe unsubscribe publish signal history presence presence_set refresh ping";
    assert_eq!(names("command"), set(&format!("{BOTH} pong")));
    assert_eq!(names("reply"), set(&format!("{BOTH} error")));
    assert_eq!(
        names("push"),
        set("event advance presence subscribed unsubscribed token_expiring status disconnect ping")
    );
}

/// Kind and text of each block that is marked as JSON.
fn examples() -> Vec<(String, String)> {
    let spec = include_str!("../SPEC.md");
    let blocks = spec.split("```json ").skip(1);
    let example = |block: &str| {
        let (kind, rest) = block.split_once('\n').expect("a kind");
        let (text, _) = rest.split_once("```").expect("an end");
        (kind.to_owned(), text.trim().to_owned())
    };
    blocks.map(example).collect()
}
