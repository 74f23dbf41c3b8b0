//! Where a channel's new life began, as the partition's stream still tells: what came before it survived.
//!
//! Asked only after a loss, by a node that remembers too little of the channel to see for itself what is gone.

use std::sync::Arc;

use parlor_protocol::{ChannelName, Epoch};
use redis::Value;

use super::core::Core;
use super::fault::Fault;
use super::head::{FramesOf, What};
use super::links::Purpose;
use super::partition::Partition;

/// Newest entries of the stream that are looked through: some seconds of a busy partition.
const ENTRIES: usize = 256;

impl Core {
    /// The offset up to which the log of the life `ended` survived. None when the stream tells nothing of it any more.
    ///
    /// # Errors
    /// Redis is away.
    pub(super) async fn survived_of(
        &self,
        partition: &Arc<Partition>,
        channel: &ChannelName,
        ended: Epoch,
    ) -> Result<Option<u64>, Fault> {
        let link = self.links.get(Purpose::Read, partition.keys.slot).await?;
        let mut command = redis::cmd("XREVRANGE");
        command
            .arg(&partition.keys.stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(ENTRIES);
        let Value::Array(entries) = link.query(&command).await? else {
            return Ok(None);
        };
        Ok(survived_in(&entries, channel, ended))
    }
}

/// Newest first. Several lives may have begun since: the lowest beginning counts.
fn survived_in(entries: &[Value], channel: &ChannelName, ended: Epoch) -> Option<u64> {
    let mut survived: Option<u64> = None;
    for entry in entries {
        let Some(body) = body_of(entry) else { continue };
        let frames = FramesOf::new(body).filter_map(Result::ok);
        for (what, _) in frames {
            let What::NewLife {
                channel: one, top, ..
            } = what
            else {
                continue;
            };
            if one != *channel {
                continue;
            }
            if top.epoch == ended {
                return survived;
            }
            survived = Some(survived.map_or(top.offset, |before| before.min(top.offset)));
        }
    }
    survived
}

/// An entry is its id, and one pair: head and body.
fn body_of(entry: &Value) -> Option<&[u8]> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let Some(Value::Array(pair)) = parts.get(1) else {
        return None;
    };
    match pair.get(1) {
        Some(Value::BulkString(body)) => Some(body),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(channel: &str, epoch: u64, offset: u64) -> Value {
        let head = format!("N {channel} {epoch:016x} {offset} {:016x} 99", 7);
        let body = format!("{} 0 {head}", head.len());
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Array(vec![
            text("1-0"),
            Value::Array(vec![text("head"), text(&body)]),
        ])
    }

    #[test]
    fn what_survived_is_what_came_before_the_lowest_beginning_since() {
        let room = ChannelName::parse("room").unwrap();
        // Newest first.
        let entries = [
            entry("room", 4, 60),
            entry("other", 9, 1),
            entry("room", 3, 50),
            entry("room", 2, 10),
        ];
        let survived = |ended| survived_in(&entries, &room, Epoch(ended));
        assert_eq!(survived(3), Some(60));
        assert_eq!(survived(2), Some(50));
        assert_eq!(survived(1), Some(10));
        assert_eq!(survived(4), None);
        assert_eq!(survived_in(&[Value::Nil], &room, Epoch(1)), None);
    }
}
