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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Process;
    use crate::schedule::{Rate, Stage};
    use crate::watch::redis::RedisFigures;

    /// A warm-up of a second, then three seconds of load.
    fn timeline() -> Timeline {
        let stage = |name: &str, seconds| Stage {
            name: name.to_owned(),
            length: Duration::from_secs(seconds),
            measured: true,
            rates: vec![Rate::steady(1.0)],
        };
        Timeline::new(vec![stage("warm-up", 1), stage("load", 3)])
    }

    /// One that has told of a second in which so much had happened.
    fn view_behind(before: Tick) -> View {
        View {
            bar: None,
            timeline: timeline(),
            before,
            told: Instant::now(),
            p99: Spark::default(),
        }
    }

    fn sample(at: Instant) -> Sample {
        Sample {
            at,
            process: None,
            counters: None,
            redis: None,
            machine: None,
            network: None,
        }
    }

    fn looks(seconds: Vec<Sample>) -> Looks {
        let start = sample(Instant::now());
        Looks {
            pids: Vec::new(),
            before: start.clone(),
            connected: start,
            open_files_connected: None,
            boundaries: Vec::new(),
            seconds,
        }
    }

    #[test]
    fn a_second_tells_what_it_added_and_how_much_is_wrong_by_now() {
        let before = Tick {
            published: 100,
            deliveries: 1_000,
            cpu_s: 1.0,
            ..Tick::default()
        };
        let now = Tick {
            published: 140,
            deliveries: 1_400,
            online: 7,
            faults: 1,
            refused: 2,
            cpu_s: 1.25,
            ..before
        };
        let words = view_behind(before).words(1, &now, None, &looks(Vec::new()));
        assert_eq!(words.stage, "load (2 of 2)");
        assert_eq!(
            words.load,
            "7 online, 40 publishes/s, 400 deliveries/s, 1 faults, 2 refused"
        );
        assert_eq!(words.latency, "no latency");
        assert_eq!(words.server, "generator 25 % cpu");
    }

    #[test]
    fn the_stage_is_the_one_in_which_the_second_began() {
        let view = view_behind(Tick::default());
        let stage = |second| {
            view.words(second, &Tick::default(), None, &looks(Vec::new()))
                .stage
        };
        assert_eq!(
            [0, 1, 3].map(stage),
            ["warm-up (1 of 2)", "load (2 of 2)", "load (2 of 2)"]
        );
    }

    #[test]
    fn the_middle_and_the_worst_latency_are_told_in_ms() {
        let mut latencies = Latencies::new();
        (0..60).for_each(|_| latencies.record_ns(10_000_000));
        (0..40).for_each(|_| latencies.record_ns(50_000_000));
        let view = view_behind(Tick::default());
        let words = view.words(0, &Tick::default(), Some(&latencies), &looks(Vec::new()));
        assert_eq!(words.latency, "p50 10.0 ms, p99 50.0 ms");
    }

    #[test]
    fn server_and_redis_are_told_by_their_last_second() {
        let start = Instant::now();
        let look = |seconds, server_s, redis_s| Sample {
            process: Some(Process {
                cpu_seconds: server_s,
                resident_bytes: 64 << 20,
            }),
            redis: Some(RedisFigures {
                cpu_seconds: redis_s,
                memory_bytes: 8.0 * MIB,
                ..RedisFigures::default()
            }),
            ..sample(start + Duration::from_secs(seconds))
        };
        // What was before the last second is not told. This one took two.
        let looks = looks(vec![
            look(0, 0.0, 0.0),
            look(1, 9.0, 9.0),
            look(3, 10.0, 9.5),
        ]);
        assert_eq!(
            server(&looks, 0.5),
            "server 50 % cpu 64 MiB, generator 50 % cpu, Redis 25 % cpu 8 MiB"
        );
    }
}
