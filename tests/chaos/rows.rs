//! The rows of the fault matrix, each a script and what it promises.
//!
//! `cargo test -p parlor-tests --test chaos -- --include-ignored row_04` plays one; `tests/chaos/play.py` plays many seeds and keeps a log.

pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod failovers;
pub(crate) mod lines;
pub(crate) mod nodes;
pub(crate) mod redis;
pub(crate) mod sentinel;
pub(crate) mod single;
