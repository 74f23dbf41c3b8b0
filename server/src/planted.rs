//! Faults that are built in on purpose, one at a time, to see that the checker of `tests/chaos` finds each.
//!
//! Without the feature `planted-bugs`, which no release has, every question is answered "no" at compile time. With it
//! the variable `PARLOR_PLANTED_BUG` names the fault of this process.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// One delivery in many is left out.
    DropOneInMany,
    /// The first event of a replay is sent twice.
    DeliverTwiceOnResume,
    /// Two events of a channel that wait together leave in the wrong order.
    SwapNeighbours,
    /// `disk` publishes are answered from memory.
    AckBeforeWrite,
    /// A position of another epoch is taken for one of this.
    KeepCursorAcrossEpochs,
    /// The log is never flushed to the disk.
    SkipFlush,
    /// Who ends without a goodbye stays in the rosters.
    ForgetLeave,
    /// One presence diff in four is never told, and the next one takes its version.
    LosePresenceDiff,
    /// An unsubscribed channel goes on being delivered.
    LeakSubscription,
    /// All Parlors on one Redis use the same keys.
    IgnorePrefix,
    /// A channel's tail has no bound.
    UnboundedTail,
    /// An outbox has no bound.
    IgnoreSlowCap,
    /// After a refused dial, Redis is never dialled again.
    WedgeAfterRefusedDial,
    /// A rolled-back log is appended to as if nothing was lost.
    ReuseOffsets,
    /// `WAIT` goes over another connection than the append.
    WaitElsewhere,
    /// A refused append leaves its offset counted.
    CountRefusedAppend,
}

impl Bug {
    /// All of them, with the names that the variable takes.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::DropOneInMany, "drop-one-in-many"),
        (Self::DeliverTwiceOnResume, "deliver-twice-on-resume"),
        (Self::SwapNeighbours, "swap-neighbours"),
        (Self::AckBeforeWrite, "ack-before-write"),
        (Self::KeepCursorAcrossEpochs, "keep-cursor-across-epochs"),
        (Self::SkipFlush, "skip-flush"),
        (Self::ForgetLeave, "forget-leave"),
        (Self::LosePresenceDiff, "lose-presence-diff"),
        (Self::LeakSubscription, "leak-subscription"),
        (Self::IgnorePrefix, "ignore-prefix"),
        (Self::UnboundedTail, "unbounded-tail"),
        (Self::IgnoreSlowCap, "ignore-slow-cap"),
        (Self::WedgeAfterRefusedDial, "wedge-after-refused-dial"),
        (Self::ReuseOffsets, "reuse-offsets"),
        (Self::WaitElsewhere, "wait-elsewhere"),
        (Self::CountRefusedAppend, "count-refused-append"),
    ];
}

/// Whether this process has the fault.
#[cfg(not(feature = "planted-bugs"))]
pub const fn has(_bug: Bug) -> bool {
    false
}

/// Whether this process has the fault.
#[cfg(feature = "planted-bugs")]
pub fn has(bug: Bug) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("PARLOR_PLANTED_BUG").ok()?;
        let found = Bug::ALL.into_iter().find(|(_, known)| *known == name);
        Some(
            found
                .unwrap_or_else(|| panic!("there is no planted bug {name}"))
                .0,
        )
    });
    *chosen == Some(bug)
}

/// Whether it has the fault and this is one of every so many times.
#[cfg(not(feature = "planted-bugs"))]
pub const fn strikes(_bug: Bug, _one_in: u64) -> bool {
    false
}

/// Whether it has the fault and this is one of every so many times.
#[cfg(feature = "planted-bugs")]
pub fn strikes(bug: Bug, one_in: u64) -> bool {
    use std::sync::atomic::{AtomicU64, Ordering};
    static TIMES: AtomicU64 = AtomicU64::new(1);
    has(bug) && TIMES.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in)
}
