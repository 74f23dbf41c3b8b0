//! The word for a load that is beyond the machine that should make it. It stands in an error's chain, so that whoever gets the
//! error knows that it tells nothing of the server.

use std::fmt;

/// Ports, files, threads or an option's bound are at their end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnBounds;

impl fmt::Display for OwnBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this machine cannot make such a load")
    }
}
