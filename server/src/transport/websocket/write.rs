//! Writing: one task per shard empties all outboxes that have something to send. No connection's task is woken
//! for a delivery unless its socket is full.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::peer::Peer;
use crate::metrics;
use crate::outbox::Outbox;
use crate::transport::shard::Shard;
use crate::transport::socket::Socket;

/// After so many outboxes, or so long, the runtime gets its turn to poll for IO.
const SLICE_OUTBOXES: usize = 128;
const SLICE_TIME: Duration = Duration::from_millis(1);

/// Write calls for one outbox in a row; then others have their turn.
const WRITES_PER_TURN: usize = 4;

/// What became of an outbox's backlog.
enum Written {
    Emptied,
    More,
    /// The socket takes no more.
    Full,
    Failed,
}

/// Runs as long as the shard.
pub(in crate::transport) async fn drain(shard: Rc<Shard>) {
    let dirty = Rc::clone(&shard.state().dirty);
    loop {
        dirty.wait().await;
        let lane = dirty.next_lane();
        let started = Instant::now();
        for _ in 0..SLICE_OUTBOXES {
            let Some(outbox) = dirty.pop(lane) else { break };
            // Another connection may have its place by now.
            let peer = shard.peer_at(outbox.key());
            let Some(peer) = peer.filter(|peer| Rc::ptr_eq(peer.session().outbox(), &outbox))
            else {
                continue;
            };
            match write_some(&shard, &peer, &outbox) {
                Written::Emptied => finish(&peer, &outbox),
                Written::More => outbox.relist(lane),
                Written::Full => {
                    outbox.set_blocked(true);
                    peer.wake.notify_one();
                }
                Written::Failed => peer.fail(),
            }
            if started.elapsed() >= SLICE_TIME {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Everything is sent: a burst's memory is given back, and a closing connection may end.
fn finish(peer: &Peer, outbox: &Outbox) {
    outbox.shrink();
    if outbox.closing().is_some() {
        peer.wake.notify_one();
    }
}

fn write_some(shard: &Shard, peer: &Peer, outbox: &Outbox) -> Written {
    let socket = peer.socket();
    for _ in 0..WRITES_PER_TURN {
        let written = outbox.write_with(|slices| socket.try_write(slices));
        metrics::incr(&shard.state().counters().write_calls);
        match written {
            None => return flush(socket),
            Some(Ok(0)) => return Written::Failed,
            Some(Ok(_)) if outbox.is_empty() => return flush(socket),
            Some(Ok(_)) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return Written::Full,
            Some(Err(_)) => return Written::Failed,
        }
    }
    Written::More
}

/// The outbox is empty. What TLS has encrypted may still be waiting for the kernel: then the connection's own task waits
/// with it, as for any other full socket.
fn flush(socket: &Socket) -> Written {
    match socket.try_flush() {
        Ok(()) => Written::Emptied,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Full,
        Err(_) => Written::Failed,
    }
}
