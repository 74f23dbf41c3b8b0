//! Which server the client commands talk to, and one HTTP request to it at a time.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use parlor::transport::client::Server;
use serde_json::Value;

/// Answers are pages of at most 1,000 events of at most 32 KiB, in the worst case in base64.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The server to talk to.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// The server's address: `http://` or `https://`.
    #[arg(long, env = "PARLOR_URL", default_value = "http://127.0.0.1:8000")]
    pub(super) url: String,
    /// An API key or a token; development mode needs none.
    #[arg(long, env = "PARLOR_KEY", hide_env_values = true, value_name = "KEY")]
    pub(super) key: Option<String>,
    /// A PEM file with the authority that signed the server's certificate, to be believed instead of those of the system.
    #[arg(long, env = "PARLOR_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

impl ServerArgs {
    /// The server at that address.
    pub(super) fn server(&self) -> anyhow::Result<Server> {
        // Its errors name their causes in their own words: a chain would say them twice.
        Server::at(&self.url, self.ca.as_deref()).map_err(|error| anyhow::anyhow!("{error}"))
    }
}

/// Sends one request. A problem becomes an error with its text.
pub(super) fn call(
    args: &ServerArgs,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match tokio::time::timeout(TIMEOUT, exchange(args, method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => bail!("{} did not answer in {} s", args.url, TIMEOUT.as_secs()),
        }
    })
}

async fn exchange(
    args: &ServerArgs,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let server = args.server()?;
    let stream = server
        .dial()
        .await
        .with_context(|| format!("unable to reach {}", args.url))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, server.authority());
    if let Some(key) = &args.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let response = sender
        .send_request(request.body(Full::new(Bytes::from(body)))?)
        .await?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    connection.abort();
    let bytes = bytes
        .map_err(|error| anyhow::anyhow!("the answer did not arrive; {error}"))?
        .to_bytes();
    let answer: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} answered {status} without JSON", args.url))?;
    if !status.is_success() {
        let text = |name: &str| answer[name].as_str().unwrap_or("?").to_owned();
        bail!("{} ({}): {}", text("name"), answer["code"], text("detail"));
    }
    Ok(answer)
}

/// A value for a query string.
pub(super) fn escaped(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_escaped() {
        assert_eq!(escaped("room:a/b+c d&é"), "room%3Aa%2Fb%2Bc%20d%26%C3%A9");
    }
}
