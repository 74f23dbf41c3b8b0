//! Parlor's server. One message's walk: `transport/websocket/read` → `protocol` → `session` →
//! `commands` → `broker` → `hub` → `outbox` → `transport/websocket/write`.
//!
//! Which module may use which stands in ARCHITECTURE.md, and `tests/tidy.rs` checks it.

pub mod accepting;
pub mod app;
pub mod auth;
pub mod broker;
pub mod clock;
pub mod commands;
pub mod config;
pub mod http;
pub mod hub;
pub mod kind;
pub mod metrics;
pub mod node;
pub mod outbox;
pub mod pattern;
pub mod planted;
pub mod presence;
pub mod session;
pub mod transport;
pub mod trust;
pub mod write_deadline;
