//! Looks at the nodes from outside while a run goes on: what `/readyz` says, what their logs say of losses, and how much memory
//! they take (`memory`).
//!
//! It asks nothing that an operator's tools do not ask, and notes what changes, and the most of what grows.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::recorder::{Fact, Name, Recorder};
use crate::stage::Stage;

mod memory;

use memory::Sampler;

/// Between two questions to `/readyz`.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);
/// Between two looks into a log: how late a verdict may be noted.
const READ_EVERY: Duration = Duration::from_millis(20);

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch all nodes of a stage, to which so many clients come.
    pub(crate) fn over(stage: &Stage, clients: usize, recorder: &Recorder) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for node in &stage.nodes {
            let asker = Asker {
                node: node.id(),
                address: node.address(),
                recorder: recorder.clone(),
            };
            let reader = LogReader {
                node: node.id(),
                path: node.log_path(),
                recorder: recorder.clone(),
            };
            let sampler = Sampler {
                node: node.id(),
                running: node.running(),
                clients,
                recorder: recorder.clone(),
            };
            let (over, too, as_well) = (is_over.clone(), is_over.clone(), is_over.clone());
            threads.push(thread::spawn(move || asker.live(&over)));
            threads.push(thread::spawn(move || reader.live(&too)));
            threads.push(thread::spawn(move || sampler.live(&as_well)));
        }
        Self { is_over, threads }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A panic there has been printed; the run's own outcome counts.
            let _ended = thread.join();
        }
    }
}

struct Asker {
    node: Name,
    address: SocketAddr,
    recorder: Recorder,
}

impl Asker {
    fn live(self, is_over: &AtomicBool) {
        let mut before = None;
        while !is_over.load(Ordering::Relaxed) {
            // Who does not answer says nothing of readiness.
            if let Some(is_ready) = is_ready(self.address)
                && before.replace(is_ready) != Some(is_ready)
            {
                let node = self.node.clone();
                self.recorder.note(Fact::Ready { node, is_ready });
            }
            thread::sleep(ASK_EVERY);
        }
    }
}

fn is_ready(address: SocketAddr) -> Option<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX)).ok()?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).ok()?;
    match &start[9..] {
        b"200" => Some(true),
        b"503" => Some(false),
        _ => None,
    }
}

struct LogReader {
    node: Name,
    path: PathBuf,
    recorder: Recorder,
}

impl LogReader {
    fn live(self, is_over: &AtomicBool) {
        let Some(mut lines) = opened(&self.path, is_over) else {
            return;
        };
        let mut line = String::new();
        while !is_over.load(Ordering::Relaxed) {
            match lines.read_line(&mut line) {
                // A line that is only half there is gone on with.
                Ok(_) if line.ends_with('\n') => {
                    if let Some(fact) = said(&self.node, &line) {
                        self.recorder.note(fact);
                    }
                    line.clear();
                }
                _ => thread::sleep(READ_EVERY),
            }
        }
    }
}

fn opened(path: &Path, is_over: &AtomicBool) -> Option<BufReader<File>> {
    while !is_over.load(Ordering::Relaxed) {
        if let Ok(file) = File::open(path) {
            return Some(BufReader::new(file));
        }
        thread::sleep(READ_EVERY);
    }
    None
}

/// The verdict that a line of a log tells of.
fn said(node: &Name, line: &str) -> Option<Fact> {
    let node = node.clone();
    if line.contains("A failover lost acknowledged events.") {
        return Some(Fact::LossSeen {
            node,
            partition: field(line, "partition")?.parse().ok()?,
            channel: field(line, "channel")?.into(),
            from: field(line, "from")?.parse().ok()?,
            to: field(line, "to")?.parse().ok()?,
        });
    }
    if line.contains("was not heard: new epochs.") {
        let partition = field(line, "partition")?.parse().ok()?;
        return Some(Fact::NewEpochs { node, partition });
    }
    if line.contains("A partition is settled anew.") {
        let partition = field(line, "partition")?.parse().ok()?;
        return Some(Fact::Settled { node, partition });
    }
    None
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut words = line.split_whitespace();
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn verdicts_are_read_from_logs() {
    let line = "2026-11-23T18:53:12Z  WARN A failover lost acknowledged events. partition=3 channel=disk:1 from=7 to=9\n";
    let seen = Fact::LossSeen {
        node: "node-1".into(),
        partition: 3,
        channel: "disk:1".into(),
        from: 7,
        to: 9,
    };
    assert_eq!(said(&"node-1".into(), line), Some(seen));
    let line =
        "WARN A node that may have acknowledged events was not heard: new epochs. partition=9\n";
    let seen = Fact::NewEpochs {
        node: "node-1".into(),
        partition: 9,
    };
    assert_eq!(said(&"node-1".into(), line), Some(seen));
    let line = "INFO A partition is settled anew. partition=3 generation=7 checked=true\n";
    let seen = Fact::Settled {
        node: "node-1".into(),
        partition: 3,
    };
    assert_eq!(said(&"node-1".into(), line), Some(seen));
    assert_eq!(said(&"node-1".into(), "INFO Redis delivers.\n"), None);
}
