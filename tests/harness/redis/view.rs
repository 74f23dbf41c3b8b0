//! One node's own view of a Sentinel group: a Sentinel of its own, which says what the real ones say but names a proxy for each
//! Redis. So one node's network is broken and nobody else's.
//!
//! It understands `SENTINEL MASTER` only, which is all that a Parlor asks.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use super::{Redis, RedisSentinel};
use crate::proxy::Proxy;

/// Words of one question.
const WORDS_MAX: usize = 16;
const WORD_BYTES_MAX: usize = 1_024;

/// Ends when dropped.
#[derive(Debug)]
pub struct SentinelView {
    address: SocketAddr,
    group: Arc<RedisSentinel>,
    teller: Arc<Teller>,
}

#[derive(Debug)]
struct Teller {
    /// Not held: a thread that still serves when a test ends would keep the group's processes beyond it.
    group: Weak<RedisSentinel>,
    /// To each Redis of the group.
    ways: Vec<Proxy>,
    is_blind: AtomicBool,
    is_over: AtomicBool,
}

impl SentinelView {
    /// Everything passes.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn of(group: &Arc<RedisSentinel>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port for a Sentinel");
        let address = listener.local_addr().expect("its address");
        let ways = group.nodes.iter().map(|node| Proxy::start(node.address()));
        let teller = Arc::new(Teller {
            ways: ways.collect(),
            group: Arc::downgrade(group),
            is_blind: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        });
        let serving = teller.clone();
        thread::spawn(move || serving.serve(&listener));
        Self {
            address,
            group: group.clone(),
            teller,
        }
    }

    /// What the node is given.
    pub fn url(&self) -> String {
        format!(
            "redis+sentinel://{}/{}",
            self.address,
            super::sentinel::NAME
        )
    }

    /// The node's way to a Redis of the group.
    ///
    /// # Panics
    /// When it is none of the group.
    pub fn way(&self, redis: &Redis) -> &Proxy {
        let mut ways = self.group.nodes.iter().zip(&self.teller.ways);
        let found = ways.find(|(node, _)| node.port() == redis.port());
        found.expect("one of the group").1
    }

    /// Whether the Sentinels are out of the node's reach.
    pub fn blind(&self, is_blind: bool) {
        self.teller.is_blind.store(is_blind, Ordering::Release);
    }
}

impl Drop for SentinelView {
    fn drop(&mut self) {
        self.teller.is_over.store(true, Ordering::Release);
        // Wakes who listens.
        let _gone = TcpStream::connect(self.address);
    }
}

impl Teller {
    fn serve(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming().map_while(Result::ok) {
            if self.is_over.load(Ordering::Acquire) {
                return;
            }
            let teller = self.clone();
            thread::spawn(move || teller.answer(&stream));
        }
    }

    /// Until the other side ends.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        loop {
            let words = question(&mut reader)?;
            if self.is_blind.load(Ordering::Acquire) {
                return None;
            }
            let answer = match words.first().map(String::as_str) {
                Some("SENTINEL") => self.primary()?,
                _ => "+OK\r\n".to_owned(),
            };
            writer.write_all(answer.as_bytes()).ok()?;
        }
    }

    /// What the Sentinel with the newest configuration says.
    fn primary(&self) -> Option<String> {
        let (epoch, index) = self.group.upgrade()?.newest()?;
        let way = self.ways[index].address();
        let (ip, port) = (way.ip().to_string(), way.port().to_string());
        let fields = ["ip", &ip, "port", &port, "config-epoch", &epoch.to_string()];
        let mut answer = format!("*{}\r\n", fields.len());
        for field in fields {
            answer += &format!("${}\r\n{field}\r\n", field.len());
        }
        Some(answer)
    }
}

/// An array of texts.
fn question(reader: &mut BufReader<&TcpStream>) -> Option<Vec<String>> {
    let count = number(reader, '*')?;
    let words = (0..count.min(WORDS_MAX)).map(|_| {
        let length = number(reader, '$')?.min(WORD_BYTES_MAX);
        let mut word = vec![0; length + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(length);
        String::from_utf8(word).ok()
    });
    words.collect()
}

fn number(reader: &mut BufReader<&TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}
