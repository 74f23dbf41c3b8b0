//! The run as a person watches it: a bar and the last second's figures on a terminal, a line a second elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use super::spark::Spark;
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
    /// p99 of the last seconds, in ms.
    p99: Spark,
}

/// The figures of one second, in words.
struct Words {
    stage: String,
    load: String,
    latency: String,
    server: String,
}

impl View {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(timeline.length().as_secs());
            let style = ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} s\n{msg}");
            bar.set_style(style.expect("the template is a constant that is good"));
            bar
        });
        Self {
            bar,
            timeline: timeline.clone(),
            before: Tick::default(),
            told: Instant::now(),
            p99: Spark::default(),
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
        let latencies = latencies.filter(|latencies| latencies.len() > 0);
        self.p99
            .push(latencies.map(|latencies| latencies.quantile_ms(0.99)));
        let words = self.words(second, tick, latencies, looks);
        self.before = *tick;
        let Words {
            stage,
            load,
            latency,
            server,
        } = words;
        match &self.bar {
            Some(bar) => {
                bar.set_position(second + 1);
                bar.set_prefix(stage);
                let spark = self.p99.draw();
                bar.set_message(format!("  {load}\n  {latency}   {spark}\n  {server}"));
            }
            None => say(&format!(
                "{:4} s  {stage}: {load}; {latency}; {server}",
                second + 1
            )),
        }
    }

    fn words(
        &self,
        second: u64,
        tick: &Tick,
        latencies: Option<&Latencies>,
        looks: &Looks,
    ) -> Words {
        let stages = self.timeline.stages();
        let number = self.timeline.stage_of(second * NANOS_PER_SECOND);
        let latency = latencies.map_or_else(
            || "no latency".to_owned(),
            |latencies| {
                let (p50, p99) = (latencies.quantile_ms(0.5), latencies.quantile_ms(0.99));
                format!("p50 {p50:.1} ms, p99 {p99:.1} ms")
            },
        );
        Words {
            stage: format!(
                "{} ({} of {})",
                stages[number].name,
                number + 1,
                stages.len()
            ),
            load: format!(
                "{} online, {} publishes/s, {} deliveries/s, {} faults, {} refused",
                tick.online,
                tick.published - self.before.published,
                tick.deliveries - self.before.deliveries,
                tick.faults,
                tick.refused,
            ),
            latency,
            server: server(looks, tick.cpu_s - self.before.cpu_s),
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// The last second of the server, of its Redis and of the generator.
fn server(looks: &Looks, generator_s: f64) -> String {
    let mut words = vec![format!("generator {:.0} % cpu", generator_s * 100.0)];
    if let [.., from, to] = looks.seconds.as_slice() {
        let seconds = (to.at - from.at).as_secs_f64().max(1e-3);
        let percent = |before: f64, now: f64| (now - before) / seconds * 100.0;
        let process = |sample: &Sample| sample.process;
        if let Some((before, now)) = process(from).zip(process(to)) {
            let cpu = percent(before.cpu_seconds, now.cpu_seconds);
            let mib = now.resident_bytes >> 20;
            words.insert(0, format!("server {cpu:.0} % cpu {mib} MiB"));
        }
        if let Some((before, now)) = from.redis.zip(to.redis) {
            let cpu = percent(before.cpu_seconds, now.cpu_seconds);
            words.push(format!(
                "Redis {cpu:.0} % cpu {:.0} MiB",
                now.memory_bytes / MIB
            ));
        }
    }
    words.join(", ")
}

const TELL: Duration = Duration::from_secs(1);
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const MIB: f64 = 1_048_576.0;
