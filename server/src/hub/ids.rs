//! Names of shards and connections.

use std::fmt;

/// Names a shard, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub usize);

impl ShardId {
    pub(super) fn bit(self) -> u64 {
        1 << self.0
    }
}

/// Names a connection within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// Shard (8 bits), slab key (24 bits), serial number (32 bits): finds the connection without a map, and
    /// is not mistaken for a later one with the same key.
    pub fn new(shard: ShardId, key: usize, serial: u32) -> Self {
        Self((shard.0 as u64) << 56 | (key as u64 & 0xFF_FFFF) << 32 | u64::from(serial))
    }

    /// The slab key on its shard.
    pub fn key(self) -> usize {
        (self.0 >> 32 & 0xFF_FFFF) as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
