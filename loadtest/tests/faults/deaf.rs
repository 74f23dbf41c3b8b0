//! A server that lets everybody in, takes whatever is said as fast as it can, and says nothing.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tokio_tungstenite::tungstenite::accept;

/// Serves until the process ends; returns where.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || swallow(stream));
        }
    });
    address
}

fn swallow(stream: TcpStream) {
    let Ok(mut socket) = accept(stream) else {
        return;
    };
    let mut scratch = vec![0; SCRATCH_BYTES];
    // Not frame by frame: it must never be slower than the one that writes.
    while matches!(socket.get_mut().read(&mut scratch), Ok(1..)) {}
}

const SCRATCH_BYTES: usize = 1 << 20;
