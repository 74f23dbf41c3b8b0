//! What some work costs a server and its Redis in CPU, and how long it takes.

use std::time::{Duration, Instant};

use crate::latency::spread;
use crate::stage::cpu_s;

/// Whose CPU is counted.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    servers: Vec<u32>,
    redis: Option<u32>,
}

/// What was used up to a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    at: Instant,
    servers_s: f64,
    redis_s: f64,
}

/// What some pieces of work took together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) pieces: u64,
    pub(crate) took: Duration,
    /// In s, of all servers.
    pub(crate) servers_s: f64,
    pub(crate) redis_s: f64,
}

impl Meter {
    pub(crate) fn new(servers: impl IntoIterator<Item = Option<u32>>, redis: Option<u32>) -> Self {
        Self {
            servers: servers.into_iter().flatten().collect(),
            redis,
        }
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            servers_s: self.servers.iter().map(|id| cpu_s(Some(*id))).sum(),
            redis_s: cpu_s(self.redis),
        }
    }

    pub(crate) fn since(&self, before: Reading, pieces: u64) -> Cost {
        let now = self.read();
        Cost {
            pieces,
            took: now.at - before.at,
            servers_s: now.servers_s - before.servers_s,
            redis_s: now.redis_s - before.redis_s,
        }
    }
}

impl Cost {
    pub(crate) fn per_s(&self) -> f64 {
        self.pieces as f64 / self.took.as_secs_f64()
    }

    /// µs of the servers' CPU for each piece.
    pub(crate) fn server_us(&self) -> f64 {
        self.servers_s / self.pieces as f64 * 1e6
    }

    pub(crate) fn redis_us(&self) -> f64 {
        self.redis_s / self.pieces as f64 * 1e6
    }
}

/// One line: medians of several rounds with their extremes.
pub(crate) fn line(name: &str, rounds: &[Cost]) -> String {
    format!(
        "  {name:<24} per s {:<30} CPU µs each: server {:<30} Redis {:<28} both {}",
        spread(rounds.iter().map(Cost::per_s)),
        spread(rounds.iter().map(Cost::server_us)),
        spread(rounds.iter().map(Cost::redis_us)),
        spread(rounds.iter().map(|cost| cost.server_us() + cost.redis_us())),
    )
}
