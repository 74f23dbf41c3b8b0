//! The server as a process of its own: what `kill -9` needs.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::patience::in_time;

/// In which the kernel counts processor time for `/proc`, on every machine that Parlor runs on.
const TICKS_PER_SECOND: u64 = 100;

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
        Self::start_at(0, directory, shards, change).expect("it says where it listens")
    }

    /// The same on a port of its own, so that it comes back where it was. None when it ends instead of listening.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn start_at(
        port: u16,
        directory: &Path,
        shards: usize,
        change: impl FnOnce(&mut Command),
    ) -> Option<Self> {
        Self::run(binary(), port, directory, shards, change)
    }

    /// The same with a fault built in: the name of one of the server's planted bugs.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn start_planted_at(
        port: u16,
        directory: &Path,
        shards: usize,
        bug: &str,
        change: impl FnOnce(&mut Command),
    ) -> Option<Self> {
        Self::run(planted_binary(), port, directory, shards, |command| {
            command.env("PARLOR_PLANTED_BUG", bug);
            change(command);
        })
    }

    fn run(
        binary: &Path,
        port: u16,
        directory: &Path,
        shards: usize,
        change: impl FnOnce(&mut Command),
    ) -> Option<Self> {
        let mut command = Command::new(binary);
        let (port, shards) = (port.to_string(), shards.to_string());
        command
            .args(["dev", "--port", &port, "--shards", &shards])
            .env("PARLOR_DATA", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        change(&mut command);
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let Some(address) = lines.find_map(|line| address_in(&line)) else {
            // An error means that it is gone already.
            let _gone = child.kill();
            let _gone = child.wait();
            return None;
        };
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, address })
    }

    /// SIGSTOP: its sockets stay open and nothing answers.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn freeze(&self) {
        signal(self.id(), "STOP");
    }

    /// SIGCONT: it goes on as if no time had passed.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn thaw(&self) {
        signal(self.id(), "CONT");
    }

    /// SIGTERM: it begins to drain. Does not wait.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn ask_to_end(&self) {
        signal(self.id(), "TERM");
    }

    /// Lets it open files and sockets up to this number from now on; what is open stays so.
    ///
    /// # Panics
    /// When that cannot be set.
    pub fn limit_open_files(&self, files: u32) {
        let set = Command::new("prlimit")
            .args(["--pid", &self.id().to_string()])
            // The soft limit alone, so that it can be raised again.
            .arg(format!("--nofile={files}:"))
            .status();
        assert!(
            set.is_ok_and(|status| status.success()),
            "unable to limit its open files"
        );
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Bytes of memory that it holds now; 0 when it is gone.
    pub fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Files and sockets that it has open now; 0 when it is gone.
    pub fn open_files(&self) -> u64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        open.map_or(0, |open| open.count() as u64)
    }

    /// Processor time that it has used so far, on all cores together; none when it is gone.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap_or_default();
        // Its name stands in brackets, and may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        // The 14th and 15th of all fields: its own work, and the kernel's for it.
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
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
        self.ask_to_end();
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

/// Sends a signal to a process.
pub(crate) fn signal(id: u32, name: &str) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), id.to_string()])
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "unable to send SIG{name}"
    );
}

/// The address in a line such as `listening on http://127.0.0.1:8000`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("http://")?.1;
    rest.split(|c: char| c == '/' || c.is_whitespace())
        .next()?
        .parse()
        .ok()
}

/// `PARLOR_BIN`, or the binary, up to date: Cargo builds it for its own package's tests only.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("PARLOR_BIN") {
            return path.into();
        }
        let _one = one_build();
        copied(&build(&[]), "parlor-sound")
    })
}

/// The one with faults that are built in. Cargo then puts the sound one back in its place.
fn planted_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let _one = one_build();
        let copy = copied(&build(&["--features", "planted-bugs"]), "parlor-planted");
        build(&[]);
        copy
    })
}

/// Both are built in the same place.
fn one_build() -> MutexGuard<'static, ()> {
    static BUILD: Mutex<()> = Mutex::new(());
    BUILD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What tests start is a copy, so that the next build may replace its model meanwhile.
fn copied(built: &Path, name: &str) -> PathBuf {
    let copy = built.with_file_name(name);
    let part = built.with_file_name(format!("{name}.{}", std::process::id()));
    std::fs::copy(built, &part).expect("the binary is copied");
    // Another process may be running the copy of before.
    std::fs::rename(&part, &copy).expect("the copy takes its place");
    copy
}

fn build(options: &[&str]) -> PathBuf {
    let tests = std::env::current_exe().expect("the tests' own path");
    let folder = tests
        .parent()
        .and_then(Path::parent)
        .expect("it is target/<profile>/deps");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "parlor", "--bin", "parlor"]);
    build.args(options);
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
}
