//! The result in the form in which it is kept: JSON with a version, that other commands read again.
//!
//! Types only, and their way to files. [`build`] makes them from measurements; the other modules show them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::checker::Faults;
use crate::histogram::{Latencies, Summary};
use crate::scenario::Outputs;
use crate::verdict::{Generator, ThreadUse, Verdict};

pub(crate) mod build;
mod html;
pub(crate) mod junit;
mod markdown;
pub(crate) mod page;
pub(crate) mod plot;

/// One run, told in full.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Changes when a field changes its meaning or goes.
    pub(crate) schema: String,
    pub(crate) version: String,
    pub(crate) finished_unix_ms: u64,
    pub(crate) scenario: Described,
    pub(crate) machine: MachineReport,
    pub(crate) server: Server,
    pub(crate) opening: Opening,
    pub(crate) stages: Vec<StageReport>,
    /// One entry for each second, warm-ups included.
    pub(crate) seconds: Vec<SecondReport>,
    pub(crate) faults: Faults,
    /// Subscribers that were cut on purpose and came back at once.
    #[serde(default)]
    pub(crate) returns: Option<ReturnsReport>,
    /// Events of channels that their subscriber did not ask for.
    pub(crate) foreign: u64,
    /// Why connections and publishes failed, and how often.
    pub(crate) troubles: BTreeMap<String, u64>,
    pub(crate) generator: Generator,
    pub(crate) verdict: Verdict,
}

/// What was run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Described {
    pub(crate) url: String,
    pub(crate) shape: String,
    pub(crate) form: String,
    /// Of a payload, on average.
    pub(crate) payload_bytes: f64,
    pub(crate) publish_ids: bool,
    pub(crate) publishers: u32,
    pub(crate) reading_threads: u32,
    pub(crate) source_addresses: u32,
    /// 1 without a coordinator.
    pub(crate) workers: u32,
    /// How wrong the workers' clocks may be against each other, in ms: it is in every latency.
    pub(crate) clock_error_ms: f64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MachineReport {
    /// All of them: this process may be kept to some.
    pub(crate) cores: usize,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) kernel: String,
}

/// The server's processes, where they can be seen.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) pids: Vec<u32>,
    pub(crate) nodes: u32,
    pub(crate) resident_bytes_before: Option<u64>,
    pub(crate) resident_bytes_connected: Option<u64>,
    pub(crate) resident_bytes_end: Option<u64>,
    pub(crate) open_files_connected: Option<u64>,
    /// (resident memory when all were connected − before) / connections. Of a first stage that ramps from nobody: at its end,
    /// with what was published on the way.
    pub(crate) bytes_per_connection: Option<u64>,
    /// CPU time from the first connection to the last one's answer, divided by connections.
    pub(crate) cpu_us_per_new_connection: Option<f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) wanted: u32,
    pub(crate) publishers: u32,
    pub(crate) channels: u32,
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) closed_later: u64,
    /// Those that had set out, at the start, with a ramp or after a cut, and had no answer when the run ended.
    pub(crate) unanswered: u64,
    pub(crate) seconds: f64,
    /// `None` where some come only while the clock runs: they come as the stages want them.
    pub(crate) per_second: Option<f64>,
    /// From the first SYN to the answer to `connect`.
    pub(crate) latency: Summary,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReturnsReport {
    pub(crate) cut: u64,
    /// From the cut, in a storm from its beginning, until the subscription was there and all that it promised had come;
    /// of those that got that far before the run ended.
    pub(crate) latency: Summary,
}

/// One measured stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StageReport {
    pub(crate) name: String,
    pub(crate) seconds: f64,
    /// Subscribers online, on average.
    pub(crate) online: f64,
    pub(crate) groups: Vec<GroupReport>,
    pub(crate) publishes_per_s: f64,
    /// Of what came in the stage, whenever it was due.
    pub(crate) deliveries_per_s: f64,
    pub(crate) server_cpu_cores: Option<f64>,
    /// The server's CPU time for everything it did, divided by what came in the stage.
    pub(crate) server_cpu_us_per_delivery: Option<f64>,
    /// The server's busiest threads, as shares of a core.
    pub(crate) server_threads: Vec<ThreadUse>,
    /// The server's own counters over the stage.
    pub(crate) server_deliveries: Option<f64>,
    pub(crate) server_delivery_bytes: Option<f64>,
    pub(crate) server_received_bytes: Option<f64>,
    pub(crate) server_write_calls: Option<f64>,
    pub(crate) server_write_wakeups: Option<f64>,
    pub(crate) write_wakeups_percent: Option<f64>,
    pub(crate) redis: Option<RedisReport>,
    /// Share of all cores of this machine that were busy.
    pub(crate) machine_busy: Option<f64>,
    /// Share of the stage in which some task of this machine waited for a disk.
    pub(crate) machine_io_stalled: Option<f64>,
    pub(crate) machine_available_bytes: Option<u64>,
    pub(crate) network: Option<NetworkReport>,
    pub(crate) errands: Vec<ErrandReport>,
}

/// Redis over a stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RedisReport {
    pub(crate) cpu_cores: f64,
    pub(crate) memory_bytes: f64,
    pub(crate) memory_growth_bytes: f64,
    pub(crate) in_bytes_per_s: f64,
    pub(crate) out_bytes_per_s: f64,
    pub(crate) commands_per_s: f64,
}

/// This machine's network over a stage.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NetworkReport {
    /// The one that carried most.
    pub(crate) interface: String,
    pub(crate) in_mbit_s: f64,
    pub(crate) out_mbit_s: f64,
    /// What it can in one direction: as it was told to this tool, or as the interface says.
    pub(crate) bound_mbit_s: Option<f64>,
    pub(crate) segments_per_s: f64,
    /// Of the segments, in percent.
    pub(crate) sent_again_percent: f64,
    /// Connections that found the accept queue full.
    pub(crate) connections_dropped: u64,
    /// Times that the kernel had no memory for sockets.
    pub(crate) memory_pressures: u64,
    /// The server's sockets at the end of the stage, where they are on this machine.
    pub(crate) server_sockets: u64,
    /// Those of them whose other end had not taken a good part of what was sent.
    pub(crate) server_sockets_full: u64,
    pub(crate) server_unsent_bytes: u64,
}

/// Signals, reads and joins of a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ErrandReport {
    pub(crate) name: String,
    pub(crate) due_per_s: f64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// From the due time to the answer.
    pub(crate) latency: Summary,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GroupReport {
    pub(crate) name: String,
    pub(crate) connections: u32,
    pub(crate) channels: u32,
    pub(crate) publishes_due_per_s: f64,
    pub(crate) published: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Due in the stage, whenever they came.
    pub(crate) deliveries: u64,
    /// Come in the stage, whenever they were due.
    pub(crate) arrived: u64,
    /// Of what came in the stage.
    pub(crate) deliveries_per_s: f64,
    /// From the due time to each subscriber's read.
    pub(crate) latency: Summary,
    /// From the time of sending.
    pub(crate) latency_raw: Summary,
    /// From the due time to the publisher's answer.
    pub(crate) acknowledge_latency: Summary,
    /// The whole of `latency`, as base64 of HdrHistogram's compressed V2 form.
    pub(crate) histogram: Latencies,
}

/// One second of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SecondReport {
    /// Its end, in s since the start of the clock.
    pub(crate) at_s: f64,
    pub(crate) stage: String,
    pub(crate) online: u64,
    pub(crate) publishes: u64,
    pub(crate) refused: u64,
    pub(crate) deliveries: u64,
    /// From the due time, of what was read in this second.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p90_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    pub(crate) server_cores: Option<f64>,
    pub(crate) server_resident_bytes: Option<u64>,
    pub(crate) generator_cores: Option<f64>,
    pub(crate) machine_busy: Option<f64>,
    pub(crate) redis_cores: Option<f64>,
    pub(crate) redis_memory_bytes: Option<f64>,
}

impl Report {
    /// Reads a report that an earlier run has written.
    ///
    /// # Errors
    /// When the file is not there or is not a report of this schema.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("unable to read {}", path.display()))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        let schema = value.get("schema").and_then(|schema| schema.as_str());
        ensure!(
            schema == Some(SCHEMA),
            "{} is not a {SCHEMA} but {}; write it with `run --json`",
            path.display(),
            schema.unwrap_or("something else"),
        );
        serde_json::from_value(value).with_context(|| format!("unable to use {}", path.display()))
    }

    /// Whether anything may be concluded from it. `path` is where it was read from.
    ///
    /// # Errors
    /// When the generator was the bottleneck: then its figures are the generator's own.
    pub(crate) fn ensure_valid(&self, path: &Path) -> anyhow::Result<()> {
        let verdict = &self.verdict;
        ensure!(
            verdict.invalid.is_empty(),
            "{} is {}",
            path.display(),
            verdict.headline()
        );
        Ok(())
    }

    /// Writes all forms where they are wanted.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, outputs: &Outputs) -> anyhow::Result<()> {
        if let Some(path) = &outputs.json {
            let json = serde_json::to_string_pretty(self)?;
            write_file(path, &(json + "\n"))?;
        }
        if let Some(path) = &outputs.html {
            write_file(path, &html::render(self))?;
        }
        if let Some(path) = &outputs.junit {
            write_file(path, &junit::render(self))?;
        }
        let markdown = markdown::render(self);
        match &outputs.markdown {
            Some(path) => write_file(path, &markdown),
            None => std::io::stdout()
                .write_all(markdown.as_bytes())
                .context("unable to write to stdout"),
        }
    }

    /// Connections of all kinds.
    pub(crate) fn connections(&self) -> f64 {
        self.opening.ready as f64 + f64::from(self.opening.publishers)
    }
}

/// Writes a text to a file, naming the file in the error.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("unable to write {}", path.display()))
}

pub(crate) const SCHEMA: &str = "parlor.loadtest.result/3";
