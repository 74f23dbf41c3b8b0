//! The server as a process of its own, whose memory and log are looked at from outside.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;

use parlor_protocol::Form;
use parlor_protocol::command::Connect;
use parlor_tests::{Client, Process};
use tempfile::TempDir;

/// A `parlor` process with a log.
#[derive(Debug)]
pub(crate) struct Resident {
    process: Process,
    directory: TempDir,
}

impl Resident {
    /// One shard in development mode, hasty with those who say nothing.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same with all channels in memory, patient with those who answer no pings.
    pub(crate) fn in_memory() -> Self {
        Self::start_with(|command| {
            command
                .arg("--memory")
                .env("PARLOR_CONNECTION_PONG_TIMEOUT", "600s");
        })
    }

    fn start_with(change: impl FnOnce(&mut Command)) -> Self {
        let directory = TempDir::new().expect("a directory for the server");
        let log = File::create(directory.path().join("log")).expect("a file for the log");
        let process = Process::start_with(directory.path(), 1, |command| {
            command
                .env("PARLOR_SERVER_HEADER_TIMEOUT", "5s")
                .env("PARLOR_CONNECTION_CONNECT_TIMEOUT", "5s")
                .stderr(log);
            change(command);
        });
        Self { process, directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// A connected user.
    pub(crate) async fn client(&self, user: &str) -> Client {
        let mut client = Client::open(self.address(), Form::Json).await;
        client
            .connect(Connect {
                user: Some(user.to_owned()),
                ..Connect::default()
            })
            .await
            .expect("connected");
        client
    }

    /// Resident memory, in KiB.
    pub(crate) fn rss_kib(&self) -> i64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("its memory");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }

    /// Asserts that it never panicked.
    pub(crate) fn assert_calm(&self) {
        let log = std::fs::read_to_string(self.directory.path().join("log")).expect("its log");
        assert!(!log.contains("panicked"), "{log}");
    }
}
