//! The server as a process of its own: what `kill -9` needs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::patience::in_time;

/// A `parlor` process. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts it in development mode on a free port, with this data directory. Waits until it says where it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(directory: &Path, shards: usize) -> Self {
        Self::start_with(directory, shards, |_| {})
    }

    /// The same with something changed: its environment, or where its log goes.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(directory: &Path, shards: usize, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(binary());
        command
            .args(["dev", "--port", "0", "--shards", &shards.to_string()])
            .env("PARLOR_DATA", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        change(&mut command);
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| address_in(&line))
            .expect("it says where it listens");
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM: it drains. Returns its exit code once it is gone.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "unable to send SIGTERM"
        );
        let ended = tokio::task::spawn_blocking(move || self.child.wait());
        let status = in_time("the process to end", ended).await;
        status
            .expect("waiting does not panic")
            .expect("its status")
            .code()
    }

    /// `kill -9`: it has no chance to finish anything. Returns when it is gone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The address in a line such as `listening on http://127.0.0.1:8000`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("http://")?.1;
    rest.split(|c: char| c == '/' || c.is_whitespace())
        .next()?
        .parse()
        .ok()
}

/// The binary beside the tests, up to date: Cargo builds it for its own package's tests only.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let tests = std::env::current_exe().expect("the tests' own path");
        let folder = tests
            .parent()
            .and_then(Path::parent)
            .expect("it is target/<profile>/deps");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "parlor", "--bin", "parlor"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let target = folder.parent().expect("the target directory");
        let built = build
            .env("CARGO_TARGET_DIR", target)
            .status()
            .expect("cargo runs");
        assert!(built.success(), "unable to build the server");
        folder.join("parlor")
    })
}
