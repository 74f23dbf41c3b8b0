//! What each of the other servers says and understands, as far as a load needs it.

use serde_json::Value;

/// By the tool's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Centrifuge,
    Nats,
    SocketIo,
    Pusher,
    Raw,
}

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Wish {
    Join(String),
    /// Of a channel, a payload.
    Publish(String, String),
    /// To be told this.
    Hear(String),
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Centrifuge => "centrifuge",
            Self::Nats => "nats",
            Self::SocketIo => "socket.io",
            Self::Pusher => "pusher",
            Self::Raw => "raw",
        }
    }

    /// What the server says before it is asked.
    pub(crate) fn greeting(self) -> Option<String> {
        let greeting = match self {
            Self::Centrifuge | Self::Raw => return None,
            Self::Nats => "INFO {\"server_id\":\"toy\"}\r\n",
            Self::SocketIo => {
                r#"0{"sid":"toy","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#
            }
            Self::Pusher => {
                r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\"}"}"#
            }
        };
        Some(greeting.to_owned())
    }

    /// What a frame on a connection to this path asks for.
    pub(crate) fn understand(self, path: &str, frame: &str) -> Vec<Wish> {
        match self {
            Self::Centrifuge => frame.lines().flat_map(centrifuge).collect(),
            Self::Nats => nats(frame),
            Self::SocketIo => socket_io(frame),
            Self::Pusher => pusher(&json(frame)),
            Self::Raw => {
                let channel = path.strip_prefix("/pub/").expect("only publishers speak");
                vec![Wish::Publish(channel.to_owned(), frame.to_owned())]
            }
        }
    }

    /// A publication as subscribers get it.
    pub(crate) fn delivery(self, channel: &str, data: &str) -> String {
        match self {
            Self::Centrifuge => {
                format!(r#"{{"push":{{"channel":"{channel}","pub":{{"data":{data}}}}}}}"#)
            }
            Self::Nats => format!("MSG {channel} 1 {}\r\n{data}\r\n", data.len()),
            Self::SocketIo => format!(r#"42["m",{data}]"#),
            Self::Pusher => {
                format!(r#"{{"event":"client-m","channel":"{channel}","data":{data}}}"#)
            }
            Self::Raw => data.to_owned(),
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn centrifuge(line: &str) -> Vec<Wish> {
    let command = json(line);
    let id = &command["id"];
    if let Some(publish) = command.get("publish") {
        let wish = Wish::Publish(text(&publish["channel"]), publish["data"].to_string());
        return vec![wish, Wish::Hear(format!(r#"{{"id":{id},"publish":{{}}}}"#))];
    }
    if let Some(subscribe) = command.get("subscribe") {
        let joined = Wish::Hear(format!(r#"{{"id":{id},"subscribe":{{}}}}"#));
        return vec![Wish::Join(text(&subscribe["channel"])), joined];
    }
    assert!(command.get("connect").is_some(), "{line}");
    vec![Wish::Hear(format!(
        r#"{{"id":{id},"connect":{{"client":"toy"}}}}"#
    ))]
}

fn nats(frame: &str) -> Vec<Wish> {
    let (mut wishes, mut lines) = (Vec::new(), frame.split("\r\n"));
    while let Some(line) = lines.next() {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["SUB", channel, _] => wishes.push(Wish::Join((*channel).to_owned())),
            ["PING"] => wishes.push(Wish::Hear("PONG\r\n".to_owned())),
            ["PUB", channel, length] => {
                let data = lines.next().expect("a payload");
                assert_eq!(*length, data.len().to_string());
                wishes.push(Wish::Publish((*channel).to_owned(), data.to_owned()));
            }
            ["CONNECT", ..] | [""] | ["PONG"] => {}
            other => panic!("not understood: {other:?}"),
        }
    }
    wishes
}

fn socket_io(frame: &str) -> Vec<Wish> {
    if frame == "40" {
        return vec![Wish::Hear(r#"40{"sid":"toy"}"#.to_owned())];
    }
    if let Some(join) = frame.strip_prefix("420") {
        let rooms = json(join)[1].as_array().expect("a list of rooms").clone();
        let joins = rooms.iter().map(|room| Wish::Join(text(room)));
        return joins.chain([Wish::Hear("430[]".to_owned())]).collect();
    }
    let event = json(frame.strip_prefix("42").expect("an event"));
    assert_eq!(event[0], "publish");
    vec![Wish::Publish(text(&event[1]), event[2].to_string())]
}

fn pusher(message: &Value) -> Vec<Wish> {
    match message["event"].as_str() {
        Some("pusher:subscribe") => {
            let data = &message["data"];
            assert!(text(&data["auth"]).starts_with("key:"), "{message}");
            let channel = text(&data["channel"]);
            let joined = format!(
                r#"{{"event":"pusher_internal:subscription_succeeded","channel":"{channel}","data":"{{}}"}}"#
            );
            vec![Wish::Join(channel), Wish::Hear(joined)]
        }
        Some("client-m") => vec![Wish::Publish(
            text(&message["channel"]),
            message["data"].to_string(),
        )],
        _ => panic!("not understood: {message}"),
    }
}
