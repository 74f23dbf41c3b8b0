//! The command line, and the scenario file that says the same in TOML. A flag wins over the file.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

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
    /// The server's socket (default ws://127.0.0.1:8000/v1/socket).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The socket of another node, for the publishers (default the same).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish_url: Option<String>,
    /// Allow a server on another machine. Load only what is yours.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_remote: bool,
    /// rooms=1000x10, channel=1x10000, idle=10000 (without a channel), idle=1000x10, bystander=10+10000 (default rooms=100x10).
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
    /// How long each measured stage lasts, such as 500ms, 30s, 2m (default 30s).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<Length>,
    /// Load before each measured stage, checked but not reported (default 3s).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warmup: Option<Length>,
    /// The wire form: json or msgpack (default json); or the language of another server, to compare it by the same client:
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
    /// The server's process id (default the one that listens on the port).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_pid: Option<u32>,
    /// The server's metrics page, for its own counters.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics_url: Option<String>,
    /// Where to write the result as JSON.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<PathBuf>,
    /// Where to write the summary as Markdown (default stdout).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) markdown: Option<PathBuf>,
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
    /// Publishes that the server refused, did not answer or did not take in time (default 0).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_refused: Option<u64>,
    /// Connections that failed or ended early (default 0).
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
        lay_over(&text, &self.options).with_context(|| format!("unable to use {}", path.display()))
    }
}

fn lay_over(file: &str, flags: &Options) -> anyhow::Result<Options> {
    let mut table: toml::Table = file.parse()?;
    let mut flags = toml::Table::try_from(flags)?;
    // The one nested table: thresholds are laid over one by one.
    let flagged = flags
        .remove("thresholds")
        .and_then(|value| value.try_into::<toml::Table>().ok())
        .unwrap_or_default();
    let thresholds = table
        .entry("thresholds")
        .or_insert_with(|| toml::Table::new().into());
    thresholds
        .as_table_mut()
        .context("`thresholds` is not a table")?
        .extend(flagged);
    table.extend(flags);
    Ok(table.try_into()?)
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

const EXIT_CODES: &str = "Exit codes: 0 all thresholds kept, 99 a threshold broke, 98 the run is invalid because the generator \
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
    fn flags_win_over_the_file() {
        let flags = Options {
            rate: Some(7.0),
            duration: Some("2s".parse().unwrap()),
            thresholds: Thresholds {
                max_gaps: Some(3),
                ..Thresholds::default()
            },
            ..Options::default()
        };
        let file = "shape = \"idle=5\"\nrate = 1.0\nduration = \"1m\"\n[thresholds]\nmax-gaps = 1\nmax-p99-ms = 5.0\n";
        let options = lay_over(file, &flags).unwrap();
        assert_eq!(options.shape.as_deref(), Some("idle=5"));
        assert_eq!(options.rate, Some(7.0));
        assert_eq!(options.duration, Some(Length(Duration::from_secs(2))));
        assert_eq!(options.thresholds.max_gaps, Some(3));
        assert_eq!(options.thresholds.max_p99_ms, Some(5.0));
    }

    #[test]
    fn unknown_options_of_a_file_are_refused() {
        assert!(lay_over("rats = 1", &Options::default()).is_err());
        assert!(lay_over("[thresholds]\nmax-cats = 1", &Options::default()).is_err());
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
