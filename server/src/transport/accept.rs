//! The accept loop: sockets in, and to the shard that is to serve them.

use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::newcomer;
use super::shard::Shard;
use crate::accepting;
use crate::hub::Control;
use crate::metrics;

/// A shard keeps a socket unless it owns this many more connections than the least loaded.
const IMBALANCE: u64 = 64;

/// Accepts until the node drains.
pub(super) async fn accept(shard: Rc<Shard>, listener: TcpListener) {
    loop {
        let (socket, _) = tokio::select! {
            accepted = accepting::next(|| listener.accept()) => accepted,
            () = shard.draining() => return,
        };
        place(&shard, socket);
    }
}

/// Keeps the socket, or hands it to a shard that owns clearly fewer connections.
fn place(shard: &Rc<Shard>, socket: TcpStream) {
    let Some(target) = shard.less_loaded(IMBALANCE) else {
        adopt(shard, socket);
        return;
    };
    match socket.into_std() {
        Ok(socket) => drop(
            shard
                .state()
                .node
                .hub
                .inbox(target)
                .order(Control::Accept { socket }),
        ),
        Err(error) => debug!(%error, "Unable to hand a socket over."),
    }
}

/// Takes a socket that another shard accepted.
pub(super) fn adopt_std(shard: &Rc<Shard>, socket: std::net::TcpStream) {
    match TcpStream::from_std(socket) {
        Ok(socket) => adopt(shard, socket),
        Err(error) => debug!(%error, "Unable to take a socket over."),
    }
}

/// Starts to serve the socket, if there is a place for it.
fn adopt(shard: &Rc<Shard>, socket: TcpStream) {
    let Some(place) = shard.take_pending_place() else {
        metrics::incr(&shard.state().counters().handshakes_refused);
        return;
    };
    tokio::task::spawn_local(newcomer::serve(Rc::clone(shard), socket, place));
}
