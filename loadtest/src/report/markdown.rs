//! The report for people: tables that can be pasted into a document or a pull request.

use std::fmt::Write as _;

use super::{GroupReport, Report, StageReport};
use crate::histogram::Summary;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    write_all(&mut text, report).expect("a string takes all text");
    text
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let (scenario, opening) = (&report.scenario, &report.opening);
    writeln!(out, "## {} over {}\n", scenario.shape, scenario.form)?;
    writeln!(out, "Verdict: **{}**\n", report.verdict.headline())?;
    let came = opening.per_second.map_or_else(
        || ", as the stages wanted them (".to_owned(),
        |per_second| format!(" in {:.1} s ({per_second:.0}/s, ", opening.seconds),
    );
    writeln!(
        out,
        "{} cores, Linux {}. {} of {} connections{came}answered in {:.1} ms at p50, {:.1} ms at p99). Payload {:.0} bytes, {} publishers.\n",
        report.machine.cores,
        report.machine.kernel,
        opening.ready,
        opening.wanted,
        opening.latency.p50_ms,
        opening.latency.p99_ms,
        scenario.payload_bytes,
        scenario.publishers,
    )?;
    latency_table(out, &report.stages)?;
    server_table(out, report)?;
    let faults = &report.faults;
    writeln!(
        out,
        "Checked on every subscriber: {} gaps, {} duplicates, {} reordered, {} skipped aloud, {} foreign events.\n",
        faults.gaps, faults.duplicates, faults.reordered, faults.skipped, report.foreign,
    )?;
    if faults.resumes + faults.not_recovered > 0 {
        writeln!(
            out,
            "Came back: {} given all they had missed (of which {} events were lost), {} told that it is not to be had.\n",
            faults.resumes, faults.lost_after_resume, faults.not_recovered,
        )?;
    }
    if let Some(returns) = &report.returns {
        let latency = &returns.latency;
        writeln!(
            out,
            "Cut and back with everything: {} of {}, after {:.0} ms at p50, {:.0} ms at p99, {:.0} ms at most.\n",
            latency.count, returns.cut, latency.p50_ms, latency.p99_ms, latency.max_ms,
        )?;
    }
    errand_table(out, &report.stages)?;
    generator_line(out, report)?;
    for (trouble, count) in &report.troubles {
        writeln!(out, "- {count} × {trouble}")?;
    }
    threshold_table(out, report)
}

fn latency_table(out: &mut String, stages: &[StageReport]) -> std::fmt::Result {
    let groups: Vec<_> = stages
        .iter()
        .flat_map(|stage| stage.groups.iter().map(move |group| (stage, group)))
        .collect();
    if groups.iter().all(|(_, group)| group.published == 0) {
        return Ok(());
    }
    writeln!(
        out,
        "| stage | group | publishes/s | deliveries/s | latency from | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms |"
    )?;
    writeln!(out, "|---|---|---:|---:|---|---:|---:|---:|---:|---:|")?;
    for (stage, group) in groups.into_iter().filter(|(_, group)| group.published > 0) {
        let published = group.published as f64 / stage.seconds;
        let heads = [
            format!(
                "| {} | {} | {published:.0} | {:.0} | due time",
                stage.name, group.name, group.deliveries_per_s
            ),
            "| | | | | sending".to_owned(),
            "| | | | | due time to answer".to_owned(),
        ];
        for (head, summary) in heads.iter().zip(summaries(group)) {
            writeln!(
                out,
                "{head} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.p99_9_ms, summary.max_ms
            )?;
        }
    }
    writeln!(out)
}

fn summaries(group: &GroupReport) -> [&Summary; 3] {
    [
        &group.latency,
        &group.latency_raw,
        &group.acknowledge_latency,
    ]
}

fn server_table(out: &mut String, report: &Report) -> std::fmt::Result {
    let server = &report.server;
    writeln!(out, "| server | |\n|---|---:|")?;
    let mib = |bytes: Option<u64>| {
        bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))
    };
    row(
        out,
        "resident before / connected / end",
        [
            server.resident_bytes_before,
            server.resident_bytes_connected,
            server.resident_bytes_end,
        ]
        .map(|bytes| mib(bytes).unwrap_or_else(|| "?".to_owned()))
        .join(" / "),
    )?;
    if let Some(bytes) = server.bytes_per_connection {
        row(out, "bytes per connection", bytes.to_string())?;
    }
    for stage in &report.stages {
        if let Some(cores) = stage.server_cpu_cores {
            row(
                out,
                &format!("{}: CPU, cores", stage.name),
                format!("{cores:.2}"),
            )?;
        }
        if let Some(cpu) = stage.server_cpu_us_per_delivery {
            row(
                out,
                &format!("{}: CPU µs per delivery", stage.name),
                format!("{cpu:.2}"),
            )?;
        }
        if let (Some(wakeups), Some(percent)) =
            (stage.server_write_wakeups, stage.write_wakeups_percent)
        {
            row(
                out,
                &format!("{}: wake-ups for writing", stage.name),
                format!("{wakeups:.0} ({percent:.3} % of deliveries)"),
            )?;
        }
        if let (Some(calls), Some(deliveries)) = (stage.server_write_calls, stage.server_deliveries)
        {
            row(
                out,
                &format!("{}: deliveries per write call", stage.name),
                format!("{:.2}", deliveries / calls.max(1.0)),
            )?;
        }
    }
    writeln!(out)
}

fn errand_table(out: &mut String, stages: &[StageReport]) -> std::fmt::Result {
    if stages.iter().all(|stage| stage.errands.is_empty()) {
        return Ok(());
    }
    writeln!(
        out,
        "| stage | errand | due/s | answered | failed | p50 ms | p99 ms |\n|---|---|---:|---:|---:|---:|---:|"
    )?;
    for stage in stages {
        for errand in &stage.errands {
            writeln!(
                out,
                "| {} | {} | {:.1} | {} | {} | {:.2} | {:.2} |",
                stage.name,
                errand.name,
                errand.due_per_s,
                errand.answered,
                errand.failed,
                errand.latency.p50_ms,
                errand.latency.p99_ms,
            )?;
        }
    }
    writeln!(out)
}

fn row(out: &mut String, name: &str, value: impl AsRef<str>) -> std::fmt::Result {
    writeln!(out, "| {name} | {} |", value.as_ref())
}

fn generator_line(out: &mut String, report: &Report) -> std::fmt::Result {
    let generator = &report.generator;
    let threads = generator.threads.iter().map(|thread| {
        format!(
            "{} {:.0} % (waited for a core {:.0} %)",
            thread.name,
            thread.cpu * 100.0,
            thread.waiting * 100.0
        )
    });
    writeln!(
        out,
        "Generator: {}; timers {:.1} ms late and publishes {:.2} ms late at p99.\n",
        threads.collect::<Vec<_>>().join(", "),
        generator.loop_lag_p99_ms,
        generator.slip_p99_ms,
    )
}

fn threshold_table(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "| threshold | limit | value | |\n|---|---:|---:|---|")?;
    for checked in &report.verdict.thresholds {
        let value = checked
            .value
            .map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
        writeln!(
            out,
            "| {} | {} | {value} | {} |",
            checked.name,
            checked.limit,
            if checked.kept { "kept" } else { "**broken**" }
        )?;
    }
    writeln!(out)
}
