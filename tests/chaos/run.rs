//! One run of a row: a stage is set, people work, something breaks, everything heals, and the checker reads what was noted.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parlor_tests::{Redis, RedisSentinel, Seed, eventually};
use rand::Rng as _;
use rand::rngs::StdRng;

use crate::checker::{self, Duty, Finding, Promises, Report};
use crate::recorder::{self, Fact, Outcome, Recorder, Recording, Start};
use crate::stage::{Settings, Stage, Topology};
use crate::watch::Watch;
use crate::workload::{Scale, Workload};

mod end;
mod leaks;

pub(crate) use end::rosters_become;

/// A row of the fault matrix.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The path of its test: what a replay names.
    pub(crate) name: &'static str,
    pub(crate) topology: Topology,
    pub(crate) settings: Settings,
    pub(crate) scale: Scale,
    pub(crate) promises: Promises,
    /// After everything healed, publishes work again through every node within this time.
    pub(crate) back_within: Duration,
    /// Whether rosters are held against the truth.
    pub(crate) rosters: bool,
    pub(crate) script: fn(&mut Scene),
}

/// What a row's script plays with.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) workload: Workload,
    pub(crate) recorder: Recorder,
    pub(crate) rng: StdRng,
}

impl Scene {
    /// Lets things go on for a while. A fault has a length; nothing is waited for here.
    pub(crate) fn last(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// The same for a random while, in milliseconds.
    pub(crate) fn last_between(&mut self, least: u64, most: u64) {
        let time = Duration::from_millis(self.rng.random_range(least..most));
        self.last(time);
    }

    /// Index of some node.
    pub(crate) fn some_node(&mut self) -> usize {
        self.rng.random_range(0..self.stage.nodes.len())
    }

    pub(crate) fn fault(&self, what: impl Into<String>) {
        self.recorder.fault(what);
    }

    pub(crate) fn note(&self, fact: Fact) {
        self.recorder.note(fact);
    }

    /// Acknowledged publishes so far.
    pub(crate) fn acks(&self) -> usize {
        self.recorder
            .look(|records| records.iter().filter(|record| is_ack(&record.fact)).count())
    }

    /// From here on nothing can be delivered.
    pub(crate) fn stopped(&self) {
        self.note(Fact::Stopped { node: None });
    }

    /// From here on nothing passes one node.
    pub(crate) fn stopped_at(&self, node: usize) {
        let node = Some(self.stage.nodes[node].id());
        self.note(Fact::Stopped { node });
    }

    /// From here on everything could be delivered again.
    pub(crate) fn flows(&self) {
        self.note(Fact::Flows);
    }

    /// Waits until another Redis than this one takes writes, and then until all Sentinels say so.
    pub(crate) fn wait_for_promotion<'a>(
        &self,
        group: &'a RedisSentinel,
        old: &Redis,
    ) -> &'a Redis {
        let others = || group.nodes.iter().filter(|node| node.port() != old.port());
        eventually("a promotion", || {
            others()
                .find(|node| node.is_running() && node.is_primary())
                .map(drop)
        });
        self.flows();
        let new = group.wait_for_primary_other_than(old);
        self.fault(format!("{} is the primary", new.port()));
        new
    }

    /// Waits until every node that says anything says that it is ready. The checker judges how long it took.
    pub(crate) fn ready_within(&self, time_max: Duration) {
        let start = Instant::now();
        let is_ready = || {
            self.recorder.look(|records| {
                let mut last = HashMap::new();
                for record in records {
                    if let Fact::Ready { node, is_ready } = &record.fact {
                        last.insert(node, *is_ready);
                    }
                }
                last.into_values().all(|is_ready| is_ready)
            })
        };
        while !is_ready() && start.elapsed() < time_max {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until publishes are acknowledged again. How long that took since things flow is measured by the checker.
    pub(crate) fn publishes_within(&self, time_max: Duration, what: &str) {
        let (start, before) = (Instant::now(), self.acks());
        while self.acks() < before + 3 {
            if start.elapsed() > time_max {
                let what = format!("no publish was acknowledged within {time_max:?} {what}");
                return self.note(Fact::Overdue { what });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let what = format!("publishes were back after {:?} {what}", start.elapsed());
        self.note(Fact::Healed { what });
    }
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) findings: Vec<Finding>,
    pub(crate) recording: Recording,
    /// What the nodes logged.
    logs: String,
    took: Duration,
}

/// Plays a row once. Several may run beside one another, as many as there are test threads: most of a run is waiting.
pub(crate) fn play(row: &Row, seed: Seed) -> Summary {
    let start = Instant::now();
    let recorder = Recorder::new();
    let stage = Stage::set(&row.topology, &row.settings, &recorder);
    let files_before = leaks::files_of(&stage.nodes);
    let watch = Watch::over(&stage, row.scale.clients(), &recorder);
    let workload = Workload::start(&row.scale, &stage.addresses(), &recorder, seed);
    let rng = seed.rng(1);
    let mut scene = Scene {
        stage,
        workload,
        recorder,
        rng,
    };
    warm_up(&scene);
    (row.script)(&mut scene);
    if end::heal(&scene, row.back_within) {
        end::quiesce(&scene);
        end::compare(&scene, row.rosters);
        leaks::compare(&scene, &files_before);
    }
    drop(watch);
    let recording = scene.recorder.recording();
    Summary {
        findings: checker::check(&recording, &row.promises),
        recording,
        logs: scene.stage.logs(),
        took: start.elapsed(),
    }
}

/// Until everybody follows what they want and publishes are acknowledged. Thousands take their time.
const WARM_UP_MAX: Duration = Duration::from_secs(240);

fn warm_up(scene: &Scene) {
    let wanted = scene.workload.follows().count();
    let start = Instant::now();
    while start.elapsed() < WARM_UP_MAX {
        let subscribed = scene.recorder.look(|records| {
            let first = records.iter().filter(|record| {
                matches!(&record.fact, Fact::Subscribed { by, start: Start::First, .. } if by.starts_with("follower"))
            });
            first.count()
        });
        if subscribed >= wanted && scene.acks() > 20 {
            return scene.note(Fact::Healed {
                what: "everybody takes part".into(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("not everybody took part within {WARM_UP_MAX:?}");
}

fn is_ack(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Answered {
            outcome: Outcome::Acked(_),
            ..
        }
    )
}

/// Plays a row with each of the wanted seeds: `PARLOR_SEED=n` one, `PARLOR_SEEDS=n` so many, else one at random.
/// `PARLOR_CHAOS_LOG` names a file that gets a line per run; `PARLOR_CHAOS_KEEP` keeps recordings of clean runs, too.
///
/// # Panics
/// At the first violation.
pub(crate) fn play_all(row: &Row) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let chosen = number("PARLOR_SEED");
    let first = chosen.unwrap_or_else(|| rand::random::<u32>().into());
    let count = if chosen.is_some() {
        1
    } else {
        number("PARLOR_SEEDS").unwrap_or(1)
    };
    for seed in first..first + count {
        let summary = play(row, Seed(seed));
        let line = summary.line(row, seed);
        eprintln!("{line}");
        log(&line);
        if std::env::var_os("PARLOR_CHAOS_KEEP").is_some() {
            eprint!("{}", summary.keep(row, seed));
        }
        assert!(summary.findings.is_empty(), "{}", summary.tell(row, seed));
    }
}

impl Summary {
    /// What a log keeps of a run.
    pub(crate) fn line(&self, row: &Row, seed: u64) -> String {
        let count = |is: fn(&Fact) -> bool| {
            self.recording
                .iter()
                .filter(|record| is(&record.fact))
                .count()
        };
        let acked = count(is_ack);
        let received = count(|fact| matches!(fact, Fact::Received { .. }));
        let resumed = count(|fact| {
            matches!(
                fact,
                Fact::Subscribed {
                    start: Start::Complete,
                    ..
                }
            )
        });
        let broken = count(|fact| {
            matches!(
                fact,
                Fact::Subscribed {
                    start: Start::Broken(_),
                    ..
                }
            )
        });
        let verdict = match self.findings.as_slice() {
            [] => "clean".to_owned(),
            _ => self.report(row, seed).counts(),
        };
        format!(
            "{} seed {seed}: {verdict}; {acked} acknowledged, {received} received, {resumed} resumed, {broken} breaks told{}, {:.0} s",
            row.name,
            self.times(),
            self.took.as_secs_f64()
        )
    }

    /// The longest of each that was measured, and of how many.
    fn times(&self) -> String {
        let measured = checker::measure(&self.recording);
        let mut text = String::new();
        for duty in Duty::ALL {
            let times = measured.iter().filter(|took| took.duty == duty);
            let times: Vec<_> = times.map(|took| took.time).collect();
            if let Some(longest) = times.iter().max() {
                let (name, count) = (duty.name(), times.len());
                // A String takes everything.
                let _written = write!(text, ", {name} {:.2} of {count}", longest.as_secs_f64());
            }
        }
        text
    }

    fn report<'a>(&'a self, row: &'a Row, seed: u64) -> Report<'a> {
        Report {
            row: row.name,
            seed,
            recording: &self.recording,
            findings: &self.findings,
        }
    }

    /// The report, with the whole recording beside it in a file.
    fn tell(&self, row: &Row, seed: u64) -> String {
        format!("\n{}{}", self.report(row, seed), self.keep(row, seed))
    }

    /// Writes the recording into a file, and says where.
    fn keep(&self, row: &Row, seed: u64) -> String {
        let name = format!("{}-{seed}.txt", row.name.replace("::", "-"));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        match recorder::write(&self.recording, &self.logs, &path) {
            Ok(()) => format!("recording: {}\n", path.display()),
            Err(error) => format!("unable to write the recording: {error}\n"),
        }
    }
}

fn log(line: &str) {
    let Some(path) = std::env::var_os("PARLOR_CHAOS_LOG") else {
        return;
    };
    let file = File::options().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    written.expect("the log that was asked for is written");
}
