//! `find-limit`: raises the load until a service level breaks, closes in on the border, and says why it is there.
//!
//! Each step is a whole run of its own, with fresh channels and connections. [`search`] decides which comes next,
//! [`level`] names what broke, and [`reason`] reads the cause out of the step where it did.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::bounds::OwnBounds;
use crate::cli::{Arguments, Options, Thresholds};
use crate::conductor;
use crate::limit::level::Broken;
use crate::limit::reason::Reason;
use crate::limit::search::{Search, Step};
use crate::progress::say;
use crate::report::{Report, write_file};
use crate::scenario::Scenario;
use crate::shape::Shape;
use crate::verdict::{Checked, Outcome};

mod level;
mod reason;
mod search;
mod show;

#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// What to raise.
    #[arg(long, value_enum, default_value_t = Raise::Rate)]
    raise: Raise,
    /// Where to begin (default: what the options say).
    #[arg(long)]
    from: Option<f64>,
    /// Where to stop, if nothing breaks.
    #[arg(long)]
    to: Option<f64>,
    /// How close to come to the border, in percent of it.
    #[arg(long, default_value_t = 10.0)]
    precision: f64,
    /// How often a load must break before it counts: one bad run may be the machine's fault.
    #[arg(long, default_value_t = 2)]
    tries: u32,
    /// Where to write steps, knee and cause as JSON.
    #[arg(long)]
    limit_json: Option<PathBuf>,
    #[command(flatten)]
    run: Arguments,
}

/// What grows from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Raise {
    /// Publishes per second.
    Rate,
    /// Subscribers; channels keep their number of members, a single channel grows.
    Connections,
}

/// The answer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) schema: String,
    raise: Raise,
    /// The highest load that kept every service level.
    pub(crate) highest_kept: Option<f64>,
    /// The lowest that broke one.
    pub(crate) lowest_broken: Option<f64>,
    /// Which service levels broke there.
    #[serde(default)]
    levels: Vec<Broken>,
    /// Why they broke.
    reasons: Vec<Reason>,
    /// Whether it was the generator that was at its end there, and not the server.
    #[serde(default)]
    gave_out: bool,
    steps: Vec<Step>,
    /// The whole report of the highest load that kept every level, for `plan`.
    pub(crate) knee: Option<Report>,
    pub(crate) html: Option<PathBuf>,
}

/// What a search has come to.
#[derive(Debug)]
struct Found {
    search: Search,
    /// The report of the highest load that kept every level.
    knee: Option<Report>,
    /// That of the lowest load that broke one, of the last of its tries.
    broken: Option<Report>,
}

/// Searches, tells, and returns the exit code: 0 with a knee found, 99 where even the first load broke, 98 where
/// the generator gave out before the server.
///
/// # Errors
/// When no run can be made. One that cannot be made after others could is an answer.
pub(crate) fn find(arguments: LimitArguments) -> anyhow::Result<(String, u8)> {
    let LimitArguments {
        raise,
        from,
        to,
        precision,
        tries,
        limit_json,
        run,
    } = arguments;
    let mut options = run.resolve()?;
    ensure!(
        options.stages.is_empty(),
        "find-limit makes its own stages; take [[stages]] out"
    );
    ensure!(
        (0.5..=50.0).contains(&precision),
        "a precision is 0.5 to 50 percent"
    );
    let html = options.html.take();
    default_levels(&mut options.thresholds);
    let first = from.unwrap_or_else(|| start(raise, &options));
    let most = to.unwrap_or(first * FACTOR_MAX);
    ensure!(
        first > 0.0 && first <= most,
        "the search runs from {first} to {most}, which is nowhere"
    );
    // What is wrong with the options shows here, and is no bound of this machine.
    scenario(raise, &options, first)?;
    let (precision, tries) = (precision / 100.0, tries.clamp(1, 5));
    let search = Search::new(first, most, precision, tries, raise.parts());
    let found = close_in(search, raise.unit(), |value| {
        conductor::run(&scenario(raise, &options, value).context(OwnBounds)?)
    })?;
    let limit = Limit::of(raise, found, html);
    limit.write(limit_json.as_ref())?;
    Ok((show::markdown(&limit), limit.exit_code()))
}

/// Attempts one load after the other until the search is over.
fn close_in(
    mut search: Search,
    unit: &str,
    mut attempt: impl FnMut(f64) -> anyhow::Result<Report>,
) -> anyhow::Result<Found> {
    let (mut knee, mut broken) = (None, None);
    while let Some(value) = search.next() {
        let report = match attempt(value) {
            Ok(report) => report,
            Err(error) if search.highest_kept().is_some() => unmade(&error),
            Err(error) => return Err(error),
        };
        let step = Step::of(value, &report);
        say(&step.line(unit));
        let lowest_broken = search.lowest_broken();
        search.take(step);
        if report.verdict.outcome == Outcome::Passed {
            knee = Some(report);
        } else if search.lowest_broken() != lowest_broken {
            // A load that breaks and passes when it is tried again is no border: why it broke explains nothing.
            broken = Some(report);
        }
    }
    Ok(Found {
        search,
        knee,
        broken,
    })
}

/// The report of a run that could not be made: whose end that was, and why.
fn unmade(error: &anyhow::Error) -> Report {
    let why = format!("{error:#}");
    say(&why);
    let mut report = Report::default();
    let verdict = &mut report.verdict;
    if error.is::<OwnBounds>() {
        verdict.outcome = Outcome::Invalid;
        verdict.invalid.push(why);
    } else {
        verdict.outcome = Outcome::Broken;
        // The connection without which there was no run.
        verdict.thresholds.push(Checked {
            name: "max-closed".to_owned(),
            limit: 0.0,
            value: Some(1.0),
            kept: false,
        });
        report.troubles.insert(why, 1);
    }
    report
}

impl Limit {
    fn of(raise: Raise, found: Found, html: Option<PathBuf>) -> Self {
        let Found {
            search,
            knee,
            broken,
        } = found;
        let broken = broken.as_ref();
        Self {
            schema: SCHEMA.to_owned(),
            raise,
            highest_kept: search.highest_kept(),
            lowest_broken: search.lowest_broken(),
            levels: broken
                .map(|broken| level::broken(&broken.verdict))
                .unwrap_or_default(),
            reasons: broken.map(reason::of).unwrap_or_default(),
            gave_out: broken.is_some_and(|broken| broken.verdict.outcome == Outcome::Invalid),
            steps: search.into_steps(),
            knee,
            html,
        }
    }

    fn write(&self, json: Option<&PathBuf>) -> anyhow::Result<()> {
        if let Some(path) = json {
            write_file(path, &(serde_json::to_string_pretty(self)? + "\n"))?;
        }
        if let Some(path) = &self.html {
            write_file(path, &show::html(self))?;
        }
        Ok(())
    }

    fn exit_code(&self) -> u8 {
        match (self.highest_kept, self.gave_out) {
            (_, true) => 98,
            (None, false) => 99,
            (Some(_), false) => 0,
        }
    }
}

impl Raise {
    fn unit(self) -> &'static str {
        match self {
            Self::Rate => "publishes/s",
            Self::Connections => "connections",
        }
    }

    /// Into how many parts one of them can be divided.
    fn parts(self) -> f64 {
        match self {
            Self::Rate => 100.0,
            Self::Connections => 1.0,
        }
    }
}

/// A service level of some kind there must be, or nothing ever breaks.
fn default_levels(thresholds: &mut Thresholds) {
    thresholds.max_p99_ms = thresholds.max_p99_ms.or(Some(P99_MS_DEFAULT));
}

fn start(raise: Raise, options: &Options) -> f64 {
    match raise {
        Raise::Rate => options.rate.unwrap_or(100.0),
        Raise::Connections => {
            let shape = options.shape.as_deref().unwrap_or("rooms=100x10");
            let shape = shape.parse::<Shape>().ok();
            shape.map_or(1_000.0, |shape| f64::from(shape.connections()))
        }
    }
}

fn scenario(raise: Raise, options: &Options, value: f64) -> anyhow::Result<Scenario> {
    let mut options = Options {
        json: None,
        markdown: None,
        junit: None,
        ..options.clone()
    };
    match raise {
        Raise::Rate => options.rate = Some(value),
        Raise::Connections => {
            let shape: Shape = options.shape.as_deref().unwrap_or("rooms=100x10").parse()?;
            options.shape = Some(shape.with_connections(value.round() as u32).to_string());
            options.connections = None;
        }
    }
    Scenario::from_options(options)
}

pub(crate) const SCHEMA: &str = "parlor.loadtest.limit/1";
/// What a person still feels as at once.
const P99_MS_DEFAULT: f64 = 200.0;
/// Twenty doublings.
const FACTOR_MAX: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::Outcome::{Broken, Invalid, Passed};
    use super::*;

    fn report(outcome: Outcome) -> Report {
        let mut report = Report::default();
        report.verdict.outcome = outcome;
        match outcome {
            Passed => {}
            Broken => report.verdict.thresholds.push(Checked {
                name: "max-gaps".to_owned(),
                limit: 0.0,
                value: Some(1.0),
                kept: false,
            }),
            Invalid => report.verdict.invalid.push("it was late".to_owned()),
        }
        report
    }

    /// What a search from 200 on with two tries of each load comes to.
    fn search(attempt: impl FnMut(f64) -> anyhow::Result<Report>) -> anyhow::Result<Limit> {
        let search = Search::new(200.0, 1e6, 0.1, 2, 100.0);
        let found = close_in(search, "publishes/s", attempt)?;
        Ok(Limit::of(Raise::Rate, found, None))
    }

    /// The same when its loads are these and end so.
    fn limit(ends: &[(f64, Outcome)]) -> Limit {
        let mut ends = ends.iter();
        let limit = search(|load| {
            let (expected, outcome) = ends.next().expect("the search was over");
            assert_eq!(load, *expected);
            Ok(report(*outcome))
        });
        assert_eq!(ends.next(), None);
        limit.expect("all loads can be made")
    }

    /// Of loads up to 300, beyond which none can be made.
    fn limit_of(error: impl Fn() -> anyhow::Error) -> Limit {
        let attempt = |load: f64| {
            if load > 300.0 {
                Err(error())
            } else {
                Ok(report(Passed))
            }
        };
        search(attempt).expect("the first load can be made")
    }

    fn check(limit: &Limit, exit_code: u8, says: &[&str]) {
        assert_eq!(limit.exit_code(), exit_code);
        let text = show::markdown(limit);
        for line in says {
            assert!(text.contains(line), "`{line}` is not in\n{text}");
        }
    }

    #[test]
    fn a_load_that_passes_after_all_is_not_what_is_told_of() {
        let limit = limit(&[
            (200.0, Passed),
            (400.0, Broken),
            (400.0, Broken),
            (283.0, Invalid),
            (283.0, Passed),
            (336.0, Passed),
            (367.0, Passed),
        ]);
        let knee = "## Knee: 367 publishes/s keep every service level, 400 break one";
        check(&limit, 0, &[knee, "- loss broke: max-gaps is 1.0"]);
        let reasons = limit.reasons.iter();
        let late = reasons.filter(|reason| reason.sign.contains("it was late"));
        assert_eq!(late.count(), 0);
    }

    #[test]
    fn the_generator_gives_out_where_the_lowest_broken_load_was_invalid() {
        let limit = limit(&[
            (200.0, Passed),
            (400.0, Invalid),
            (400.0, Invalid),
            (283.0, Broken),
            (283.0, Passed),
            (336.0, Passed),
            (367.0, Passed),
        ]);
        let above = "## Invalid: the generator gave out before the server; the limit is above 367";
        let late = "- invalid: the generator was at its end: it was late";
        check(&limit, 98, &[above, late]);
        assert!(limit.levels.is_empty(), "{:?}", limit.levels);
    }

    #[test]
    fn a_load_that_this_machine_cannot_make_ends_the_search_with_what_was_kept() {
        let limit = limit_of(|| anyhow!("there are 300 ports").context(OwnBounds));
        let above = "## Invalid: the generator gave out before the server; the limit is above 283";
        let ports = "this machine cannot make such a load: there are 300 ports";
        check(&limit, 98, &[above, ports]);
    }

    #[test]
    fn a_server_that_takes_no_publisher_has_broken() {
        let limit = limit_of(|| anyhow!("unable to open a publisher"));
        let knee = "## Knee: 283 publishes/s keep every service level, 308 break one";
        let level = "- errors broke: max-closed is 1.0";
        check(&limit, 0, &[knee, level, "- unable to open a publisher\n"]);
    }

    #[test]
    fn where_not_even_the_first_load_can_be_made_there_is_no_answer() {
        let failed = search(|_| Err(anyhow!("nobody is there")));
        assert!(failed.is_err());
    }
}
