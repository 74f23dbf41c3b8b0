//! A small load on the real server, in both wire forms: nothing lost, nothing twice, nothing out of order.

use std::process::Command;
use std::thread;

use parlor::app::{self, Addresses};
use parlor::config::Config;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A server of this process, on ports of its own; it stops when this is dropped.
struct Server {
    addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    _data: TempDir,
}

impl Server {
    fn start(shards: usize) -> Self {
        let data = tempfile::tempdir().expect("there is a temporary directory");
        let mut config = Config::defaults().expect("the defaults are good");
        config.listen = ([127, 0, 0, 1], 0).into();
        config.metrics_listen = Some(config.listen);
        config.shards = shards;
        config.auth.dev = true;
        config.transport.drain_window = std::time::Duration::from_millis(100);
        config.storage.data_dir = Some(data.path().to_owned());
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let thread = thread::spawn(move || serve(config, stopped, tell));
        let addresses = told.blocking_recv().expect("the server starts");
        Self {
            addresses,
            stop: Some(stop),
            thread: Some(thread),
            _data: data,
        }
    }
}

fn serve(config: Config, stopped: oneshot::Receiver<()>, tell: oneshot::Sender<Addresses>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let stop = async { drop(stopped.await) };
    let ready = |addresses| tell.send(addresses).expect("the test waits");
    runtime
        .block_on(app::run(config, stop, ready))
        .expect("the server runs");
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when the server has ended already, which joining it tells.
        self.stop.take().and_then(|stop| stop.send(()).ok());
        if let Some(thread) = self.thread.take() {
            assert!(
                thread.join().is_ok() || thread::panicking(),
                "the server failed"
            );
        }
    }
}

fn check(shards: usize, form: &str) {
    let server = Server::start(shards);
    let metrics = server.addresses.metrics.expect("metrics are served");
    let output = Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"))
        .args([
            "run",
            "--shape",
            "rooms=100x10",
            "--rate",
            "200",
            "--duration",
            "4s",
            "--warmup",
            "1s",
            "--form",
            form,
        ])
        .args([
            "--url",
            &format!("ws://{}/v1/socket", server.addresses.http),
        ])
        .args([
            "--metrics-url",
            &format!("http://{metrics}/metrics"),
            "--max-wakeups-percent",
            "1",
        ])
        .output()
        .expect("the tool was built with this test");
    let (report, progress) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let said = format!("{report}\n{progress}");
    assert!(report.contains("Checked on every subscriber: 0 gaps, 0 duplicates, 0 reordered, 0 skipped aloud, 0 foreign events."), "{said}");
    assert!(report.contains("1000 of 1000 connections"), "{said}");
    assert!(!report.contains("**broken**"), "{said}");
    // 98 only says that this machine was too busy for the latencies to mean much.
    assert!(matches!(output.status.code(), Some(0 | 98)), "{said}");
}

#[test]
fn a_small_load_in_json_arrives_whole_and_in_order() {
    check(1, "json");
}

#[test]
fn a_small_load_in_messagepack_over_three_shards_arrives_whole_and_in_order() {
    check(3, "msgpack");
}
