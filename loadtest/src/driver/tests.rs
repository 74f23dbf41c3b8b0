//! How long the rest of a load is waited for.

use super::*;

/// It began so many seconds ago, and nothing has come since.
fn drain(seconds: u64) -> Drain {
    let began = Instant::now()
        .checked_sub(Duration::from_secs(seconds))
        .unwrap();
    Drain {
        began,
        moved_at: began,
        seen: 7,
    }
}

#[test]
fn a_drain_is_not_over_while_a_connect_waits_for_its_answer() {
    assert!(drain(10).is_over(7, 0));
    let mut waiting = drain(10);
    assert!(!waiting.is_over(7, 1));
    // The last one was answered only now: what it had missed is given its time.
    assert!(!waiting.is_over(7, 0));
    assert!(drain(30).is_over(7, 1), "it waits for ever");
}
