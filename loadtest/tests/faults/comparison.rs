//! `compare` on the results of real runs: what got worse is named and has its exit code.

use std::path::Path;
use std::process::Output;

use parlor_protocol::Form;
use serde_json::Value;
use tempfile::TempDir;

use crate::faulty::{Fault, serve};
use crate::{PASSED, assert_ended, load, said, tool, until_valid};

const WORSE: i32 = 97;
const UNABLE: i32 = 1;

/// What runs have left, by name.
struct Results(TempDir);

impl Results {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> String {
        let path = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// A load on a server with this fault. Whatever else the verdict on it is, its result is kept and valid.
    fn run(&self, name: &str, fault: Fault, form: &str) {
        let path = self.path(name);
        let more = ["--json", &path, "--form", form];
        let output = until_valid(|| load(serve(fault, Form::Json), "run", &more));
        assert!(Path::new(&path).exists(), "{}", said(&output));
    }

    /// The result of another run, had it been like this.
    fn change(&self, from: &str, to: &str, change: impl FnOnce(&mut Value)) {
        let text = std::fs::read(self.path(from)).unwrap();
        let mut result: Value = serde_json::from_slice(&text).unwrap();
        change(&mut result);
        std::fs::write(self.path(to), result.to_string()).unwrap();
    }

    /// The result of another run, had its p99 been so many times as long.
    fn slow_down(&self, from: &str, to: &str, factor: f64) {
        self.change(from, to, |result| {
            let p99 = &mut result["stages"][0]["groups"][0]["latency"]["p99_ms"];
            *p99 = (p99.as_f64().unwrap() * factor).into();
        });
    }

    fn compare(&self, before: &str, after: &str) -> Output {
        tool(&["compare", &self.path(before), &self.path(after)])
    }
}

/// The figures that a comparison calls worse.
fn worse(output: &Output) -> Vec<String> {
    let text = said(output);
    let lines = text.lines().filter(|line| line.contains("worse"));
    lines
        .map(|line| line.split('|').nth(1).unwrap().trim().to_owned())
        .collect()
}

#[test]
fn a_lost_event_is_worse() {
    let results = Results::new();
    results.run("whole", Fault::None, "json");
    results.run("losing", Fault::Lose, "json");
    assert_ended(
        &results.compare("whole", "losing"),
        WORSE,
        "| gaps, duplicates and reorders | 0.00 | 1.00 |  | ±10 % | **worse** |",
    );
    // Which other figures are worse by chance nobody knows, so not the exit code.
    let back = said(&results.compare("losing", "whole"));
    let better = "| gaps, duplicates and reorders | 1.00 | 0.00 | -100.0 % | ±10 % | better |";
    assert!(back.contains(better), "`{better}` is not in\n{back}");
}

#[test]
fn a_refused_publish_and_a_lost_connection_are_worse() {
    let results = Results::new();
    results.run("whole", Fault::None, "json");
    for (name, fault) in [("refusing", Fault::Refuse), ("closing", Fault::Close)] {
        results.run(name, fault, "json");
        assert_ended(
            &results.compare("whole", name),
            WORSE,
            "| refused publishes and lost connections | 0.00 | 1.00 |  | ±10 % | **worse** |",
        );
    }
}

#[test]
fn only_what_is_beyond_the_noise_is_worse() {
    let results = Results::new();
    results.run("one", Fault::None, "json");
    let same = results.compare("one", "one");
    assert_ended(&same, PASSED, "| p99 ms |");
    assert!(worse(&same).is_empty(), "{}", said(&same));
    results.slow_down("one", "hardly", 1.05);
    assert_ended(&results.compare("one", "hardly"), PASSED, "| +5.0 % |");
    // However much the seconds of a run swing, they make no band of more than 2.9 times the figure.
    results.slow_down("one", "clearly", 10.0);
    let slower = results.compare("one", "clearly");
    assert_ended(&slower, WORSE, "| +900.0 % |");
    assert_eq!(worse(&slower), ["p99 ms"], "{}", said(&slower));
}

#[test]
fn different_runs_are_not_compared() {
    let results = Results::new();
    results.run("json", Fault::None, "json");
    results.run("msgpack", Fault::None, "msgpack");
    let different = results.compare("json", "msgpack");
    assert_ended(&different, UNABLE, "the runs differ: ");
    let missing = results.compare("json", "nowhere");
    assert_ended(&missing, UNABLE, "unable to read ");
    results.change("json", "invalid", |result| {
        result["verdict"]["outcome"] = "invalid".into();
        result["verdict"]["invalid"] = vec!["it was late"].into();
    });
    let invalid = results.compare("json", "invalid");
    let why = "is invalid: the generator was the bottleneck (it was late)";
    assert_ended(&invalid, UNABLE, why);
}
