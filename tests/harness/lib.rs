//! The harness of the black-box tests: a real server on a free port, and clients over real sockets.
//!
//! Tests say what they promise; how a server is started, how a frame is read and how long to wait stands here.
//! Nothing here knows the inside of the server: it is started by its composition root and spoken to over sockets.
//!
//! Reading order: `everywhere` (which cases a promise is shown in), `server`, `client`, then the small parts.

#![allow(
    clippy::print_stderr,
    reason = "a failing test says in which case and from which seed it failed"
)]

mod authority;
mod backend;
mod cli;
mod client;
mod copy;
mod driver;
mod everywhere;
mod figures;
mod frail;
mod goodbye;
mod kinds;
mod patience;
mod process;
mod proxy;
mod redis;
mod roamer;
mod say;
mod seed;
mod server;
mod token;

pub use authority::{Authority, Trust};
pub use backend::Backend;
pub use cli::Cli;
pub use client::Client;
pub use copy::Copy;
pub use driver::Driver;
pub use everywhere::{At, everywhere, in_both_forms};
pub use figures::Figures;
pub use frail::Frailty;
pub use goodbye::Goodbye;
pub use kinds::kinds;
pub use patience::{PATIENCE, in_time};
pub use process::Process;
pub use proxy::{Flow, Proxy};
pub use redis::{Port, Redis, RedisCluster, RedisOptions, RedisSentinel, SentinelView, eventually};
pub use roamer::{Heard, Roamer};
pub use say::{binary, blob, json, publish, said, text};
pub use seed::Seed;
pub use server::{Server, Setup, Stopped};
pub use token::{API_KEY, Token, now_s};
