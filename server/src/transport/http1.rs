//! HTTP/1 on a fresh socket: an upgrade leaves for `websocket`, everything else goes to the router.

use std::convert::Infallible;
use std::rc::Rc;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt as _;
use tracing::debug;

use super::pending::PendingPlace;
use super::shard::Shard;
use super::socket::{Secure, Socket};
use super::websocket;
use crate::metrics;
use crate::write_deadline::WriteDeadline;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// Serves one socket until it closes or becomes a WebSocket.
pub(super) async fn serve(shard: Rc<Shard>, stream: TcpStream, place: PendingPlace) {
    let Some(socket) = secure(&shard, stream, &place).await else {
        return;
    };
    let socket = WriteDeadline::new(socket, shard.config().header_timeout);
    let place = Rc::new(place);
    let service = service_fn(|request: Request<Incoming>| {
        let (shard, place) = (Rc::clone(&shard), Rc::clone(&place));
        async move {
            if request.uri().path() == websocket::PATH {
                return Ok(websocket::upgrade(&shard, request, place));
            }
            place.busy();
            let answer = route(&shard, request).await;
            place.idle();
            answer
        }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shard.config().header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = place.evicted() => {
            metrics::incr(&shard.state().counters().handshakes_refused);
            return;
        }
        () = shard.draining() => {
            // Keep-alive ends; the request under way is finished.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "An HTTP connection ended early.");
    }
}

/// The socket that requests come over: after the TLS handshake, where the listener speaks TLS. `None` when it came to
/// nothing.
async fn secure(shard: &Shard, stream: TcpStream, place: &PendingPlace) -> Option<Socket> {
    let Some(tls) = shard.config().tls.clone() else {
        return Some(Socket::Plain(stream));
    };
    let counters = shard.state().counters();
    // Boxed: a plain socket need not have room for it.
    let shaking = Box::pin(Secure::accept(stream, tls));
    let shaken = tokio::select! {
        shaken = timeout(shard.config().header_timeout, shaking) => shaken,
        () = place.evicted() => {
            metrics::incr(&counters.handshakes_refused);
            return None;
        }
        () = shard.draining() => return None,
    };
    match shaken {
        Ok(Ok(secure)) => {
            metrics::incr(&counters.tls_handshakes);
            metrics::add(&counters.tls_resumed, u64::from(secure.is_resumed()));
            return Some(Socket::Secure(Box::new(secure)));
        }
        Ok(Err(error)) => debug!(%error, "A TLS handshake failed."),
        Err(_) => debug!("A TLS handshake took too long."),
    }
    metrics::incr(&counters.handshakes_refused);
    None
}

async fn route(shard: &Shard, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    shard.router().clone().oneshot(request.map(Body::new)).await
}
