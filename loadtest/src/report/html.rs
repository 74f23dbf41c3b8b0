//! The report as one HTML page: the verdict, the tables, and what happened second by second.

use std::fmt::Write as _;

use super::page::{document, escape, table};
use super::plot::{Line, Plot, short};
use super::{Report, SecondReport};
use crate::verdict::Outcome;

/// The whole page.
pub(super) fn render(report: &Report) -> String {
    let mut body = String::new();
    write_all(&mut body, report).expect("a string takes all text");
    document(&format!("Load test: {}", report.scenario.shape), &body)
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let class = match report.verdict.outcome {
        Outcome::Passed => "good",
        Outcome::Broken | Outcome::Invalid => "bad",
    };
    writeln!(
        out,
        "<p class=\"verdict {class}\">{}</p>",
        escape(&report.verdict.headline())
    )?;
    let (scenario, opening) = (&report.scenario, &report.opening);
    writeln!(
        out,
        "<p>{} of {} connections, {} channels, {}, payloads of {:.0} bytes. {} cores, Linux {}. {} worker(s), clocks within {:.2} ms.</p>",
        opening.ready,
        opening.wanted,
        opening.channels,
        escape(&scenario.form),
        scenario.payload_bytes,
        report.machine.cores,
        escape(&report.machine.kernel),
        scenario.workers,
        scenario.clock_error_ms,
    )?;
    write_stages(out, report)?;
    writeln!(out, "<h2>Second by second</h2>")?;
    for plot in plots(report) {
        out.push_str(&plot.render());
    }
    write_checks(out, report)
}

fn write_stages(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut rows = Vec::new();
    for stage in &report.stages {
        for group in &stage.groups {
            let latency = &group.latency;
            let ms = |value: f64| format!("{value:.2}");
            rows.push(vec![
                format!("{} / {}", stage.name, group.name),
                format!("{:.0}", group.published as f64 / stage.seconds),
                format!("{:.0}", group.deliveries_per_s),
                ms(latency.p50_ms),
                ms(latency.p99_ms),
                ms(latency.p99_9_ms),
                ms(latency.max_ms),
                maybe(stage.server_cpu_cores, |cores| format!("{cores:.2}")),
                maybe(stage.server_cpu_us_per_delivery, |cpu| format!("{cpu:.1}")),
            ]);
        }
    }
    let head = [
        "stage",
        "publishes/s",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "server cores",
        "CPU µs/delivery",
    ];
    out.push_str(&table(&head, &rows));
    let server = &report.server;
    let mib = |bytes: Option<u64>| maybe(bytes, |bytes| format!("{:.1} MiB", bytes as f64 / MIB));
    // Unknown where all of them came in stages, beside other work.
    let per_new_connection = server
        .cpu_us_per_new_connection
        .map(|cpu| format!(", {cpu:.0} µs of CPU per new connection"));
    writeln!(
        out,
        "<p>Server memory: {} before, {} connected, {} at the end; {} bytes per connection{}.</p>",
        mib(server.resident_bytes_before),
        mib(server.resident_bytes_connected),
        mib(server.resident_bytes_end),
        maybe(server.bytes_per_connection, |bytes| bytes.to_string()),
        per_new_connection.unwrap_or_default(),
    )
}

fn maybe<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "?".to_owned(), show)
}

fn write_checks(out: &mut String, report: &Report) -> std::fmt::Result {
    let faults = &report.faults;
    writeln!(out, "<h2>Correctness and thresholds</h2>")?;
    writeln!(
        out,
        "<p>On every subscriber: {} gaps, {} duplicates, {} reordered, {} skipped aloud, {} lost after a resume; {} resumes.</p>",
        faults.gaps,
        faults.duplicates,
        faults.reordered,
        faults.skipped,
        faults.lost_after_resume,
        faults.resumes
    )?;
    let rows = report.verdict.thresholds.iter().map(|checked| {
        let value = maybe(checked.value, short);
        let kept = if checked.kept { "kept" } else { "BROKEN" };
        vec![
            checked.name.clone(),
            short(checked.limit),
            value,
            kept.to_owned(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    out.push_str(&table(&["threshold", "limit", "value", ""], &rows));
    if !report.troubles.is_empty() {
        writeln!(out, "<h2>Troubles</h2>\n<ul>")?;
        for (trouble, count) in &report.troubles {
            writeln!(out, "<li>{count} × {}</li>", escape(trouble))?;
        }
        writeln!(out, "</ul>")?;
    }
    let generator = &report.generator;
    writeln!(
        out,
        "<p class=\"dim\">Generator: timers {:.1} ms late and publishes {:.2} ms late at p99; busiest thread {:.0} % of a core.</p>",
        generator.loop_lag_p99_ms,
        generator.slip_p99_ms,
        generator
            .threads
            .iter()
            .map(|thread| thread.cpu)
            .fold(0.0, f64::max)
            * 100.0,
    )
}

fn plots(report: &Report) -> Vec<Plot> {
    let line = |name: &str, of: fn(&SecondReport) -> Option<f64>| {
        let seconds = report.seconds.iter();
        Line::new(
            name,
            seconds.map(|second| (second.at_s, of(second))).collect(),
        )
    };
    let plot = |title: &str, lines: Vec<Line>| Plot {
        title: title.to_owned(),
        x: "seconds since the start".to_owned(),
        lines,
        spans: spans(report),
        ..Plot::default()
    };
    let p99_limit = report.verdict.thresholds.iter();
    let p99_limit = p99_limit.filter(|checked| checked.name == "max-p99-ms");
    let latency = Plot {
        log: true,
        limit: p99_limit.map(|checked| checked.limit).next(),
        ..plot(
            "Latency from the due time, ms",
            vec![
                line("p50", |second| second.p50_ms),
                line("p90", |second| second.p90_ms),
                line("p99", |second| second.p99_ms),
                line("max", |second| second.max_ms),
            ],
        )
    };
    let mut plots = vec![
        latency,
        plot(
            "Deliveries per second",
            vec![line("deliveries/s", |second| {
                Some(second.deliveries as f64)
            })],
        ),
        plot(
            "Publishes per second",
            vec![
                line("publishes/s", |second| Some(second.publishes as f64)),
                line("refused/s", |second| Some(second.refused as f64)),
            ],
        ),
        plot(
            "Cores in use",
            vec![
                line("server", |second| second.server_cores),
                line("generator", |second| second.generator_cores),
                line("Redis", |second| second.redis_cores),
            ],
        ),
        plot(
            "Memory, MiB",
            vec![
                line("server", |second| {
                    second.server_resident_bytes.map(|bytes| bytes as f64 / MIB)
                }),
                line("Redis", |second| {
                    second.redis_memory_bytes.map(|bytes| bytes / MIB)
                }),
            ],
        ),
        plot(
            "Subscribers online",
            vec![line("online", |second| Some(second.online as f64))],
        ),
    ];
    for plot in &mut plots {
        // What was not measured has no place in the legend.
        plot.lines
            .retain(|line| line.points.iter().any(|(_, y)| y.is_some()));
    }
    plots
}

/// The stages as stretches of time.
fn spans(report: &Report) -> Vec<(f64, f64, String)> {
    let mut spans: Vec<(f64, f64, String)> = Vec::new();
    for second in &report.seconds {
        match spans.last_mut() {
            Some((_, end, name)) if *name == second.stage => *end = second.at_s,
            _ => spans.push((second.at_s - 1.0, second.at_s, second.stage.clone())),
        }
    }
    spans
}

const MIB: f64 = 1_048_576.0;
