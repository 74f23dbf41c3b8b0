//! Pusher's protocol: private channels, signed by the client itself (it is given the application's secret, as no real client
//! ever is), and client events in them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::dialect::{Ear, Heard, Hello, Talk};
use crate::frames;

pub(super) fn publish(channel: &str, data: &str) -> String {
    let channel = private(channel);
    format!(r#"{{"event":"client-m","channel":"{channel}","data":{data}}}"#)
}

impl Ear {
    pub(super) fn pusher(&mut self, talk: &mut Talk, payload: &[u8], tell: impl FnMut(Heard)) {
        match self.delivery(payload) {
            Some(delivery) => Some(delivery).into_iter().for_each(tell),
            None => news(talk, payload).into_iter().for_each(tell),
        }
    }
}

fn news(talk: &mut Talk, payload: &[u8]) -> Vec<Heard> {
    let Ok(message) = serde_json::from_slice::<Value>(payload) else {
        return Vec::new();
    };
    match message["event"].as_str().unwrap_or_default() {
        "pusher:connection_established" if talk.hello.channels.is_empty() => vec![Heard::Ready],
        "pusher:connection_established" => {
            let data = message["data"].as_str().unwrap_or_default();
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            subscriptions(&talk.hello, data["socket_id"].as_str().unwrap_or_default())
        }
        "pusher_internal:subscription_succeeded" => {
            talk.joined += 1;
            let all = talk.joined == talk.hello.channels.len();
            all.then_some(Heard::Ready).into_iter().collect()
        }
        "pusher:ping" => vec![Heard::Answer(frames::text(PONG))],
        "pusher:error" | "pusher:subscription_error" => {
            vec![Heard::Refused(message["data"].to_string())]
        }
        _ => Vec::new(),
    }
}

fn subscriptions(hello: &Hello, socket: &str) -> Vec<Heard> {
    let token = hello.token.as_deref().unwrap_or(":");
    let (key, secret) = token.split_once(':').unwrap_or((token, ""));
    let subscribe = |channel: &String| {
        let channel = private(channel);
        let auth = signature(secret, &format!("{socket}:{channel}"));
        let command = format!(
            r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}","auth":"{key}:{auth}"}}}}"#
        );
        Heard::Answer(frames::text(command.as_bytes()))
    };
    hello.channels.iter().map(subscribe).collect()
}

/// Names here have no colons.
fn private(channel: &str) -> String {
    format!("private-{}", channel.replace(':', "-"))
}

fn signature(secret: &str, what: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(what.as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) const PONG: &[u8] = br#"{"event":"pusher:pong","data":{}}"#;
