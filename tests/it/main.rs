//! Black-box behaviour: what clients and backends see of a real server, over real sockets.
//!
//! One file per noun; a test's name is a promise, shown in both wire forms, with one shard and with three.
//! The promises of the design have their names in `promises`.

#![allow(
    clippy::print_stderr,
    reason = "a random test prints the seed that brings it back"
)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod alias;
mod backend;
mod codes;
mod command_line;
mod connect;
mod control;
mod crash;
mod dedup;
mod drain;
mod echo;
mod erase;
mod forward;
mod history;
mod http_hostile;
mod http_rates;
mod http_strangers;
mod interleavings;
mod limits;
mod liveness;
mod nodes;
mod outage;
mod presence;
mod presence_nodes;
mod promises;
mod publish;
mod raw_http;
mod recovery;
mod redis_rights;
mod redis_seen;
mod refresh;
mod revocation;
mod scrapes;
mod session;
mod signal;
mod slow;
mod start;
mod subscribe;
mod tls;
