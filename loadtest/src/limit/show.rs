//! The answer of `find-limit` for people: a table, the knee, the cause; and a page with plots.

use std::fmt::Write as _;

use super::Limit;
use super::level::Broken;
use crate::report::page::{document, escape, table};
use crate::report::plot::{Line, Plot};
use crate::verdict::Outcome;

pub(super) fn markdown(limit: &Limit) -> String {
    let mut text = format!("## {}\n\n", headline(limit));
    let mut write = |line: String| writeln!(text, "{line}").expect("a string takes all text");
    for sign in signs(limit) {
        write(format!("- {sign}"));
    }
    write(String::new());
    write(format!("| {} |", HEAD.join(" | ")));
    write("|---:|---:|---:|---:|---:|---:|---|".to_owned());
    for row in rows(limit) {
        write(format!("| {} |", row.join(" | ")));
    }
    text
}

fn headline(limit: &Limit) -> String {
    let unit = limit.raise.unit();
    match (limit.highest_kept, limit.lowest_broken) {
        _ if limit.gave_out => {
            let kept = limit.highest_kept.unwrap_or(0.0);
            format!(
                "Invalid: the generator gave out before the server; the limit is above {kept} {unit}"
            )
        }
        (Some(kept), Some(broken)) => {
            format!("Knee: {kept} {unit} keep every service level, {broken} break one")
        }
        (Some(kept), None) => format!("No knee up to {kept} {unit}"),
        (None, _) => format!(
            "Even the first load breaks: {} {unit}",
            limit.steps.first().map_or(0.0, |step| step.value)
        ),
    }
}

/// What broke, then why.
fn signs(limit: &Limit) -> impl Iterator<Item = String> {
    let levels = limit.levels.iter().map(Broken::line);
    levels.chain(limit.reasons.iter().map(|reason| reason.sign.clone()))
}

fn rows(limit: &Limit) -> Vec<Vec<String>> {
    let row = |step: &super::Step| {
        vec![
            step.value.to_string(),
            format!("{:.0}", step.deliveries_per_s),
            format!("{:.2}", step.p50_ms),
            format!("{:.2}", step.p99_ms),
            step.server_cores
                .map_or_else(|| "?".to_owned(), |cores| format!("{cores:.2}")),
            step.resident_bytes.map_or_else(
                || "?".to_owned(),
                |bytes| format!("{:.0}", bytes as f64 / MIB),
            ),
            step.headline.clone(),
        ]
    };
    limit.steps.iter().map(row).collect()
}

pub(super) fn html(limit: &Limit) -> String {
    let mut steps: Vec<_> = limit.steps.iter().collect();
    steps.sort_by(|one, two| one.value.total_cmp(&two.value));
    let line = |name: &str, of: fn(&super::Step) -> Option<f64>| {
        let valid = steps.iter().filter(|step| step.outcome != Outcome::Invalid);
        Line::new(name, valid.map(|step| (step.value, of(step))).collect())
    };
    let plot = |title: &str, lines| Plot {
        title: title.to_owned(),
        x: limit.raise.unit().to_owned(),
        lines,
        ..Plot::default()
    };
    let plots = [
        Plot {
            log: true,
            ..plot(
                "Latency from the due time, ms",
                vec![
                    line("p50", |step| Some(step.p50_ms)),
                    line("p99", |step| Some(step.p99_ms)),
                ],
            )
        },
        plot(
            "Deliveries per second",
            vec![line("deliveries/s", |step| Some(step.deliveries_per_s))],
        ),
        plot(
            "Server cores",
            vec![line("cores", |step| step.server_cores)],
        ),
    ];
    let reasons = signs(limit).map(|sign| format!("<li>{}</li>\n", escape(&sign)));
    let body = format!(
        "<p class=\"verdict\">{}</p>\n<ul>{}</ul>\n{}{}",
        escape(&headline(limit)),
        reasons.collect::<String>(),
        plots.iter().map(Plot::render).collect::<String>(),
        table(&HEAD, &rows(limit)),
    );
    document("How much the server takes", &body)
}

const HEAD: [&str; 7] = [
    "load",
    "deliveries/s",
    "p50 ms",
    "p99 ms",
    "server cores",
    "server MiB",
    "verdict",
];
const MIB: f64 = 1_048_576.0;
