//! Reading the log: both directions, by offset and by time, always in one view with its top.

use futures_util::future::join_all;
use parlor::broker::Range;
use parlor_protocol::Time;

use crate::subject::{Factory, Settings};

pub(crate) async fn pages_run_in_both_directions(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 10).await;
    let check = async |range, limit, expected: &[u64]| {
        assert_eq!(
            subject.offsets("room", range, limit).await,
            expected,
            "{range:?} limit {limit}"
        );
    };
    check(Range::AfterOffset(0), 3, &[1, 2, 3]).await;
    check(Range::AfterOffset(3), 100, &[4, 5, 6, 7, 8, 9, 10]).await;
    check(Range::AfterOffset(9), 5, &[10]).await;
    check(Range::AfterOffset(10), 5, &[]).await;
    check(Range::AfterOffset(u64::MAX), 5, &[]).await;
    check(Range::BeforeOffset(u64::MAX), 3, &[10, 9, 8]).await;
    check(Range::BeforeOffset(8), 3, &[7, 6, 5]).await;
    check(Range::BeforeOffset(2), 3, &[1]).await;
    check(Range::BeforeOffset(1), 3, &[]).await;
    check(Range::BeforeOffset(0), 3, &[]).await;
}

pub(crate) async fn pages_are_found_by_time(factory: Factory) {
    let subject = factory(Settings::default());
    let times: Vec<Time> = subject
        .publish("room", 50)
        .await
        .iter()
        .map(|appended| appended.time)
        .collect();
    for (time, offset) in times.iter().zip(1_u64..) {
        let after = subject.offsets("room", Range::AfterTime(*time), 100).await;
        assert_eq!(after, (offset + 1..=50).collect::<Vec<_>>());
        let before = subject.offsets("room", Range::BeforeTime(*time), 100).await;
        assert_eq!(before, (1..offset).rev().collect::<Vec<_>>());
        // Between two events, and outside of all.
        let just_before = Time(time.0 - 1);
        assert_eq!(
            subject
                .offsets("room", Range::AfterTime(just_before), 100)
                .await
                .first(),
            Some(&offset)
        );
    }
    assert_eq!(
        subject
            .offsets("room", Range::AfterTime(Time(0)), 100)
            .await
            .len(),
        50
    );
    assert!(
        subject
            .offsets("room", Range::AfterTime(Time(u64::MAX)), 100)
            .await
            .is_empty()
    );
    assert_eq!(
        subject
            .offsets("room", Range::BeforeTime(Time(u64::MAX)), 100)
            .await
            .len(),
        50
    );
    assert!(
        subject
            .offsets("room", Range::BeforeTime(Time(0)), 100)
            .await
            .is_empty()
    );
}

pub(crate) async fn a_page_says_whether_there_is_more(factory: Factory) {
    let subject = factory(Settings::default());
    let last = subject.publish("room", 10).await[9].position;
    let check = async |range, limit, more| {
        let page = subject.read("room", range, limit).await;
        assert_eq!(page.more, more, "{range:?} limit {limit}");
        assert_eq!((page.top, page.oldest), (last, 1));
    };
    check(Range::AfterOffset(0), 9, true).await;
    check(Range::AfterOffset(0), 10, false).await;
    check(Range::AfterOffset(10), 10, false).await;
    check(Range::BeforeOffset(u64::MAX), 9, true).await;
    check(Range::BeforeOffset(u64::MAX), 10, false).await;
    check(Range::BeforeTime(Time(u64::MAX)), 9, true).await;
    check(Range::AfterTime(Time(0)), 10, false).await;
}

pub(crate) async fn a_page_has_a_thousand_entries_at_most(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 1_100).await;
    let forward = subject.read("room", Range::AfterOffset(0), 5_000).await;
    assert_eq!((forward.entries.len(), forward.more), (1_000, true));
    let backward = subject
        .read("room", Range::BeforeOffset(u64::MAX), 5_000)
        .await;
    assert_eq!((backward.entries.len(), backward.more), (1_000, true));
    assert_eq!(backward.entries[0].offset, 1_100);
}

pub(crate) async fn a_page_has_about_a_mebibyte_at_most(factory: Factory) {
    const EVENTS: u64 = 100;
    const EVENT_BYTES: usize = 30 << 10;
    const PAGE_BYTES: usize = 1 << 20;
    let subject = factory(Settings::default());
    let text = "x".repeat(EVENT_BYTES);
    let waiting: Vec<_> = (0..EVENTS)
        .map(|_| subject.append(subject.message("room", &text)))
        .collect();
    for answer in join_all(waiting).await {
        answer.unwrap();
    }
    for (range, first) in [
        (Range::AfterOffset(0), 1),
        (Range::BeforeOffset(u64::MAX), EVENTS),
    ] {
        let page = subject.read("room", range, 1_000).await;
        let bytes: usize = page
            .entries
            .iter()
            .map(|entry| entry.payload.bytes.len())
            .sum();
        assert_eq!((page.entries[0].offset, page.more), (first, true));
        // The one that fills it may be in it.
        let most = PAGE_BYTES + 2 * EVENT_BYTES;
        assert!(
            (PAGE_BYTES / 2..most).contains(&bytes),
            "{range:?}: {bytes} bytes"
        );
    }
    let offsets: Vec<u64> = subject
        .log("room")
        .await
        .iter()
        .map(|entry| entry.offset)
        .collect();
    assert!(
        offsets.into_iter().eq(1..=EVENTS),
        "read on, nothing is missing"
    );
}

pub(crate) async fn no_limit_is_too_small_or_too_large(factory: Factory) {
    let subject = factory(Settings::default());
    let nothing = subject.read("room", Range::AfterOffset(0), 0).await;
    assert_eq!(
        (nothing.entries.len(), nothing.more, nothing.oldest),
        (0, false, 1)
    );
    subject.publish("room", 2).await;
    let top_only = subject.read("room", Range::AfterOffset(0), 0).await;
    assert_eq!(
        (top_only.entries.len(), top_only.more, top_only.top.offset),
        (0, true, 2)
    );
    assert_eq!(
        subject
            .offsets("room", Range::AfterOffset(0), usize::MAX)
            .await,
        [1, 2]
    );
}
