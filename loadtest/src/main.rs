//! `parlor-loadtest`: opens connections, publishes on a clock, and says what the server made of it.
//!
//! Owns the process: arguments in, report out, exit code. Start reading at [`scenario`], then [`conductor`] and
//! [`driver`].

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Action, Cli};
use crate::scenario::Scenario;

mod bounds;
mod checker;
mod cli;
mod clockwork;
mod compare;
mod conductor;
mod dialect;
mod driver;
mod files;
mod fleet;
mod frames;
mod histogram;
mod limit;
mod network;
mod plan;
mod proc;
mod progress;
mod report;
mod scan;
mod scenario;
mod schedule;
mod shape;
mod spread;
mod stamp;
mod target;
mod token;
mod trust;
mod verdict;
mod watch;

fn main() -> ExitCode {
    match act(Cli::parse().action) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            progress::say(&format!("parlor-loadtest: {error:#}"));
            ExitCode::from(EXIT_UNABLE)
        }
    }
}

/// Does what was asked; returns the exit code.
fn act(action: Action) -> anyhow::Result<u8> {
    match action {
        Action::Run(arguments) => measure(Scenario::from_options(arguments.resolve()?)?),
        Action::FindLimit(arguments) => tell(limit::find(*arguments)?),
        Action::Plan(arguments) => tell(plan::plan(&arguments)?),
        Action::Coordinate(arguments) => fleet::coordinator::coordinate(*arguments),
        Action::Worker(arguments) => fleet::worker::serve(&arguments),
        Action::Compare(arguments) => tell(compare::compare(&arguments)?),
    }
}

/// Writes an answer to stdout.
fn tell((text, code): (String, u8)) -> anyhow::Result<u8> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(code)
}

/// Runs the scenario and writes its report.
fn measure(scenario: Scenario) -> anyhow::Result<u8> {
    let report = conductor::run(&scenario)?;
    report.write(&scenario.outputs)?;
    Ok(report.verdict.exit_code())
}

/// The run could not be made at all.
const EXIT_UNABLE: u8 = 1;
