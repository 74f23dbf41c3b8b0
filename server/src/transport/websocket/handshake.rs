//! The rules of the handshake (RFC 6455 §4.2), whoever read the request: who may open a WebSocket, and in which wire form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::Header;
use hyper::StatusCode;
use parlor_protocol::Form;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::auth;
use crate::transport::shard::Shard;

/// Subprotocols looked at; a list longer than this is no client's.
const SUBPROTOCOLS_MAX: usize = 32;

/// Why a handshake is refused: a status and a text for the person who debugs it.
pub(super) type Refusal = (StatusCode, &'static str);

/// A request for a WebSocket.
pub(in crate::transport) struct Handshake<'h> {
    /// A GET of HTTP/1.1.
    pub(in crate::transport) is_get: bool,
    pub(in crate::transport) headers: &'h [Header<'h>],
}

/// A handshake that may go on.
#[derive(Debug)]
pub(in crate::transport) struct Accepted {
    /// What `Sec-WebSocket-Accept` says.
    pub(super) accept: String,
    pub(in crate::transport) form: Form,
    /// What `Sec-WebSocket-Protocol` says, if the client named one.
    pub(super) subprotocol: Option<&'static str>,
}

impl Accepted {
    /// The answer, as it goes over the wire.
    pub(in crate::transport) fn answer(&self) -> String {
        let accept = &self.accept;
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
        );
        if let Some(subprotocol) = self.subprotocol {
            answer.push_str("Sec-WebSocket-Protocol: ");
            answer.push_str(subprotocol);
            answer.push_str("\r\n");
        }
        answer.push_str("\r\n");
        answer
    }
}

impl Handshake<'_> {
    /// Whether the request may become a WebSocket of this shard.
    ///
    /// # Errors
    /// What is wrong with it, or with the time at which it comes.
    pub(in crate::transport) fn check(&self, shard: &Shard) -> Result<Accepted, Refusal> {
        if !self.is_get {
            return Err((
                StatusCode::BAD_REQUEST,
                "a websocket handshake is a GET of HTTP/1.1",
            ));
        }
        if !self.has_token("upgrade", "websocket") || !self.has_token("connection", "upgrade") {
            return Err((
                StatusCode::UPGRADE_REQUIRED,
                "this address speaks the websocket protocol",
            ));
        }
        if self.one("sec-websocket-version") != Some(b"13") {
            return Err((StatusCode::UPGRADE_REQUIRED, "the websocket version is 13"));
        }
        let key = self.one("sec-websocket-key");
        let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
        let key = key.ok_or((
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ))?;
        self.check_origin(shard)?;
        let (form, subprotocol) = self.subprotocol()?;
        if shard.state().node.lifecycle.is_draining() {
            return Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is shutting down",
            ));
        }
        if shard.state().node.metrics.connections_open() >= shard.config().connections_max {
            return Err((
                StatusCode::SERVICE_UNAVAILABLE,
                "the server has as many connections as it may",
            ));
        }
        Ok(Accepted {
            accept: derive_accept_key(key),
            form,
            subprotocol,
        })
    }

    fn check_origin(&self, shard: &Shard) -> Result<(), Refusal> {
        let forbidden = (StatusCode::FORBIDDEN, "this origin may not open a socket");
        let mut origins = self.all("origin");
        let origin = match origins.next() {
            Some(origin) => Some(text(origin).ok_or(forbidden)?),
            None => None,
        };
        let host = self.all("host").next().and_then(text);
        let is_dev = shard.state().node.auth.is_dev();
        // Whoever needs no key must at least be this machine, by its own name.
        if origins.next().is_some() || (is_dev && !host.is_some_and(auth::is_loopback)) {
            return Err(forbidden);
        }
        let is_own_page = is_dev && origin.is_some_and(auth::is_loopback_origin);
        if !is_own_page && !shard.config().origins.allow(origin, host) {
            return Err(forbidden);
        }
        Ok(())
    }

    /// The first subprotocol of the client's list that we speak; JSON when it lists none.
    fn subprotocol(&self) -> Result<(Form, Option<&'static str>), Refusal> {
        let mut offered = self.parts("sec-websocket-protocol").peekable();
        if offered.peek().is_none() {
            return Ok((Form::Json, None));
        }
        let known = offered
            .take(SUBPROTOCOLS_MAX)
            .find_map(Form::from_subprotocol);
        known.map(|form| (form, Some(form.subprotocol()))).ok_or((
            StatusCode::BAD_REQUEST,
            "none of the offered subprotocols is spoken here",
        ))
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.parts(name)
            .any(|part| part.eq_ignore_ascii_case(token))
    }

    /// The value of a header that stands once.
    fn one(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// What all headers of this name list, with commas between.
    fn parts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name)
            .filter_map(text)
            .flat_map(|list| list.split(','))
            .map(str::trim)
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }
}

/// A header's value, where it is plain text.
fn text(value: &[u8]) -> Option<&str> {
    let is_plain = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte);
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.as_bytes().iter().all(is_plain))
}
