//! WebSocket connections: the handshake, the peer, its reading and its writing.

use std::rc::Rc;

use parlor_protocol::Form;

use super::shard::Shard;
use super::socket::Socket;

mod asked;
mod handshake;
mod inlet;
mod origins;
mod peer;
mod read;
mod under_way;
mod upgrade;
mod write;

pub use origins::Origins;
pub use peer::Peer;

pub(super) use handshake::{Accepted, Handshake};
pub(super) use inlet::Scratch;
pub(super) use upgrade::upgrade;
pub(super) use write::drain;

/// Where clients connect.
pub const PATH: &str = "/v1/socket";

/// Serves a socket from behind its handshake to its end.
pub(super) async fn serve(shard: Rc<Shard>, socket: Socket, form: Form) {
    let peer = Peer::open(&shard, socket, form);
    read::run(shard, peer, Vec::new()).await;
}
