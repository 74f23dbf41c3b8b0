//! How a toy server takes those who connect. Knows nothing of what they say.
//!
//! Each test binary with such a server includes it by its path.

use std::net::SocketAddr;
use std::thread;

use tokio::net::{TcpListener, TcpStream};

/// Gives each connection a task, on one thread, until the process ends; returns where.
pub(crate) fn serve<T>(connection: impl Fn(TcpStream) -> T + Send + 'static) -> SocketAddr
where
    T: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream));
            }
        });
    });
    address
}
