//! Randomness for names that must not repeat: epochs and tags.

use parlor_protocol::{Epoch, Tag};

/// The name of a new life of a log.
pub(crate) fn epoch() -> Epoch {
    Epoch(nonzero())
}

/// The mark of a new entry. Never 0, which stands for "before the first entry".
pub(crate) fn tag() -> Tag {
    Tag(nonzero())
}

fn nonzero() -> u64 {
    loop {
        let drawn = getrandom::u64()
            .expect("the operating system hands out random bytes once it has booted");
        if drawn != 0 {
            return drawn;
        }
    }
}
