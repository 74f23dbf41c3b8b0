//! The checker is checked with real processes: servers with a fault built in, each of which it must find.
//!
//! The faults stand in `server/src/planted.rs`, behind a feature that no release has.

use parlor_tests::Seed;

use crate::checker::Bug;
use crate::rows::{clients, failovers, nodes, redis, single};
use crate::run::{Row, play};

/// Seeds that a fault may hide from. Most show at once.
const SEEDS_MAX: u64 = 12;

/// Some seed shows the fault under one of its names.
#[track_caller]
fn is_caught(row: Row, planted: &'static str, names: &[Bug]) {
    let mut row = row;
    row.settings.planted = Some(planted);
    let mut seen = Vec::new();
    for seed in 1..=SEEDS_MAX {
        let summary = play(&row, Seed(seed));
        let line = summary.line(&row, seed);
        eprintln!("{planted}: {line}");
        if summary
            .findings
            .iter()
            .any(|finding| names.contains(&finding.bug))
        {
            return;
        }
        seen.push(line);
    }
    panic!("{planted} was not found as {names:?}:\n{}", seen.join("\n"));
}

#[test]
fn a_dropped_delivery_is_a_silent_gap() {
    is_caught(single::calm(), "drop-one-in-many", &[Bug::SilentGap]);
}

#[test]
fn a_delivery_repeated_on_resume_is_a_duplicate() {
    is_caught(single::calm(), "deliver-twice-on-resume", &[Bug::Duplicate]);
}

#[test]
fn neighbours_that_change_places_are_a_reorder() {
    is_caught(single::calm(), "swap-neighbours", &[Bug::Reorder]);
}

#[test]
fn an_acknowledgement_before_the_write_is_a_loss() {
    is_caught(single::lone_kill(), "ack-before-write", &[Bug::Lost]);
}

#[test]
fn a_cursor_kept_across_epochs_is_stale() {
    is_caught(
        single::lone_kill(),
        "keep-cursor-across-epochs",
        &[Bug::StaleEpoch],
    );
}

#[test]
fn a_forgotten_leave_is_a_ghost() {
    is_caught(single::calm(), "forget-leave", &[Bug::GhostPresence]);
}

#[test]
fn a_lost_presence_diff_is_a_stale_roster() {
    is_caught(single::calm(), "lose-presence-diff", &[Bug::StaleRoster]);
}

#[test]
fn a_leaked_subscription_is_a_leak() {
    is_caught(single::calm(), "leak-subscription", &[Bug::Leak]);
}

#[test]
fn a_tail_without_a_bound_is_unbounded() {
    is_caught(clients::slow_readers(), "unbounded-tail", &[Bug::Unbounded]);
}

#[test]
fn an_outbox_without_a_bound_is_unbounded() {
    is_caught(
        clients::slow_readers(),
        "ignore-slow-cap",
        &[Bug::Unbounded],
    );
}

#[test]
fn a_wedge_after_a_refused_dial_is_stuck() {
    is_caught(
        redis::back_with_all(),
        "wedge-after-refused-dial",
        &[Bug::Stuck],
    );
}

#[test]
fn offsets_given_again_after_a_rollback_are_an_offset_reuse() {
    is_caught(redis::lagging_copy(), "reuse-offsets", &[Bug::OffsetReuse]);
}

/// The check of tags is what tells a lagging replica from one that has everything.
#[test]
fn a_failover_whose_tags_nobody_checks_is_an_offset_reuse() {
    is_caught(
        failovers::one_lagging(),
        "reuse-offsets",
        &[Bug::OffsetReuse],
    );
}

#[test]
fn a_log_that_is_never_flushed_is_a_loss() {
    is_caught(single::power_cut(), "skip-flush", &[Bug::Lost]);
}

#[test]
fn a_wait_on_another_connection_is_a_loss() {
    is_caught(redis::lagging_copies(), "wait-elsewhere", &[Bug::Lost]);
}

#[test]
fn a_refused_append_that_counts_is_a_silent_gap() {
    is_caught(nodes::calm(), "count-refused-append", &[Bug::SilentGap]);
}

#[test]
fn a_prefix_that_is_ignored_is_a_leak() {
    is_caught(
        nodes::two_tenants(),
        "ignore-prefix",
        &[Bug::Leak, Bug::Phantom],
    );
}
