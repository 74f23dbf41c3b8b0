//! The whole tool in the languages of other servers, against small servers that speak just enough of them: what their real
//! ones do is measured by `bench/run`, where they are installed.

#![allow(
    clippy::unwrap_used,
    reason = "a toy server may panic: the test that talks to it fails then"
)]

use std::process::Command;

use crate::language::Language;
use crate::toy::{Honesty, serve};

#[path = "../toys/accept.rs"]
mod accept;
mod language;
mod toy;

const BROKEN: i32 = 99;
/// On a machine that is busy with other tests the generator may come too late, and rightly says so.
const INVALID: i32 = 98;

/// Loads a toy server; returns what the tool said and its exit code.
fn load(language: Language, honesty: Honesty) -> (String, Option<i32>) {
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
    let output = Command::new(env!("CARGO_BIN_EXE_parlor-loadtest"))
        .args([&urls[..], &speech, &load].concat())
        .output()
        .expect("the tool was built with this test");
    let said = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy);
    (said.concat(), output.status.code())
}

/// An honest server passes with all deliveries, and one that keeps one back is caught.
fn check(language: Language) {
    let (said, code) = load(language, Honesty::Honest);
    assert!(matches!(code, Some(0 | INVALID)), "{said}");
    assert!(said.contains("12 of 12 connections"), "{said}");
    assert!(said.contains("0 gaps, 0 duplicates, 0 reordered"), "{said}");
    assert!(said.contains("| load | rooms | 100 | 400 |"), "{said}");
    let (said, code) = load(language, Honesty::KeepsOneBack);
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
