//! The handshake through hyper, answered in the shard's own service; afterwards the socket is ours. Most handshakes
//! over plain sockets are whole in the first read and never come here: see `transport/newcomer`.

use std::rc::Rc;

use axum::body::Body;
use httparse::Header;
use hyper::header::{self, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use parlor_protocol::Form;
use tracing::debug;

use super::handshake::{Accepted, Handshake, Refusal};
use super::peer::Peer;
use super::read;
use crate::metrics;
use crate::transport::pending::PendingPlace;
use crate::transport::shard::Shard;
use crate::transport::socket::Socket;
use crate::write_deadline::WriteDeadline;

/// Answers 101 and takes the socket, or says why not.
pub(in crate::transport) fn upgrade<B>(
    shard: &Rc<Shard>,
    mut request: Request<B>,
    place: Rc<PendingPlace>,
) -> Response<Body> {
    match check(shard, &request) {
        Ok(accepted) => {
            let on_upgrade = hyper::upgrade::on(&mut request);
            let begin = begin(Rc::clone(shard), on_upgrade, accepted.form, place);
            tokio::task::spawn_local(begin);
            switching(&accepted)
        }
        Err((status, text)) => {
            metrics::incr(&shard.state().counters().handshakes_refused);
            refused(status, text)
        }
    }
}

/// What hyper read of a handshake, against the rules.
fn check<B>(shard: &Shard, request: &Request<B>) -> Result<Accepted, Refusal> {
    let headers = request.headers().iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| Header {
            name: name.as_str(),
            value: value.as_bytes(),
        })
        .collect();
    let handshake = Handshake {
        is_get: request.method() == Method::GET && request.version() == Version::HTTP_11,
        headers: &headers,
    };
    handshake.check(shard)
}

fn switching(accepted: &Accepted) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&accepted.accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = accepted.subprotocol {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
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

/// Takes the socket back from hyper; nothing of HTTP stays.
async fn begin(shard: Rc<Shard>, on_upgrade: OnUpgrade, form: Form, place: Rc<PendingPlace>) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            debug!(%error, "A handshake was not finished.");
            return;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<WriteDeadline<Socket>>>() else {
        debug!("An upgraded socket was not the one that was served.");
        return;
    };
    drop(place);
    let peer = Peer::open(&shard, parts.io.into_inner().into_inner(), form);
    // A task of its own: this one's future has room for a handshake, which is not needed any more. The bytes are copied and
    // let go of at once: even an empty slice of them keeps hyper's 8 KiB buffer as long as the connection.
    tokio::task::spawn_local(read::run(shard, peer, parts.read_buf.to_vec()));
}
