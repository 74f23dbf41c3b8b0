//! An end to answers that nobody takes: hyper bounds how long a request may come in, but not how long its answer may wait.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A socket to which a write fails with `TimedOut` when nothing of what waits was taken for so long. Whatever is taken begins
/// the time anew: a slow reader is not a dead one.
#[derive(Debug)]
pub struct WriteDeadline<S> {
    socket: S,
    patience: Duration,
    /// There while something waits. Boxed, so that the whole can be moved: a socket that becomes a WebSocket is taken out.
    end: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    pub fn new(socket: S, patience: Duration) -> Self {
        Self {
            socket,
            patience,
            end: None,
        }
    }

    pub fn into_inner(self) -> S {
        self.socket
    }

    fn bound<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.end = None;
            return written;
        }
        let patience = self.patience;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.bound(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, slices);
        this.bound(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(context);
        this.bound(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.socket).poll_shutdown(context);
        this.bound(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_nobody_takes_fails_in_time() {
        let (socket, _unread) = duplex(4);
        let mut socket = WriteDeadline::new(socket, Duration::from_millis(10));
        let failed = socket.write_all(&[0; 8]).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn whoever_takes_some_of_it_has_the_time_anew() {
        const PATIENCE: Duration = Duration::from_millis(500);
        let (socket, mut reader) = duplex(4);
        let mut socket = WriteDeadline::new(socket, PATIENCE);
        let reading = async {
            // Longer than the deadline in all, far from it each time.
            for _ in 0..8 {
                sleep(PATIENCE / 5).await;
                reader.read_exact(&mut [0; 4]).await.expect("a part");
            }
        };
        let (written, ()) = tokio::join!(socket.write_all(&[0; 32]), reading);
        written.expect("all of it");
    }
}
