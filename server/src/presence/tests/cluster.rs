//! Several nodes over one registry.

mod chaos;
mod net;
mod registry;
mod resumes;
mod rosters;
mod storms;
mod threads;

pub(crate) use registry::{Registry, Told};
