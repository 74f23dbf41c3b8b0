//! A client's side: what the client commands talk through, plain or over TLS.

use std::fmt;
use std::io;

use futures_util::{SinkExt as _, StreamExt as _};
use parlor_protocol::Form;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};

use super::websocket::PATH;

mod server;
mod trust;

pub use server::{DialError, Server, ServerError, Stream};

/// An open WebSocket to a server.
pub struct Socket {
    stream: WebSocketStream<Stream>,
    form: Form,
}

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// One whole message.
    Frame(Vec<u8>),
    /// The connection is over; with the close frame's code, if one came.
    Closed(Option<u16>),
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers there, or not as a Parlor server does, or somebody who is not to be trusted.
    pub async fn open(server: &Server, form: Form) -> Result<Self, DialError> {
        let stream = server.dial().await?;
        // Only its host and its path travel; whether TLS is spoken is the stream's affair.
        let mut request = format!("ws://{}{PATH}", server.authority())
            .into_client_request()
            .map_err(io::Error::other)?;
        let protocol = HeaderValue::from_static(form.subprotocol());
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (stream, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .map_err(io::Error::other)?;
        Ok(Self { stream, form })
    }

    /// Writes one message.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn send(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let message = match self.form {
            Form::Json => Message::text(String::from_utf8(frame).map_err(io::Error::other)?),
            Form::MsgPack => Message::binary(frame),
        };
        self.stream.send(message).await.map_err(io::Error::other)
    }

    /// The next message, or the end. Pings are answered in passing.
    pub async fn next(&mut self) -> Incoming {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Incoming::Frame(text.as_bytes().to_vec()),
                Some(Ok(Message::Binary(bytes))) => Incoming::Frame(bytes.to_vec()),
                Some(Ok(Message::Close(frame))) => {
                    Incoming::Closed(frame.map(|frame| frame.code.into()))
                }
                Some(Ok(_)) => continue,
                Some(Err(tungstenite::Error::ConnectionClosed)) | None => Incoming::Closed(None),
                Some(Err(_)) => Incoming::Closed(None),
            };
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}
