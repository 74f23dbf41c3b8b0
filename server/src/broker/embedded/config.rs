//! What the embedded broker may use, and why it could not start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use parlor_protocol::limits::DEDUP_WINDOW_MS;

/// The bounds of an embedded broker. The defaults suit one server with a few GiB of memory.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Where the log lives; made when missing. `None`: `memory` kinds only.
    pub data_dir: Option<PathBuf>,
    /// Bytes of the database file, roughly: above it appends are refused until retention made room.
    /// `None`: as far as the disk goes.
    pub disk_bytes_max: Option<u64>,
    /// Appends that wait for the writer; one more is answered `busy`.
    pub queue_len_max: usize,
    /// Bytes of the appends that wait for the writer; more are answered `busy`.
    pub queue_bytes_max: usize,
    /// A transaction takes waiting appends until it holds this many bytes. More lengthens the wait of the
    /// first, less costs throughput when commits are slow.
    pub batch_bytes_max: usize,
    /// Different reads that wait for a reader (equal ones share one); one more is answered `busy`.
    pub read_queue_len_max: usize,
    /// How long a publish id is remembered.
    pub dedup_window: Duration,
    /// Publish ids remembered at most, for each of the two stores; the oldest are forgotten first, and counted.
    pub dedup_len_max: usize,
    /// Bytes of history in memory, over all channels; the oldest of each goes first.
    pub memory_bytes_max: usize,
    /// Bytes of history in memory, of one channel.
    pub memory_channel_bytes_max: usize,
    /// Channels with a log in memory; one more is refused.
    pub memory_channels_max: usize,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            data_dir: None,
            disk_bytes_max: None,
            queue_len_max: 16_384,
            queue_bytes_max: 32 << 20,
            batch_bytes_max: 1 << 20,
            read_queue_len_max: 1_024,
            dedup_window: Duration::from_millis(DEDUP_WINDOW_MS),
            dedup_len_max: 1_000_000,
            memory_bytes_max: 256 << 20,
            memory_channel_bytes_max: 8 << 20,
            memory_channels_max: 1_000_000,
        }
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("unable to use the data directory {path}; another parlor uses this directory")]
    InUse { path: PathBuf },
    #[error("unable to use the data directory {path}; {source}")]
    Directory { path: PathBuf, source: io::Error },
    #[error(
        "unable to open {path}; it was written by a newer parlor (format {found}, this build knows {known})"
    )]
    Newer {
        path: PathBuf,
        found: u32,
        known: u32,
    },
    #[error("unable to open {path}; {source}")]
    Database {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("unable to start the storage threads; {0}")]
    Threads(io::Error),
}
