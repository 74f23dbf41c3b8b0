//! The NATS protocol: lines and payloads of a stated length, as many in a frame as waited together.

use crate::dialect::{Ear, Heard, Hello};
use crate::frames;
use std::fmt::Write as _;

/// Introduces the client, subscribes, and asks for a `PONG`, which says that all of it was taken.
pub(super) fn greeting(hello: &Hello) -> String {
    let mut lines = r#"CONNECT {"verbose":false,"pedantic":false,"lang":"rust","version":"0","protocol":1,"echo":true}"#.to_owned();
    for (channel, id) in hello.channels.iter().zip(1..) {
        write!(lines, "\r\nSUB {channel} {id}").expect("a string takes all");
    }
    lines + "\r\nPING\r\n"
}

pub(super) fn publish(channel: &str, data: &str) -> String {
    format!("PUB {channel} {}\r\n{data}\r\n", data.len())
}

impl Ear {
    pub(super) fn nats(&mut self, payload: &[u8], mut tell: impl FnMut(Heard)) {
        let mut rest = payload;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = (rest[..end].trim_ascii_end(), &rest[end + 1..]);
            rest = after;
            let heard = if line.starts_with(b"MSG ") {
                let length = length(line).unwrap_or(usize::MAX);
                let Some(message) = after.get(..length) else {
                    return tell(Heard::Refused("a message across two frames".to_owned()));
                };
                rest = after.get(length + 2..).unwrap_or_default();
                self.delivery(message)
            } else {
                word(line)
            };
            heard.into_iter().for_each(&mut tell);
        }
    }
}

/// The last number of a `MSG` line.
fn length(line: &[u8]) -> Option<usize> {
    let start = memchr::memrchr(b' ', line)?;
    std::str::from_utf8(&line[start + 1..]).ok()?.parse().ok()
}

fn word(line: &[u8]) -> Option<Heard> {
    match line {
        b"PONG" => Some(Heard::Ready),
        b"PING" => Some(Heard::Answer(frames::binary(b"PONG\r\n"))),
        _ if line.starts_with(b"-ERR") => {
            Some(Heard::Refused(String::from_utf8_lossy(line).into_owned()))
        }
        _ => None,
    }
}
