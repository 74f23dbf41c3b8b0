//! What several nodes over one Redis do: a rolling restart under load, what Redis adds to a delivery, reading history and
//! rosters, a channel with a hundred thousand members, when a clean leave is seen everywhere, and a million idle connections. `docs/benchmarks.md` tells
//! the figures and how they were made.
//!
//! ```sh
//! cargo run --release -p parlor-loadtest --example nodes -- rolling-restart
//! cargo run --release -p parlor-loadtest --example nodes -- --help
//! ```
//! The server is built first, unless `PARLOR_BIN` names one. Servers and Redis are started by it and end with it; nothing of what runs on the machine already is touched.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the report is what it is run for"
)]

use anyhow::ensure;
use clap::{Parser, Subcommand};

pub(crate) mod cost;
pub(crate) mod crowd;
#[path = "../../src/frames.rs"]
#[allow(dead_code, reason = "the tool uses all of it")]
pub(crate) mod frames;
#[path = "../../src/histogram.rs"]
#[allow(dead_code, reason = "the tool uses all of it")]
pub(crate) mod histogram;
pub(crate) mod history;
pub(crate) mod hosted;
pub(crate) mod latency;
pub(crate) mod leaves;
pub(crate) mod light;
pub(crate) mod line;
pub(crate) mod million;
pub(crate) mod peer;
pub(crate) mod presence;
#[path = "../../src/proc.rs"]
#[allow(dead_code, reason = "the tool uses all of it")]
pub(crate) mod proc;
pub(crate) mod rolling;
pub(crate) mod stage;
#[allow(dead_code, reason = "the load tester also speaks TLS")]
#[path = "../../src/driver/stream.rs"]
pub(crate) mod stream;
#[allow(dead_code, reason = "the load tester also speaks TLS")]
#[path = "../../src/trust.rs"]
pub(crate) mod trust;
#[allow(dead_code, reason = "the load tester splits sockets, this only reads")]
#[path = "../../src/driver/wire.rs"]
pub(crate) mod wire;

/// What several nodes over one Redis do.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Restart all nodes one after the other under clients that come back, and count what was lost or came twice.
    RollingRestart(rolling::Options),
    /// From a publish to a subscriber's read: on one node, on one node over Redis, and from node to node.
    Latency(latency::Options),
    /// Pages of history over the socket.
    History(history::Options),
    /// Snapshots of a channel with ten thousand members.
    Presence(presence::Options),
    /// A hundred thousand members join one channel.
    Crowd(crowd::Options),
    #[command(hide = true)]
    CrowdHost(crowd::HostOptions),
    /// Members leave in good order, by an unsubscribe or a close of the socket: until the watchers on each node are told.
    Leaves(leaves::Options),
    /// A million idle connections on one machine, while a channel goes on that some listen to.
    Million(million::Options),
    #[command(hide = true)]
    IdleHost(million::HostOptions),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    match Cli::parse().action {
        Action::RollingRestart(options) => {
            let outcome = rolling::run(&options).await?;
            outcome.print(&options);
            ensure!(outcome.faults(&options).is_empty(), "promises were broken");
        }
        Action::Latency(options) => latency::print(&latency::run(&options).await?, &options),
        Action::History(options) => history::print(&history::run(&options).await?, &options),
        Action::Presence(options) => presence::print(&presence::run(&options).await?, &options),
        Action::Crowd(options) => {
            let outcome = crowd::run(&options).await?;
            outcome.print(&options);
            ensure!(outcome.faults(&options).is_empty(), "promises were broken");
        }
        Action::CrowdHost(options) => crowd::host(&options).await?,
        Action::Leaves(options) => {
            let outcome = leaves::run(&options).await?;
            outcome.print(&options);
            ensure!(outcome.faults(&options).is_empty(), "promises were broken");
        }
        Action::Million(options) => {
            let outcome = million::run(&options).await?;
            outcome.print(&options);
            ensure!(outcome.faults(&options).is_empty(), "promises were broken");
        }
        Action::IdleHost(options) => million::host(&options).await?,
    }
    Ok(())
}
