//! The TLS records of one connection (RFC 8446 §5): ciphertext in, plaintext out, and back. It knows no socket.
//!
//! rustls's unbuffered connection, so that an idle one holds no buffer: what comes in is decrypted in the caller's
//! buffer, what goes out is encrypted into the caller's, and only what is left over stays here.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use rustls::server::{ServerConfig, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, HandshakeKind};

/// Plaintext that goes into one record, which is what one write encrypts (RFC 8446 §5.1).
pub(super) const RECORD_BYTES: usize = 16 * 1024;

/// Room for one record of ours and what TLS itself may have to say in front of it.
pub(super) const SEALED_BYTES: usize = RECORD_BYTES + 1024;

/// Ciphertext that is held and read together: the longest record that rustls allows (18,437 bytes) and some of the next.
pub(super) const CIPHERTEXT_BYTES: usize = 32 * 1024;

pub(super) struct Records {
    connection: UnbufferedServerConnection,
    /// The beginning of a record whose end has not come.
    incomplete: BytesMut,
    /// Decrypted, and not asked for yet.
    unread: BytesMut,
    /// Encrypted, and not taken by the kernel yet: at most one record and what TLS itself has to say.
    unsent: BytesMut,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// The client said that nothing follows.
    Ended,
    /// Somebody broke the rules. rustls must not be asked again.
    Failed,
}

impl Records {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            incomplete: BytesMut::new(),
            unread: BytesMut::new(),
            unsent: BytesMut::new(),
            life: Life::Open,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.life == Life::Ended
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Moves plaintext that is left over from an earlier read. Returns how many bytes.
    pub(super) fn take_unread(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.unread.len().min(buffer.len());
        self.unread.copy_to_slice(&mut buffer[..taken]);
        if self.unread.is_empty() {
            self.unread = BytesMut::new();
        }
        taken
    }

    /// Puts the held beginning of a record in front of where more is read. Returns its length.
    pub(super) fn lay_out(&self, ciphertext: &mut [u8]) -> usize {
        ciphertext[..self.incomplete.len()].copy_from_slice(&self.incomplete);
        self.incomplete.len()
    }

    /// Takes in ciphertext: what [`Self::lay_out`] put there and what was read behind it. Plaintext goes to `plaintext`,
    /// and what does not fit there is kept. Returns how many bytes were put there.
    ///
    /// # Errors
    /// The client broke the rules; what it is told of that is unsent.
    pub(super) fn take_in(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut [u8],
    ) -> io::Result<usize> {
        let (mut used, mut put) = (0, 0);
        while self.life == Life::Open {
            let UnbufferedStatus { mut discard, state } =
                self.connection.process_tls_records(&mut ciphertext[used..]);
            let is_idle = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        let room = &mut plaintext[put..];
                        // What is kept is asked for first, so nothing may go past it.
                        let fits = match self.unread.is_empty() {
                            true => record.payload.len().min(room.len()),
                            false => 0,
                        };
                        room[..fits].copy_from_slice(&record.payload[..fits]);
                        put += fits;
                        self.unread.extend_from_slice(&record.payload[fits..]);
                    }
                    Ok(false)
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, &mut self.unsent)?;
                    Ok(false)
                }
                // It is in `unsent`, which leaves before anything else.
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    Ok(false)
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.life = Life::Ended;
                    Ok(false)
                }
                Ok(_) => Ok(true),
                Err(error) => Err(error),
            };
            used += discard;
            match is_idle {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => {
                    self.fail(&mut ciphertext[used..])?;
                    return Err(broken(error));
                }
            }
        }
        self.hold(&ciphertext[used..]);
        Ok(put)
    }

    /// Encrypts one record. Returns the length of its ciphertext.
    ///
    /// # Errors
    /// The connection is over.
    pub(super) fn seal(&mut self, plaintext: &[u8], ciphertext: &mut [u8]) -> io::Result<usize> {
        if self.life == Life::Failed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        loop {
            // What is held must be shown to rustls again, although nothing comes of it: it remembers how far it was.
            let status = self.connection.process_tls_records(&mut self.incomplete);
            match status.state.map_err(broken)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return traffic.encrypt(plaintext, ciphertext).map_err(broken);
                }
                ConnectionState::PeerClosed => self.life = Life::Ended,
                _ => return Err(ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Says that nothing follows.
    pub(super) fn close(&mut self) {
        let mut notice = [0; NOTICE_BYTES];
        let incomplete = &mut self.incomplete;
        if self.life == Life::Failed {
            return;
        }
        let status = self.connection.process_tls_records(incomplete);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state
            && let Ok(len) = traffic.queue_close_notify(&mut notice)
        {
            self.unsent.extend_from_slice(&notice[..len]);
        }
    }

    /// What is to be sent before anything else.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// Some of it was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.unsent.advance(bytes);
        if self.unsent.is_empty() {
            // An idle connection holds no buffer.
            self.unsent = BytesMut::new();
        }
    }

    /// Keeps what the kernel did not take.
    pub(super) fn keep_unsent(&mut self, ciphertext: &[u8]) {
        self.unsent.extend_from_slice(ciphertext);
    }

    fn hold(&mut self, rest: &[u8]) {
        if rest.is_empty() || self.life != Life::Open {
            self.incomplete = BytesMut::new();
        } else {
            self.incomplete.clear();
            self.incomplete.extend_from_slice(rest);
        }
    }

    /// Nothing more is read; what rustls has to say of it is kept for sending.
    fn fail(&mut self, ciphertext: &mut [u8]) -> io::Result<()> {
        self.life = Life::Failed;
        self.incomplete = BytesMut::new();
        // The alert may stand behind the beginning of an answer.
        while let Ok(ConnectionState::EncodeTlsData(mut data)) =
            self.connection.process_tls_records(ciphertext).state
        {
            encode(&mut data, &mut self.unsent)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// Appends what TLS itself has to say.
fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, unsent: &mut BytesMut) -> io::Result<()> {
    let begin = unsent.len();
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return Ok(());
    };
    unsent.resize(begin + size.required_size, 0);
    data.encode(&mut unsent[begin..]).map_err(broken)?;
    Ok(())
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Room for a close notice, and for a change of keys in front of it.
const NOTICE_BYTES: usize = 256;
