//! What to think of a result: was the run valid, and did it keep its thresholds?
//!
//! Pure: figures in, words and an exit code out.

use serde::{Deserialize, Serialize};

use crate::checker::Faults;
use crate::cli::Thresholds;

/// The figures that a verdict rests on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) faults: Faults,
    /// Events of channels that their subscriber did not ask for.
    pub(crate) foreign: u64,
    /// Publishes refused, taken for repetitions, unanswered or not taken.
    pub(crate) refused: u64,
    /// Connections that failed, were not answered or ended early.
    pub(crate) closed: u64,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p99_9_ms: Option<f64>,
    /// Of the slowest measured stage.
    pub(crate) deliveries_per_s: Option<f64>,
    pub(crate) bytes_per_connection: Option<u64>,
    pub(crate) cpu_us_per_delivery: Option<f64>,
    pub(crate) wakeups_percent: Option<f64>,
    pub(crate) generator: Generator,
}

/// How well the generator itself did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Generator {
    pub(crate) threads: Vec<ThreadUse>,
    /// How late a timer ran in the worst reading thread.
    pub(crate) loop_lag_p99_ms: f64,
    /// How late the publishing threads woke for a due publish.
    pub(crate) slip_p99_ms: f64,
    /// Connections that failed for want of files or ports on this side.
    pub(crate) own_failures: u64,
    /// Sampled events that the fast scan read otherwise than the codec.
    pub(crate) misread: u64,
    /// Open files that this process may hold.
    pub(crate) files_allowed: u64,
}

/// Shares of the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ThreadUse {
    pub(crate) name: String,
    pub(crate) cpu: f64,
    /// Ready to run, but all cores were taken.
    pub(crate) waiting: f64,
}

/// The judgement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// Why the run is invalid, each beginning with what was the bottleneck.
    pub(crate) invalid: Vec<String>,
    pub(crate) thresholds: Vec<Checked>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    #[default]
    Passed,
    Broken,
    Invalid,
}

/// One threshold beside its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) name: String,
    pub(crate) limit: f64,
    /// `None`: it could not be measured, which breaks the threshold too.
    pub(crate) value: Option<f64>,
    pub(crate) kept: bool,
}

impl ThreadUse {
    /// How close the thread came to being the bottleneck: above 1 it was.
    pub(crate) fn strain(&self) -> f64 {
        (self.cpu / CPU_SHARE_MAX).max((self.cpu + self.waiting) / NEVER_IDLE)
    }
}

impl Verdict {
    pub(crate) fn of(figures: &Figures, thresholds: &Thresholds) -> Self {
        let invalid = bottlenecks(&figures.generator);
        let thresholds = check_all(figures, thresholds);
        let outcome = if !invalid.is_empty() {
            Outcome::Invalid
        } else if thresholds.iter().all(|checked| checked.kept) {
            Outcome::Passed
        } else {
            Outcome::Broken
        };
        Self {
            outcome,
            invalid,
            thresholds,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Passed => 0,
            Outcome::Broken => 99,
            Outcome::Invalid => 98,
        }
    }

    /// One line for people.
    pub(crate) fn headline(&self) -> String {
        match self.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Broken => {
                let broken: Vec<_> = self
                    .thresholds
                    .iter()
                    .filter(|checked| !checked.kept)
                    .map(|checked| checked.name.as_str())
                    .collect();
                format!("broken: {}", broken.join(", "))
            }
            Outcome::Invalid => format!(
                "invalid: the generator was the bottleneck ({})",
                self.invalid.join("; ")
            ),
        }
    }
}

/// Every sign that figures tell of the generator and not of the server.
fn bottlenecks(generator: &Generator) -> Vec<String> {
    let mut signs = Vec::new();
    for thread in &generator.threads {
        let busy = thread.cpu * 100.0;
        if thread.cpu > CPU_SHARE_MAX {
            signs.push(format!(
                "thread {} was busy for {busy:.0} % of the time",
                thread.name
            ));
        } else if thread.cpu + thread.waiting > NEVER_IDLE {
            signs.push(format!(
                "thread {} was never idle: busy for {busy:.0} % of the time, and waiting for a core for the rest",
                thread.name
            ));
        }
    }
    if generator.loop_lag_p99_ms > LOOP_LAG_P99_MS_MAX {
        signs.push(format!(
            "its timers ran {:.1} ms late at p99",
            generator.loop_lag_p99_ms
        ));
    }
    if generator.slip_p99_ms > SLIP_P99_MS_MAX {
        signs.push(format!(
            "it woke {:.1} ms late for publishes at p99",
            generator.slip_p99_ms
        ));
    }
    if generator.own_failures > 0 {
        signs.push(format!(
            "{} connections failed for want of files or ports",
            generator.own_failures
        ));
    }
    if generator.misread > 0 {
        signs.push(format!("it misread {} sampled events", generator.misread));
    }
    signs
}

fn check_all(figures: &Figures, thresholds: &Thresholds) -> Vec<Checked> {
    let count = |limit: Option<u64>| limit.map(|limit| limit as f64);
    let faults = &figures.faults;
    let checks = [
        at_most(
            "max-gaps",
            count(thresholds.max_gaps),
            Some(faults.gaps as f64),
        ),
        at_most(
            "max-duplicates",
            count(thresholds.max_duplicates),
            Some(faults.duplicates as f64),
        ),
        at_most(
            "max-reordered",
            count(thresholds.max_reordered),
            Some(faults.reordered as f64),
        ),
        at_most(
            "max-foreign",
            count(thresholds.max_foreign),
            Some(figures.foreign as f64),
        ),
        at_most(
            "max-refused",
            count(thresholds.max_refused),
            Some(figures.refused as f64),
        ),
        at_most(
            "max-closed",
            count(thresholds.max_closed),
            Some(figures.closed as f64),
        ),
        at_most("max-p99-ms", thresholds.max_p99_ms, figures.p99_ms),
        at_most("max-p99-9-ms", thresholds.max_p99_9_ms, figures.p99_9_ms),
        at_least(
            "min-deliveries-per-s",
            thresholds.min_deliveries_per_s,
            figures.deliveries_per_s,
        ),
        at_most(
            "max-bytes-per-connection",
            count(thresholds.max_bytes_per_connection),
            count(figures.bytes_per_connection),
        ),
        at_most(
            "max-cpu-us-per-delivery",
            thresholds.max_cpu_us_per_delivery,
            figures.cpu_us_per_delivery,
        ),
        at_most(
            "max-wakeups-percent",
            thresholds.max_wakeups_percent,
            figures.wakeups_percent,
        ),
    ];
    checks.into_iter().flatten().collect()
}

fn at_most(name: &str, limit: Option<f64>, value: Option<f64>) -> Option<Checked> {
    limit.map(|limit| Checked {
        name: name.to_owned(),
        limit,
        value,
        kept: value.is_some_and(|value| value <= limit),
    })
}

fn at_least(name: &str, limit: Option<f64>, value: Option<f64>) -> Option<Checked> {
    limit.map(|limit| Checked {
        name: name.to_owned(),
        limit,
        value,
        kept: value.is_some_and(|value| value >= limit),
    })
}

/// Of one thread: above it, events wait in the generator's own queue.
const CPU_SHARE_MAX: f64 = 0.9;
/// Of one thread, running or ready to run: it never waits for anything but a core, so it is behind.
const NEVER_IDLE: f64 = 0.97;
/// A burst of 10,000 reads takes some 20 ms; a thread that is always behind is far above.
const LOOP_LAG_P99_MS_MAX: f64 = 50.0;
/// Latency counts from the due time, so lateness here is added to every figure.
const SLIP_P99_MS_MAX: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Figures {
        Figures {
            p99_ms: Some(4.0),
            deliveries_per_s: Some(900.0),
            ..Figures::default()
        }
    }

    fn check(
        change: impl FnOnce(&mut Figures),
        thresholds: Thresholds,
        outcome: Outcome,
        exit_code: u8,
    ) {
        let mut figures = good();
        change(&mut figures);
        let verdict = Verdict::of(&figures, &thresholds);
        assert_eq!(
            (verdict.outcome, verdict.exit_code()),
            (outcome, exit_code),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_run_without_thresholds_passes() {
        check(|_| {}, Thresholds::default(), Outcome::Passed, 0);
    }

    #[test]
    fn a_threshold_is_kept_up_to_its_limit_and_broken_beyond() {
        let p99 = |limit| Thresholds {
            max_p99_ms: Some(limit),
            ..Thresholds::default()
        };
        check(|_| {}, p99(4.0), Outcome::Passed, 0);
        check(|_| {}, p99(3.9), Outcome::Broken, 99);
        let rate = |limit| Thresholds {
            min_deliveries_per_s: Some(limit),
            ..Thresholds::default()
        };
        check(|_| {}, rate(900.0), Outcome::Passed, 0);
        check(|_| {}, rate(901.0), Outcome::Broken, 99);
        let gaps = Thresholds {
            max_gaps: Some(0),
            ..Thresholds::default()
        };
        check(|figures| figures.faults.gaps = 1, gaps, Outcome::Broken, 99);
        let foreign = Thresholds {
            max_foreign: Some(0),
            ..Thresholds::default()
        };
        check(|_| {}, foreign, Outcome::Passed, 0);
        check(|figures| figures.foreign = 1, foreign, Outcome::Broken, 99);
    }

    #[test]
    fn what_could_not_be_measured_keeps_no_threshold() {
        let thresholds = Thresholds {
            max_bytes_per_connection: Some(1 << 40),
            ..Thresholds::default()
        };
        check(|_| {}, thresholds, Outcome::Broken, 99);
    }

    #[test]
    fn a_busy_generator_makes_the_run_invalid_whatever_the_thresholds_say() {
        let busy = |cpu| ThreadUse {
            name: "read-0".to_owned(),
            cpu,
            waiting: 0.0,
        };
        check(
            |figures| figures.generator.threads = vec![busy(0.89)],
            Thresholds::default(),
            Outcome::Passed,
            0,
        );
        check(
            |figures| figures.generator.threads = vec![busy(0.91)],
            Thresholds::default(),
            Outcome::Invalid,
            98,
        );
        let crowded_out = |waiting| ThreadUse {
            waiting,
            ..busy(0.5)
        };
        check(
            |figures| figures.generator.threads = vec![crowded_out(0.4)],
            Thresholds::default(),
            Outcome::Passed,
            0,
        );
        check(
            |figures| figures.generator.threads = vec![crowded_out(0.49)],
            Thresholds::default(),
            Outcome::Invalid,
            98,
        );
        let broken = Thresholds {
            max_p99_ms: Some(0.0),
            ..Thresholds::default()
        };
        check(
            |figures| figures.generator.threads = vec![busy(0.95)],
            broken,
            Outcome::Invalid,
            98,
        );
    }

    #[test]
    fn a_late_or_exhausted_generator_makes_the_run_invalid() {
        let invalid: [fn(&mut Generator); 4] = [
            |generator| generator.loop_lag_p99_ms = 51.0,
            |generator| generator.slip_p99_ms = 11.0,
            |generator| generator.own_failures = 1,
            |generator| generator.misread = 1,
        ];
        for change in invalid {
            check(
                |figures| change(&mut figures.generator),
                Thresholds::default(),
                Outcome::Invalid,
                98,
            );
        }
    }
}
