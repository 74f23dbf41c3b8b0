//! The whole tool against a small server that breaks promises on purpose: each broken one must be caught.

#![allow(
    clippy::unwrap_used,
    reason = "a toy server may panic: the test that talks to it fails then"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use parlor_protocol::Form;

use crate::faulty::{Fault, STALL, serve};

#[path = "../toys/accept.rs"]
mod accept;
mod comparison;
mod deaf;
mod faulty;

const PASSED: i32 = 0;
const BROKEN: i32 = 99;
/// On a machine that is busy with other tests the generator may come too late, and rightly says so.
const INVALID: i32 = 98;
const VALID_TRIES: u32 = 5;
const MIXED: &str = "json:0.5,msgpack:0.5";

fn tool(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"))
        .args(arguments)
        .output()
        .expect("the tool was built with this test")
}

fn load(server: SocketAddr, action: &str, more: &[&str]) -> Output {
    let url = format!("ws://{server}/v1/socket");
    let load = [
        action,
        "--url",
        &url,
        "--shape",
        "rooms=3x4",
        "--rate",
        "200",
    ];
    let time = ["--duration", "1s", "--warmup", "200ms"];
    tool(&[&load[..], &time, more].concat())
}

/// The same again while the machine is too busy for it.
fn until_valid(run: impl Fn() -> Output) -> Output {
    let mut output = run();
    for _ in 1..VALID_TRIES {
        if output.status.code() != Some(INVALID) {
            break;
        }
        output = run();
    }
    output
}

fn said(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr]
        .map(String::from_utf8_lossy)
        .concat()
}

fn assert_ended(output: &Output, exit_code: i32, says: &str) {
    let (code, said) = (output.status.code(), said(output));
    assert!(
        code == Some(exit_code) || code == Some(INVALID),
        "{code:?}\n{said}"
    );
    assert!(said.contains(says), "`{says}` is not in\n{said}");
}

fn check_form(fault: Fault, form: &str, victim: Form, exit_code: i32, says: &str) {
    let output = load(serve(fault, victim), "run", &["--form", form]);
    assert_ended(&output, exit_code, says);
}

/// In JSON, in MessagePack, and on one who speaks MessagePack where others speak JSON.
fn check(fault: Fault, exit_code: i32, says: &str) {
    check_form(fault, "json", Form::Json, exit_code, says);
    check_form(fault, "msgpack", Form::MsgPack, exit_code, says);
    check_form(fault, MIXED, Form::MsgPack, exit_code, says);
}

/// The same fault in a search for the limit: the level is named that broke.
fn check_limit(fault: Fault, more: &[&str], exit_code: i32, says: &str) {
    let search = ["--to", "200", "--tries", "1"];
    let server = serve(fault, Form::Json);
    let output = load(server, "find-limit", &[&search[..], more].concat());
    assert_ended(&output, exit_code, says);
}

#[test]
fn an_honest_server_passes() {
    check(Fault::None, PASSED, "0 gaps, 0 duplicates, 0 reordered");
    check_limit(Fault::None, &[], PASSED, "200 publishes/s: ");
}

#[test]
fn one_lost_event_is_caught() {
    check(Fault::Lose, BROKEN, "1 gaps, 0 duplicates, 0 reordered");
    check_limit(Fault::Lose, &[], BROKEN, "loss broke: max-gaps is 1.0");
}

#[test]
fn one_event_sent_twice_is_caught() {
    check(Fault::Repeat, BROKEN, "0 gaps, 1 duplicates, 0 reordered");
    check_limit(
        Fault::Repeat,
        &[],
        BROKEN,
        "loss broke: max-duplicates is 1.0",
    );
}

#[test]
fn two_events_in_the_wrong_order_are_caught() {
    check(Fault::Swap, BROKEN, "0 gaps, 0 duplicates, 1 reordered");
    check_limit(Fault::Swap, &[], BROKEN, "loss broke: max-reordered is 1.0");
}

#[test]
fn an_event_that_nobody_asked_for_is_caught() {
    check(
        Fault::Stray,
        BROKEN,
        "0 gaps, 0 duplicates, 0 reordered, 0 skipped aloud, 1 foreign events.",
    );
    check_limit(Fault::Stray, &[], BROKEN, "loss broke: max-foreign is 1.0");
}

#[test]
fn a_closed_subscriber_is_caught() {
    check(
        Fault::Close,
        BROKEN,
        "| max-closed | 0 | 1.00 | **broken** |",
    );
    check_limit(Fault::Close, &[], BROKEN, "errors broke: max-closed is 1.0");
}

#[test]
fn a_refused_publish_is_caught() {
    check(
        Fault::Refuse,
        BROKEN,
        "| max-refused | 0 | 1.00 | **broken** |",
    );
    check_limit(
        Fault::Refuse,
        &[],
        BROKEN,
        "errors broke: max-refused is 1.0",
    );
}

#[test]
fn a_publish_that_is_taken_for_a_repetition_is_caught() {
    let trouble = "- 1 × a publish was taken for a repetition\n";
    check(Fault::Confuse, BROKEN, trouble);
    let level = "errors broke: max-refused is 1.0";
    check_limit(Fault::Confuse, &[], BROKEN, level);
}

#[test]
fn what_comes_late_breaks_the_latency() {
    let level = ["--max-p99-ms", "0.0001"];
    check_limit(Fault::None, &level, BROKEN, "latency broke: max-p99-ms");
}

#[test]
fn a_search_tells_the_knee_and_the_reason_for_it() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("limit.json");
    let range = ["--from", "50", "--to", "100", "--precision", "50"];
    let more = ["--tries", "1", "--max-p99-ms", "5000", "--limit-json"];
    let search = [&range[..], &more, &[path.to_str().unwrap()]].concat();
    let output = until_valid(|| load(serve(Fault::Full, Form::Json), "find-limit", &search));
    assert_eq!(output.status.code(), Some(PASSED), "{}", said(&output));
    // With the warm-up each of three channels gets 28 events at 71 publishes/s, and 40 at 100: five more than it takes.
    let knee = "Knee: 70.71 publishes/s keep every service level, 100 break one";
    assert_ended(&output, PASSED, knee);
    let level = "- errors broke: max-refused is 15.0, but the limit is 0";
    assert_ended(&output, PASSED, level);
    let limit: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let reasons = limit["reasons"].as_array().unwrap();
    assert!(!reasons.is_empty(), "{limit}");
    for reason in reasons {
        let sign = reason["sign"].as_str().unwrap();
        assert_ended(&output, PASSED, &format!("- {sign}\n"));
    }
}

#[test]
fn a_stall_shows_from_the_due_time_and_moves_no_publish() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("result.json");
    let json = ["--json", path.to_str().unwrap()];
    let output = load(serve(Fault::Stall, Form::Json), "run", &json);
    assert_ended(&output, PASSED, "0 gaps, 0 duplicates, 0 reordered");
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let group = &result["stages"][0]["groups"][0];
    // A client that waits for each answer would have published half as often, and seen one slow answer.
    assert_eq!(
        (&group["published"], &group["deliveries"]),
        (&200.into(), &800.into())
    );
    // Half of the second's publishes were due in the stall; those at its beginning waited for nearly all of it.
    for latency in ["latency", "acknowledge_latency"] {
        let p99_ms = group[latency]["p99_ms"].as_f64().unwrap();
        let least = STALL.as_secs_f64() * 1e3 * 0.8;
        assert!(p99_ms >= least, "{latency}: {p99_ms} ms\n{group}");
    }
}

/// A load in stages; the report, and the exit code.
fn staged(stages: &str, fault: Fault, form: &str) -> (serde_json::Value, Option<i32>) {
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { files.path().join(name) };
    std::fs::write(path("stages.toml"), stages).unwrap();
    let (scenario, json) = (path("stages.toml"), path("result.json"));
    let files = [
        "--scenario",
        scenario.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
        "--form",
        form,
    ];
    let output = load(serve(fault, Form::Json), "run", &files);
    let report = std::fs::read(json).unwrap_or_else(|_| panic!("{}", said(&output)));
    let report = serde_json::from_slice(&report).unwrap();
    (report, output.status.code())
}

/// A crowd that is cut as a whole and comes back; what the report says of it, and the exit code.
fn resumed(fault: Fault, form: &str) -> (serde_json::Value, Option<i32>) {
    let stages = "[[stages]]\nlength = \"1s\"\n[[stages]]\nlength = \"1s\"\nstorm = 1.0\n";
    let (report, code) = staged(stages, fault, form);
    (report["faults"].clone(), code)
}

#[test]
fn what_a_resume_does_not_bring_is_caught() {
    for form in ["json", "msgpack", MIXED] {
        let (faults, code) = resumed(Fault::None, form);
        assert!(matches!(code, Some(PASSED | INVALID)), "{faults}");
        assert_eq!(
            (&faults["resumes"], &faults["lost_after_resume"]),
            (&12.into(), &0.into())
        );
        let (faults, code) = resumed(Fault::Forget, form);
        assert!(matches!(code, Some(BROKEN | INVALID)), "{faults}");
        let lost = faults["lost_after_resume"].as_u64().unwrap();
        assert!(
            lost > 0 && faults["gaps"].as_u64() == Some(lost),
            "{faults}"
        );
    }
}

/// Lasts for the half minute for which a run waits for the answers.
#[test]
fn a_connect_that_is_never_answered_is_caught_in_a_ramp_and_after_a_cut() {
    // Of twelve that come with a ramp six are answered. These six are cut, and do not get back.
    let stages = "[[stages]]\nlength = \"1s\"\nramp = true\nconnections = 12\n\
        [[stages]]\nlength = \"1s\"\nstorm = 0.5\n";
    let (report, code) = staged(stages, Fault::SilentAfter(6), "json");
    assert!(matches!(code, Some(BROKEN | INVALID)), "{report}");
    let opening = &report["opening"];
    assert_eq!(
        (&opening["ready"], &opening["unanswered"]),
        (&6.into(), &12.into())
    );
    let mut checks = report["verdict"]["thresholds"].as_array().unwrap().iter();
    let closed = checks.find(|check| check["name"] == "max-closed").unwrap();
    assert_eq!(closed["value"].as_f64(), Some(12.0));
    assert_eq!(closed["kept"], false);
}

#[test]
fn what_a_resume_brings_from_before_the_position_is_caught() {
    for form in ["json", "msgpack", MIXED] {
        let (faults, code) = resumed(Fault::Rewind, form);
        assert!(matches!(code, Some(BROKEN | INVALID)), "{faults}");
        assert!(faults["duplicates"].as_u64() > Some(0), "{faults}");
        assert_eq!(
            (&faults["gaps"], &faults["reordered"]),
            (&0.into(), &0.into())
        );
    }
}

#[test]
fn a_generator_that_cannot_keep_up_says_so() {
    let server = deaf::serve();
    let (reading, writing) = (
        format!("ws://{server}/sub/{{channel}}"),
        format!("ws://{server}/pub/{{channel}}"),
    );
    let urls = [
        "run",
        "--form",
        "raw",
        "--url",
        &reading,
        "--publish-url",
        &writing,
    ];
    let load = [
        "--shape",
        "rooms=1x1",
        "--rate",
        "1000000",
        // Gigabytes per second: no machine's thread writes those into a socket.
        "--payload-bytes",
        "4096",
        "--duration",
        "1s",
        "--warmup",
        "10ms",
    ];
    let output = tool(&[&urls[..], &load].concat());
    // Nothing came, which breaks a threshold: that the generator was at its end is the better word for it.
    assert_eq!(output.status.code(), Some(INVALID), "{}", said(&output));
    assert_ended(
        &output,
        INVALID,
        "invalid: the generator was the bottleneck (thread publish-rooms",
    );
}

#[test]
fn thresholds_and_the_json_result_are_obeyed() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("result.json");
    let path = file.to_str().unwrap();
    let more = ["--max-p99-ms", "0.0001", "--json", path];
    let output = load(serve(Fault::None, Form::Json), "run", &more);
    assert!(matches!(output.status.code(), Some(BROKEN | INVALID)));
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(result["schema"], "parlor.loadtest.result/3");
    let checks = result["verdict"]["thresholds"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["name"] == "max-p99-ms" && check["kept"] == false),
        "{checks:?}"
    );
    assert_eq!(result["opening"]["ready"], 12);
    assert_eq!(result["stages"][0]["groups"][0]["deliveries"], 800);
}

#[test]
fn more_connections_than_there_are_ports_for_are_refused_before_one_is_opened() {
    let url = format!("ws://{}/v1/socket", serve(Fault::None, Form::Json));
    let load = ["run", "--url", &url, "--shape", "idle=30000"];
    let output = tool(&[&load[..], &["--sources", "127.0.0.1"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let why = "30000 connections from one address are more than its 25000 ports";
    assert!(said(&output).contains(why), "{}", said(&output));
}

#[test]
fn no_server_is_an_error_and_not_a_result() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(load(unused, "run", &[]).status.code(), Some(1));
}
