//! A connection as light as it can be: no buffer of its own, the socket read in place.

use std::cell::RefCell;
use std::net::SocketAddr;

use parlor_protocol::Form;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::frames::{self, BadFrame, Frame};
use crate::stream::Stream;
use crate::wire::{SCRATCH_BYTES, Wire};

pub(crate) const PING: &str = r#"{"ping":{}}"#;
pub(crate) const PONG: &str = r#"{"pong":{}}"#;

pub(crate) struct Light {
    wire: Wire,
}

impl Light {
    /// Connects and says this, a `connect` with the id 1. Returns when it is answered.
    pub(crate) async fn open(node: SocketAddr, hello: &str) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(node).await?, node, hello).await
    }

    /// The same from this address and port. The kernel need not look for a free port then, which takes longer the more there are.
    pub(crate) async fn open_from(
        source: SocketAddr,
        node: SocketAddr,
        hello: &str,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Somebody may hold the port on all addresses: then it is any other.
        socket.set_reuseaddr(true)?;
        let stream = match socket.bind(source) {
            Ok(()) => socket.connect(node).await?,
            Err(_) => TcpStream::connect(node).await?,
        };
        Self::over(stream, node, hello).await
    }

    async fn over(stream: TcpStream, node: SocketAddr, hello: &str) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{node}/v1/socket").into_client_request()?;
        let protocol = HeaderValue::from_static(Form::Json.subprotocol());
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        let small = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (socket, _) = client_async_with_config(request, stream, Some(small)).await?;
        // The server speaks only after `connect`, so nothing is lost with tungstenite's buffer.
        let wire = Wire::new(Stream::Plain(socket.into_inner()), Vec::new());
        let mut light = Self { wire };
        light.say(hello).await.map_err(anyhow::Error::msg)?;
        let mut is_welcome = false;
        let mut refusal = None;
        while !is_welcome {
            let take = |text: &str| {
                is_welcome |= text.starts_with(r#"{"id":1,"connect""#);
                if text.contains(r#""error""#) {
                    refusal = Some(text.to_owned());
                }
            };
            light.hear(take).await.map_err(anyhow::Error::msg)?;
        }
        anyhow::ensure!(refusal.is_none(), "{refusal:?}");
        Ok(light)
    }

    pub(crate) async fn say(&mut self, text: &str) -> Result<(), String> {
        let frame = frames::command(Form::Json, text.as_bytes());
        self.wire.send(&frame).await
    }

    /// Reads what is there like [`hear`](Self::hear), and answers a ping. Whether there was one. Not to be cancelled: half an answer may be sent.
    ///
    /// # Errors
    /// Why the connection ended.
    pub(crate) async fn hear_and_answer(
        &mut self,
        mut take: impl FnMut(&str),
    ) -> Result<bool, String> {
        let mut is_pinged = false;
        let heard = self.hear(|text| {
            is_pinged |= text == PING;
            take(text);
        });
        heard.await?;
        if is_pinged {
            self.say(PONG).await?;
        }
        Ok(is_pinged)
    }

    /// Reads what is there, whole texts.
    ///
    /// # Errors
    /// Why the connection ended.
    pub(crate) async fn hear(&mut self, mut take: impl FnMut(&str)) -> Result<(), String> {
        std::future::poll_fn(|cx| {
            // A connection keeps nothing between two reads.
            SCRATCH.with_borrow_mut(|scratch| {
                self.wire.poll_frames(cx, scratch, |frame| match frame {
                    Frame::Data(bytes) => {
                        take(
                            str::from_utf8(bytes)
                                .map_err(|_| BadFrame("text that is not UTF-8"))?,
                        );
                        Ok(())
                    }
                    Frame::Ping(_) | Frame::Pong => Ok(()),
                    Frame::Close(_) => Err(BadFrame("the server closed")),
                })
            })
        })
        .await
    }
}

thread_local! {
    /// What one read takes at most, shared by all connections of a thread.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// For the handshake only.
const READ_BUFFER_BYTES: usize = 1_024;
