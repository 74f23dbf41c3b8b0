//! Transports: sockets in, commands through, frames out. The only part that knows a socket.
//!
//! One shard per core: its own runtime on its own thread, its own listener, its own connections. A connection
//! never moves after its handshake.

mod accept;
pub mod client;
mod ends;
mod http1;
mod lag;
mod listen;
mod newcomer;
mod pending;
mod rounds;
mod shard;
#[cfg(test)]
mod sizes;
mod socket;
pub mod tls;
pub mod websocket;
mod wheel;

pub use listen::{BindError, Listeners, bind};
pub use shard::{Shard, ShardSetup, run};

use std::sync::Arc;
use std::time::Duration;

/// Limits and times of sockets. Plain values: `config` fills them in.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// How TLS is spoken; none: sockets are plain.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// WebSocket connections of the process.
    pub connections_max: u64,
    /// Sockets per shard that still speak HTTP. When there is one more, the longest idle of them leaves.
    pub pending_max: usize,
    /// How long a socket may take for the TLS handshake, or a plain one for its first word, and how long from there to send
    /// a request's head.
    pub header_timeout: Duration,
    /// Bytes of one incoming WebSocket message.
    pub frame_bytes_max: usize,
    /// How long a closing connection may take to read what it is told.
    pub linger: Duration,
    /// Over how long a draining node spreads its clients.
    pub drain_window: Duration,
    /// Who may open a socket from a web page.
    pub origins: websocket::Origins,
}
