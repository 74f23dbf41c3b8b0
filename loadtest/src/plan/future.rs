//! The load that is expected, and the machines that shall carry it, as a TOML file says them.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Future {
    pub(super) load: Load,
    #[serde(default)]
    pub(super) node: Node,
    #[serde(default)]
    pub(super) redis: Redis,
}

/// At the busiest time of the day.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Load {
    /// Users that are connected at the same time.
    pub(super) users_online: f64,
    /// Devices and tabs of a user.
    #[serde(default = "one")]
    pub(super) connections_per_user: f64,
    /// Channels with somebody in them.
    pub(super) rooms: f64,
    /// Connections of a room that are online, on average over messages: what one message becomes.
    pub(super) members_per_room: f64,
    /// Messages per second over all rooms.
    pub(super) messages_per_s: f64,
    /// Bytes of a message's payload.
    #[serde(default = "payload")]
    pub(super) payload_bytes: f64,
    /// New connections per second, such as after a deployment or when a match begins.
    #[serde(default)]
    pub(super) connects_per_s: f64,
    /// Messages that each room keeps as history.
    #[serde(default = "history")]
    pub(super) history_per_room: f64,
    /// By what all of the above will have grown when the machines shall still do: 1.5 is half as much again.
    #[serde(default = "one")]
    pub(super) growth: f64,
}

/// One node's machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Node {
    pub(super) cores: f64,
    pub(super) memory_gib: f64,
    pub(super) network_mbit_s: f64,
    /// Connections that one node shall hold at most, whatever else it could: what its end throws on the others.
    pub(super) connections_max: f64,
    /// Share of the cores that may be busy with all nodes but the lost ones.
    pub(super) cpu_target: f64,
    /// Share of the memory that may be used then.
    pub(super) memory_target: f64,
    /// Nodes that may be lost without anybody noticing.
    pub(super) spare: u32,
}

/// The nodes' Redis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Redis {
    /// Share of its one core that may be busy.
    pub(super) cpu_target: f64,
    /// Memory for what replication and rewriting need, as a factor.
    pub(super) memory_factor: f64,
}

fn one() -> f64 {
    1.0
}

fn payload() -> f64 {
    128.0
}

fn history() -> f64 {
    100.0
}

impl Default for Node {
    fn default() -> Self {
        Self {
            cores: 4.0,
            memory_gib: 8.0,
            network_mbit_s: 1_000.0,
            connections_max: 100_000.0,
            cpu_target: 0.6,
            memory_target: 0.7,
            spare: 1,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            cpu_target: 0.6,
            memory_factor: 2.0,
        }
    }
}

impl Future {
    /// # Errors
    /// When a number makes no sense, in words that name it.
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        let (load, node) = (&self.load, &self.node);
        let counts = [
            ("users-online", load.users_online),
            ("connections-per-user", load.connections_per_user),
            ("growth", load.growth),
            ("cores", node.cores),
            ("memory-gib", node.memory_gib),
            ("network-mbit-s", node.network_mbit_s),
            ("connections-max", node.connections_max),
            ("memory-factor", self.redis.memory_factor),
        ];
        for (name, value) in counts {
            ensure!(value > 0.0 && value < NUMBER_MAX, "`{name}` is more than 0");
        }
        let amounts = [
            ("rooms", load.rooms),
            ("members-per-room", load.members_per_room),
            ("messages-per-s", load.messages_per_s),
            ("payload-bytes", load.payload_bytes),
            ("connects-per-s", load.connects_per_s),
            ("history-per-room", load.history_per_room),
        ];
        for (name, value) in amounts {
            ensure!((0.0..NUMBER_MAX).contains(&value), "`{name}` is 0 or more");
        }
        let shares = [node.cpu_target, node.memory_target, self.redis.cpu_target];
        for share in shares {
            ensure!(
                share > 0.0 && share <= 1.0,
                "a target is a share above 0 and up to 1"
            );
        }
        ensure!(node.spare <= 100, "`spare` is at most 100");
        Ok(())
    }

    pub(super) fn connections(&self) -> f64 {
        self.load.users_online * self.load.connections_per_user * self.load.growth
    }

    pub(super) fn channels(&self) -> f64 {
        self.load.rooms * self.load.growth
    }

    pub(super) fn publishes_per_s(&self) -> f64 {
        self.load.messages_per_s * self.load.growth
    }

    /// Growth makes more rooms, not larger ones.
    pub(super) fn deliveries_per_s(&self) -> f64 {
        self.publishes_per_s() * self.load.members_per_room
    }

    pub(super) fn events_kept(&self) -> f64 {
        self.channels() * self.load.history_per_room
    }
}

const NUMBER_MAX: f64 = 1e12;
