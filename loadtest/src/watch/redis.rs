//! Redis's own figures, from `INFO` over a plain connection that is opened for each look.
//!
//! Not the `redis` crate: one fixed command and its one bulk reply, on a thread without a runtime.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// Where Redis is.
#[derive(Debug)]
pub(crate) struct RedisPage {
    address: SocketAddr,
}

/// What Redis uses. CPU, bytes and commands count up from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RedisFigures {
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) in_bytes: f64,
    pub(crate) out_bytes: f64,
    pub(crate) commands: f64,
}

impl RedisPage {
    /// `host:port`, with or without `redis://` before it.
    pub(crate) fn parse(raw: &str) -> anyhow::Result<Self> {
        let raw = raw.strip_prefix("redis://").unwrap_or(raw);
        let raw = raw.trim_end_matches('/');
        let address = raw
            .to_socket_addrs()
            .with_context(|| format!("`{raw}` is not the HOST:PORT of a Redis"))?
            .next()
            .with_context(|| format!("`{raw}` has no address"))?;
        Ok(Self { address })
    }

    pub(crate) fn read(&self) -> anyhow::Result<RedisFigures> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"INFO\r\n")?;
        let mut reader = BufReader::new(stream.take(REPLY_BYTES_MAX));
        let mut head = String::new();
        reader.read_line(&mut head)?;
        let length = head.trim().strip_prefix('$');
        let length: u64 = length
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("Redis answered `{}`", head.trim()))?;
        let mut text = String::new();
        reader.take(length).read_to_string(&mut text)?;
        ensure!(!text.is_empty(), "Redis answered nothing");
        RedisFigures::parse(&text).context("INFO lacks figures that every Redis has")
    }
}

impl RedisFigures {
    fn parse(info: &str) -> Option<Self> {
        let value = |key: &str| {
            info.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name == key).then(|| value.trim().parse::<f64>().ok())?
            })
        };
        Some(Self {
            cpu_seconds: value("used_cpu_sys")? + value("used_cpu_user")?,
            memory_bytes: value("used_memory")?,
            in_bytes: value("total_net_input_bytes")?,
            out_bytes: value("total_net_output_bytes")?,
            commands: value("total_commands_processed")?,
        })
    }
}

const TIMEOUT: Duration = Duration::from_secs(2);
const REPLY_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_reply() {
        let info = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1M\r\ntotal_net_input_bytes:10\r\n\
            total_net_output_bytes:20\r\ntotal_commands_processed:3\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.25\r\n";
        assert_eq!(
            RedisFigures::parse(info),
            Some(RedisFigures {
                cpu_seconds: 3.75,
                memory_bytes: 1_048_576.0,
                in_bytes: 10.0,
                out_bytes: 20.0,
                commands: 3.0
            })
        );
        assert_eq!(RedisFigures::parse("used_memory:1"), None);
    }
}
