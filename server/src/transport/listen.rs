//! Listeners: one per shard on the same address, where the kernel balances them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 4096;

/// One listener per shard, all on one address.
#[derive(Debug)]
pub struct Listeners {
    pub address: SocketAddr,
    /// As many as shards where `SO_REUSEPORT` balances; else one, and its shard hands sockets over.
    pub sockets: Vec<TcpListener>,
}

#[derive(Debug, thiserror::Error)]
#[error("unable to listen on {address}; {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Binds. A plain bind comes first: with `SO_REUSEPORT` alone a second server of the same user would silently
/// share the port with the first.
///
/// # Errors
/// The address is in use or not ours to bind.
pub fn bind(address: SocketAddr, shards: usize) -> Result<Listeners, BindError> {
    bind_all(address, shards).map_err(|source| BindError { address, source })
}

fn bind_all(address: SocketAddr, shards: usize) -> io::Result<Listeners> {
    let plain = open(address, false)?;
    if !cfg!(target_os = "linux") || shards == 1 {
        plain.listen(BACKLOG)?;
        let socket: TcpListener = plain.into();
        return Ok(Listeners {
            address: socket.local_addr()?,
            sockets: vec![socket],
        });
    }
    let address = plain.local_addr()?.as_socket().unwrap_or(address);
    drop(plain);
    let sockets = (0..shards)
        .map(|_| open(address, true).and_then(listening))
        .collect::<io::Result<_>>()?;
    Ok(Listeners { address, sockets })
}

fn open(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
