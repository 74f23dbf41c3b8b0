//! The promises of presence, each by name.

mod cluster;
mod diffs;
mod leases;
mod paging;
mod replay;
mod threads;
mod world;
