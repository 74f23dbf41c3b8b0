//! What an operator may choose: a TOML file, over it the environment, over that the flags.
//!
//! Raw first (`raw`, exactly what was written), meaningful second ([`Config`], checked and ready to use). Nothing
//! is bound, opened or started here, except that key files are read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::AuthConfig;
use crate::broker::redis::RedisConfig;
use crate::kind::ChannelKinds;
use crate::session::SessionConfig;

mod build;
mod keys;
mod layers;
mod raw;
mod show;
mod units;

pub use build::api_key_hash;
pub use keys::{KEYS, Key, Shape};
pub use layers::{Layers, Source};
pub use show::docs;
pub use units::{Duration as Span, Size};

/// Everything that the server is told. Plain values: `app` hands them to those who need them.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// Where Prometheus reads; none: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Threads that serve connections: 1 to 64.
    pub shards: usize,
    /// Whether `/` shows the demo page.
    pub demo: bool,
    pub log: LogConfig,
    pub transport: TransportSettings,
    pub session: SessionConfig,
    /// Channels that one connection may subscribe.
    pub channels_max: u32,
    /// Events of one page of history.
    pub history_page_max: u32,
    pub storage: StorageSettings,
    /// Shared with other nodes; none: one node with its own storage.
    pub redis: Option<RedisConfig>,
    pub presence: PresenceSettings,
    pub auth: AuthConfig,
    pub kinds: ChannelKinds,
}

#[derive(Clone, Debug)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A `tracing` filter: `info`, `parlor=debug,info`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Sockets.
#[derive(Clone, Debug)]
pub struct TransportSettings {
    /// WebSocket connections of the process.
    pub connections_max: u64,
    /// What TLS shows; none: sockets are plain.
    pub certificate: Option<CertificateFiles>,
    /// Sockets per shard that still speak HTTP: when there is one more, the longest idle makes room.
    pub pending_max: usize,
    /// How long a socket may take for the TLS handshake, then to send a request's head, then its body, and to take a part
    /// of the answer.
    pub header_timeout: Duration,
    /// Bytes of one incoming WebSocket message.
    pub frame_bytes_max: usize,
    /// How long a closing connection may take to read what it is told.
    pub linger: Duration,
    /// Over how long a draining node spreads its clients.
    pub drain_window: Duration,
    /// Web origins that may open a socket besides the server's own: `https://host:port`, exact.
    pub origins: Vec<String>,
    /// Any origin may.
    pub any_origin: bool,
}

/// Where the server's certificate is; PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The message log.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// None: everything is in memory.
    pub data_dir: Option<PathBuf>,
    /// Bytes of the log on disk; none: as far as the disk goes.
    pub disk_bytes_max: Option<u64>,
    /// Bytes of history of `memory` kinds.
    pub memory_bytes_max: usize,
}

#[derive(Clone, Debug)]
pub struct PresenceSettings {
    /// How long an entry outlives its socket.
    pub grace: Duration,
    /// In channels with more users than this, diffs carry only counts.
    pub members_pushed_max: usize,
}

impl Config {
    /// Checks what the layers say and makes it meaningful.
    ///
    /// # Errors
    /// [`Error`] naming the key.
    pub fn from_layers(layers: &Layers) -> Result<Self, Error> {
        build::build(&layers.raw()?)
    }

    /// The defaults.
    ///
    /// # Errors
    /// Never, as a test shows; the type says what [`Self::from_layers`] says.
    pub fn defaults() -> Result<Self, Error> {
        Self::from_layers(&Layers::default())
    }

    /// Keeps everything in memory: no data directory, and no kind that asks for one.
    pub fn keep_in_memory(&mut self) {
        use crate::kind::{ChannelKind, Durability};
        use std::sync::Arc;
        self.storage.data_dir = None;
        for kind in &mut self.kinds.0 {
            *kind = Arc::new(ChannelKind {
                durability: Durability::Memory,
                ..(**kind).clone()
            });
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("unable to read {path}; {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not TOML; {reason}")]
    Toml { path: PathBuf, reason: String },
    #[error("{key}: there is no such key{hint}")]
    UnknownKey { key: String, hint: String },
    #[error("{key}: {reason}")]
    Value { key: String, reason: String },
    #[error("{0}")]
    Kinds(#[from] crate::kind::Overlap),
}

#[cfg(test)]
mod tests;
