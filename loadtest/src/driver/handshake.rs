//! The client's side of the WebSocket handshake.
//!
//! tungstenite's own would keep what the server says first in a buffer of its own, and several servers speak first.

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::driver::stream::Stream;

/// Makes the handshake; returns what the server sent behind its answer.
///
/// # Errors
/// In a few words, when the stream fails or the server does not switch to WebSocket.
pub(crate) async fn shake_hands(
    stream: &mut Stream,
    uri: &Uri,
    subprotocol: Option<&str>,
) -> Result<Vec<u8>, String> {
    let key = generate_key();
    let failed = |error: std::io::Error| format!("handshake failed: {}", error.kind());
    stream
        .write_all(request(uri, subprotocol, &key).as_bytes())
        .await
        .map_err(failed)?;
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    let end = loop {
        if stream.read_to(&mut answer).await.map_err(failed)? == 0 {
            return Err("handshake failed: closed".to_owned());
        }
        if let Some(at) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            break at + 4;
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err("handshake failed: an answer too long".to_owned());
        }
    };
    check(&answer[..end], &derive_accept_key(key.as_bytes()))?;
    Ok(answer.split_off(end))
}

fn request(uri: &Uri, subprotocol: Option<&str>, key: &str) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let offer = subprotocol
        .map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"))
        .unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{offer}\r\n"
    )
}

fn check(answer: &[u8], accept: &str) -> Result<(), String> {
    let answer = String::from_utf8_lossy(answer);
    let mut lines = answer.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        let status: String = status.chars().take(STATUS_CHARS_MAX).collect();
        return Err(format!("handshake failed: the server said `{status}`"));
    }
    let accepted = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept
        });
    if accepted {
        Ok(())
    } else {
        Err("handshake failed: the server's key is not the answer to ours".to_owned())
    }
}

/// What most servers' answers fit in.
const ANSWER_BYTES: usize = 1_024;
const ANSWER_BYTES_MAX: usize = 16 * 1_024;
const STATUS_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_is_taken() {
        let accept = derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        let good =
            format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {accept}\r\n\r\n");
        assert_eq!(check(good.as_bytes(), &accept), Ok(()));
        assert!(check(good.replace("101", "200").as_bytes(), &accept).is_err());
        assert!(check(good.replace(&accept, "x").as_bytes(), &accept).is_err());
    }

    #[test]
    fn the_request_names_path_and_host() {
        let uri: Uri = "ws://127.0.0.1:8000/app/key?x=1".parse().unwrap();
        let text = request(&uri, Some("parlor.json"), "KEY");
        assert!(text.starts_with("GET /app/key?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"));
        assert!(text.contains("Sec-WebSocket-Protocol: parlor.json\r\n"));
    }
}
