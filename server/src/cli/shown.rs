//! Events and members as lines for people. What others wrote can hold anything: it is never let at the terminal raw.

use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

const DIM: &str = "2";
const CYAN: &str = "36";
const YELLOW: &str = "33";

/// One line: time, channel, offset, who, what.
pub(super) fn event(channel: &str, event: &Value) -> String {
    let offset = event["offset"]
        .as_u64()
        .map_or_else(|| "·".to_owned(), |offset| offset.to_string());
    let who = event["user"].as_str().map_or_else(
        || painted(YELLOW, "(backend)"),
        |user| painted(CYAN, &clean(user)),
    );
    let what = match (
        &event["data"]["text"],
        &event["data"],
        event["data_b64"].as_str(),
    ) {
        _ if event["erased"] == Value::Bool(true) => painted(DIM, "(erased)"),
        (Value::String(text), _, _) => clean(text),
        (_, Value::Null, Some(base64)) => format!("{} bytes of binary data", base64.len() / 4 * 3),
        (_, data, _) => clean(&data.to_string()),
    };
    let time = event["time"].as_str().and_then(clock).unwrap_or_default();
    format!(
        "{} {} {who}  {what}",
        painted(DIM, &time),
        painted(DIM, &format!("{}#{offset}", clean(channel)))
    )
}

/// One line: who, what they set, how often connected.
pub(super) fn member(member: &Value) -> String {
    let user = painted(CYAN, &clean(member["user"].as_str().unwrap_or("?")));
    let connections = member["sessions"].as_array().map_or(0, Vec::len);
    let state = if member["state"].is_null() {
        String::new()
    } else {
        format!("  {}", clean(&member["state"].to_string()))
    };
    format!("{user}  {connections} connected{state}")
}

/// A remark of ours between the events.
pub(super) fn remark(text: &str) -> String {
    painted(DIM, &format!("— {}", clean(text)))
}

/// Without control characters, and without those that turn the direction of the line.
fn clean(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.chars()
        .map(|c| {
            if c == '\n' {
                '⏎'
            } else if is_hidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// The time of day in UTC, from 100 ns ticks.
fn clock(ticks: &str) -> Option<String> {
    let ticks: u64 = ticks.parse().ok()?;
    let since: SystemTime = UNIX_EPOCH + Duration::from_micros(ticks / 10);
    let seconds = since.duration_since(UNIX_EPOCH).ok()?.as_secs() % 86_400;
    Some(format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    ))
}

/// Coloured where a person looks, plain in a pipe or when `NO_COLOR` is set.
fn painted(colour: &str, text: &str) -> String {
    if std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_harmless_line() {
        let hostile = json!({"offset": 7, "user": "a\u{1b}[31m", "time": "17954458551746820", "data": {"text": "x\ny\u{202e}\u{7}"}});
        let line = event("room:1", &hostile);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("room:1#7") && line.contains("x⏎y"), "{line}");
    }

    #[test]
    fn ticks_are_a_time_of_day() {
        assert_eq!(clock("864000000000"), Some("00:00:00".to_owned()));
        assert_eq!(clock("36610000000"), Some("01:01:01".to_owned()));
        assert_eq!(clock("x"), None);
    }
}
