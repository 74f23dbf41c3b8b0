//! A socket that speaks TLS. Its calls are a plain socket's: nobody waits inside them, and `WouldBlock` is the kernel's.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use rustls::server::ServerConfig;
use tokio::net::TcpStream;

use super::records::{CIPHERTEXT_BYTES, RECORD_BYTES, Records, SEALED_BYTES};

/// What a client hears that speaks plain HTTP here: a person will read it.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 45\r\nConnection: close\r\n\r\nthis port speaks TLS: use https:// or wss://\n";

/// One client's TLS connection.
#[derive(Debug)]
pub(in crate::transport) struct Secure {
    stream: TcpStream,
    /// Never borrowed across an await.
    records: RefCell<Records>,
}

/// What all connections of a thread encrypt and decrypt in.
struct Scratch {
    /// Read, and decrypted in place.
    ciphertext: Box<[u8]>,
    /// Slices that are to become one record.
    plaintext: Box<[u8]>,
    /// Encrypted, on its way to the kernel.
    sealed: Box<[u8]>,
}

thread_local! {
    /// Of the thread and not of the shard, because hyper passes sockets on in boxes that demand `Send`.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        ciphertext: vec![0; CIPHERTEXT_BYTES].into(),
        plaintext: vec![0; RECORD_BYTES].into(),
        sealed: vec![0; SEALED_BYTES].into(),
    });
}

impl Secure {
    /// Makes the handshake. Its caller sets a limit to how long it may take.
    ///
    /// # Errors
    /// The client left, or does not speak TLS as this server does; it was told so if it listens.
    pub(in crate::transport) async fn accept(
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let records = Records::new(config).map_err(io::Error::other)?;
        let secure = Self {
            stream,
            records: RefCell::new(records),
        };
        loop {
            secure.flush().await?;
            if !secure.records.borrow().is_handshaking() {
                return Ok(secure);
            }
            secure.stream.readable().await?;
            match secure.receive(&mut []) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    // Why it failed is more than whether the client can still be told.
                    drop(secure.try_flush());
                    return Err(error);
                }
            }
        }
    }

    /// Whether the handshake took up an earlier session.
    pub(in crate::transport) fn is_resumed(&self) -> bool {
        self.records.borrow().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut records = self.records.borrow_mut();
            if records.has_unread() {
                return Ok(records.take_unread(buffer));
            }
            if records.has_ended() {
                return Ok(0);
            }
            drop(records);
            match self.receive(buffer)? {
                None => return Ok(0),
                // No whole record yet, or one of TLS's own: rustls bounds how many of these may follow each other.
                Some(0) => {}
                Some(read) => return Ok(read),
            }
        }
    }

    /// Reads once and decrypts every record that is whole. `None` when the client's side of the stream has ended.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut records = self.records.borrow_mut();
        SCRATCH.with_borrow_mut(|scratch| {
            let held = records.lay_out(&mut scratch.ciphertext);
            let room = &mut scratch.ciphertext[held..];
            if room.is_empty() {
                return Err(ErrorKind::InvalidData.into());
            }
            let read = self.stream.try_read(room)?;
            if read == 0 {
                return Ok(None);
            }
            let came = &mut scratch.ciphertext[..held + read];
            if records.is_handshaking() && speaks_http(came) {
                records.keep_unsent(PLAIN_HTTP);
                return Err(io::Error::new(ErrorKind::InvalidData, "plain HTTP"));
            }
            records.take_in(came, buffer).map(Some)
        })
    }

    /// Encrypts at most one record, and only once all earlier ones are with the kernel: what waits here is bounded, and
    /// `WouldBlock` is true.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_flush()?;
        let mut records = self.records.borrow_mut();
        SCRATCH.with_borrow_mut(|scratch| {
            let plaintext = one_record(slices, &mut scratch.plaintext);
            let len = records.seal(plaintext, &mut scratch.sealed)?;
            let sealed = &scratch.sealed[..len];
            let written = match self.stream.try_write(sealed) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            records.keep_unsent(&sealed[written..]);
            Ok(plaintext.len())
        })
    }

    /// Writes what was encrypted and is not with the kernel.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        let mut records = self.records.borrow_mut();
        while !records.unsent().is_empty() {
            match self.stream.try_write(records.unsent())? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => records.sent(written),
            }
        }
        Ok(())
    }

    async fn flush(&self) -> io::Result<()> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?
                }
                flushed => return flushed,
            }
        }
    }

    /// Ready when reading is worth a try.
    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let records = self.records.borrow();
        if records.has_unread() || records.has_ended() {
            return Poll::Ready(Ok(()));
        }
        self.stream.poll_read_ready(context)
    }

    /// Ready when writing is worth a try, and nothing that was encrypted earlier waits.
    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream.poll_write_ready(context))?;
        self.poll_flush(context)
    }

    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(context))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(context))?;
                }
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    /// Says that nothing follows; flushing sends it.
    pub(super) fn close(&self) {
        self.records.borrow_mut().close();
    }
}

/// The first bytes of the slices, at most one record's worth, in one piece.
fn one_record<'a>(slices: &'a [IoSlice<'_>], plaintext: &'a mut [u8]) -> &'a [u8] {
    if let [slice] = slices {
        return &slice[..slice.len().min(RECORD_BYTES)];
    }
    let mut len = 0;
    for slice in slices {
        let room = &mut plaintext[len..];
        let fits = slice.len().min(room.len());
        room[..fits].copy_from_slice(&slice[..fits]);
        len += fits;
        if fits < slice.len() {
            break;
        }
    }
    &plaintext[..len]
}

/// No record of TLS begins with a letter, and every request of HTTP does.
fn speaks_http(came: &[u8]) -> bool {
    came.first().is_some_and(u8::is_ascii_uppercase)
}
