//! WebSocket connections: the handshake, the peer, its reading and its writing.

mod inlet;
mod origins;
mod peer;
mod read;
mod upgrade;
mod write;

pub use origins::Origins;
pub use peer::Peer;

pub(super) use inlet::Scratch;
pub(super) use upgrade::upgrade;
pub(super) use write::drain;

/// Where clients connect.
pub const PATH: &str = "/v1/socket";
