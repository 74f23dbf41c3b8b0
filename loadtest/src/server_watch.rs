//! The server seen from outside: CPU time, resident memory, open files from /proc, counters from its metrics page.

use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::server_watch::metrics::{Counters, MetricsPage};

pub(crate) mod metrics;

/// Looks at one server process. Everything is optional: a server on another machine has no /proc here.
#[derive(Debug)]
pub(crate) struct ServerWatch {
    pid: Option<u32>,
    metrics: Option<MetricsPage>,
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) process: Option<Process>,
    pub(crate) counters: Option<Counters>,
}

/// What /proc tells of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    /// User and system time of all its threads, in s; steps of 10 ms.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: u64,
}

impl ServerWatch {
    /// Watches the process with this id, or the one that listens on `address` of this machine.
    ///
    /// # Errors
    /// When a named process does not exist or the metrics page does not answer.
    pub(crate) fn new(
        pid: Option<u32>,
        address: SocketAddr,
        metrics_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        let named = pid.is_some();
        let pid = pid.or_else(|| {
            address
                .ip()
                .is_loopback()
                .then(|| listener_of(address.port()))
                .flatten()
        });
        let metrics = metrics_url.map(MetricsPage::parse).transpose()?;
        let watch = Self { pid, metrics };
        ensure!(
            !named || watch.sample().process.is_some(),
            "unable to watch process {pid:?}; it is not there"
        );
        if let Some(page) = &watch.metrics {
            page.read().context("unable to read the server's metrics")?;
        }
        Ok(watch)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(crate) fn sample(&self) -> Sample {
        Sample {
            at: Instant::now(),
            process: self.pid.and_then(process),
            // A page that fails in the middle of a run costs its figures, not the run.
            counters: self.metrics.as_ref().and_then(|page| page.read().ok()),
        }
    }

    /// A few words for the progress line.
    pub(crate) fn glance(&self, before: &mut Option<(Instant, f64)>) -> String {
        let Some(process) = self.pid.and_then(process) else {
            return String::new();
        };
        let now = Instant::now();
        let share = before.map_or(0.0, |(at, cpu)| {
            (process.cpu_seconds - cpu) / (now - at).as_secs_f64().max(1e-3)
        });
        *before = Some((now, process.cpu_seconds));
        format!(
            "server {:.0} % cpu, {} MiB",
            share * 100.0,
            process.resident_bytes >> 20
        )
    }
}

/// CPU time and time spent waiting for a core, in s, of one thread of this process (`/proc/self/task/ID`).
pub(crate) fn thread_times(task: &str) -> Option<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/self/task/{task}/schedstat")).ok()?;
    let mut nanos = text
        .split_ascii_whitespace()
        .map_while(|number| number.parse::<f64>().ok());
    Some((nanos.next()? / 1e9, nanos.next()? / 1e9))
}

/// The id of the calling thread, as /proc names it.
pub(crate) fn own_task() -> Option<String> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Process {
        cpu_seconds: cpu_ticks(&stat)? as f64 / TICKS_PER_SECOND,
        resident_bytes: resident_bytes(&status)?,
        open_files: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64),
    })
}

/// `utime` + `stime`: fields 14 and 15, counted behind the name, which may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The process that holds a listening socket on a port of this machine, if we may see it.
fn listener_of(port: u16) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let socket = format!("socket:[{inode}]");
    let holds = |pid: &u32| {
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
            files.flatten().any(|file| {
                fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
            })
        })
    };
    fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(holds)
}

fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&port) && *fields.get(3)? == STATE_LISTEN;
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// Linux tells CPU time in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
const STATE_LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_an_odd_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"),
            Some(2 << 20)
        );
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(
            listener_of(listener.local_addr().unwrap().port()),
            Some(std::process::id())
        );
    }

    #[test]
    fn this_process_can_be_watched() {
        let own = process(std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && own.open_files > 2);
        assert!(thread_times(&own_task().unwrap()).is_some());
    }
}
