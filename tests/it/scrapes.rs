//! The metrics listener: what an operator watches the server by outlives what happens to the server.

use std::fs::{self, File};
use std::net::SocketAddr;

use parlor_tests::{Figures, Port, Process, in_time};
use tempfile::TempDir;

/// Fewer than any process has open, and as many as this one may need later.
const FILES_NONE_MORE: u32 = 3;
const FILES_PLENTY: u32 = 512;

const HEALTHY: &str = "parlor_broker_healthy";

#[tokio::test]
async fn scrapes_are_answered_again_after_a_time_without_open_files() {
    let (directory, port) = (TempDir::new().expect("a directory"), Port::free());
    let log_path = directory.path().join("log");
    let log = File::create(&log_path).expect("a file for the log");
    let listen = SocketAddr::from(([127, 0, 0, 1], port.number()));
    let process = Process::start_with(directory.path(), 1, |command| {
        command
            .env("PARLOR_METRICS_LISTEN", listen.to_string())
            .stderr(log);
    });
    let figures = Figures::new(listen);
    figures.read(HEALTHY).await;
    process.limit_open_files(FILES_NONE_MORE);
    let mend = async {
        let failed = async {
            while !fs::read_to_string(&log_path).is_ok_and(|log| log.contains("Unable to accept")) {
                tokio::task::yield_now().await;
            }
        };
        in_time("an accept that fails", failed).await;
        process.limit_open_files(FILES_PLENTY);
    };
    // The one that met the error waits in the kernel meanwhile.
    tokio::join!(figures.read(HEALTHY), mend);
    figures.read(HEALTHY).await;
}
