//! Where channels' new lives began, as the end of a partition's stream still tells: what came before survived.
//!
//! Asked only after a loss, for channels of which this node remembers too little to see for itself what is gone. A new floor
//! ends all channels at the same time, and what the stream holds are whole batches: so it is read once, for all of them.

use std::collections::HashMap;

use parlor_protocol::{ChannelName, Epoch};
use redis::Value;

use super::core::Core;
use super::fault::Fault;
use super::head::{FramesOf, What};
use super::links::Purpose;
use super::partition::Partition;

/// Newest entries of the stream that are looked through: some seconds of a busy partition.
const ENTRIES: usize = 256;

/// The new lives that the end of a stream tells of.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Of each channel, newest first: the life's epoch, and the offset up to which the one before survived.
    lives: HashMap<ChannelName, Vec<(Epoch, u64)>>,
}

impl Core {
    /// What the end of the partition's stream tells now.
    ///
    /// # Errors
    /// Redis is away.
    pub(super) async fn begun(&self, partition: &Partition) -> Result<Begun, Fault> {
        let mut command = redis::cmd("XREVRANGE");
        command
            .arg(&partition.keys.stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(ENTRIES);
        let slot = partition.keys.slot;
        let Value::Array(entries) = self.links.ask(Purpose::Read, slot, &command).await? else {
            return Ok(Begun::default());
        };
        Ok(Begun::told_in(&entries))
    }
}

impl Begun {
    /// Takes the stream's entries, newest first.
    fn told_in(entries: &[Value]) -> Self {
        let mut begun = Self::default();
        for body in entries.iter().filter_map(body_of) {
            for (what, _) in FramesOf::new(body).filter_map(Result::ok) {
                if let What::NewLife { channel, top, .. } = what {
                    let lives = begun.lives.entry(channel).or_default();
                    lives.push((top.epoch, top.offset));
                }
            }
        }
        begun
    }

    /// The offset up to which the log of the life `ended` survived. None when nothing is told of it any more. Several lives may
    /// have begun since: the lowest beginning counts.
    pub(super) fn survived(&self, channel: &ChannelName, ended: Epoch) -> Option<u64> {
        let lives = self.lives.get(channel)?.iter();
        let since = lives.take_while(|(epoch, _)| *epoch != ended);
        since.map(|(_, offset)| *offset).min()
    }
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
        let begun = Begun::told_in(&entries);
        let survived = |ended| begun.survived(&room, Epoch(ended));
        assert_eq!(survived(3), Some(60));
        assert_eq!(survived(2), Some(50));
        assert_eq!(survived(1), Some(10));
        assert_eq!(survived(4), None);
    }

    #[test]
    fn what_the_stream_does_not_tell_is_not_known() {
        let begun = Begun::told_in(&[entry("room", 2, 10), Value::Nil]);
        let other = ChannelName::parse("other").unwrap();
        assert_eq!(begun.survived(&other, Epoch(1)), None);
    }
}
