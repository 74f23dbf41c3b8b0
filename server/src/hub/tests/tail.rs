//! What a channel holds in memory: refilled for those who come back together, and without what was erased.

use std::ops::RangeInclusive;
use std::sync::Arc;

use parlor_protocol::{Alias, Epoch, Erasure, EventKind, Tag};

use super::{SHARD, entry, name};
use crate::hub::{Channel, Hub, LogEntry, ShardId, TAIL_LEN_MAX};

#[test]
fn an_erasure_ends_what_the_tail_holds_before_it_is_passed_on() {
    let hub = Hub::new(1);
    let channel = hub.enter(&name(), ShardId(0));
    for offset in 1..=3 {
        hub.deliver(&name(), Arc::new(entry(offset, None)));
    }
    let erasure = Erasure {
        // One that is not held, and one that never was.
        offsets: vec![0, 2, 9],
    };
    let told = LogEntry {
        kind: EventKind::Erase,
        payload: erasure.to_payload(),
        ..entry(4, None)
    };
    hub.deliver(&name(), Arc::new(told));
    let tail = channel.tail();
    let erased: Vec<bool> = tail.iter().map(|entry| entry.erased).collect();
    assert_eq!(erased, [false, true, false, false]);
    assert!(tail[1].payload.bytes.is_empty());
    assert_eq!(
        (tail[1].position(), tail[1].prev),
        (entry(2, None).position(), entry(2, None).prev)
    );
    assert_eq!(tail[1].to_event().payload, None);
}

fn entries(offsets: RangeInclusive<u64>) -> Vec<Arc<LogEntry>> {
    let entries = offsets.map(|offset| Arc::new(entry(offset, None)));
    entries.collect()
}

fn tail(channel: &Channel) -> Vec<u64> {
    let tail = channel.tail();
    tail.iter().map(|entry| entry.offset).collect()
}

#[test]
fn what_one_joiner_read_is_in_the_tail_for_the_others() {
    let hub = Hub::new(1);
    let channel = hub.enter(&name(), SHARD);
    channel.learn_top(entry(7, None).position());
    channel.refill(&entries(3..=7));
    assert_eq!(tail(&channel), [3, 4, 5, 6, 7]);
    hub.deliver(&name(), Arc::new(entry(8, None)));
    // Further back, and with what is known already.
    channel.refill(&entries(1..=5));
    assert_eq!(tail(&channel), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(channel.tail_after(6, 10).unwrap().len(), 2);
}

#[test]
fn a_tail_is_refilled_only_with_what_leads_up_to_it() {
    let channel = Channel::new(name(), Alias(1));
    channel.refill(&entries(1..=3));
    assert!(tail(&channel).is_empty(), "the top is not known");
    channel.learn_top(entry(7, None).position());
    channel.refill(&entries(1..=5));
    assert!(tail(&channel).is_empty(), "6 and 7 are missing");
    let mut other_life = entry(7, None);
    other_life.epoch = Epoch(6);
    channel.refill(&[Arc::new(other_life)]);
    let mut diverged = entry(7, None);
    diverged.tag = Tag(1);
    channel.refill(&[Arc::new(diverged)]);
    assert!(tail(&channel).is_empty(), "another log's 7");
    // The page is newer than what this process was delivered.
    channel.refill(&entries(5..=9));
    assert_eq!(tail(&channel), [5, 6, 7]);
}

#[test]
fn a_refilled_tail_keeps_its_bounds_and_its_newest() {
    let channel = Channel::new(name(), Alias(1));
    channel.learn_top(entry(1_000, None).position());
    channel.refill(&entries(1..=1_000));
    let kept = tail(&channel);
    assert_eq!((kept.len(), kept.last()), (TAIL_LEN_MAX, Some(&1_000)));
    channel.refill(&entries(1..=1_000));
    assert_eq!(tail(&channel), kept);
}

#[test]
fn what_was_erased_after_it_was_read_stays_erased_in_a_refilled_tail() {
    let channel = Channel::new(name(), Alias(1));
    channel.learn_top(entry(7, None).position());
    let page = entries(3..=7);
    let erasure = Erasure { offsets: vec![5] };
    channel.push(Arc::new(LogEntry {
        kind: EventKind::Erase,
        payload: erasure.to_payload(),
        ..entry(8, None)
    }));
    channel.refill(&page);
    let held = channel.tail();
    let erased = held.iter().filter(|entry| entry.erased);
    let erased: Vec<u64> = erased.map(|entry| entry.offset).collect();
    assert_eq!((tail(&channel).first(), erased), (Some(&3), vec![5]));
}
