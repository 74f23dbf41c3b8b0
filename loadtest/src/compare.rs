//! `compare`: two results side by side, with a band of noise inside which a difference means nothing.
//!
//! Each side is one report, or several of the same run repeated: then the median counts, and their spread is the
//! noise. Of a single report the noise is told by its seconds. Faults have no noise, and of several reports the worst counts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::ensure;
use clap::Args;

use crate::report::{Report, SecondReport};

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The JSON result to compare with; several of the same scenario with commas between.
    before: String,
    /// The JSON result that is judged; several with commas between.
    after: String,
    /// The least difference, in percent, that is not noise.
    #[arg(long, default_value_t = 10.0)]
    band: f64,
}

/// A figure that can be better or worse.
struct Metric {
    name: String,
    /// Whether more is better.
    more: bool,
    value: fn(&Report) -> Option<f64>,
    /// The same figure in one second, to see how much it swings.
    second: Option<fn(&SecondReport) -> Option<f64>>,
    of_several: Several,
}

/// What counts where a side has several reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Several {
    Median,
    /// What went wrong in one of them went wrong.
    Most,
}

/// What to think of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Same,
    Better,
    Worse,
    Unknown,
}

/// Compares and tells; the exit code says whether anything got worse.
///
/// # Errors
/// When a report cannot be read or is invalid, or the two did not run the same.
pub(crate) fn compare(arguments: &CompareArguments) -> anyhow::Result<(String, u8)> {
    let read = |paths: &str| -> anyhow::Result<Vec<Report>> {
        let paths = paths.split(',').map(Path::new);
        paths.map(read_valid).collect()
    };
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    for report in before.iter().chain(&after) {
        ensure!(
            described(report) == described(&before[0]),
            "the runs differ: {} and {}",
            described(&before[0]),
            described(report)
        );
    }
    let mut text = String::new();
    let worse =
        write(&mut text, &before, &after, arguments.band / 100.0).expect("a string takes all text");
    Ok((text, if worse { EXIT_WORSE } else { 0 }))
}

fn read_valid(path: &Path) -> anyhow::Result<Report> {
    let report = Report::read(path)?;
    report.ensure_valid(path)?;
    Ok(report)
}

fn described(report: &Report) -> String {
    let scenario = &report.scenario;
    format!(
        "{} over {} with {} bytes",
        scenario.shape, scenario.form, scenario.payload_bytes
    )
}

fn write(
    out: &mut String,
    before: &[Report],
    after: &[Report],
    band: f64,
) -> Result<bool, std::fmt::Error> {
    writeln!(out, "{}\n", described(&before[0]))?;
    writeln!(out, "| figure | before | after | change | noise band | |")?;
    writeln!(out, "|---|---:|---:|---:|---:|---|")?;
    let mut worse = false;
    for metric in metrics() {
        let (one, two) = (value(&metric, before), value(&metric, after));
        let noise = noise(&metric, before).hypot(noise(&metric, after));
        let band = band.max(NOISE_FACTOR * noise);
        let change = judge(&metric, one, two, band);
        worse |= change == Change::Worse;
        let (Some(one), Some(two)) = (one, two) else {
            continue;
        };
        writeln!(
            out,
            "| {} | {one:.2} | {two:.2} | {} | ±{:.0} % | {} |",
            metric.name,
            relative(one, two),
            band * 100.0,
            change.word()
        )?;
    }
    Ok(worse)
}

fn relative(one: f64, two: f64) -> String {
    if one == 0.0 {
        return "".to_owned();
    }
    format!("{:+.1} %", (two - one) / one * 100.0)
}

fn judge(metric: &Metric, one: Option<f64>, two: Option<f64>, band: f64) -> Change {
    let (Some(one), Some(two)) = (one, two) else {
        return Change::Unknown;
    };
    let difference = two - one;
    // From nothing, anything is a change: faults have no noise.
    if difference.abs() <= one.abs() * band {
        Change::Same
    } else if (difference > 0.0) == metric.more {
        Change::Better
    } else {
        Change::Worse
    }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "**worse**",
            Self::Unknown => "?",
        }
    }
}

/// A side's value.
fn value(metric: &Metric, reports: &[Report]) -> Option<f64> {
    let values: Vec<f64> = reports.iter().filter_map(metric.value).collect();
    match metric.of_several {
        Several::Median => median(values),
        Several::Most => values.into_iter().reduce(f64::max),
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len().checked_sub(1)? / 2;
    Some(f64::midpoint(values[middle], values[values.len() / 2]))
}

/// How much a side's value may be off, as a share of it.
fn noise(metric: &Metric, reports: &[Report]) -> f64 {
    if metric.of_several == Several::Most {
        return 0.0;
    }
    if let [only] = reports {
        let Some(second) = metric.second else {
            return 0.0;
        };
        let measured = |second: &&SecondReport| {
            let mut stages = only.stages.iter();
            stages.any(|stage| stage.name == second.stage)
        };
        let seconds = only.seconds.iter().filter(measured);
        let values: Vec<f64> = seconds.filter_map(second).collect();
        return deviation(&values) / (values.len() as f64).sqrt().max(1.0);
    }
    let values: Vec<f64> = reports.iter().filter_map(metric.value).collect();
    deviation(&values)
}

/// The standard deviation as a share of the mean.
fn deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 || mean <= 0.0 {
        return 0.0;
    }
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (squares / (count - 1.0)).sqrt() / mean
}

fn metrics() -> Vec<Metric> {
    let less = |name: &str, value: fn(&Report) -> Option<f64>| Metric {
        name: name.to_owned(),
        more: false,
        value,
        second: None,
        of_several: Several::Median,
    };
    let fault = |name: &str, value: fn(&Report) -> Option<f64>| Metric {
        of_several: Several::Most,
        ..less(name, value)
    };
    let swings = |metric: Metric, second: fn(&SecondReport) -> Option<f64>| Metric {
        second: Some(second),
        ..metric
    };
    let deliveries = Metric {
        more: true,
        ..less("deliveries/s", |report| {
            worst(report, |stage| Some(-stage.deliveries_per_s)).map(|rate| -rate)
        })
    };
    vec![
        swings(
            less("p50 ms", |report| {
                group(report, |group| group.latency.p50_ms)
            }),
            |second| second.p50_ms,
        ),
        swings(
            less("p99 ms", |report| {
                group(report, |group| group.latency.p99_ms)
            }),
            |second| second.p99_ms,
        ),
        swings(
            less("p99.9 ms", |report| {
                group(report, |group| group.latency.p99_9_ms)
            }),
            |second| second.max_ms,
        ),
        swings(deliveries, |second| Some(second.deliveries as f64)),
        swings(
            less("CPU µs per delivery", |report| {
                worst(report, |stage| stage.server_cpu_us_per_delivery)
            }),
            |second| {
                Some(second.server_cores? / second.deliveries as f64).filter(|cpu| cpu.is_finite())
            },
        ),
        swings(
            less("server cores", |report| {
                worst(report, |stage| stage.server_cpu_cores)
            }),
            |second| second.server_cores,
        ),
        less("bytes per connection", |report| {
            report.server.bytes_per_connection.map(|bytes| bytes as f64)
        }),
        less("CPU µs per new connection", |report| {
            report.server.cpu_us_per_new_connection
        }),
        fault("gaps, duplicates and reorders", |report| {
            let faults = &report.faults;
            Some((faults.gaps + faults.duplicates + faults.reordered) as f64)
        }),
        fault("foreign events", |report| Some(report.foreign as f64)),
        fault("refused publishes and lost connections", |report| {
            Some(checked(report, "max-refused") + checked(report, "max-closed"))
        }),
        fault("subscribers that could not resume", |report| {
            Some(report.faults.not_recovered as f64)
        }),
    ]
}

/// What was held against a threshold that every run has.
fn checked(report: &Report, threshold: &str) -> f64 {
    let mut checks = report.verdict.thresholds.iter();
    let check = checks.find(|check| check.name == threshold);
    check.and_then(|check| check.value).unwrap_or(0.0)
}

fn worst(report: &Report, of: impl Fn(&crate::report::StageReport) -> Option<f64>) -> Option<f64> {
    report.stages.iter().filter_map(of).reduce(f64::max)
}

fn group(report: &Report, of: fn(&crate::report::GroupReport) -> f64) -> Option<f64> {
    worst(report, |stage| {
        let group = stage.groups.first()?;
        (group.latency.count > 0).then(|| of(group))
    })
}

/// Something got worse by more than noise.
const EXIT_WORSE: u8 = 97;
/// Two standard deviations: one difference in twenty is still noise.
const NOISE_FACTOR: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Checked;

    fn metric(more: bool) -> Metric {
        Metric {
            name: String::new(),
            more,
            value: |_| None,
            second: None,
            of_several: Several::Median,
        }
    }

    fn check(more: bool, one: f64, two: f64, expected: Change) {
        let change = judge(&metric(more), Some(one), Some(two), 0.1);
        assert_eq!(change, expected, "{one} → {two}");
    }

    #[test]
    fn a_difference_inside_the_band_is_the_same() {
        check(false, 100.0, 109.0, Change::Same);
        check(false, 100.0, 111.0, Change::Worse);
        check(false, 100.0, 89.0, Change::Better);
        check(true, 100.0, 89.0, Change::Worse);
        check(false, 0.0, 1.0, Change::Worse);
        check(false, 0.0, 0.0, Change::Same);
    }

    /// Of three runs of each side the last one after the change was like this: the only figure that is told to be worse.
    fn check_worse(change: impl FnOnce(&mut Report), figure: &str) {
        let before = vec![Report::default(); 3];
        let mut after = before.clone();
        change(&mut after[2]);
        let mut text = String::new();
        assert!(write(&mut text, &before, &after, 0.1).unwrap());
        let mut worse = text.lines().filter(|line| line.ends_with("| **worse** |"));
        let line = worse.next().unwrap();
        assert!(
            line.starts_with(&format!("| {figure} | 0.00 | 1.00 |")),
            "{text}"
        );
        assert_eq!(worse.next(), None);
    }

    #[test]
    fn what_went_wrong_in_one_run_of_several_is_worse() {
        let threshold = |name: &str| Checked {
            name: name.to_owned(),
            limit: 0.0,
            value: Some(1.0),
            kept: false,
        };
        let faults = "gaps, duplicates and reorders";
        check_worse(|report| report.faults.gaps = 1, faults);
        check_worse(|report| report.foreign = 1, "foreign events");
        let refused = "refused publishes and lost connections";
        for name in ["max-refused", "max-closed"] {
            check_worse(
                |report| report.verdict.thresholds.push(threshold(name)),
                refused,
            );
        }
        let lost = "subscribers that could not resume";
        check_worse(|report| report.faults.not_recovered = 1, lost);
    }

    #[test]
    fn a_fault_more_is_no_noise_where_runs_had_faults_before() {
        let of = |faults: [u64; 2]| {
            faults.map(|gaps| {
                let mut report = Report::default();
                report.faults.gaps = gaps;
                report
            })
        };
        let worse =
            |before, after| write(&mut String::new(), &of(before), &of(after), 0.1).unwrap();
        assert!(worse([0, 5], [0, 6]));
        assert!(!worse([0, 5], [5, 5]));
    }

    #[test]
    fn a_swinging_figure_has_a_wide_band() {
        assert!(deviation(&[10.0, 10.0, 10.0]) < 1e-9);
        assert!(deviation(&[5.0, 15.0]) > 0.5);
        assert!(deviation(&[]).abs() < 1e-9 && deviation(&[1.0]).abs() < 1e-9);
    }
}
