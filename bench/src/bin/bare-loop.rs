//! The limit: one thread, one epoll, no rights, no log, no bound but memory. It copies what is published to who listens.
//!
//! `bare-loop ADDRESS single` makes one write for each delivery; `bare-loop ADDRESS joined` puts all that one read of the
//! publisher brought into one write for each subscriber. No server that does more can do better with the same calls.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use parlor_bench::{Wish, client_frame, server_frame, wish};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

struct Loop {
    poll: Poll,
    listener: TcpListener,
    joined: bool,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    channels: HashMap<String, Vec<usize>>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    role: Role,
    /// Read, but not yet a whole request or frame.
    read: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

enum Role {
    Newcomer,
    Receiver(Vec<String>),
    Publisher(String),
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, mode] = arguments.as_slice() else {
        bail!("usage: bare-loop ADDRESS single|joined");
    };
    let address: SocketAddr = address.parse().context("not an address")?;
    Loop::new(address, mode == "joined")?.run()
}

impl Loop {
    fn new(address: SocketAddr, joined: bool) -> anyhow::Result<Self> {
        let (poll, mut listener) = (Poll::new()?, TcpListener::bind(address)?);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            joined,
            connections: Vec::new(),
            free: Vec::new(),
            channels: HashMap::new(),
            scratch: vec![0; READ_BYTES],
        })
    }

    fn run(mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                    continue;
                }
                if event.is_writable() {
                    self.flush(event.token().0);
                }
                if event.is_readable() {
                    self.read(event.token().0);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self
                .poll
                .registry()
                .register(&mut stream, Token(index), interest);
            if stream.set_nodelay(true).is_err() || registered.is_err() {
                self.free.push(index);
                continue;
            }
            self.connections[index] = Some(Connection {
                stream,
                role: Role::Newcomer,
                read: Vec::new(),
                unsent: Vec::new(),
            });
        }
    }

    /// Reads until the socket is empty, as an edge-triggered epoll demands.
    fn read(&mut self, index: usize) {
        loop {
            let Some(connection) = &mut self.connections[index] else {
                return;
            };
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => return self.close(index),
                Ok(count) => connection.read.extend_from_slice(&self.scratch[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.close(index),
            }
            match &connection.role {
                Role::Newcomer => self.greet(index),
                // Whatever a receiver says, a close included: the end of its stream tells the rest.
                Role::Receiver(_) => connection.read = Vec::new(),
                Role::Publisher(_) => self.publish(index),
            }
        }
    }

    fn greet(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let request = String::from_utf8_lossy(&connection.read).into_owned();
        if !request.ends_with("\r\n\r\n") {
            return;
        }
        let Some((wish, key)) = wish(&request) else {
            return self.close(index);
        };
        connection.read = Vec::new();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        match wish {
            Wish::Publish(channel) => connection.role = Role::Publisher(channel),
            Wish::Receive(channels) => {
                for channel in &channels {
                    let members = self.channels.entry(channel.clone()).or_default();
                    members.push(index);
                }
                connection.role = Role::Receiver(channels);
            }
        }
        self.send(index, answer.as_bytes());
    }

    fn publish(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let Role::Publisher(channel) = &connection.role else {
            return;
        };
        let (mut block, mut ends, mut used) = (Vec::new(), Vec::new(), 0);
        while let Some((kind, mask, payload)) = client_frame(&connection.read[used..]) {
            let end = used + payload.end;
            let bytes = &mut connection.read[used + payload.start..end];
            if mask != [0; 4] {
                let masks = mask.into_iter().cycle();
                bytes
                    .iter_mut()
                    .zip(masks)
                    .for_each(|(byte, mask)| *byte ^= mask);
            }
            if kind == TEXT {
                server_frame(bytes, &mut block);
                ends.push(block.len());
            }
            used = end;
        }
        connection.read.drain(..used);
        // Taken out for the while, since sending may close.
        let members = self.channels.get(channel).cloned().unwrap_or_default();
        if self.joined {
            ends = ends.pop().into_iter().collect();
        }
        let mut start = 0;
        for end in ends {
            for member in &members {
                self.send(*member, &block[start..end]);
            }
            start = end;
        }
    }

    fn send(&mut self, index: usize, bytes: &[u8]) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(bytes);
        } else {
            match connection.stream.write(bytes) {
                Ok(count) => connection.unsent.extend_from_slice(&bytes[count..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.unsent.extend_from_slice(bytes);
                }
                Err(_) => return self.close(index),
            }
        }
        if connection.unsent.len() > UNSENT_MAX {
            self.close(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else {
            return;
        };
        let mut sent = 0;
        while sent < connection.unsent.len() {
            match connection.stream.write(&connection.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.close(index),
            }
        }
        if sent == connection.unsent.len() {
            connection.unsent = Vec::new();
        } else {
            connection.unsent.drain(..sent);
        }
    }

    fn close(&mut self, index: usize) {
        let Some(connection) = self.connections[index].take() else {
            return;
        };
        self.free.push(index);
        if let Role::Receiver(channels) = connection.role {
            for channel in channels {
                if let Some(members) = self.channels.get_mut(&channel) {
                    members.retain(|member| *member != index);
                }
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1_024;
const READ_BYTES: usize = 64 * 1_024;
/// What a reader may leave unread before it is cut off.
const UNSENT_MAX: usize = 16 << 20;
/// A text frame's opcode.
const TEXT: u8 = 1;
