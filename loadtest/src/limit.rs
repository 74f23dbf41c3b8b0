//! `find-limit`: raises the load until a service level breaks, closes in on the border, and says why it is there.
//!
//! Each step is a whole run of its own, with fresh channels and connections. [`search`] decides which comes next,
//! [`level`] names what broke, and [`reason`] reads the cause out of the step where it did.

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cli::{Arguments, Options, Thresholds};
use crate::conductor;
use crate::limit::level::Broken;
use crate::limit::reason::Reason;
use crate::limit::search::{Search, Step};
use crate::progress::say;
use crate::report::{Report, write_file};
use crate::scenario::Scenario;
use crate::shape::Shape;
use crate::verdict::Outcome;

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
    steps: Vec<Step>,
    /// The whole report of the highest load that kept every level, for `plan`.
    pub(crate) knee: Option<Report>,
    pub(crate) html: Option<PathBuf>,
}

/// Searches, tells, and returns the exit code: 0 with a knee found, 99 where even the first load broke, 98 where
/// the generator gave out before the server.
///
/// # Errors
/// When a run cannot be made.
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
    let mut search = Search::new(first, most, precision / 100.0, tries.clamp(1, 5));
    let (mut knee, mut broken) = (None, None);
    while let Some(value) = search.next() {
        let report = conductor::run(&scenario(raise, &options, value)?)?;
        let step = Step::of(value, &report);
        say(&step.line(raise.unit()));
        match report.verdict.outcome {
            Outcome::Passed => knee = Some(report),
            Outcome::Broken | Outcome::Invalid => broken = Some(report),
        }
        search.take(step);
    }
    let broken = broken.filter(|_| search.lowest_broken().is_some() || search.gave_out());
    let limit = Limit {
        schema: SCHEMA.to_owned(),
        raise,
        highest_kept: search.highest_kept(),
        lowest_broken: search.lowest_broken(),
        levels: broken
            .as_ref()
            .map(|broken| level::broken(&broken.verdict))
            .unwrap_or_default(),
        reasons: broken.as_ref().map(reason::of).unwrap_or_default(),
        steps: search.into_steps(),
        knee,
        html,
    };
    limit.write(limit_json.as_ref())?;
    Ok((show::markdown(&limit), limit.exit_code()))
}

impl Limit {
    fn write(&self, json: Option<&PathBuf>) -> anyhow::Result<()> {
        if let Some(path) = json {
            write_file(path, &(serde_json::to_string_pretty(self)? + "\n"))?;
        }
        if let Some(path) = &self.html {
            write_file(path, &show::html(self))?;
        }
        Ok(())
    }

    /// Whether the generator, not the server, was at its end.
    fn gave_out(&self) -> bool {
        let last = self
            .steps
            .iter()
            .rev()
            .find(|step| step.outcome != Outcome::Passed);
        last.is_some_and(|step| step.outcome == Outcome::Invalid)
    }

    fn exit_code(&self) -> u8 {
        match (self.highest_kept, self.gave_out()) {
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
