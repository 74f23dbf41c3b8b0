//! A socket below all protocols: bytes out, HTTP heads and WebSocket frames in.

use std::net::SocketAddr;
use std::time::Duration;

use parlor_protocol::codec::{self, ServerMessage};
use parlor_protocol::command::{Command, Connect, Ping};
use parlor_protocol::{Envelope, Form};
use parlor_tests::in_time;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The bit of a frame's first byte that ends a message.
pub(crate) const FIN: u8 = 0x80;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The opcode in which a form travels.
pub(crate) fn opcode(form: Form) -> u8 {
    match form {
        Form::Json => TEXT,
        Form::MsgPack => BINARY,
    }
}

/// Longer than any time that the server gives to anybody.
const SILENCE_MAX: Duration = Duration::from_secs(30);

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame with the shortest length (RFC 6455 §5.2).
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    match payload.len() {
        len @ 0..=125 => with_header(vec![first, 0x80 | len as u8], payload),
        len @ 126..=0xffff => with_header(
            [&[first, 0xfe][..], &(len as u16).to_be_bytes()].concat(),
            payload,
        ),
        len => declaring(first, len as u64, payload),
    }
}

/// A masked frame that says, in 64 bits, to be this long.
pub(crate) fn declaring(first: u8, len: u64, payload: &[u8]) -> Vec<u8> {
    with_header([&[first, 0xff][..], &len.to_be_bytes()].concat(), payload)
}

/// A masked frame that says its length in 16 bits.
pub(crate) fn in_16_bits(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a short one");
    with_header([&[first, 0xfe][..], &len.to_be_bytes()].concat(), payload)
}

fn with_header(mut frame: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// The handshake of an honest client, with further header lines in it.
pub(crate) fn handshake(form: Form, more: &str) -> String {
    format!(
        "GET /v1/socket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n{more}\r\n",
        form.subprotocol()
    )
}

/// A command with an id, as a frame's payload.
pub(crate) fn command(form: Form, id: u32, command: Command) -> Vec<u8> {
    codec::encode_command(
        form,
        &Envelope {
            id: Some(id),
            command,
        },
    )
}

/// The head of an HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
}

/// What comes in over a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Data(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16),
    End,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    Closed(u16),
    /// It ended without a close frame.
    Lost,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
    form: Form,
}

impl Raw {
    pub(crate) async fn dial(address: SocketAddr, form: Form) -> Self {
        let stream = in_time("a socket", TcpStream::connect(address))
            .await
            .expect("the server accepts");
        stream.set_nodelay(true).expect("bytes leave at once");
        Self {
            stream,
            unread: Vec::new(),
            form,
        }
    }

    /// A socket that has become a WebSocket.
    pub(crate) async fn upgraded(address: SocketAddr, form: Form) -> Self {
        let mut raw = Self::dial(address, form).await;
        raw.send(handshake(form, "").as_bytes()).await;
        let answer = raw.answer().await.expect("an answer to the handshake");
        assert_eq!(answer.status, 101, "{answer:?}");
        raw
    }

    /// A connected user.
    pub(crate) async fn joined(address: SocketAddr, form: Form, user: &str) -> Self {
        let mut raw = Self::upgraded(address, form).await;
        let connect = Connect {
            user: Some(user.to_owned()),
            ..Connect::default()
        };
        raw.say(&command(form, 1, Command::Connect(connect))).await;
        assert!(
            matches!(raw.hear().await, Heard::Data(_)),
            "connect is answered"
        );
        raw
    }

    /// Sends bytes. That the server has closed meanwhile is read, not noticed here.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _closed = in_time("bytes to leave", self.stream.write_all(bytes)).await;
    }

    /// Sends a whole message of the form.
    pub(crate) async fn say(&mut self, payload: &[u8]) {
        self.send(&frame(FIN | opcode(self.form), payload)).await;
    }

    /// Says that nothing more comes.
    pub(crate) async fn finish(&mut self) {
        let _closed = self.stream.shutdown().await;
    }

    /// The head of the next HTTP answer; none when the socket ends before.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let status = head
                    .get(9..12)
                    .and_then(|status| status.parse().ok())
                    .expect("a status line");
                return Some(Answer { status, head });
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Everything up to the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.unread)
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            if let Some((first, payload)) = self.take_frame() {
                return match first & 0x0f {
                    CLOSE => Heard::Close(
                        payload
                            .get(..2)
                            .map_or(1005, |code| u16::from(code[0]) << 8 | u16::from(code[1])),
                    ),
                    PONG => Heard::Pong(payload),
                    PING => continue,
                    _ => Heard::Data(payload),
                };
            }
            if !self.fill().await {
                return Heard::End;
            }
        }
    }

    /// Waits for the end, whatever is said before it.
    pub(crate) async fn end(&mut self) -> Fate {
        let mut fate = Fate::Lost;
        loop {
            match self.hear().await {
                Heard::Close(code) => fate = Fate::Closed(code),
                Heard::End => return fate,
                Heard::Data(_) | Heard::Pong(_) => {}
            }
        }
    }

    /// Asks for a sign of life under this id, and says what came first: the sign or the end. All that the server
    /// says meanwhile must be of its documented form.
    pub(crate) async fn fate(&mut self, id: u32) -> Fate {
        self.say(&command(self.form, id, Command::Ping(Ping {})))
            .await;
        loop {
            match self.hear().await {
                Heard::Data(bytes) => {
                    let messages = codec::decode_server(self.form, &bytes);
                    let messages = messages.unwrap_or_else(|error| panic!("{error}: {bytes:?}"));
                    let is_it = |message: &ServerMessage| matches!(message, ServerMessage::Reply { id: other, .. } if *other == id);
                    if messages.iter().any(is_it) {
                        return Fate::Lives;
                    }
                }
                Heard::Pong(_) => {}
                Heard::Close(code) => return Fate::Closed(code),
                Heard::End => return Fate::Lost,
            }
        }
    }

    /// The socket itself, for a thread that waits.
    pub(crate) fn into_blocking(self) -> std::net::TcpStream {
        let stream = self.stream.into_std().expect("a socket of the runtime");
        stream.set_nonblocking(false).expect("it can wait");
        stream
    }

    /// False at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match timeout(SILENCE_MAX, self.stream.read(&mut chunk)).await {
            Ok(Ok(len)) if len > 0 => {
                self.unread.extend(&chunk[..len]);
                true
            }
            // A reset is an end, too.
            Ok(_) => false,
            Err(_) => panic!("the server neither said anything nor ended for {SILENCE_MAX:?}"),
        }
    }

    /// A whole frame, if one is there: its first byte and its payload.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, second) = (*self.unread.first()?, *self.unread.get(1)?);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (start, len) = match second {
            126 => (
                4,
                u64::from(u16::from_be_bytes(self.unread.get(2..4)?.try_into().ok()?)),
            ),
            127 => (
                10,
                u64::from_be_bytes(self.unread.get(2..10)?.try_into().ok()?),
            ),
            len => (2, u64::from(len)),
        };
        let end = start + usize::try_from(len).expect("a frame that fits");
        if self.unread.len() < end {
            return None;
        }
        let payload = self.unread[start..end].to_vec();
        self.unread.drain(..end);
        Some((first, payload))
    }
}

/// Sends a request on a fresh socket and returns the head of the answer, and all that follows it up to the end.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> (Option<Answer>, Vec<u8>) {
    let mut raw = Raw::dial(address, Form::Json).await;
    raw.send(request).await;
    let answer = raw.answer().await;
    (answer, raw.rest().await)
}
