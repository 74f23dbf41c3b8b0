//! Requests as bytes, for what no HTTP library would send.

use parlor_protocol::Form;
use parlor_tests::{Server, Setup, in_time};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Status, head in lower case, and body of what a server answers to these bytes.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

pub(crate) async fn send(server: &Server, request: &str) -> Answer {
    let mut socket = TcpStream::connect(server.address())
        .await
        .expect("it accepts");
    // A refused request may be answered, and its socket closed, before all of it is written.
    let _refused = socket.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _reset = in_time("an answer", socket.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// A request with these headers beside the necessary ones.
pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let own = [
        ("host", "localhost"),
        ("connection", "close"),
        ("content-type", "application/json"),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let mut text = format!("{line} HTTP/1.1\r\n");
    for (name, value) in own
        .iter()
        .filter(|(name, _)| !is_given(name))
        .chain(headers)
    {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !is_given("content-length") && !is_given("transfer-encoding") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

/// A publish that succeeds.
pub(crate) const GOOD: &str = r#"{"channel":"memory:1","data":{"text":"hello"}}"#;

pub(crate) fn run(test: impl AsyncFnOnce(Server), setup: Setup) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = setup.start().await;
        test(server).await;
    });
}

pub(crate) fn in_development(test: impl AsyncFnOnce(Server)) {
    run(test, Setup::new(Form::Json, 1));
}

pub(crate) fn with_tokens(test: impl AsyncFnOnce(Server)) {
    run(test, Setup::new(Form::Json, 1).with_tokens());
}
