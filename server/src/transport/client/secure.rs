//! A client's TLS: what it reads and writes on one side, the records that travel on the other.
//!
//! The server's own side (`transport/socket`) counts bytes and holds no buffer while idle; one client need not.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::trust::Trust;

/// A socket over which TLS is spoken. Its handshake is over.
#[derive(Debug)]
pub struct Secure {
    tls: ClientConnection,
    socket: TcpStream,
}

/// The socket as rustls reads and writes it. What would wait is `WouldBlock`, and the task is woken when it need not any more.
struct Kernel<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Secure {
    /// Makes the handshake.
    pub(super) async fn open(socket: TcpStream, trust: &Trust) -> io::Result<Self> {
        let tls = ClientConnection::new(Arc::clone(&trust.config), trust.name.clone());
        let tls = tls.map_err(io::Error::other)?;
        let mut secure = Self { tls, socket };
        poll_fn(|cx| secure.poll_handshake(cx)).await?;
        Ok(secure)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Writes the records that wait.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.write_records(cx) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what came. Returns its bytes; none at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = match self.read_records(cx) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let processed = self.tls.process_new_packets();
        // New keys have an answer, and a fault an alert. What does not leave now goes in front of what is written next.
        let _sent = self.poll_send(cx);
        Poll::Ready(match processed {
            Ok(_) => Ok(read),
            Err(fault) => Err(io::Error::new(ErrorKind::InvalidData, fault)),
        })
    }

    fn write_records(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let socket = &mut self.socket;
        self.tls.write_tls(&mut Kernel { socket, cx })
    }

    fn read_records(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        let socket = &mut self.socket;
        self.tls.read_tls(&mut Kernel { socket, cx })
    }
}

impl AsyncRead for Secure {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let secure = self.get_mut();
        loop {
            let read = secure.tls.reader().read(buffer.initialize_unfilled());
            match read {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Also an end that TLS did not announce: somebody may have cut it.
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(secure.poll_receive(cx))?;
        }
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let secure = self.get_mut();
        // What waits goes first, so that no more is held than one write made.
        ready!(secure.poll_send(cx))?;
        Poll::Ready(secure.tls.writer().write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let secure = self.get_mut();
        ready!(secure.poll_send(cx))?;
        Pin::new(&mut secure.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let secure = self.get_mut();
        // Said once, however often this is polled.
        secure.tls.send_close_notify();
        ready!(secure.poll_send(cx))?;
        Pin::new(&mut secure.socket).poll_shutdown(cx)
    }
}

impl Read for Kernel<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(buffer.filled().len()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Kernel<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write(self.cx, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        // A socket holds nothing back.
        Ok(())
    }
}
