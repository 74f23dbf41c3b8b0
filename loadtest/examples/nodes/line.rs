//! A connection that asks one thing at a time in JSON: Parlor's own dialect, or any other on a WebSocket.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

/// Whom one speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Parlor,
    /// The Go peer, which speaks Centrifugo's protocol.
    Centrifuge,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    socket: WebSocketStream<TcpStream>,
    dialect: Dialect,
    last_id: u32,
}

impl Line {
    /// Connects as this user.
    pub(crate) async fn open(
        address: SocketAddr,
        dialect: Dialect,
        user: &str,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (path, protocol) = match dialect {
            Dialect::Parlor => ("v1/socket", "parlor.v1.json"),
            Dialect::Centrifuge => ("connection/websocket", "centrifuge-json"),
        };
        let mut request = format!("ws://{address}/{path}").into_client_request()?;
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let mut line = Self {
            socket,
            dialect,
            last_id: 0,
        };
        let hello = match dialect {
            Dialect::Parlor => format!(r#"{{"user":"{user}"}}"#),
            Dialect::Centrifuge => "{}".to_owned(),
        };
        line.ask("connect", &hello).await?;
        Ok(line)
    }

    /// The whole answer, as its text. Pushes that come before it are passed over.
    pub(crate) async fn ask(&mut self, what: &str, body: &str) -> anyhow::Result<String> {
        self.last_id += 1;
        let id = self.last_id;
        self.say(format!(r#"{{"id":{id},"{what}":{body}}}"#))
            .await?;
        let (start, key) = (format!(r#"{{"id":{id},"#), format!(r#""id":{id},"#));
        loop {
            let text = self.hear().await?;
            if text.starts_with(&start) || text.starts_with(&key) {
                ensure!(
                    !text[..text.len().min(40)].contains(r#""error""#),
                    "{what}: {text}"
                );
                return Ok(text);
            }
        }
    }

    /// The answer, read.
    pub(crate) async fn ask_value(&mut self, what: &str, body: &str) -> anyhow::Result<Value> {
        let text = self.ask(what, body).await?;
        let mut value: Value = serde_json::from_str(&text)?;
        Ok(value[what].take())
    }

    /// Sends a whole frame.
    pub(crate) async fn say(&mut self, frame: String) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(frame)).await?)
    }

    /// The closing handshake of WebSocket. Returns when the server has ended it.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.socket.close(None).await?;
        while let Some(message) = self.socket.next().await {
            message?;
        }
        Ok(())
    }

    /// The next frame that is no ping.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<String> {
        loop {
            let message = self
                .socket
                .next()
                .await
                .context("the connection has ended")??;
            let text = match message {
                Message::Text(text) => text.to_string(),
                Message::Close(why) => bail!("the server closed: {why:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    continue;
                }
            };
            match (self.dialect, text.as_str()) {
                (Dialect::Parlor, r#"{"ping":{}}"#) => {
                    self.say(r#"{"pong":{}}"#.to_owned()).await?
                }
                (Dialect::Centrifuge, "{}") => self.say("{}".to_owned()).await?,
                _ => return Ok(text),
            }
        }
    }
}
