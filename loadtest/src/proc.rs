//! What Linux tells in /proc: CPU time, memory, files and threads of processes, and how busy the machine is.
//!
//! Every figure is optional: another system, or another user's process, shows nothing.

use std::fs;

/// What /proc tells of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Process {
    /// User and system time of all its threads, in s; steps of 10 ms.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
}

/// One thread of a watched process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thread {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
}

/// The machine as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Machine {
    /// All that run, whether or not this process may use them.
    pub(crate) cores: usize,
    /// Time that cores were not idle, summed over cores, in s.
    pub(crate) busy_seconds: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) available_bytes: u64,
    /// Time in which some task waited for a disk, in s.
    pub(crate) io_stalled_seconds: Option<f64>,
}

impl Process {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self {
            cpu_seconds: cpu_ticks(&stat)? as f64 / TICKS_PER_SECOND,
            resident_bytes: status_bytes(&status, "VmRSS:")?,
        })
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
            resident_bytes: self.resident_bytes + other.resident_bytes,
        }
    }
}

impl Machine {
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let memory = fs::read_to_string("/proc/meminfo").ok()?;
        let pressure = fs::read_to_string("/proc/pressure/io").ok();
        Some(Self {
            cores: cores(&stat),
            busy_seconds: busy_ticks(&stat)? as f64 / TICKS_PER_SECOND,
            memory_bytes: status_bytes(&memory, "MemTotal:")?,
            available_bytes: status_bytes(&memory, "MemAvailable:")?,
            io_stalled_seconds: pressure.as_deref().and_then(stalled_seconds),
        })
    }

    /// The share of all cores that was busy since an earlier look, so many seconds ago.
    pub(crate) fn busy_since(self, earlier: Self, seconds: f64) -> f64 {
        (self.busy_seconds - earlier.busy_seconds) / seconds / self.cores.max(1) as f64
    }
}

/// How many files a process holds open. Walks them all, so not for every second.
pub(crate) fn open_files(pid: u32) -> Option<u64> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(files.count() as u64)
}

/// All threads of a process.
pub(crate) fn threads(pid: u32) -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let thread = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (head, _) = stat.rsplit_once(')')?;
        Some(Thread {
            id: task.file_name().to_str()?.to_owned(),
            name: head.split_once('(')?.1.to_owned(),
            cpu_seconds: cpu_ticks(&stat)? as f64 / TICKS_PER_SECOND,
        })
    };
    tasks.flatten().filter_map(thread).collect()
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

/// CPU time of this whole process, in s.
pub(crate) fn own_cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    Some(cpu_ticks(&stat)? as f64 / TICKS_PER_SECOND)
}

/// The process that holds a listening socket on a port of this machine, if we may see it.
pub(crate) fn listener_of(port: u16) -> Option<u32> {
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

/// `utime` + `stime`: fields 14 and 15, counted behind the name, which may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Everything in the first line but idle (the fourth number) and waiting for disks (the fifth); what guests
/// take stands in the user time already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|number| number.parse().ok())
        .collect();
    let all: u64 = numbers.iter().take(8).sum();
    Some(all - numbers.get(3)? - numbers.get(4)?)
}

/// The lines `cpu0`, `cpu1` and so on, behind the sum of them.
fn cores(stat: &str) -> usize {
    let names = stat.lines().filter_map(|line| line.strip_prefix("cpu"));
    names
        .filter(|rest| rest.starts_with(char::is_numeric))
        .count()
}

fn status_bytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// `some avg10=… total=µs`.
fn stalled_seconds(pressure: &str) -> Option<f64> {
    let (_, total) = pressure.lines().next()?.rsplit_once("total=")?;
    Some(total.parse::<f64>().ok()? / 1e6)
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
    fn memory_is_in_bytes() {
        assert_eq!(
            status_bytes("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2 << 20)
        );
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(
            busy_ticks("cpu  10 1 20 1000 500 3 4 5 99 98\ncpu0 1 1"),
            Some(43)
        );
    }

    #[test]
    fn the_share_that_was_busy_is_of_all_cores_of_the_machine() {
        let stat = "cpu  9 9 9 9\ncpu0 3 3 3 3\ncpu1 3 3 3 3\ncpu10 3 3 3 3\nctxt 7\n";
        assert_eq!(cores(stat), 3);
        let look = |busy_seconds| Machine {
            cores: 3,
            busy_seconds,
            ..Machine::default()
        };
        let share = look(7.0).busy_since(look(1.0), 4.0);
        assert!((share - 0.5).abs() < 1e-9, "{share}");
    }

    #[test]
    fn waiting_for_disks_is_told_in_seconds() {
        assert_eq!(
            stalled_seconds("some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0"),
            Some(2.5)
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
        let own = Process::read(std::process::id()).unwrap();
        assert!(own.resident_bytes > 0 && open_files(std::process::id()) > Some(2));
        assert!(thread_times(&own_task().unwrap()).is_some());
        assert!(!threads(std::process::id()).is_empty());
        assert!(own_cpu_seconds().is_some());
    }
}
