//! A real `redis-server` process of a test's own: a free loopback port, a directory of its own, gone when dropped.
//!
//! It owns one process and what can be done to it from outside: kill, freeze, restart, ask. Everything is waited for by
//! asking, and every wait has an end. What several of them form stands in `sentinel` and `cluster`.
//!
//! All of it blocks its thread, like the rest of a test's set-up.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::{env, fs};

use ::redis::{RedisResult, Value};
use tempfile::TempDir;

use crate::process;

mod ask;
mod cluster;
mod options;
mod port;
mod replication;
mod sentinel;
mod view;

pub use ask::eventually;
pub use cluster::RedisCluster;
pub use options::RedisOptions;
pub use port::Port;
pub use sentinel::RedisSentinel;
pub use view::SentinelView;

/// Starts of a process whose port somebody else took in between.
const STARTS_MAX: usize = 5;
const CONFIG: &str = "redis.conf";

/// One process. Its data stay in its directory across kills and restarts, as far as its options persist any.
#[derive(Debug)]
pub struct Redis {
    port: Port,
    directory: TempDir,
    options: RedisOptions,
    child: Mutex<Option<Child>>,
}

impl Redis {
    /// A standalone server without persistence. Waits until it answers.
    ///
    /// # Panics
    /// When it does not start, for example since `redis-server` is not installed.
    pub fn start() -> Self {
        Self::start_with(RedisOptions::default())
    }

    /// One with options.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(options: RedisOptions) -> Self {
        for _ in 0..STARTS_MAX {
            let redis = Self::new(options.clone());
            redis.write_config();
            redis.spawn();
            if redis.answers() {
                return redis;
            }
        }
        panic!("redis-server did not start {STARTS_MAX} times");
    }

    fn new(options: RedisOptions) -> Self {
        let port = match options.is_clustered() {
            true => Port::free_with_bus(),
            false => Port::free(),
        };
        Self {
            port,
            directory: TempDir::new().expect("a directory for Redis"),
            options,
            child: Mutex::new(None),
        }
    }

    /// Its port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// What a client is told, the password included.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// The same by another address that leads to it, for example a proxy's.
    pub fn url_at(&self, address: SocketAddr) -> String {
        let scheme = self.options.scheme();
        match self.options.login() {
            Some((user, password)) => format!("{scheme}://{user}:{password}@{address}"),
            None => format!("{scheme}://{address}"),
        }
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    // Asking.

    /// What it answers.
    ///
    /// # Panics
    /// When it answers an error or nothing.
    pub fn ask(&self, command: &[&str]) -> Value {
        self.try_ask(command)
            .unwrap_or_else(|error| panic!("Redis at {}: {command:?}: {error}", self.address()))
    }

    /// What it answers, or why it does not. A frozen one is waited for only briefly.
    pub fn try_ask(&self, command: &[&str]) -> RedisResult<Value> {
        ask::ask(&self.url(), self.options.authority(), command)
    }

    /// One field of `INFO`, for example `master_replid`. None when there is no such field or no answer.
    pub fn info(&self, field: &str) -> Option<String> {
        let text: String = ::redis::from_redis_value(self.try_ask(&["INFO"]).ok()?).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| *name == field)
            .map(|(_, value)| value.to_owned())
    }

    /// How often this process answered an error of this name, for example `MOVED`.
    pub fn errors_answered(&self, name: &str) -> u64 {
        let figure = self.info(&format!("errorstat_{name}"));
        figure
            .and_then(|figure| figure.trim().strip_prefix("count=")?.parse().ok())
            .unwrap_or(0)
    }

    /// `CONFIG SET`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn set_config(&self, name: &str, value: &str) {
        self.ask(&["CONFIG", "SET", name, value]);
    }

    /// Forgets everything, as an operator's mistake would.
    ///
    /// # Panics
    /// When it refuses.
    pub fn flush_all(&self) {
        self.ask(&["FLUSHALL"]);
    }

    // Faults.

    /// `kill -9`. Returns when it is gone. No effect on one that is gone already.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            end(&mut child);
        }
    }

    /// SIGSTOP: its sockets stay open and nothing answers.
    ///
    /// # Panics
    /// When it is not running.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on as if no time had passed.
    ///
    /// # Panics
    /// When it is not running.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts it again on its port with its directory, after a kill if it still runs. Waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.restart_without_waiting();
        eventually("Redis to answer after a restart", || {
            self.is_ready().then_some(())
        });
    }

    /// The same, and returns while it may still be loading.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn restart_without_waiting(&self) {
        self.kill();
        self.spawn();
    }

    /// Kills it, removes what it persisted, starts it empty.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart_empty(&self) {
        self.kill();
        let entries = fs::read_dir(self.directory()).expect("its directory");
        for entry in entries.flatten() {
            let path = entry.path();
            // A failure would be told by the data that are still there.
            let _removed = match path.file_name().and_then(|name| name.to_str()) {
                Some(CONFIG | "nodes.conf") => Ok(()),
                _ if path.is_dir() => fs::remove_dir_all(&path),
                _ => fs::remove_file(&path),
            };
        }
        self.restart();
    }

    /// Whether its process exists, frozen or not.
    pub fn is_running(&self) -> bool {
        let mut child = self.child();
        child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    fn signal(&self, name: &str) {
        process::signal(self.id().expect("a running Redis"), name);
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().expect("no panic holds it")
    }

    fn is_ready(&self) -> bool {
        self.try_ask(&["PING"]).is_ok()
    }

    /// True once it answers; false when its process ended first.
    fn answers(&self) -> bool {
        eventually("Redis to answer or to end", || {
            if self.is_ready() {
                return Some(true);
            }
            (!self.is_running()).then_some(false)
        })
    }

    fn write_config(&self) {
        let text = self.options.file(self.port(), self.directory());
        fs::write(self.directory().join(CONFIG), text).expect("its configuration is written");
    }

    fn spawn(&self) {
        let mut command = Command::new(program());
        command.arg(self.directory().join(CONFIG));
        if self.options.is_sentinel() {
            command.arg("--sentinel");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server runs: scripts/setup installs it");
        *self.child() = Some(child);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Ok(Some(mut child)) = self.child.lock().map(|mut child| child.take()) {
            end(&mut child);
        }
    }
}

/// Which server all tests start: Debian's, unless `REDIS_SERVER` names another one's file.
fn program() -> OsString {
    env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// Version 7 refuses `DEBUG` and changes of some settings unless told otherwise; an older one does not know the words.
fn protects_itself() -> bool {
    static PROTECTS: LazyLock<bool> = LazyLock::new(|| {
        let told = Command::new(program()).arg("--version").output();
        let told = told.expect("redis-server runs: scripts/setup installs it");
        !String::from_utf8_lossy(&told.stdout).contains("v=6.")
    });
    *PROTECTS
}

/// SIGKILL reaches a frozen process, too.
fn end(child: &mut Child) {
    // An error means that it is gone already.
    let _gone = child.kill();
    let _gone = child.wait();
}
