//! The Go peer (`loadtest/peers/centrifuge`) as a server, so that the same clients ask it the same things.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use parlor_tests::Redis;

use crate::stage;

/// A peer with a Redis of its own. Both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    address: SocketAddr,
    pub(crate) redis: Redis,
}

impl Peer {
    /// Starts it with this work; it fills Redis first and then says where it listens.
    pub(crate) fn start(binary: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let redis = stage::redis();
        let mut child = Command::new(binary)
            .args(["-redis", &redis.address().to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("unable to run {}", binary.display()))?;
        let out = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        let Some(address) = address else {
            // An error means that it is gone already.
            let _gone = child.kill();
            let _gone = child.wait();
            anyhow::bail!("the peer does not listen");
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address,
            redis,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
