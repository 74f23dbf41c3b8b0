//! What a run measured in which nothing happened: tests put in what they are about.

use std::collections::BTreeMap;

use super::Outcome;
use crate::checker::Faults;
use crate::driver::acks::{Acks, Answered};
use crate::driver::readers::Reading;
use crate::driver::subscriber::{Received, Returns};
use crate::histogram::Latencies;

impl Outcome {
    /// Nothing, of one group and so many stages.
    pub(crate) fn nothing(stages: usize) -> Self {
        let reading = Reading {
            group: 0,
            stages: (0..stages).map(|_| Received::default()).collect(),
            opening: Latencies::new(),
            returns: Returns::default(),
            faults: Faults::default(),
            foreign: 0,
            misread: 0,
            unanswered: 0,
            ends: BTreeMap::new(),
            own_failures: 0,
            loop_lag: Latencies::new(),
        };
        Self {
            files_allowed: 0,
            opening_s: 0.0,
            readings: vec![reading],
            pacings: Vec::new(),
            acks: Acks {
                groups: vec![(0..stages).map(|_| Answered::default()).collect()],
                troubles: BTreeMap::new(),
            },
            errands: Vec::new(),
            ready: 0,
            failed: 0,
            closed: 0,
            uses: Vec::new(),
            latencies: Vec::new(),
            ticks: Vec::new(),
        }
    }
}
