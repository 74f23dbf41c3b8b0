//! Hostile input: whatever anybody sends, the server answers with a clear code, lives, and everybody else talks on.
//!
//! One file per place at which somebody can misbehave, from the socket upwards; a test's name is a promise. What is
//! measured (memory, delays) is printed and bounded.

#![allow(
    clippy::print_stderr,
    reason = "measured figures are printed, and a failing test says in which case"
)]

// Tools.
mod bystanders;
mod case;
mod msgpack;
mod raw;
mod resident;

// From the socket upwards.
mod flood;
mod handshake;
mod http;
mod strangers;

mod frames;
mod noise;

mod ambiguous;
mod channels;
mod fields;
mod golden;
mod messages;

mod memory;
mod replays;
mod slow_reader;
mod tokens;
