//! A client's socket, as everything above it sees it: bytes in, bytes out, and when to try again. hyper reads and
//! writes it (`AsyncRead`, `AsyncWrite`) until it becomes a WebSocket; from then on its shard does, by `try_*`.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read as _};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

mod records;
mod secure;

pub(super) use secure::Secure;

/// One client's socket.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    /// Boxed, so that a plain one is small.
    Secure(Box<Secure>),
}

impl Socket {
    /// Reads what is there; 0 bytes: the client sends no more.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => try_read(stream, buffer),
            Self::Secure(secure) => secure.try_read(buffer),
        }
    }

    /// Writes as much of the slices as the kernel takes. Spends no coop budget and reports `WouldBlock` truthfully,
    /// unlike tokio's `poll_write`.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes nothing.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => match slices {
                [slice] => stream.try_write(slice),
                slices => stream.try_write_vectored(slices),
            },
            Self::Secure(secure) => secure.try_write(slices),
        }
    }

    /// Writes what was encrypted and is not with the kernel: at most one record. A plain socket has no such thing.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel does not take all of it.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(secure) => secure.try_flush(),
        }
    }

    /// Ready when reading is worth a try.
    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(context),
            Self::Secure(secure) => secure.poll_read_ready(context),
        }
    }

    /// Resolves when reading is worth a try.
    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_read_ready(context)).await
    }

    /// Ready when writing is worth a try, and nothing that was encrypted earlier waits.
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
            Self::Secure(secure) => secure.poll_write_ready(context),
        }
    }

    /// Resolves when writing is worth a try, and nothing that was encrypted earlier waits.
    pub(super) async fn writable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_write_ready(context)).await
    }

    /// Tells the client that nothing follows what was written.
    pub(super) fn end_writing(&self) -> io::Result<()> {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => {
                secure.close();
                // A socket that is too full for a notice has nobody who would read it.
                drop(secure.try_flush());
                secure.stream()
            }
        };
        SockRef::from(stream).shutdown(Shutdown::Write)
    }
}

/// A read that leaves room has emptied the socket: the next event is waited for without asking the kernel once more, as
/// tokio's own `poll_read` does. What came meanwhile is a newer event, which is kept.
fn try_read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut taken = None;
    let tried = stream.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(stream)).read(buffer)?;
        taken = Some(read);
        match 0 < read && read < buffer.len() {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match taken {
        Some(read) => Ok(read),
        None => tried.map(|()| 0),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secure(secure) => loop {
                ready!(secure.poll_read_ready(context))?;
                match secure.try_read(buffer.initialize_unfilled()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(read) => {
                        buffer.advance(read);
                        return Poll::Ready(Ok(()));
                    }
                }
            },
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secure(secure) => secure.poll_write(context, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Secure(secure) => secure.poll_write(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secure(_) => true,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secure(secure) => secure.poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secure(secure) => {
                secure.close();
                ready!(secure.poll_flush(context))?;
                let ended = SockRef::from(secure.stream()).shutdown(Shutdown::Write);
                Poll::Ready(ended)
            }
        }
    }
}
