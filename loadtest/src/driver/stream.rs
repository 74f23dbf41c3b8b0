//! A connection's bytes, plain or over TLS, and the write side that a plain thread may take.
//!
//! rustls's connection stands behind a lock, so that reading and writing can be two threads' work. They hold it for one
//! record each and nobody waits inside.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read as _, Write};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::ClientConnection;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::trust::Trust;

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Secure(TcpStream, Shared),
}

/// The write side, on a non-blocking socket.
#[derive(Debug)]
pub(crate) enum Writing {
    Plain(std::net::TcpStream),
    Secure(std::net::TcpStream, Shared),
}

/// The TLS state of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<ClientConnection>>);

/// A tokio socket as rustls writes to it.
struct Kernel<'a>(&'a TcpStream);

impl Stream {
    /// Makes the TLS handshake.
    ///
    /// # Errors
    /// Whatever ends it.
    pub(crate) async fn secure(stream: TcpStream, trust: &Trust) -> io::Result<Self> {
        let connection = ClientConnection::new(Arc::clone(&trust.config), trust.name.clone());
        let shared = Shared(Arc::new(Mutex::new(connection.map_err(io::Error::other)?)));
        let mut secure = Self::Secure(stream, shared.clone());
        let mut scratch = vec![0; HANDSHAKE_BYTES];
        loop {
            secure.flush().await?;
            if !shared.lock().is_handshaking() {
                return Ok(secure);
            }
            if let Self::Secure(stream, shared) = &mut secure {
                let read = poll_fn(|cx| shared.poll_read_once(stream, cx, &mut scratch)).await?;
                if read.is_some_and(|range| range.is_empty()) {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }

    /// Reads what is there. Returns where in `scratch` it stands; nothing at the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<Range<usize>>> {
        match self {
            Self::Plain(stream) => {
                let mut buffer = ReadBuf::new(scratch);
                // Not `try_read`: tokio's `poll_read` knows after a short read that the socket is empty, and saves the
                // second call that would only say so.
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(0..buffer.filled().len()))
            }
            Self::Secure(stream, shared) => loop {
                if let Some(range) = ready!(shared.poll_read_once(stream, cx, scratch))? {
                    return Poll::Ready(Ok(range));
                }
            },
        }
    }

    /// Appends what is there, for the few bytes of a handshake. Returns how many; none at the end.
    pub(crate) async fn read_to(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        if let Self::Plain(stream) = self {
            return stream.read_buf(into).await;
        }
        let mut scratch = vec![0; HANDSHAKE_BYTES];
        let range = poll_fn(|cx| self.poll_read(cx, &mut scratch)).await?;
        into.extend_from_slice(&scratch[range.clone()]);
        Ok(range.len())
    }

    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Self::Plain(stream) = self {
            return stream.write_all(bytes).await;
        }
        while !bytes.is_empty() {
            if let Self::Secure(_, shared) = self {
                let taken = shared.lock().writer().write(bytes)?;
                bytes = &bytes[taken..];
            }
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        let Self::Secure(stream, shared) = self else {
            return Ok(());
        };
        loop {
            let flushed = shared.flush(&mut Kernel(stream));
            match flushed {
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                flushed => return flushed,
            }
        }
    }

    /// A second handle to the socket, for a plain thread that writes.
    pub(crate) fn split(self) -> io::Result<(Self, Writing)> {
        let split = |stream: TcpStream| {
            let stream = stream.into_std()?;
            let writing = stream.try_clone()?;
            io::Result::Ok((TcpStream::from_std(stream)?, writing))
        };
        Ok(match self {
            Self::Plain(stream) => {
                let (stream, writing) = split(stream)?;
                (Self::Plain(stream), Writing::Plain(writing))
            }
            Self::Secure(stream, shared) => {
                let (stream, writing) = split(stream)?;
                let second = Writing::Secure(writing, shared.clone());
                (Self::Secure(stream, shared), second)
            }
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        // A thread that panicked ends the run by itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is encrypted and waits.
    fn flush(&self, socket: &mut impl Write) -> io::Result<()> {
        let mut connection = self.lock();
        while connection.wants_write() {
            connection.write_tls(socket)?;
        }
        Ok(())
    }

    /// One read of ciphertext into the first quarter of `scratch`, its plaintext into the rest. `None` when that made no
    /// plaintext. What does not fit is handed out before more is read: a slow reader takes less than a record.
    fn poll_read_once(
        &self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<Option<Range<usize>>>> {
        let quarter = scratch.len() / 4;
        let (ciphertext, plaintext) = scratch.split_at_mut(quarter);
        let left = take_plaintext(&mut self.lock(), plaintext)?;
        if left > 0 {
            return Poll::Ready(Ok(Some(quarter..quarter + left)));
        }
        let mut buffer = ReadBuf::new(ciphertext);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        let mut came = buffer.filled();
        if came.is_empty() {
            return Poll::Ready(Ok(Some(0..0)));
        }
        let mut connection = self.lock();
        let mut put = 0;
        while !came.is_empty() {
            // Nothing counts behind the server's word that nothing follows.
            if connection.read_tls(&mut came)? == 0 {
                break;
            }
            connection
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            put += take_plaintext(&mut connection, &mut plaintext[put..])?;
        }
        Poll::Ready(Ok((put > 0).then_some(quarter..quarter + put)))
    }
}

/// Moves what is decrypted, as much as there is room for. Returns how many bytes.
fn take_plaintext(connection: &mut ClientConnection, room: &mut [u8]) -> io::Result<usize> {
    match connection.reader().read(room) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        taken => taken,
    }
}

impl Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream, shared) => {
                // What waits goes first, so that the socket's fullness is felt here.
                shared.flush(stream)?;
                let taken = shared.lock().writer().write(bytes)?;
                match shared.flush(stream) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
                    _ => Ok(taken),
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream, shared) => shared.flush(stream),
        }
    }
}

/// More than any handshake's answer.
const HANDSHAKE_BYTES: usize = 64 * 1024;
