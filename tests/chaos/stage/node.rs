//! One `parlor` process of a stage, on a port that it keeps, with a network before it and one behind it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlor_tests::{API_KEY, Backend, Figures, Port, Process, Proxy, eventually};
use tempfile::TempDir;

use super::Settings;
use crate::recorder::{Fact, Name, Recorder};
use crate::shadow::Shadow;

/// The same in all nodes: sessions and tokens are good everywhere.
const SECRET: &str = "a secret that all nodes of a run share, more than 32 bytes";
const SHARDS: usize = 2;
const LOG: &str = "log.txt";
/// How the names of the embedded log's files begin.
const DATABASE: &str = "parlor.db";

/// Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Before its clients.
    pub(crate) front: Proxy,
    /// Between it and its Redis, where there can be one.
    pub(crate) back: Option<Proxy>,
    port: Port,
    /// Of its metrics.
    figures: Port,
    directory: TempDir,
    /// What of the directory was flushed.
    shadow: Option<Shadow>,
    settings: Settings,
    running: Running,
    recorder: Recorder,
}

impl Node {
    pub(crate) fn start(
        name: String,
        settings: Settings,
        back: Option<Proxy>,
        recorder: Recorder,
    ) -> Self {
        let port = Port::free();
        let front = Proxy::start((Ipv4Addr::LOCALHOST, port.number()).into());
        let node = Self {
            name,
            front,
            back,
            port,
            figures: Port::free(),
            directory: TempDir::new().expect("a directory"),
            shadow: settings.keeps_shadow.then(Shadow::new),
            settings,
            running: Running::default(),
            recorder,
        };
        fs::write(
            node.directory.path().join("parlor.toml"),
            configuration(&node.settings),
        )
        .expect("written");
        node.spawn();
        node
    }

    /// Its own address, past the proxy before it.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// Spoken to directly, without the proxy.
    pub(crate) fn backend(&self) -> Backend {
        Backend::new(self.address()).with_key(API_KEY)
    }

    /// Its metrics.
    pub(crate) fn figures(&self) -> Figures {
        Figures::new(self.figures_address())
    }

    fn figures_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.figures.number()).into()
    }

    /// The fault that it has built in.
    pub(crate) fn planted(&self) -> Option<&'static str> {
        self.settings.planted
    }

    /// Its process, for those who look at it from another thread.
    pub(crate) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Whether its process is there, frozen or not.
    pub(crate) fn is_running(&self) -> bool {
        self.process().is_some()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.process().as_ref().map_or(0, Process::memory_bytes)
    }

    pub(crate) fn open_files(&self) -> u64 {
        self.process().as_ref().map_or(0, Process::open_files)
    }

    pub(crate) fn cpu_time(&self) -> Duration {
        let process = self.process();
        process.as_ref().map_or(Duration::ZERO, Process::cpu_time)
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.recorder.fault(format!("kill -9 {}", self.name));
        self.recorder.note(Fact::Away { node: self.id() });
        *self.process() = None;
    }

    /// Its machine loses power: of its log only what was flushed is left. It stays down.
    pub(crate) fn cut_power(&self) {
        self.recorder.fault(format!("{} loses power", self.name));
        self.recorder.note(Fact::Away { node: self.id() });
        *self.process() = None;
        let shadow = self.shadow.as_ref().expect("a stage that keeps shadows");
        // The journal of the set-up is gone by then: that it is gone is what its flushes were for.
        let is_data = |name: &str| name.starts_with(DATABASE) && !name.ends_with("-journal");
        shadow.cut(self.directory.path(), is_data);
    }

    pub(crate) fn freeze(&self) {
        self.recorder.fault(format!("freeze {}", self.name));
        self.recorder.note(Fact::Away { node: self.id() });
        self.process().as_ref().expect("a running node").freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process().as_ref().expect("a running node").thaw();
        self.recorder.fault(format!("thaw {}", self.name));
        self.recorder.note(Fact::Here { node: self.id() });
    }

    /// Starts it again on its port with its directory.
    pub(crate) fn restart(&self) {
        *self.process() = None;
        self.spawn();
        self.recorder
            .fault(format!("{} is started again", self.name));
        self.recorder.note(Fact::Here { node: self.id() });
    }

    /// SIGTERM: it drains. Returns when it is gone.
    pub(crate) fn drain(&self) {
        self.recorder.fault(format!("terminate {}", self.name));
        self.recorder.note(Fact::Away { node: self.id() });
        let Some(mut process) = self.process().take() else {
            return;
        };
        process.ask_to_end();
        eventually("a drained node to end", || {
            process.has_ended().then_some(())
        });
        self.recorder.fault(format!("{} has ended", self.name));
    }

    /// What it logged, for a failure's text.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where it logs, over all its lives.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.path().join(LOG)
    }

    /// Its name as facts hold it.
    pub(crate) fn id(&self) -> Name {
        self.name.as_str().into()
    }

    fn spawn(&self) {
        let directory = self.directory.path();
        let change = |command: &mut Command| {
            configure(command, directory, &self.settings);
            command.env("PARLOR_METRICS_LISTEN", self.figures_address().to_string());
            if let Some(shadow) = &self.shadow {
                shadow.follow(command, directory);
            }
        };
        let port = self.port.number();
        let process = match self.settings.planted {
            Some(bug) => Process::start_planted_at(port, directory, SHARDS, bug, change),
            None => Process::start_at(port, directory, SHARDS, change),
        };
        let process =
            process.unwrap_or_else(|| panic!("{} does not start:\n{}", self.name, self.log()));
        *self.process() = Some(process);
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.running.process()
    }
}

/// The process of the moment: none between two lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<Option<Process>>>);

impl Running {
    /// Its id, and the bytes of memory that it holds now.
    pub(crate) fn memory(&self) -> Option<(u32, u64)> {
        let process = self.process();
        let process = process.as_ref()?;
        let held = (process.id(), process.memory_bytes());
        // One that has ended by itself holds nothing.
        Some(held).filter(|(_, bytes)| *bytes > 0)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic elsewhere shall not hide itself behind this one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn configure(command: &mut Command, directory: &Path, settings: &Settings) {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join(LOG));
    command
        .arg("--config")
        .arg(directory.join("parlor.toml"))
        .env("PARLOR_AUTH_SECRET", SECRET)
        .env("PARLOR_AUTH_API_KEY", API_KEY)
        .env("PARLOR_LOG_FILTER", "info,parlor::broker=debug")
        .stderr(log.expect("a log file"));
    if let Some(url) = &settings.redis {
        command.env("PARLOR_REDIS_URL", url);
    }
    if let Some(prefix) = settings.prefix {
        command.env("PARLOR_REDIS_PREFIX", prefix);
    }
    for (name, value) in &settings.environment {
        command.env(name, value);
    }
}

/// Kinds of channels by their durability, and liveness that a run of seconds can see.
fn configuration(settings: &Settings) -> String {
    let mut text = String::from(
        r#"
[connection]
ping_interval = "2s"
ping_interval_min = "1s"
pong_timeout = "3s"

[presence]
grace = "1s"
"#,
    );
    let mut durabilities = vec!["memory", "disk"];
    if settings.redis.is_some() {
        durabilities.push("replicated");
    }
    for durability in durabilities {
        text += &format!(
            r#"
[kinds.{durability}]
pattern = "{durability}:*"
durability = "{durability}"
history_len_max = 100000
history_age_max = "1h"
publish_rate_max = 0
"#
        );
    }
    text
}
