//! What a desk makes of what it hears, in an order that only a node meets which lags.

use std::time::Instant;

use super::super::Entry;
use super::super::desk::{Aftermath, Desk};
use super::super::registry::Why;
use super::world::entry;

fn anna() -> Entry {
    entry("anna", "s1")
}

/// A desk whose claim is submitted, on a node that lags: only then it hears that another node put the entry.
fn lagging() -> Desk {
    let mut desk = Desk::default();
    assert!(desk.want(&anna(), None));
    assert!(desk.take(Instant::now()).is_some(), "a claim");
    desk.heard_put(&anna().session, &anna().user, false);
    desk
}

fn removed_elsewhere(desk: &Desk, why: Why) -> Aftermath {
    desk.heard_removed(&anna().session, false, why)
}

#[test]
fn who_comes_back_before_the_last_leave_was_heard_stays() {
    for is_answered_first in [true, false] {
        let mut desk = lagging();
        if is_answered_first {
            desk.answered(true);
        }
        assert_eq!(removed_elsewhere(&desk, Why::Left), Aftermath::Nothing);
        desk.heard_put(&anna().session, &anna().user, true);
        desk.answered(true);
        assert!(desk.has_user("anna"));
        assert!(
            !desk.want(&anna(), None),
            "it is held: nothing is to be said"
        );
    }
}

#[test]
fn who_leaves_where_it_went_afterwards_is_gone() {
    let mut desk = lagging();
    desk.heard_put(&anna().session, &anna().user, true);
    desk.heard_put(&anna().session, &anna().user, false);
    assert_eq!(removed_elsewhere(&desk, Why::Left), Aftermath::Ended);
    assert_eq!(removed_elsewhere(&desk, Why::Lapsed), Aftermath::Orphaned);
}
