//! The promises of presence, each by name.

mod cluster;
mod desk;
mod diffs;
mod leases;
mod paging;
mod replay;
mod threads;
mod world;

pub(super) use cluster::{Registry, Told};
pub(super) use replay::Random;
pub(super) use world::{channel, json};
