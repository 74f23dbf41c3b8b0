//! The accept loop: sockets in, at a pace that never spins and never parks for good.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::newcomer;
use super::shard::Shard;
use crate::hub::Control;
use crate::metrics;

/// Pauses after an error such as "too many open files": they double between these.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A shard keeps a socket unless it owns this many more connections than the least loaded.
const IMBALANCE: u64 = 64;

/// Accepts until the node drains.
pub(super) async fn accept(shard: Rc<Shard>, listener: TcpListener) {
    let mut pause = PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shard.draining() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                pause = PAUSE_MIN;
                place(&shard, socket);
            }
            Err(error) if is_about_one_socket(&error) => {
                debug!(%error, "A socket was gone before it was accepted.")
            }
            Err(error) => {
                warn!(%error, ?pause, "Unable to accept; pausing.");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
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

fn is_about_one_socket(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionRefused | Kind::ConnectionReset
    )
}
