//! Any frame of a client, in the form `json`: the same checks as in `tests/fuzz.rs`.
#![no_main]

#[path = "../../tests/fuzz/check.rs"]
#[allow(dead_code)]
mod check;

use libfuzzer_sys::fuzz_target;
use parlor_protocol::Form;

fuzz_target!(|frame: &[u8]| check::check_commands(Form::Json, frame));
