//! The thresholds as JUnit XML, which CI systems show as tests.

use std::fmt::Write as _;

use super::Report;
use super::page::escape;

/// One test for each threshold, and one for the run being valid at all.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    write_all(&mut text, report).expect("a string takes all text");
    text
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let verdict = &report.verdict;
    let broken = verdict.thresholds.iter().filter(|checked| !checked.kept);
    let seconds: f64 = report.stages.iter().map(|stage| stage.seconds).sum();
    let suite = escape(&format!("parlor-loadtest {}", report.scenario.shape));
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites><testsuite name=\"{suite}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{seconds:.1}\">",
        verdict.thresholds.len() + 1,
        broken.count(),
        usize::from(!verdict.invalid.is_empty()),
    )?;
    writeln!(
        out,
        "<testcase classname=\"{suite}\" name=\"the run is valid\">"
    )?;
    for sign in &verdict.invalid {
        writeln!(out, "<error message=\"{}\"/>", escape(sign))?;
    }
    writeln!(out, "</testcase>")?;
    for checked in &verdict.thresholds {
        let value = checked.value;
        let value = value.map_or_else(|| "not measured".to_owned(), |value| value.to_string());
        let name = escape(&checked.name);
        writeln!(out, "<testcase classname=\"{suite}\" name=\"{name}\">")?;
        if !checked.kept {
            let limit = checked.limit;
            writeln!(
                out,
                "<failure message=\"{value}, but the limit is {limit}\"/>"
            )?;
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "</testsuite></testsuites>")
}
