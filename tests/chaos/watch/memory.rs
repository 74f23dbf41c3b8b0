//! I9 while a run goes on: how much memory each process of a node takes, over what it took when it was first looked at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Watch;
use crate::checker::is_judged;
use crate::recorder::{Fact, Name, Recorder};
use crate::stage::{Running, Settings, Stage, Topology};

/// Between two looks at one process.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a process may grow by without any clients: pages of its database (16 MiB), pages of history that are under way, what the
/// allocator keeps. In row 16, which moves the most, a node has taken 52 MiB in all at a load of ten.
const GROWTH_MAX: u64 = 96 << 20;
/// What each client may add: a full outbox.
const CLIENT_BYTES_MAX: u64 = 256 << 10;

/// Looks at the processes of one node, life after life.
pub(super) struct Sampler {
    pub(super) node: Name,
    pub(super) running: Running,
    /// How many of them there are in the run: all may be at this node.
    pub(super) clients: usize,
    pub(super) recorder: Recorder,
}

/// What one process took.
#[derive(Clone, Copy, Debug)]
struct Growth {
    process: u32,
    first: u64,
    highest: u64,
    /// When it took the most.
    at: Duration,
}

impl Sampler {
    /// Notes one fact for each process once the run is over: the samples between would only make the record long.
    pub(super) fn live(self, is_over: &AtomicBool) {
        let mut lives = Vec::new();
        loop {
            if let Some((process, bytes)) = self.running.memory() {
                sampled(&mut lives, process, bytes, self.recorder.now());
            }
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            // Woken when the watch is over.
            thread::park_timeout(LOOK_EVERY);
        }
        for growth in lives {
            self.recorder.note(growth.fact(&self.node, self.clients));
        }
    }
}

fn sampled(lives: &mut Vec<Growth>, process: u32, bytes: u64, at: Duration) {
    match lives.last_mut() {
        Some(growth) if growth.process == process => growth.rise_to(bytes, at),
        _ => lives.push(Growth {
            process,
            first: bytes,
            highest: bytes,
            at,
        }),
    }
}

impl Growth {
    fn rise_to(&mut self, bytes: u64, at: Duration) {
        if bytes > self.highest {
            self.highest = bytes;
            self.at = at;
        }
    }

    fn fact(self, node: &Name, clients: usize) -> Fact {
        let (process, at) = (self.process, self.at.as_secs_f64());
        Fact::Measured {
            what: format!(
                "bytes of memory that {node} (process {process}) had grown by at {at:.1} s"
            ),
            value: self.highest - self.first,
            max: GROWTH_MAX + clients as u64 * CLIENT_BYTES_MAX,
        }
    }
}

/// Samples of one node: process, MiB, second.
fn grown(samples: &[(u32, u64, u64)], clients: usize) -> Vec<Fact> {
    let mut lives = Vec::new();
    for (process, mib, second) in samples {
        let at = Duration::from_secs(*second);
        sampled(&mut lives, *process, *mib << 20, at);
    }
    let facts = lives.into_iter();
    facts
        .map(|growth| growth.fact(&"node-2".into(), clients))
        .collect()
}

#[test]
fn a_process_that_grows_over_its_bound_is_told_with_node_time_and_figure() {
    let samples = [(7, 20, 3), (7, 121, 4), (7, 30, 5)];
    is_judged(grown(&samples, 20), &[]);
    is_judged(
        grown(&samples, 19),
        &[
            "unbounded: bytes of memory that node-2 (process 7) had grown by at 4.0 s: 105906176, at most 105644032 are allowed",
        ],
    );
}

#[test]
fn each_process_of_a_node_is_held_against_its_own_first_sample() {
    is_judged(grown(&[(7, 20, 3), (8, 120, 9), (8, 200, 10)], 0), &[]);
    is_judged(
        grown(&[(7, 20, 3), (7, 120, 4), (8, 20, 9), (8, 30, 10)], 0),
        &[
            "unbounded: bytes of memory that node-2 (process 7) had grown by at 4.0 s: 104857600, at most 100663296 are allowed",
        ],
    );
}

/// Who sees nothing finds nothing amiss.
#[test]
fn the_memory_of_a_node_is_noted_when_the_watch_is_over() {
    let recorder = Recorder::new();
    let stage = Stage::set(&Topology::Single, &Settings::default(), &recorder);
    drop(Watch::over(&stage, 0, &recorder));
    let noted = recorder.look(|records| {
        let facts = records.iter().map(|record| record.fact.to_string());
        facts
            .filter(|fact| fact.starts_with("bytes of memory that node-1"))
            .count()
    });
    assert_eq!(noted, 1);
}
