//! Listeners: one per shard on the same address, where the kernel balances them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 4096;

/// Bytes that the kernel takes for a socket beyond what it can send. Its own bound is megabytes for a reader that is
/// stuck, on top of the outbox's, and nothing in there can be taken back when the channel's policy says so.
const UNSENT_BYTES_MAX: u32 = 64 * 1024;

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
    // What is accepted inherits both: two calls less for each connection. Frames are joined by us, not by Nagle's algorithm.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use socket2::SockRef;

    use super::*;

    #[test]
    fn what_is_accepted_sends_at_once_and_holds_little_back() {
        for shards in [1, 2] {
            let listeners = bind((Ipv4Addr::LOCALHOST, 0).into(), shards).expect("a free port");
            let _clients: Vec<_> = (0..32)
                .map(|_| TcpStream::connect(listeners.address).expect("somebody listens"))
                .collect();
            let mut sockets = listeners.sockets.iter();
            let accepted = sockets.find_map(|listener| listener.accept().ok());
            let (accepted, _) = accepted.expect("one of them came here");
            let accepted = SockRef::from(&accepted);
            assert!(accepted.tcp_nodelay().expect("an open socket"));
            assert_eq!(
                accepted.tcp_notsent_lowat().expect("an open socket"),
                UNSENT_BYTES_MAX
            );
        }
    }
}
