//! Parlor's server. One message's walk: `transport/websocket/read` → `protocol` → `session` →
//! `commands` → `broker` → `hub` → `outbox` → `transport/websocket/write`.
//!
//! Modules stand in the order of that walk; each may use only what stands below it (`tests/tidy.rs` checks).

pub mod app;
pub mod transport;
pub mod http;
pub mod config;
pub mod session;
pub mod commands;
pub mod node;
pub mod broker;
pub mod presence;
pub mod auth;
pub mod hub;
pub mod outbox;
pub mod kind;
pub mod pattern;
pub mod metrics;
pub mod clock;
