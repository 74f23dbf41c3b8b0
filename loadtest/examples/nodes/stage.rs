//! What a run plays on: real nodes as processes, with or without a Redis of their own, and what both cost.
//!
//! It starts, restarts and weighs them. It knows nothing of what clients do there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use parlor_tests::{Port, Process, Redis, RedisOptions, eventually};
use tempfile::TempDir;

use crate::proc;

/// The same in all nodes, so that a session is good on each of them.
const SECRET: &str = "a secret that all nodes of a run share, more than 32 bytes";

/// What differs between runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Threads of each node that serve connections.
    pub(crate) shards: usize,
    pub(crate) drain_window: Duration,
    pub(crate) grace: Duration,
    pub(crate) ping_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: 1,
            drain_window: Duration::ZERO,
            grace: Duration::from_secs(5),
            ping_interval: Duration::from_secs(25),
        }
    }
}

/// A Redis without persistence that nothing else uses.
pub(crate) fn redis() -> Redis {
    Redis::start_with(RedisOptions::default().setting("maxclients", "4000"))
}

/// One `parlor` process on a port that it keeps. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    port: Port,
    directory: TempDir,
    settings: Settings,
    redis: Option<String>,
    process: Option<Process>,
}

impl Node {
    /// Without a Redis it is a single node with its own log.
    pub(crate) fn start(redis: Option<&Redis>, settings: Settings) -> anyhow::Result<Self> {
        let mut node = Self {
            port: Port::free(),
            directory: TempDir::new()?,
            settings,
            redis: redis.map(Redis::url),
            process: None,
        };
        fs::write(node.configuration_path(), CONFIGURATION)?;
        node.spawn()?;
        Ok(node)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// SIGTERM; returns when the node has drained and is gone.
    pub(crate) fn terminate(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.ask_to_end();
            // The harness waits for some seconds at a time, and the drain window may be longer.
            let give_up = std::time::Instant::now() + self.settings.drain_window;
            while !process.has_ended() && std::time::Instant::now() < give_up {
                std::thread::sleep(LOOK);
            }
            eventually("a drained node to end", || {
                process.has_ended().then_some(())
            });
        }
    }

    /// Starts it on its port with its directory. Returns when it listens.
    pub(crate) fn spawn(&mut self) -> anyhow::Result<()> {
        self.process = None;
        let shown = |time: Duration| format!("{}ms", time.as_millis());
        let settings = self.settings;
        let change = |command: &mut Command| {
            command
                .arg("--config")
                .arg(self.configuration_path())
                .env("PARLOR_AUTH_SECRET", SECRET)
                .env("PARLOR_PRESENCE_GRACE", shown(settings.grace))
                .env("PARLOR_SERVER_DRAIN_WINDOW", shown(settings.drain_window))
                .env(
                    "PARLOR_CONNECTION_PING_INTERVAL",
                    shown(settings.ping_interval),
                );
            if let Some(url) = &self.redis {
                command.env("PARLOR_REDIS_URL", url);
            }
        };
        let process = Process::start_at(
            self.port.number(),
            self.directory.path(),
            settings.shards,
            change,
        );
        self.process = Some(process.context("a node does not start")?);
        Ok(())
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::memory_bytes)
    }

    fn configuration_path(&self) -> std::path::PathBuf {
        self.directory.path().join("parlor.toml")
    }
}

/// Seconds of CPU, user and system, that a process has used so far; 0 when it is gone.
pub(crate) fn cpu_s(process: Option<u32>) -> f64 {
    process
        .and_then(proc::Process::read)
        .map_or(0.0, |process| process.cpu_seconds)
}

const LOOK: Duration = Duration::from_millis(20);

/// Kinds by durability, without limits on rates: the load is what is limited.
const CONFIGURATION: &str = r#"
[connection]
commands_per_second_max = 0

[kinds.memory]
pattern = "memory:*"
durability = "memory"
history_len_max = 10000
publish_rate_max = 0

[kinds.plain]
pattern = "plain:*"
durability = "memory"
presence = false

[kinds.disk]
pattern = "disk:*"
durability = "disk"
history_len_max = 10000
publish_rate_max = 0
"#;
