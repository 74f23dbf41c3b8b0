//! The whole tool against a small server that breaks promises on purpose: each broken one must be caught.

#![allow(
    clippy::unwrap_used,
    reason = "a toy server may panic: the test that talks to it fails then"
)]

use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::faulty::{Fault, serve};

mod faulty;

const PASSED: i32 = 0;
const BROKEN: i32 = 99;
/// On a machine that is busy with other tests the generator may come too late, and rightly says so.
const INVALID: i32 = 98;

fn load(server: SocketAddr, form: &str, more: &[&str]) -> Output {
    let url = format!("ws://{server}/v1/socket");
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"));
    command.args([
        "run",
        "--url",
        &url,
        "--shape",
        "rooms=3x4",
        "--rate",
        "200",
        "--duration",
        "1s",
        "--warmup",
        "200ms",
    ]);
    command.args(["--form", form]).args(more);
    command.output().expect("the tool was built with this test")
}

fn check(fault: Fault, form: &str, exit_code: i32, says: &str) {
    let output = load(serve(fault), form, &[]);
    let (report, progress) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let code = output.status.code();
    assert!(
        code == Some(exit_code) || code == Some(INVALID),
        "{code:?}\n{report}{progress}"
    );
    assert!(
        report.contains(says),
        "`{says}` is not in\n{report}{progress}"
    );
}

#[test]
fn an_honest_server_passes_in_both_forms() {
    check(
        Fault::None,
        "json",
        PASSED,
        "0 gaps, 0 duplicates, 0 reordered",
    );
    check(
        Fault::None,
        "msgpack",
        PASSED,
        "0 gaps, 0 duplicates, 0 reordered",
    );
}

#[test]
fn one_lost_event_is_caught() {
    check(
        Fault::Lose,
        "json",
        BROKEN,
        "1 gaps, 0 duplicates, 0 reordered",
    );
}

#[test]
fn one_event_sent_twice_is_caught() {
    check(
        Fault::Repeat,
        "msgpack",
        BROKEN,
        "0 gaps, 1 duplicates, 0 reordered",
    );
}

#[test]
fn two_events_in_the_wrong_order_are_caught() {
    check(
        Fault::Swap,
        "json",
        BROKEN,
        "0 gaps, 0 duplicates, 1 reordered",
    );
}

#[test]
fn a_closed_subscriber_is_caught() {
    check(
        Fault::Close,
        "json",
        BROKEN,
        "| max-closed | 0 | 1.00 | **broken** |",
    );
}

#[test]
fn a_refused_publish_is_caught() {
    check(
        Fault::Refuse,
        "json",
        BROKEN,
        "| max-refused | 0 | 1.00 | **broken** |",
    );
}

#[test]
fn thresholds_and_the_json_result_are_obeyed() {
    let file = std::env::temp_dir().join(format!("parlor-loadtest-{}.json", std::process::id()));
    let path = file
        .to_str()
        .expect("the temporary directory has a plain name");
    let output = load(
        serve(Fault::None),
        "json",
        &["--max-p99-ms", "0.0001", "--json", path],
    );
    assert!(matches!(output.status.code(), Some(BROKEN | INVALID)));
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(result["schema"], "parlor.loadtest.result/2");
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
fn no_server_is_an_error_and_not_a_result() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(load(unused, "json", &[]).status.code(), Some(1));
}
