//! Key names: which partition a channel belongs to, and what its keys are called.
//!
//! All keys of a partition share a hash tag, so one script on one slot of a Redis Cluster reaches them all. The tags are
//! chosen so that the partitions' slots spread evenly over the 16,384.

use parlor_protocol::ChannelName;
use sha2::{Digest as _, Sha256};

use super::config::Mode;

use crate::planted::{self, Bug};

/// Slots of a Redis Cluster.
const SLOTS: usize = 16_384;

/// Partitions of a fresh Redis, recorded there, so that all nodes agree. A Cluster spreads them over its masters; one
/// primary does better with few, since what waits for a partition travels together.
pub(super) fn partitions_for(mode: &Mode) -> usize {
    match mode {
        Mode::Cluster => 64,
        Mode::Standalone | Mode::Sentinel { .. } => 1,
    }
}

/// The partition that a channel belongs to, of so many.
pub(super) fn partition_of(channel: &ChannelName, partitions: usize) -> usize {
    let digest = Sha256::digest(channel.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) % partitions as u64) as usize
}

/// The names of one partition's keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// `<prefix>:{<tag>}:`.
    base: String,
    pub(super) slot: u16,
    pub(super) meta: String,
    pub(super) stream: String,
    pub(super) dedup: [String; 2],
    pub(super) batches: String,
    /// What nodes say while a lineage is unsettled.
    pub(super) words: String,
    /// Nodes that ever settled here.
    pub(super) members: String,
    /// Channels in which somebody is present, and nodes that own such entries.
    pub(super) present: String,
    pub(super) owners: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, partition: usize, partitions: usize) -> Self {
        let (tag, slot) = tag_of(partition, partitions);
        let prefix = if planted::has(Bug::IgnorePrefix) {
            "parlor"
        } else {
            prefix
        };
        let base = format!("{prefix}:{{{tag}}}:");
        let key = |name: &str| format!("{base}{name}");
        Self {
            slot,
            meta: key("meta"),
            stream: key("s"),
            dedup: [key("d0"), key("d1")],
            batches: key("b"),
            words: key("w"),
            members: key("n"),
            present: key("pc"),
            owners: key("pn"),
            base,
        }
    }

    pub(super) fn channel_meta(&self, channel: &ChannelName) -> String {
        format!("{}m:{channel}", self.base)
    }

    pub(super) fn channel_log(&self, channel: &ChannelName) -> String {
        format!("{}l:{channel}", self.base)
    }

    /// While a log is written anew: its copy, and who makes it.
    pub(super) fn channel_copy(&self, channel: &ChannelName) -> [String; 2] {
        ["x", "xb"].map(|name| format!("{}{name}:{channel}", self.base))
    }

    /// Who is present in a channel: entries by session, and records by user.
    pub(super) fn channel_present(&self, channel: &ChannelName) -> [String; 2] {
        ["p", "pu"].map(|name| format!("{}{name}:{channel}", self.base))
    }
}

/// The first tag `<partition>.<n>` whose slot lies in the partition's share of the slots.
fn tag_of(partition: usize, partitions: usize) -> (String, u16) {
    let share = partition * SLOTS / partitions..(partition + 1) * SLOTS / partitions;
    (0_u32..)
        .map(|n| format!("{partition}.{n}"))
        .map(|tag| {
            (
                crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) as usize % SLOTS,
                tag,
            )
        })
        .find(|(slot, _)| share.contains(slot))
        .map(|(slot, tag)| (tag, slot as u16))
        .expect("every slot is some tag's")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_spread_evenly_over_the_slots() {
        for partitions in [1, 3, 64, 100] {
            for partition in 0..partitions {
                let keys = Keys::new("parlor", partition, partitions);
                let share = partition * SLOTS / partitions..(partition + 1) * SLOTS / partitions;
                assert!(
                    share.contains(&usize::from(keys.slot)),
                    "{partition}: {}",
                    keys.slot
                );
            }
        }
    }

    /// From the Redis Cluster specification: CRC-16/XMODEM of `123456789` is 0x31C3.
    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(
            crc16::State::<crc16::XMODEM>::calculate(b"123456789"),
            0x31C3
        );
    }

    #[test]
    fn a_channel_stays_in_its_partition() {
        let name = |raw: &str| ChannelName::parse(raw).unwrap();
        // Written down: another hash would lose every log.
        assert_eq!(
            partition_of(&name("room"), 64),
            partition_of(&name("room"), 64)
        );
        let hit: std::collections::HashSet<_> = (0..1_000)
            .map(|n| partition_of(&name(&format!("room:{n}")), 64))
            .collect();
        assert_eq!(hit.len(), 64);
    }
}
