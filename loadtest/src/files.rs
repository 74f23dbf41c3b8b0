//! How many files, and so sockets, this process may hold.

use anyhow::{Context as _, ensure};

/// Raises the soft limit to the hard one and makes sure that `connections` fit.
///
/// # Errors
/// When they do not: a run that stops half-way measures nothing.
pub(crate) fn allow(connections: u32) -> anyhow::Result<u64> {
    let allowed = rlimit::increase_nofile_limit(u64::MAX)
        .context("unable to raise the limit of open files")?;
    let needed = u64::from(connections) + FILES_BESIDE;
    ensure!(
        needed <= allowed,
        "{connections} connections need {needed} open files, but this process may hold {allowed} (see `ulimit -Hn`)"
    );
    Ok(allowed)
}

/// Standard streams, runtimes, /proc, the report.
const FILES_BESIDE: u64 = 128;
