//! One run on this machine, from the first connection to the report: leads the driver through its phases, watches
//! the server on the way, and tells a person what is going on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::bounds::OwnBounds;
use crate::clockwork::{Moment, walk};
use crate::driver::{Drain, Run};
use crate::progress::{View, say};
use crate::report::Report;
use crate::report::build::{Fleet, urls};
use crate::scenario::Scenario;
use crate::watch::{Looks, ServerWatch};

/// Makes the run. Bounded: opening, stages and draining each have their time.
///
/// # Errors
/// When the run cannot begin: limits, threads, publishers. What goes wrong later is part of the report.
pub(crate) fn run(scenario: &Scenario) -> anyhow::Result<Report> {
    let watch = ServerWatch::new(&scenario.watched, &scenario.targets)?;
    let mut looks = Looks::begin(&watch);
    say(&format!(
        "Opening {} connections to {}.",
        scenario.begins_with(),
        urls(&scenario.targets)
    ));
    let mut run = Run::open(scenario.clone()).context(OwnBounds)?;
    let mut view = View::new(&scenario.timeline);
    while !run.is_settled() {
        thread::sleep(LOOK);
        view.open(&run.shared.tick(), scenario.begins_with());
    }
    run.open_publishers()?;
    thread::sleep(SETTLE);
    looks.connected(&watch);

    let start = Instant::now() + START_DELAY;
    run.start(start);
    walk(&scenario.timeline, start, |moment| {
        run.take(moment);
        looks.take(&watch, moment);
        if let Moment::Second(second) = moment {
            let latencies = run.shared.series.latest(second + 1);
            view.second(second, &run.shared.tick(), latencies.as_ref(), &looks);
        }
    });
    let mut drain = Drain::begin();
    while !run.is_drained(&mut drain) {
        thread::sleep(LOOK);
    }
    view.end();
    let outcome = run.finish()?;
    Ok(Report::of(scenario, &outcome, &looks, Fleet::ALONE))
}

/// How often one looks whether a phase is over.
const LOOK: Duration = Duration::from_millis(20);
/// Between the last subscriber's answer and the look at the server's memory.
const SETTLE: Duration = Duration::from_secs(2);
/// Gives the pacers time to sleep towards the first due publish.
const START_DELAY: Duration = Duration::from_millis(100);
