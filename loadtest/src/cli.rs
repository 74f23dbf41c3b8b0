//! The command line, and the scenario file that says the same in TOML. A flag wins over the file.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub(crate) use crate::cli::stage::StageOptions;
use crate::compare::CompareArguments;
use crate::fleet::coordinator::CoordinateArguments;
use crate::fleet::worker::WorkerArguments;
use crate::limit::LimitArguments;
use crate::plan::PlanArguments;

pub(crate) mod file;
mod stage;

/// Answers how much hardware a Parlor deployment needs: opens connections, publishes on an open-loop
/// schedule, and measures what every subscriber receives.
#[derive(Debug, Parser)]
#[command(name = "parlor-loadtest", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Load a server by one scenario and report.
    Run(Box<Arguments>),
    /// Raise the load until a service level breaks; print the knee and why it is there.
    FindLimit(Box<LimitArguments>),
    /// From results of `run --json` and a description of the future load: how many nodes, how much of everything.
    Plan(PlanArguments),
    /// Load a server by several workers, with one report.
    Coordinate(Box<CoordinateArguments>),
    /// Wait for a coordinator and make a share of its load.
    Worker(WorkerArguments),
    /// Put two results of `run --json` side by side; exit code 97 when something got worse.
    Compare(CompareArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A TOML file with the options below (`connect-rate = 500`); flags win over it.
    #[arg(long)]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Every option, none of them filled in. Defaults and checks are [`Scenario`](crate::scenario::Scenario)'s.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// The server's socket, `wss://` with --ca (default ws://127.0.0.1:8000/v1/socket); with commas between, those of several
    /// nodes, over which connections are spread.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The sockets of other nodes, for the publishers (default the same).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish_url: Option<String>,
    /// A PEM file with the authority that signed the server's certificate, for `wss://`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// Let connections take up each other's TLS sessions, as if all clients came back.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) tls_resume: bool,
    /// Allow a server on another machine. Load only what is yours.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_remote: bool,
    /// rooms=1000x10, zipf=1000x10000@1.1, channel=1x10000, idle=10000 (without a channel), idle=1000x10, bystander=10+10000 (default rooms=100x10).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shape: Option<String>,
    /// Connections of a bare `--shape idle`; otherwise a check on what the shape makes.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connections: Option<u32>,
    /// Publishes per second of the whole load (default 100).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Publishes per second in the bystanders' room (default 20).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room_rate: Option<f64>,
    /// Bytes of each payload, at least 62 (default 128).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_bytes: Option<usize>,
    /// Several sizes with their shares, such as 128:0.8,1024:0.2.
    #[arg(long, conflicts_with = "payload_bytes")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload_sizes: Option<String>,
    /// Share (0 to 1) of subscribers that read only a little now and then.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow_readers: Option<f64>,
    /// So many subscribers of each group stop reading for good once they have joined.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stuck_readers: Option<u32>,
    /// How long each measured stage lasts, such as 500ms, 30s, 2m (default 30s).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<Length>,
    /// Load before each measured stage, checked but not reported (default 3s).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warmup: Option<Length>,
    /// The wire form: json, msgpack, or both with their shares of connections, such as json:0.7,msgpack:0.3 (default json); or the language of another server, to compare it by the same client:
    /// centrifuge, nats, socket.io, pusher, raw.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) form: Option<String>,
    /// IPv4 addresses to connect from (default 127.0.0.1-127.0.0.8 on loopback).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sources: Option<String>,
    /// New connections per second (default 2000).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_rate: Option<f64>,
    /// Publishing connections of each group (default 4, or one for each 50 publishes per second).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publishers: Option<u32>,
    /// Threads that read for the subscribers of each group (default 1).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<u32>,
    /// Whether publishes carry an id that makes a retry safe, as the SDKs' do (default true).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish_ids: Option<bool>,
    /// Each subscriber also joins a channel of its own, in which nobody publishes.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) own_channel: bool,
    /// The start of all channel names, which decides their kind (default load).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// A token for all connections; without one the server must be in development mode.
    #[arg(long, env = "PARLOR_TOKEN", hide_env_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Signs each connection a token of its own (HS256) with this secret, in place of one for all. Parlor only.
    #[arg(
        long,
        env = "PARLOR_TOKEN_SECRET",
        hide_env_values = true,
        conflicts_with = "token"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_secret: Option<String>,
    /// The process ids of the server's nodes, with commas between (default the one that listens on the port).
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) server_pid: Vec<u32>,
    /// The metrics pages of the server's nodes, with commas between.
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics_url: Vec<String>,
    /// HOST:PORT of the nodes' Redis, for its CPU, memory and traffic.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<String>,
    /// What the network carries in one direction, in Mbit/s, where the interface does not tell: loopback, or what a cloud allows.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_mbit_s: Option<f64>,
    /// Where to write the result as JSON.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<PathBuf>,
    /// Where to write the summary as Markdown (default stdout).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) markdown: Option<PathBuf>,
    /// Where to write the result as one HTML file with plots.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<PathBuf>,
    /// Where to write the thresholds as JUnit XML.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) junit: Option<PathBuf>,
    /// In a file only: stages in their order, in place of warm-up and duration.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) stages: Vec<StageOptions>,
    #[command(flatten)]
    #[serde(default)]
    pub(crate) thresholds: Thresholds,
}

/// What the result must keep; each broken one is named, and the exit code is 99.
#[derive(Clone, Copy, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Thresholds {
    /// The worst p99 of a measured stage; of the room alone, where there are bystanders.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_p99_ms: Option<f64>,
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_p99_9_ms: Option<f64>,
    /// Events that never came (default 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_gaps: Option<u64>,
    /// (default 0)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_duplicates: Option<u64>,
    /// (default 0)
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_reordered: Option<u64>,
    /// Events of channels that their subscriber did not ask for (default 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_foreign: Option<u64>,
    /// Publishes that the server refused, took for repetitions, did not answer or did not take in time (default 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_refused: Option<u64>,
    /// Connections that failed, were not answered before the run ended or ended early (default 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_closed: Option<u64>,
    /// In each measured stage.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_deliveries_per_s: Option<f64>,
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes_per_connection: Option<u64>,
    /// The server's CPU time.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_cpu_us_per_delivery: Option<f64>,
    /// Task wake-ups for writing, in percent of deliveries.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_wakeups_percent: Option<f64>,
}

/// A duration as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Length(pub(crate) Duration);

impl Arguments {
    /// Lays the flags over the file.
    ///
    /// # Errors
    /// When the file cannot be read or has an option that does not exist.
    pub(crate) fn resolve(self) -> anyhow::Result<Options> {
        let Some(path) = self.scenario else {
            return Ok(self.options);
        };
        let text = fs::read_to_string(&path)
            .with_context(|| format!("unable to read {}", path.display()))?;
        file::lay_over(&text, &self.options)
            .with_context(|| format!("unable to use {}", path.display()))
    }
}

impl FromStr for Length {
    type Err = anyhow::Error;

    fn from_str(raw: &str) -> anyhow::Result<Self> {
        let digits = raw
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(raw.len());
        let (number, unit) = raw.split_at(digits);
        let number: f64 = number
            .parse()
            .with_context(|| format!("`{raw}` is not a length of time"))?;
        let seconds = match unit {
            "ms" => number / 1_000.0,
            "s" => number,
            "m" => number * 60.0,
            _ => bail!("`{raw}` is not a length of time such as 500ms, 30s or 2m"),
        };
        Ok(Self(Duration::try_from_secs_f64(seconds)?))
    }
}

impl TryFrom<String> for Length {
    type Error = anyhow::Error;

    fn try_from(raw: String) -> anyhow::Result<Self> {
        raw.parse()
    }
}

impl From<Length> for String {
    fn from(length: Length) -> Self {
        format!("{}ms", length.0.as_millis())
    }
}

const EXIT_CODES: &str = "Exit codes: 0 all thresholds kept, 99 a threshold broke, 97 a comparison got worse, 98 the run is invalid because the generator \
was the bottleneck, 1 the run could not be made, 2 the command line was wrong.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn lengths_need_a_unit() {
        assert_eq!(
            "1.5s".parse::<Length>().unwrap().0,
            Duration::from_millis(1500)
        );
        assert_eq!(
            "250ms".parse::<Length>().unwrap().0,
            Duration::from_millis(250)
        );
        for raw in ["", "5", "s", "5h", "-1s", "1e9s"] {
            assert!(raw.parse::<Length>().is_err(), "{raw} was accepted");
        }
    }
}
