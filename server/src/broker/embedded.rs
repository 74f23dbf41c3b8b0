//! The embedded broker: one process, nothing to install. It owns the choice between its two stores, by the
//! durability of a channel's kind, and knows neither SQL nor rings.
//!
//! Read next: `disk` (SQLite, one writer thread with group commit, two readers), then `memory` (rings).

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use parlor_protocol::{ChannelName, Position};

use crate::broker::{Append, Appended, Broker, Erase, Error, LogPage, Read};
use crate::hub::{EphemeralBody, Hub};
use crate::kind::{ChannelKind, Durability};
use crate::planted::{self, Bug};

mod config;
mod disk;
mod health;
mod memory;
mod outcome;
mod stats;

pub use config::{EmbeddedConfig, OpenError};
pub use stats::{COMMIT_SECONDS, Commits, Stats};

use disk::DiskLogs;
use memory::MemoryLogs;

/// Logs in this process: `disk` kinds in one SQLite file, `memory` kinds in rings.
#[derive(Debug)]
pub struct Embedded {
    /// Absent without a data directory: `disk` kinds are then refused.
    disk: Option<DiskLogs>,
    memory: Arc<MemoryLogs>,
    hub: Arc<Hub>,
    stats: Arc<Stats>,
}

impl Embedded {
    /// Opens (or creates) the store and starts its threads. Blocks for the time of a migration at most.
    ///
    /// # Errors
    /// When the directory cannot be used, another process uses it, or the file is not a log this build can read.
    pub fn open(config: EmbeddedConfig, hub: Arc<Hub>) -> Result<Self, OpenError> {
        let stats = Arc::new(Stats::default());
        let disk = match &config.data_dir {
            Some(directory) => Some(DiskLogs::open(
                directory,
                &config,
                Arc::clone(&hub),
                Arc::clone(&stats),
            )?),
            None => None,
        };
        let memory = MemoryLogs::open(&config, Arc::clone(&hub), Arc::clone(&stats))?;
        Ok(Self {
            disk,
            memory,
            hub,
            stats,
        })
    }

    /// The counters of this broker, for the metrics page.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn disk(&self) -> Result<&DiskLogs, Error> {
        self.disk.as_ref().ok_or_else(|| Error::Unavailable {
            reason: "this server has no data directory, so it keeps channels in memory only"
                .to_owned(),
            retry_after: health::RETRY_AFTER_FAILURE,
        })
    }
}

fn durability(kind: &ChannelKind) -> Durability {
    if planted::has(Bug::AckBeforeWrite) {
        return Durability::Memory;
    }
    kind.durability
}

impl Broker for Embedded {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended, Error>> {
        match durability(&append.kind) {
            Durability::Memory => ready(self.memory.append(append)).boxed(),
            // The config refuses `replicated` where there is no Redis; one disk is what one process can give.
            Durability::Disk | Durability::Replicated => match self.disk() {
                Ok(disk) => disk.append(append),
                Err(error) => ready(Err(error)).boxed(),
            },
        }
    }

    fn join(
        &self,
        channel: &ChannelName,
        kind: &Arc<ChannelKind>,
    ) -> BoxFuture<'static, Result<Position, Error>> {
        match durability(kind) {
            Durability::Memory => ready(self.memory.top(channel)).boxed(),
            Durability::Disk | Durability::Replicated => match self.disk() {
                Ok(disk) => disk.top(channel, kind),
                Err(error) => ready(Err(error)).boxed(),
            },
        }
    }

    fn broadcast(&self, channel: &ChannelName, body: EphemeralBody) {
        self.hub.deliver_ephemeral(channel, body);
    }

    /// Nothing to do: the hub's own directory is the interest, and delivery asks it each time.
    fn leave(&self, _channel: &ChannelName) {}

    fn read(&self, read: Read) -> BoxFuture<'static, Result<LogPage, Error>> {
        match durability(&read.kind) {
            Durability::Memory => ready(self.memory.read(&read)).boxed(),
            Durability::Disk | Durability::Replicated => match self.disk() {
                Ok(disk) => disk.read(read),
                Err(error) => ready(Err(error)).boxed(),
            },
        }
    }

    /// The stores let go of what an erasure names when they log it.
    fn erase(&self, erase: Erase) -> BoxFuture<'static, Result<Appended, Error>> {
        self.append(erase.announcement())
    }

    fn health(&self) -> Result<(), String> {
        self.disk.as_ref().map_or(Ok(()), DiskLogs::health)
    }

    fn shut_down(&self) {
        if let Some(disk) = &self.disk {
            disk.shut_down();
        }
        self.memory.shut_down();
    }
}
