//! The socket: frames out, frames in, and the bytes below them.

use std::net::SocketAddr;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use parlor_protocol::Form;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::authority::{AnyStream, Trust};
use crate::patience::in_time;

/// A WebSocket in one of the two forms.
#[derive(Debug)]
pub(crate) struct Wire {
    form: Form,
    socket: WebSocketStream<AnyStream>,
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Frame {
    Data(Vec<u8>),
    /// A ping or a pong of the WebSocket protocol.
    Control,
    Close(u16),
    End(Option<String>),
}

impl Wire {
    /// `receive_bytes` bounds what the kernel takes in for a client that does not read.
    pub(crate) async fn open(
        address: SocketAddr,
        form: Form,
        receive_bytes: Option<u32>,
        trust: Option<&Trust>,
    ) -> Self {
        let socket = in_time("the handshakes", async {
            let socket = TcpSocket::new_v4().expect("a socket");
            if let Some(bytes) = receive_bytes {
                socket.set_recv_buffer_size(bytes).expect("a narrow socket");
            }
            let stream = socket.connect(address).await.expect("the server accepts");
            stream.set_nodelay(true).expect("frames leave at once");
            let stream: AnyStream = match trust {
                None => Box::new(stream),
                Some(trust) => Box::new(trust.connect(stream).await.expect("TLS")),
            };
            handshake(address, form, stream)
                .await
                .expect("the server answers the handshake")
        });
        Self {
            form,
            socket: socket.await,
        }
    }

    /// Nothing when nobody answers there.
    pub(crate) async fn try_open(address: SocketAddr, form: Form) -> Option<Self> {
        Self::try_open_with(address, form, None).await
    }

    /// The same; `receive_bytes` bounds what the kernel takes in for a client that does not read.
    pub(crate) async fn try_open_with(
        address: SocketAddr,
        form: Form,
        receive_bytes: Option<u32>,
    ) -> Option<Self> {
        let socket = TcpSocket::new_v4().ok()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).ok()?;
        }
        let stream = socket.connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let socket = handshake(address, form, Box::new(stream)).await.ok()?;
        Some(Self { form, socket })
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Sends a frame of the form's type.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) {
        self.send_message(message(self.form, bytes)).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_message(Message::binary(bytes.to_vec())).await;
    }

    /// A server that has closed takes nothing more: what it said then is read, not what failed here.
    async fn send_message(&mut self, message: Message) {
        let _closed = in_time("a frame to leave", self.socket.send(message)).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let stream = self.socket.get_mut();
        let _closed = in_time("bytes to leave", stream.write_all(bytes)).await;
    }

    pub(crate) async fn close(&mut self) {
        let _closed = in_time("a close frame to leave", self.socket.close(None)).await;
    }

    pub(crate) async fn read(&mut self) -> Frame {
        frame(self.socket.next().await)
    }

    /// Writing and reading apart, for who does both at once.
    pub(crate) fn split(self) -> (WireWriter, WireReader) {
        let (writer, reader) = self.socket.split();
        let form = self.form;
        (WireWriter { form, writer }, WireReader(reader))
    }
}

/// The writing half. The socket ends when both halves are dropped.
#[derive(Debug)]
pub(crate) struct WireWriter {
    form: Form,
    writer: SplitSink<WebSocketStream<AnyStream>, Message>,
}

impl WireWriter {
    /// Waits as long as the server takes nothing. False when the socket has ended.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> bool {
        self.writer.send(message(self.form, bytes)).await.is_ok()
    }
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct WireReader(SplitStream<WebSocketStream<AnyStream>>);

impl WireReader {
    /// Loses nothing when it is dropped before it is done.
    pub(crate) async fn read(&mut self) -> Frame {
        frame(self.0.next().await)
    }
}

/// As the form's type of frame.
fn message(form: Form, bytes: Vec<u8>) -> Message {
    match form {
        Form::Json => Message::text(String::from_utf8(bytes).expect("JSON is UTF-8")),
        Form::MsgPack => Message::binary(bytes),
    }
}

fn frame(came: Option<Result<Message, tungstenite::Error>>) -> Frame {
    match came {
        Some(Ok(Message::Text(text))) => Frame::Data(text.as_bytes().to_vec()),
        Some(Ok(Message::Binary(bytes))) => Frame::Data(bytes.to_vec()),
        Some(Ok(Message::Close(Some(close)))) => Frame::Close(close.code.into()),
        // RFC 6455 §7.1.5: a close frame without a code reads as 1005.
        Some(Ok(Message::Close(None))) => Frame::Close(1005),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Frame::Control,
        Some(Err(error)) => Frame::End(Some(error.to_string())),
        None => Frame::End(None),
    }
}

async fn handshake(
    address: SocketAddr,
    form: Form,
    stream: AnyStream,
) -> Result<WebSocketStream<AnyStream>, tungstenite::Error> {
    let mut request = format!("ws://{address}/v1/socket").into_client_request()?;
    let subprotocol = HeaderValue::from_static(form.subprotocol());
    request
        .headers_mut()
        .insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}
