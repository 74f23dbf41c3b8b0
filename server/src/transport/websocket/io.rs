//! The peer's socket as tungstenite sees it: it reads from the socket, but what it writes (pongs) goes through the
//! outbox, so that it never lands inside a half-sent frame.

use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::peer::Peer;

#[derive(Debug)]
pub(super) struct PeerIo {
    peer: Rc<Peer>,
    /// Reads since others last had their turn.
    reads: u32,
}

/// Reads in a row from one peer; then others of the shard have their turn. tokio's own budget is 128: thousands of
/// tiny frames, which a flood of pongs or of empty fragments fills with.
const READS_PER_TURN: u32 = 16;

impl PeerIo {
    pub(super) fn new(peer: Rc<Peer>) -> Self {
        Self { peer, reads: 0 }
    }
}

impl AsyncRead for PeerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads == READS_PER_TURN {
            self.reads = 0;
            // Waking the task directly would only put it behind those that are ready already: tokio looks for news
            // from other sockets when nobody is ready, or after 61 turns of this one. Yielding lets it look first.
            return pin!(tokio::task::yield_now()).poll(context).map(Ok);
        }
        self.reads += 1;
        loop {
            ready!(self.peer.socket().poll_read_ready(context))?;
            match self.peer.socket().try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Readiness was stale: asking again registers for the next event.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PeerIo {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // tungstenite hands over whole frames: its write buffer is set to pass each one on at once.
        self.peer.session().outbox().push_control(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
