//! What a person reads when a run went wrong: the first violation, what happened around it, and how to have it again.

use std::collections::BTreeMap;
use std::fmt;

use super::{Bug, Finding};
use crate::recorder::{Fact, Record};

/// Lines before the offending one, and behind it.
const LINES_AROUND: usize = 10;
/// Violations that are listed.
const LISTED_MAX: usize = 12;

/// A failed run.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) row: &'a str,
    pub(crate) seed: u64,
    pub(crate) recording: &'a [Record],
    pub(crate) findings: &'a [Finding],
}

impl Report<'_> {
    /// How often each bug was found: one line.
    pub(crate) fn counts(&self) -> String {
        let mut counts: BTreeMap<Bug, usize> = BTreeMap::new();
        for finding in self.findings {
            *counts.entry(finding.bug).or_default() += 1;
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|(bug, count)| format!("{bug} × {count}"))
            .collect();
        counts.join(", ")
    }

    /// The records around the first violation that have to do with it.
    fn surroundings(&self, first: &Finding) -> Vec<(bool, &Record)> {
        let concerns = |(at, record): &(usize, &Record)| {
            let fact = &record.fact;
            *at == first.at
                || matches!(
                    fact,
                    Fact::Fault { .. } | Fact::Healed { .. } | Fact::Overdue { .. }
                )
                || (first.channel.is_some() && fact.channel() == first.channel.as_ref())
        };
        let related: Vec<_> = self.recording.iter().enumerate().filter(concerns).collect();
        let middle = related.partition_point(|(at, _)| *at < first.at);
        let from = middle.saturating_sub(LINES_AROUND);
        let to = related.len().min(middle + LINES_AROUND + 1);
        related[from..to]
            .iter()
            .map(|(at, record)| (*at == first.at, *record))
            .collect()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        // The gravest first; of those the earliest.
        findings.sort_by_key(|finding| (finding.bug, finding.at));
        let Some((first, others)) = findings.split_first() else {
            return writeln!(f, "{} with seed {}: clean", self.row, self.seed);
        };
        writeln!(f, "{} with seed {}: {}", self.row, self.seed, self.counts())?;
        let channel = first.channel.as_deref().unwrap_or("(no channel)");
        writeln!(f, "\nfirst: {} in {channel}: {}\n", first.bug, first.text)?;
        for (is_it, record) in self.surroundings(first) {
            writeln!(f, "{} {record}", if is_it { "→" } else { " " })?;
        }
        writeln!(f)?;
        for finding in others.iter().take(LISTED_MAX) {
            let channel = finding.channel.as_deref().unwrap_or("");
            writeln!(f, "then: {} {channel}: {}", finding.bug, finding.text)?;
        }
        writeln!(
            f,
            "\nreplay: PARLOR_SEED={} cargo test -p parlor-tests --test chaos -- --include-ignored --exact {}",
            self.seed, self.row
        )
    }
}
