//! What each part of an idle connection takes: so that one that grows is seen in the change that makes it grow.

use super::websocket::Peer;
use super::{http1, newcomer};
use crate::outbox::Outbox;
use crate::session::Session;

/// The size of the future that an async function of three arguments returns.
fn future<A, B, C, F>(_of: impl Fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

#[test]
#[allow(clippy::print_stdout, reason = "the sizes are what one looks for")]
fn an_idle_connection_stays_small() {
    let parts = [
        // Lives as long as the connection, in its task.
        ("newcomer::serve", future(newcomer::serve), 1_024),
        ("Peer", size_of::<Peer>(), 168),
        ("Session", size_of::<Session>(), 192),
        ("Outbox", size_of::<Outbox>(), 144),
        // For requests that are no handshakes.
        ("http1::serve", future(http1::serve), 1_280),
    ];
    for (name, bytes, _) in parts {
        println!("{name}: {bytes} bytes");
    }
    for (name, bytes, bytes_max) in parts {
        assert!(bytes <= bytes_max, "{name} has {bytes} bytes");
    }
}
