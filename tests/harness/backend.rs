//! A backend: one HTTP request at a time, JSON in and out.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::authority::{AnyStream, Trust};
use crate::patience::{PATIENCE, in_time};

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Backend {
    address: SocketAddr,
    key: Option<String>,
    trust: Option<Trust>,
}

impl Backend {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            key: None,
            trust: None,
        }
    }

    /// The same, with an API key or a token.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The same, over TLS.
    #[must_use]
    pub fn trusting(mut self, trust: &Trust) -> Self {
        self.trust = Some(trust.clone());
        self
    }

    /// Status and body of a POST.
    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, body.to_string()).await
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, String::new()).await
    }

    /// The same, or nothing where nobody answers.
    pub async fn try_get(&self, path: &str) -> Option<(u16, Value)> {
        let exchange = self.exchange(Method::GET, path, String::new(), &[]);
        let answered = tokio::time::timeout(PATIENCE, exchange).await;
        answered.ok()?.ok()
    }

    /// Status and body of a POST, or nothing where nobody answers. Waits as long as the server holds it.
    pub async fn try_post(&self, path: &str, body: Value) -> Option<(u16, Value)> {
        let exchange = self.exchange(Method::POST, path, body.to_string(), &[]);
        exchange.await.ok()
    }

    /// Status of a WebSocket handshake that is expected to be refused.
    pub async fn get_upgrade(&self, path: &str) -> u16 {
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ];
        in_time(
            "an HTTP answer",
            self.exchange(Method::GET, path, String::new(), &headers),
        )
        .await
        .expect("an HTTP exchange")
        .0
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        in_time("an HTTP answer", self.exchange(method, path, body, &[]))
            .await
            .expect("an HTTP exchange")
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
        headers: &[(&str, &str)],
    ) -> Result<(u16, Value), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        let stream: AnyStream = match &self.trust {
            None => Box::new(stream),
            Some(trust) => Box::new(trust.connect(stream).await?),
        };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        // Ends with the sender.
        tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        ))
    }
}
