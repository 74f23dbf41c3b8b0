//! One connection's bytes, in both directions, under the faults of the moment.

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Flow, Wanted};

/// Bytes read at once.
const CHUNK: usize = 16 << 10;
/// Chunks under way in one direction: what a delayed line holds.
const CHUNKS_MAX: usize = 256;

type Orders = watch::Receiver<Wanted>;
/// When it was read, and what.
type Chunk = (Instant, Bytes);
/// Picks a direction.
type Which = fn(&Wanted) -> Flow;

/// Until both sides have ended, or all connections are reset.
pub(super) async fn both_ways(mut near: TcpStream, mut far: TcpStream, mut orders: Orders) {
    for stream in [&near, &far] {
        // What one side wrote at once shall not wait for more. A failure shows at the first write.
        let _without = stream.set_nodelay(true);
    }
    let resets = orders.borrow().resets;
    let is_reset = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let up = one_way(near_read, far_write, orders.clone(), |wanted| wanted.up);
        let down = one_way(far_read, near_write, orders.clone(), |wanted| wanted.down);
        tokio::select! {
            _ = async { tokio::join!(up, down) } => false,
            _ = orders.wait_for(|wanted| wanted.resets != resets) => true,
        }
    };
    if is_reset {
        reset(&near);
        reset(&far);
    }
}

/// Its end will be RST instead of FIN.
pub(super) fn reset(stream: &TcpStream) {
    // A failure means that it has ended already.
    let _ended = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Reader and writer apart, so that a delay holds bytes back without slowing their stream down.
async fn one_way(from: ReadHalf<'_>, to: WriteHalf<'_>, orders: Orders, which: Which) {
    let (line, end) = mpsc::channel(CHUNKS_MAX);
    tokio::join!(
        read(from, line, orders.clone(), which),
        write(to, end, orders, which)
    );
}

/// Until the sender's end, or until nobody takes anything any more.
async fn read(mut from: ReadHalf<'_>, line: mpsc::Sender<Chunk>, mut orders: Orders, which: Which) {
    let mut buffer = vec![0; CHUNK];
    loop {
        until_not_stalled(&mut orders, which).await;
        let count = tokio::select! {
            count = from.read(&mut buffer) => count.unwrap_or(0),
            changed = orders.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = line.closed() => return,
        };
        let chunk = (Instant::now(), Bytes::copy_from_slice(&buffer[..count]));
        if count == 0 || line.send(chunk).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut line: mpsc::Receiver<Chunk>,
    mut orders: Orders,
    which: Which,
) {
    while let Some((since, bytes)) = line.recv().await {
        let mut pieces = vec![bytes.len()];
        if let Flow::Slice(bytes_max) = which(&orders.borrow()) {
            pieces = vec![bytes_max.max(1); bytes.len().div_ceil(bytes_max.max(1))];
        }
        let mut rest = &bytes[..];
        for piece in pieces {
            until_due(&mut orders, which, since).await;
            let (now, later) = rest.split_at(piece.min(rest.len()));
            if to.write_all(now).await.is_err() {
                return;
            }
            rest = later;
            // Otherwise the kernel may join what was cut.
            tokio::task::yield_now().await;
        }
    }
    // A failure means that this side has ended, too.
    let _ended = to.shutdown().await;
}

/// Waits out a delay and a stall, whichever holds when.
async fn until_due(orders: &mut Orders, which: Which, since: Instant) {
    loop {
        let flow = which(&orders.borrow_and_update());
        let due = match flow {
            Flow::Pass | Flow::Slice(_) => return,
            Flow::Delay(delay) if since + delay <= Instant::now() => return,
            Flow::Delay(delay) => Some(since + delay),
            Flow::Stall => None,
        };
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            () = until(due) => {}
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn until_not_stalled(orders: &mut Orders, which: Which) {
    // It fails when the proxy is gone, and its connections with it.
    let _gone = orders.wait_for(|wanted| which(wanted) != Flow::Stall).await;
}
