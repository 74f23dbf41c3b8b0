//! The whole tool in the languages of other servers, against small servers that speak just enough of them: what their real
//! ones do is measured by `bench/run`, where they are installed.

#![allow(
    clippy::unwrap_used,
    reason = "a toy server may panic: the test that talks to it fails then"
)]

use std::process::Command;

use serde_json::Value;

use crate::language::Language;
use crate::toy::{Honesty, serve};

#[path = "../toys/accept.rs"]
mod accept;
mod language;
mod toy;

const BROKEN: i32 = 99;
/// On a machine that is busy with other tests the generator may come too late, and rightly says so.
const INVALID: i32 = 98;

/// Loads a toy server; returns what the tool said, its exit code and its result.
fn load(language: Language, honesty: Honesty) -> (String, Option<i32>, Value) {
    let server = serve(language, honesty);
    let (url, publish_url) = match language {
        Language::Raw => (
            format!("ws://{server}/sub/{{channel}}"),
            format!("ws://{server}/pub/{{channel}}"),
        ),
        _ => (format!("ws://{server}/"), format!("ws://{server}/")),
    };
    let urls = ["run", "--url", &url, "--publish-url", &publish_url];
    let speech = ["--form", language.name(), "--token", "key:secret"];
    let load = [
        "--shape",
        "rooms=3x4",
        "--rate",
        "100",
        "--duration",
        "1s",
        "--warmup",
        "200ms",
    ];
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("result.json");
    let json = ["--json", path.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"))
        .args([&urls[..], &speech, &load, &json].concat())
        .output()
        .expect("the tool was built with this test");
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy);
    let said = said.concat();
    let result = std::fs::read(path).unwrap_or_else(|_| panic!("{said}"));
    let result = serde_json::from_slice(&result).unwrap();
    (said, output.status.code(), result)
}

/// An honest server passes with all deliveries, and one that keeps one back is caught.
fn check(language: Language) {
    let (said, code, result) = load(language, Honesty::Honest);
    assert!(matches!(code, Some(0 | INVALID)), "{said}");
    assert!(said.contains("12 of 12 connections"), "{said}");
    assert!(said.contains("0 gaps, 0 duplicates, 0 reordered"), "{said}");
    let group = &result["stages"][0]["groups"][0];
    assert_eq!(
        (&group["published"], &group["deliveries"]),
        (&100.into(), &400.into()),
        "{said}"
    );
    let (said, code, _) = load(language, Honesty::KeepsOneBack);
    assert!(matches!(code, Some(BROKEN | INVALID)), "{said}");
    assert!(said.contains("1 gaps, 0 duplicates, 0 reordered"), "{said}");
}

#[test]
fn centrifuge_is_loaded_and_checked() {
    check(Language::Centrifuge);
}

#[test]
fn nats_is_loaded_and_checked() {
    check(Language::Nats);
}

#[test]
fn socket_io_is_loaded_and_checked() {
    check(Language::SocketIo);
}

#[test]
fn pusher_is_loaded_and_checked() {
    check(Language::Pusher);
}

#[test]
fn raw_frames_are_loaded_and_checked() {
    check(Language::Raw);
}
