//! Several of something: nodes behind one load, and workers behind one report.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use parlor_tests::{Port, Process, Redis};
use serde_json::Value;
use tempfile::TempDir;

/// On a machine that is busy with other tests the generator may come too late, and rightly says so.
const ENDED_WELL: [Option<i32>; 2] = [Some(0), Some(98)];

/// A node as a process, so that its memory and CPU time are its own.
struct Node {
    process: Process,
    metrics: Port,
    _directory: TempDir,
}

impl Node {
    fn start(redis: Option<&Redis>) -> Self {
        let (metrics, directory) = (Port::free(), TempDir::new().expect("a directory"));
        let process = Process::start_with(directory.path(), 1, |command| {
            let listen = format!("127.0.0.1:{}", metrics.number());
            command.env("PARLOR_METRICS_LISTEN", listen);
            if let Some(redis) = redis {
                command.env("PARLOR_REDIS_URL", redis.url());
            }
        });
        Self {
            process,
            metrics,
            _directory: directory,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/v1/socket", self.process.address())
    }

    fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.metrics.number())
    }
}

/// A worker that serves one coordinator. Killed when dropped.
struct Worker {
    child: Child,
    address: String,
}

impl Worker {
    fn start() -> Self {
        let mut child = tool()
            .args(["worker", "--listen", "127.0.0.1:0", "--once"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool was built with this test");
        let mut said = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let first = said.next().expect("it says where it waits").expect("text");
        let address = first.rsplit_once(' ').expect("an address").1;
        let address = address.trim_end_matches('.').to_owned();
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || said.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Errors mean that it has ended, as it should.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"))
}

/// Makes a run and reads its report.
fn report(action: &str, load: &[&str], file: &Path) -> Value {
    let path = file.to_str().expect("a plain name");
    let time = ["--duration", "2s", "--warmup", "1s", "--json", path];
    let output = tool()
        .arg(action)
        .args([load, &time].concat())
        .output()
        .expect("the tool was built with this test");
    assert_ended_well(&output);
    let text = std::fs::read(file).expect("a report");
    serde_json::from_slice(&text).expect("JSON")
}

fn assert_ended_well(output: &Output) {
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy);
    assert!(
        ENDED_WELL.contains(&output.status.code()),
        "{}",
        said.concat()
    );
}

/// The server's processes do nothing else, so memory and CPU time are this load's.
fn assert_costs(report: &Value) {
    let server = &report["server"];
    let [before, connected, bytes] = [
        "resident_bytes_before",
        "resident_bytes_connected",
        "bytes_per_connection",
    ]
    .map(|figure| server[figure].as_u64().unwrap_or(0));
    let opening = &report["opening"];
    let connections = ["ready", "publishers"].map(|count| opening[count].as_u64().unwrap_or(0));
    assert!(bytes > 0, "{server}");
    assert_eq!(
        bytes,
        (connected - before) / connections.iter().sum::<u64>(),
        "{server}"
    );
    let cpu_us = report["stages"][0]["server_cpu_us_per_delivery"].as_f64();
    // A tenth of a second for one delivery would be another unit.
    assert!(
        cpu_us.is_some_and(|us| us > 0.0 && us < 1e5),
        "{cpu_us:?} µs"
    );
}

fn faults(report: &Value) -> [Option<u64>; 3] {
    ["gaps", "duplicates", "reordered"].map(|fault| report["faults"][fault].as_u64())
}

#[test]
fn a_load_is_spread_over_all_nodes_and_all_of_them_are_watched() {
    let redis = Redis::start();
    let nodes = [Node::start(Some(&redis)), Node::start(Some(&redis))];
    let all = |of: fn(&Node) -> String| nodes.each_ref().map(of).join(",");
    let (urls, metrics, redis) = (
        all(Node::url),
        all(Node::metrics_url),
        redis.address().to_string(),
    );
    let files = TempDir::new().expect("a directory");
    let load = [
        "--url",
        &urls,
        "--metrics-url",
        &metrics,
        "--redis",
        &redis,
        "--shape",
        "rooms=10x10",
        "--rate",
        "100",
    ];
    let report = report("run", &load, &files.path().join("result.json"));
    assert_eq!(faults(&report), [Some(0); 3]);
    assert_costs(&report);
    assert_eq!(report["server"]["nodes"], 2);
    assert_eq!(report["server"]["pids"].as_array().map(Vec::len), Some(2));
    let stage = &report["stages"][0];
    // What both nodes count, together, is what all subscribers got.
    assert_eq!(stage["groups"][0]["deliveries"], 2_000);
    let counted = stage["server_deliveries"]
        .as_f64()
        .expect("both pages are read");
    assert!(counted >= 1_900.0, "{counted}");
    assert!(
        stage["redis"]["commands_per_s"].as_f64() > Some(0.0),
        "{stage}"
    );
    assert!(
        stage["network"]["server_sockets"].as_u64() >= Some(100),
        "{stage}"
    );
}

#[test]
fn two_workers_share_a_load_and_their_histograms_melt_together() {
    let node = Node::start(None);
    let workers = [Worker::start(), Worker::start()];
    let (url, addresses) = (
        node.url(),
        workers.each_ref().map(|one| one.address.as_str()).join(","),
    );
    let files = TempDir::new().expect("a directory");
    let load = [
        "--url",
        &url,
        "--workers",
        &addresses,
        "--shape",
        "rooms=10x10",
        "--rate",
        "100",
    ];
    let report = report("coordinate", &load, &files.path().join("result.json"));
    assert_eq!(faults(&report), [Some(0); 3]);
    assert_eq!(report["scenario"]["workers"], 2);
    let clock_error = report["scenario"]["clock_error_ms"].as_f64();
    assert!(clock_error.is_some_and(|ms| ms < 100.0), "{clock_error:?}");
    assert_eq!(report["opening"]["ready"], 100);
    let group = &report["stages"][0]["groups"][0];
    assert_eq!(
        (&group["deliveries"], &group["latency"]["count"]),
        (&2_000.into(), &2_000.into())
    );
    // A worker whose clock was not corrected would tell of seconds: its clock began when it was called.
    let p50 = group["latency"]["p50_ms"].as_f64();
    assert!(p50.is_some_and(|ms| ms < 500.0), "{group}");
}

/// A datagram is what one `write` wrote. In two of them, lines of workers that share a log would run into each other.
#[test]
fn a_line_is_written_in_one_piece() {
    let (log, stderr) = UnixDatagram::pair().expect("two sockets");
    let status = tool()
        .args(["worker", "--listen", "0.0.0.0:0"])
        .stderr(OwnedFd::from(stderr))
        .status()
        .expect("the tool was built with this test");
    assert_eq!(status.code(), Some(1));
    let mut written = [0; 512];
    let length = log.recv(&mut written).expect("it says why");
    let text = String::from_utf8_lossy(&written[..length]);
    assert!(
        text.contains("not on loopback") && text.ends_with('\n'),
        "{text:?}"
    );
}
