//! `plan`: from measured runs and a description of the future load to numbers of nodes and sizes of everything.
//!
//! [`model`] learns what one connection, publish and delivery cost, [`future`] is what will be asked, [`size`]
//! divides one by the other, and [`show`] tells the answer with its formulas and their error.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::cli::file;
use crate::limit::Limit;
use crate::plan::future::Future;
use crate::plan::model::Model;
use crate::plan::size::Plan;
use crate::report::{Report, write_file};

mod fit;
mod future;
mod model;
mod show;
mod size;

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The description of the future load, in TOML.
    #[arg(long)]
    load: PathBuf,
    /// Results of `run --json` or `find-limit --limit-json` to learn from.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Results kept aside: not learned from, but predicted, to show the error.
    #[arg(long, value_delimiter = ',')]
    check: Vec<PathBuf>,
    /// Where to write the plan as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Makes the plan; the exit code is 0.
///
/// # Errors
/// When a file cannot be used, or the runs do not tell enough.
pub(crate) fn plan(arguments: &PlanArguments) -> anyhow::Result<(String, u8)> {
    let text = fs::read_to_string(&arguments.load)
        .with_context(|| format!("unable to read {}", arguments.load.display()))?;
    let future: Future =
        file::read(&text).with_context(|| format!("unable to use {}", arguments.load.display()))?;
    future.validate()?;
    let runs = read_all(&arguments.runs)?;
    let checks = read_all(&arguments.check)?;
    let model = Model::learn(&runs)?;
    let plan = Plan::of(&model, &future)?;
    if let Some(path) = &arguments.json {
        write_file(path, &(serde_json::to_string_pretty(&plan)? + "\n"))?;
    }
    Ok((show::markdown(&plan, &model, &future, &runs, &checks), 0))
}

/// A run with the name that it is told under.
#[derive(Debug)]
struct Run {
    name: String,
    report: Report,
}

fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Run>> {
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> anyhow::Result<Run> {
    let name = path.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let text =
        fs::read_to_string(path).with_context(|| format!("unable to read {}", path.display()))?;
    let report = if text.contains(crate::limit::SCHEMA) {
        let limit: Limit = serde_json::from_str(&text)
            .with_context(|| format!("unable to use {}", path.display()))?;
        limit
            .knee
            .with_context(|| format!("{} found no load that kept its levels", path.display()))?
    } else {
        Report::read(path)?
    };
    report.ensure_valid(path)?;
    Ok(Run { name, report })
}
