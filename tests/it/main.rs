//! Black-box behaviour: what clients and backends see of a real server, over real sockets.
//!
//! One file per noun; a test's name is a promise, shown in both wire forms, with one shard and with three.
//! The promises of the design have their names in `promises`.

#![allow(
    clippy::print_stderr,
    reason = "a random test prints the seed that brings it back"
)]

mod alias;
mod connect;
mod dedup;
mod echo;
mod history;
mod http_hostile;
mod http_strangers;
mod liveness;
mod order;
mod publish;
mod raw_http;
mod recovery;
mod signal;
mod subscribe;
