//! Writing: one task per shard empties all outboxes that have something to send. No connection's task is woken
//! for a delivery unless its socket is full.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::peer::Peer;
use crate::metrics;
use crate::outbox::{Dirty, Lane, Outbox};
use crate::transport::shard::Shard;
use crate::transport::socket::Socket;

/// After so many outboxes, or so long, the runtime gets its turn to poll for IO.
const SLICE_OUTBOXES: usize = 128;
const SLICE_TIME: Duration = Duration::from_millis(1);

/// Outboxes taken from a lane at once, between two looks at the clock. What a write needs of a connection is seldom in
/// the core's cache: side by side the processor fetches it for several at a time.
const BATCH: usize = 16;

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
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        dirty.wait().await;
        drain_slice(&shard, &dirty, &mut batch);
        tokio::task::yield_now().await;
    }
}

/// Everything that is written before the runtime gets its turn.
fn drain_slice(shard: &Shard, dirty: &Dirty, batch: &mut Vec<Rc<Outbox>>) {
    let lane = dirty.next_lane();
    let started = Instant::now();
    let peers = shard.peers();
    let mut calls = 0;
    for _ in 0..SLICE_OUTBOXES / BATCH {
        dirty.take(lane, BATCH, batch);
        if batch.is_empty() {
            break;
        }
        for outbox in batch.drain(..) {
            // Of one whose connection is gone nothing waits, ever: nobody else's socket is found under its key.
            if !outbox.is_empty()
                && let Some(peer) = peers.get(outbox.key())
            {
                drain_one(peer, &outbox, lane, &mut calls);
            }
        }
        if started.elapsed() >= SLICE_TIME {
            break;
        }
    }
    metrics::add(&shard.state().counters().write_calls, calls);
}

fn drain_one(peer: &Peer, outbox: &Rc<Outbox>, lane: Lane, calls: &mut u64) {
    match write_some(peer, outbox, calls) {
        Written::Emptied => finish(peer, outbox),
        Written::More => outbox.relist(lane),
        Written::Full => {
            outbox.set_blocked(true);
            peer.wake.notify_one();
        }
        Written::Failed => peer.fail(),
    }
}

/// Everything is sent: a burst's memory is given back, and a closing connection may end.
fn finish(peer: &Peer, outbox: &Outbox) {
    outbox.shrink();
    if outbox.closing().is_some() {
        peer.wake.notify_one();
    }
}

fn write_some(peer: &Peer, outbox: &Outbox, calls: &mut u64) -> Written {
    let socket = peer.socket();
    for _ in 0..WRITES_PER_TURN {
        let written = outbox.write_with(|slices| socket.try_write(slices));
        *calls += 1;
        match written {
            None => return flush(socket, Written::Emptied),
            Some(Ok(0)) => return Written::Failed,
            Some(Ok(_)) if outbox.is_empty() => return flush(socket, Written::Emptied),
            Some(Ok(_)) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => return Written::Full,
            Some(Err(_)) => return Written::Failed,
        }
    }
    flush(socket, Written::More)
}

/// What TLS has encrypted may still be waiting for the kernel: then the connection's own task waits with it, as for any
/// other full socket. Even when more is in the outbox: that may be taken back, and of an empty one in a lane nothing is
/// written.
fn flush(socket: &Socket, written: Written) -> Written {
    match socket.try_flush() {
        Ok(()) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Full,
        Err(_) => Written::Failed,
    }
}
