//! What many would write first: tokio, a task per connection, one `broadcast` channel for each room.
//!
//! It drops what a slow reader misses and keeps nothing. `naive-broadcast ADDRESS`, on one thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use parlor_bench::{Wish, client_frame, server_frame, wish};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

type Rooms = Arc<Mutex<HashMap<String, broadcast::Sender<Bytes>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: naive-broadcast ADDRESS")?;
    let (listener, rooms) = (TcpListener::bind(address).await?, Rooms::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let rooms = Arc::clone(&rooms);
        tokio::spawn(async move { connection(stream, rooms).await });
    }
}

async fn connection(mut stream: TcpStream, rooms: Rooms) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let request = String::from_utf8(request).ok()?;
    let (wish, key) = wish(&request)?;
    let room = |name: String| {
        let mut rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = rooms.entry(name);
        sender.or_insert_with(|| broadcast::channel(KEPT).0).clone()
    };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    match wish {
        Wish::Publish(name) => {
            stream.write_all(answer.as_bytes()).await.ok()?;
            publish(stream, room(name)).await
        }
        Wish::Receive(names) => {
            let sources = names
                .into_iter()
                .map(|name| room(name).subscribe())
                .collect();
            stream.write_all(answer.as_bytes()).await.ok()?;
            receive(stream, sources).await;
            Some(())
        }
    }
}

async fn publish(mut stream: TcpStream, room: broadcast::Sender<Bytes>) -> Option<()> {
    let mut read = Vec::with_capacity(READ_BYTES);
    while stream.read_buf(&mut read).await.ok()? > 0 {
        let mut used = 0;
        while let Some((_, mask, payload)) = client_frame(&read[used..]) {
            let bytes = &read[used + payload.start..used + payload.end];
            let masks = mask.into_iter().cycle();
            let payload_bytes: Vec<u8> = bytes
                .iter()
                .zip(masks)
                .map(|(byte, mask)| byte ^ mask)
                .collect();
            let mut frame = Vec::with_capacity(payload_bytes.len() + 10);
            server_frame(&payload_bytes, &mut frame);
            // Nobody listening is no error.
            drop(room.send(frame.into()));
            used += payload.end;
        }
        read.drain(..used);
    }
    Some(())
}

/// One task for each room that the connection joined, so that the first needs no lock in the common case.
async fn receive(stream: TcpStream, sources: Vec<broadcast::Receiver<Bytes>>) {
    let (mut reading, writing) = stream.into_split();
    let writing = Arc::new(tokio::sync::Mutex::new(writing));
    let mut tasks = JoinSet::new();
    for mut source in sources {
        let writing = Arc::clone(&writing);
        tasks.spawn(async move {
            loop {
                let frame = match source.recv().await {
                    Ok(frame) => frame,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                if writing.lock().await.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut said = [0; 512];
    while reading.read(&mut said).await.is_ok_and(|count| count > 0) {}
}

/// Events that a room keeps for those who are behind.
const KEPT: usize = 1_024;
const READ_BYTES: usize = 16 * 1_024;
