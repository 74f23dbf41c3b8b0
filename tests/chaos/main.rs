//! What happens when things break: real nodes, real Redis, real faults, and a checker that names what went wrong.
//!
//! Reading order: `rows` (what breaks), `run` (how a run goes), `workload` (who works meanwhile), `recorder`, `checker`.

#![allow(
    clippy::print_stderr,
    reason = "a run says from which seed it was made and how it went"
)]

mod checker;
mod planted;
mod proxies;
mod recorder;
mod redis_processes;
mod rows;
mod run;
mod shadow;
mod stage;
mod watch;
mod workload;
