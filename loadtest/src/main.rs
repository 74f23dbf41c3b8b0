//! `parlor-loadtest`: opens connections, publishes on a clock, and says what the server made of it.
//!
//! Owns the process: arguments in, report out, exit code. Start reading at [`scenario`], then [`driver`].

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Action, Cli};
use crate::report::Report;
use crate::scenario::Scenario;

mod checker;
mod cli;
mod dialect;
mod driver;
mod files;
mod frames;
mod histogram;
mod progress;
mod report;
mod scan;
mod scenario;
mod schedule;
mod server_watch;
mod shape;
mod stamp;
mod target;
mod verdict;

fn main() -> ExitCode {
    let Action::Run(arguments) = Cli::parse().action;
    match arguments
        .resolve()
        .and_then(Scenario::from_options)
        .and_then(measure)
    {
        Ok(code) => code,
        Err(error) => {
            progress::say(&format!("parlor-loadtest: {error:#}"));
            ExitCode::from(EXIT_UNABLE)
        }
    }
}

/// Runs the scenario, writes its report, and turns the verdict into an exit code.
fn measure(scenario: Scenario) -> anyhow::Result<ExitCode> {
    let outcome = driver::run(&scenario)?;
    let report = Report::of(&scenario, outcome);
    report.write(&scenario.outputs)?;
    Ok(ExitCode::from(report.verdict.exit_code()))
}

/// The run could not be made at all.
const EXIT_UNABLE: u8 = 1;
