//! The run as a person watches it: a bar and the last second's figures on a terminal, a line a second elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::driver::outcome::Tick;
use crate::histogram::Latencies;
use crate::schedule::Timeline;
use crate::watch::{Looks, Sample};

/// Shows what goes on. Writes to stderr only.
#[derive(Debug)]
pub(crate) struct View {
    bar: Option<ProgressBar>,
    timeline: Timeline,
    before: Tick,
    told: Instant,
}

impl View {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(timeline.length().as_secs());
            let style =
                ProgressStyle::with_template("{elapsed:>4} [{bar:24}] {pos}/{len} s  {msg}");
            bar.set_style(style.expect("the template is a constant that is good"));
            bar
        });
        Self {
            bar,
            timeline: timeline.clone(),
            before: Tick::default(),
            told: Instant::now(),
        }
    }

    /// While connections are opened.
    pub(crate) fn open(&mut self, tick: &Tick, wanted: u32) {
        let opened = format!("opening: {} of {wanted} connections", tick.online);
        match &self.bar {
            Some(bar) => bar.set_message(opened),
            None if self.told.elapsed() >= TELL => {
                self.told = Instant::now();
                say(&opened);
            }
            None => {}
        }
    }

    /// When a second of the timeline has ended.
    pub(crate) fn second(
        &mut self,
        second: u64,
        tick: &Tick,
        latencies: Option<&Latencies>,
        looks: &Looks,
    ) {
        let stages = self.timeline.stages();
        let stage = &stages[self.timeline.stage_of(second * NANOS_PER_SECOND)].name;
        let latency = latencies.filter(|latencies| latencies.len() > 0);
        let latency = latency.map_or_else(
            || "no latency".to_owned(),
            |latencies| {
                let (p50, p99) = (latencies.quantile_ms(0.5), latencies.quantile_ms(0.99));
                format!("p50 {p50:.1} p99 {p99:.1} ms")
            },
        );
        let line = format!(
            "{stage}: {} online, {} publishes/s, {} deliveries/s, {latency}, {} faults, {} refused{}",
            tick.online,
            tick.published - self.before.published,
            tick.deliveries - self.before.deliveries,
            tick.faults,
            tick.refused,
            server(looks),
        );
        self.before = *tick;
        match &self.bar {
            Some(bar) => {
                bar.set_position(second + 1);
                bar.set_message(line);
            }
            None => say(&format!("{:4} s  {line}", second + 1)),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// The server's last second.
fn server(looks: &Looks) -> String {
    let [.., from, to] = looks.seconds.as_slice() else {
        return String::new();
    };
    let process = |sample: &Sample| sample.process;
    let Some((before, now)) = process(from).zip(process(to)) else {
        return String::new();
    };
    let seconds = (to.at - from.at).as_secs_f64().max(1e-3);
    format!(
        ", server {:.0} % cpu {} MiB",
        (now.cpu_seconds - before.cpu_seconds) / seconds * 100.0,
        now.resident_bytes >> 20
    )
}

const TELL: Duration = Duration::from_secs(1);
const NANOS_PER_SECOND: u64 = 1_000_000_000;
