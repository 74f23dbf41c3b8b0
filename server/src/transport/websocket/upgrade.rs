//! The handshake (RFC 6455 §4.2), answered in the shard's own service; afterwards the raw socket is ours.

use std::rc::Rc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use parlor_protocol::Form;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::peer::Peer;
use super::read;
use crate::auth;
use crate::metrics;
use crate::transport::pending::PendingPlace;
use crate::transport::shard::Shard;
use crate::transport::socket::Socket;

/// Subprotocols looked at; a list longer than this is no client's.
const SUBPROTOCOLS_MAX: usize = 32;

/// Why a handshake is refused: a status and a text for the person who debugs it.
type Refusal = (StatusCode, &'static str);

/// Answers 101 and takes the socket, or says why not.
pub(in crate::transport) fn upgrade<B>(
    shard: &Rc<Shard>,
    mut request: Request<B>,
    place: Rc<PendingPlace>,
) -> Response<Body> {
    match check(shard, &request) {
        Ok((key, form, named)) => {
            let on_upgrade = hyper::upgrade::on(&mut request);
            tokio::task::spawn_local(begin(Rc::clone(shard), on_upgrade, form, place));
            switching(&key, form, named)
        }
        Err((status, text)) => {
            metrics::incr(&shard.state().counters().handshakes_refused);
            refused(status, text)
        }
    }
}

/// Returns the key, the wire form, and whether the client asked for the form by name.
fn check<B>(shard: &Shard, request: &Request<B>) -> Result<(Vec<u8>, Form, bool), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Err((
            StatusCode::BAD_REQUEST,
            "a websocket handshake is a GET of HTTP/1.1",
        ));
    }
    if !has_token(headers, header::UPGRADE, "websocket")
        || !has_token(headers, header::CONNECTION, "upgrade")
    {
        return Err((
            StatusCode::UPGRADE_REQUIRED,
            "this address speaks the websocket protocol",
        ));
    }
    if one(headers, header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "the websocket version is 13"));
    }
    let key = one(headers, header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16));
    let key = key.ok_or((
        StatusCode::BAD_REQUEST,
        "Sec-WebSocket-Key is not 16 bytes in base64",
    ))?;
    check_origin(shard, headers)?;
    let (form, named) = subprotocol(headers)?;
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
    Ok((key.to_vec(), form, named))
}

fn check_origin(shard: &Shard, headers: &HeaderMap) -> Result<(), Refusal> {
    let forbidden = (StatusCode::FORBIDDEN, "this origin may not open a socket");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins
        .next()
        .map(HeaderValue::to_str)
        .transpose()
        .map_err(|_| forbidden)?;
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
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
fn subprotocol(headers: &HeaderMap) -> Result<(Form, bool), Refusal> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .peekable();
    if offered.peek().is_none() {
        return Ok((Form::Json, false));
    }
    let known = offered
        .take(SUBPROTOCOLS_MAX)
        .find_map(Form::from_subprotocol);
    known.map(|form| (form, true)).ok_or((
        StatusCode::BAD_REQUEST,
        "none of the offered subprotocols is spoken here",
    ))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn one(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn switching(key: &[u8], form: Form, named: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if named {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(form.subprotocol()),
        );
    }
    response
}

fn refused(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    match status {
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            );
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

/// Takes the raw socket back from hyper; nothing of HTTP stays.
async fn begin(shard: Rc<Shard>, on_upgrade: OnUpgrade, form: Form, place: Rc<PendingPlace>) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%error, "A handshake was not finished.");
            return;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Socket>>() else {
        debug!("An upgraded socket was not the one that was served.");
        return;
    };
    drop(place);
    let peer = Peer::open(&shard, parts.io.into_inner(), form);
    // Boxed: the reading future is large, and this task's own future is not needed any more.
    Box::pin(read::run(shard, peer, parts.read_buf)).await;
}
