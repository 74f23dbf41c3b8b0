//! Centrifuge's JSON protocol: objects on lines, several in a frame where they waited together.

use std::fmt::Write as _;

use serde_json::Value;

use crate::dialect::{Ear, Heard, Hello, Talk};
use crate::frames;

/// `connect` and all subscriptions at once; the answers come in the same order.
pub(super) fn greeting(hello: &Hello) -> String {
    let mut lines = match &hello.token {
        Some(token) => format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#),
        None => r#"{"id":1,"connect":{}}"#.to_owned(),
    };
    for (channel, id) in hello.channels.iter().zip(2..) {
        write!(
            lines,
            "\n{{\"id\":{id},\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
        )
        .expect("a string takes all");
    }
    lines
}

pub(super) fn publish(number: u64, channel: &str, data: &str) -> String {
    let id = number + FIRST_PUBLISH;
    format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{data}}}}}"#)
}

impl Ear {
    pub(super) fn centrifuge(&mut self, talk: &Talk, payload: &[u8], mut tell: impl FnMut(Heard)) {
        let mut rest = payload;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let heard = if line.starts_with(br#"{"push":"#) {
                self.delivery(line)
            } else {
                reply(talk, line)
            };
            heard.into_iter().for_each(&mut tell);
        }
    }
}

fn reply(talk: &Talk, line: &[u8]) -> Option<Heard> {
    if line == b"{}" {
        return Some(Heard::Answer(frames::text(b"{}")));
    }
    let reply: Value = serde_json::from_slice(line).ok()?;
    if let Some(error) = reply.get("error") {
        return Some(Heard::Refused(error["message"].to_string()));
    }
    let last = 1 + talk.hello.channels.len() as u64;
    (reply["id"].as_u64() == Some(last)).then_some(Heard::Ready)
}

/// Out of the way of the greeting's commands.
const FIRST_PUBLISH: u64 = 1_000_000;
