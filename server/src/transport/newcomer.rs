//! A fresh socket's first words. Nearly all plain sockets say one whole handshake of a WebSocket in one piece: that is answered here,
//! without an HTTP library and its buffers. Anything else (other requests, half ones, handshakes to be refused) is left in
//! the kernel, looked at but not taken, and `http1` reads and answers it. So does it where TLS is spoken: what the kernel has
//! of those is not their words.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use httparse::{EMPTY_HEADER, Request, Status};
use parlor_protocol::Form;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pending::PendingPlace;
use super::shard::Shard;
use super::socket::Socket;
use super::websocket::{Accepted, Handshake};
use super::{http1, websocket};
use crate::metrics;

/// Headers of a handshake that is answered here; browsers send about fifteen.
const HEADERS_MAX: usize = 32;

/// What a socket said first.
enum FirstWords {
    /// A handshake that may go on: its head has so many bytes.
    Handshake(Box<Accepted>, usize),
    Other,
}

/// Serves one socket until it closes.
pub(super) async fn serve(shard: Rc<Shard>, socket: TcpStream, place: PendingPlace) {
    if shard.config().tls.is_some() {
        return Box::pin(http1::serve(shard, socket, place)).await;
    }
    let first_words = poll_fn(|context| poll_first_words(&shard, &socket, context));
    let said = tokio::select! {
        said = timeout(shard.config().header_timeout, first_words) => said,
        () = place.evicted() => {
            metrics::incr(&shard.state().counters().handshakes_refused);
            return;
        }
        () = shard.draining() => return,
    };
    match said {
        Ok(Ok(FirstWords::Handshake(accepted, head_len))) => {
            if let Ok(form) = answer(&shard, &socket, *accepted, head_len) {
                drop(place);
                websocket::serve(shard, Socket::Plain(socket), form).await;
            }
        }
        // Boxed: a WebSocket's future need not have room for it.
        Ok(Ok(FirstWords::Other)) => Box::pin(http1::serve(shard, socket, place)).await,
        // It is gone, or says nothing.
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Looks at what has come, without taking it.
fn poll_first_words(
    shard: &Shard,
    socket: &TcpStream,
    context: &mut Context<'_>,
) -> Poll<io::Result<FirstWords>> {
    shard.scratch().with(|scratch| {
        let mut seen = ReadBuf::new(scratch);
        match ready!(socket.poll_peek(context, &mut seen))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(understand(shard, seen.filled()))),
        }
    })
}

fn understand(shard: &Shard, seen: &[u8]) -> FirstWords {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let Ok(Status::Complete(head_len)) = request.parse(seen) else {
        return FirstWords::Other;
    };
    let target = request.path.unwrap_or_default();
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    // With a body, where the head's end is not the request's: hyper knows about those.
    let has_body = request.headers.iter().any(|header| {
        ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| header.name.eq_ignore_ascii_case(name))
    });
    if path != websocket::PATH || has_body {
        return FirstWords::Other;
    }
    let handshake = Handshake {
        is_get: request.method == Some("GET") && request.version == Some(1),
        headers: request.headers,
    };
    match handshake.check(shard) {
        Ok(accepted) => FirstWords::Handshake(Box::new(accepted), head_len),
        // hyper comes to the same end, and answers.
        Err(_) => FirstWords::Other,
    }
}

/// Takes the head and answers it. A fresh socket has room for the answer; one that has not is not worth waiting for.
fn answer(
    shard: &Shard,
    socket: &TcpStream,
    accepted: Accepted,
    head_len: usize,
) -> io::Result<Form> {
    let taken = shard
        .scratch()
        .with(|scratch| socket.try_read(&mut scratch[..head_len]))?;
    let answer = accepted.answer();
    let sent = socket.try_write(answer.as_bytes())?;
    if taken == head_len && sent == answer.len() {
        Ok(accepted.form)
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}
