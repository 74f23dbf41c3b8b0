//! Each dialect hears its deliveries, its readiness and its pings, from frames as the real servers send them.

use super::*;
use crate::stamp::{self, Stamp};

fn data(number: u64) -> String {
    let (due_ns, sent_ns) = (number * 1_000, number * 1_000 + 5);
    stamp::payload(
        Stamp {
            due_ns,
            sent_ns,
            number,
        },
        128,
    )
}

fn talk(channels: &[&str]) -> Talk {
    Talk::new(Hello {
        user: "ann".to_owned(),
        token: Some("key:secret".to_owned()),
        channels: channels.iter().map(|&name| name.to_owned()).collect(),
        recover: None,
    })
}

/// In words: numbers of deliveries, `ready`, `answer …`, `refused …`.
fn hear(dialect: Dialect, talk: &mut Talk, payload: &str) -> Vec<String> {
    let mut heard = Vec::new();
    Ear::new(dialect).listen(talk, payload.as_bytes(), |what| {
        heard.push(match what {
            Heard::Delivery(sighting) => sighting.offset.to_string(),
            Heard::Ready => "ready".to_owned(),
            Heard::Answer(frame) => {
                // Two bytes of header or four, and the mask of zeros.
                let start = if frame[1] & 0x7f == 126 { 8 } else { 6 };
                format!("answer {}", String::from_utf8_lossy(&frame[start..]))
            }
            Heard::Refused(why) => format!("refused {why}"),
        });
    });
    heard
}

#[test]
fn centrifuge_is_heard_line_by_line() {
    let mut talk = talk(&["a", "b"]);
    let mut hear = |payload: &str| hear(Dialect::Centrifuge, &mut talk, payload);
    let pushes = [1, 2].map(|number| {
        let data = data(number);
        format!(r#"{{"push":{{"channel":"a","pub":{{"data":{data}}}}}}}"#)
    });
    assert_eq!(hear(r#"{"id":1,"connect":{"client":"x"}}"#), [""; 0]);
    assert_eq!(hear(r#"{"id":2,"subscribe":{}}"#), [""; 0]);
    assert_eq!(hear(r#"{"id":3,"subscribe":{}}"#), ["ready"]);
    let mixed = format!("{}\n{{}}\n{}\n", pushes[0], pushes[1]);
    assert_eq!(hear(&mixed), ["1", "answer {}", "2"]);
    let refusal = r#"{"id":9,"error":{"code":103,"message":"permission denied"}}"#;
    assert_eq!(hear(refusal), [r#"refused "permission denied""#]);
}

#[test]
fn nats_is_heard_as_a_stream() {
    let mut talk = talk(&["a"]);
    let mut hear = |payload: &str| hear(Dialect::Nats, &mut talk, payload);
    let message = |number| format!("MSG a 1 128\r\n{}\r\n", data(number));
    let many = format!("INFO {{}}\r\nPONG\r\n{}{}PING\r\n", message(4), message(5));
    assert_eq!(hear(&many), ["ready", "4", "5", "answer PONG\r\n"]);
    assert_eq!(
        hear("-ERR 'Slow Consumer'\r\n"),
        ["refused -ERR 'Slow Consumer'"]
    );
    assert_eq!(
        hear("MSG a 1 128\r\n{"),
        ["refused a message across two frames"]
    );
}

#[test]
fn socket_io_joins_after_it_is_let_in() {
    let mut talk = talk(&["a", "b"]);
    let mut hear = |payload: &str| hear(Dialect::SocketIo, &mut talk, payload);
    assert_eq!(hear(r#"0{"sid":"x","upgrades":[]}"#), ["answer 40"]);
    assert_eq!(
        hear(r#"40{"sid":"y"}"#),
        [r#"answer 420["join",["a","b"]]"#]
    );
    assert_eq!(hear("430[]"), ["ready"]);
    assert_eq!(hear("2"), ["answer 3"]);
    assert_eq!(hear(&format!(r#"42["m",{}]"#, data(7))), ["7"]);
    assert_eq!(
        hear(r#"44{"message":"no"}"#),
        [r#"refused {"message":"no"}"#]
    );
}

#[test]
fn pusher_signs_and_hears_data_in_either_form() {
    let mut talk = talk(&["load:a"]);
    let mut hear = |payload: &str| hear(Dialect::Pusher, &mut talk, payload);
    let established =
        r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\"}"}"#;
    let asked = hear(established).concat();
    // printf '12.34:private-load-a' | openssl dgst -sha256 -hmac secret
    let signature = "key:dde4f3166b414435e73e84542159a7b5e071a18b6608128a392c0f8795e6b9fa";
    assert!(asked.contains(r#""channel":"private-load-a""#), "{asked}");
    assert!(asked.contains(signature), "{asked}");
    let succeeded =
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"private-load-a"}"#;
    assert_eq!(hear(succeeded), ["ready"]);
    let embedded = format!(r#"{{"event":"client-m","data":{}}}"#, data(3));
    assert_eq!(hear(&embedded), ["3"]);
    let quoted = serde_json::to_string(&data(4)).unwrap();
    assert_eq!(
        hear(&format!(r#"{{"event":"client-m","data":{quoted}}}"#)),
        ["4"]
    );
    assert_eq!(
        hear(r#"{"event":"pusher:ping"}"#),
        [r#"answer {"event":"pusher:pong","data":{}}"#]
    );
}

#[test]
fn raw_frames_are_payloads() {
    assert_eq!(hear(Dialect::Raw, &mut talk(&["a"]), &data(9)), ["9"]);
    assert_eq!(hear(Dialect::Raw, &mut talk(&["a"]), "hello"), [""; 0]);
}

#[test]
fn every_dialect_is_named_on_the_command_line() {
    assert_eq!(Dialect::parse("nats").unwrap(), Dialect::Nats);
    assert!(Dialect::parse("parlor").is_err());
}
