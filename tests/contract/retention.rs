//! What is no longer retained is not read, and never makes offsets start again.

use std::time::Duration;

use parlor::broker::Range;
use parlor_protocol::Tag;

use crate::subject::{Factory, Settings};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn only_so_many_events_are_retained(factory: Factory) {
    let subject = factory(Settings::default()).retaining(10, HOUR);
    for round in 1..=8_u64 {
        let last = subject.publish("room", 7).await[6].position;
        let page = subject.read("room", Range::AfterOffset(0), 100).await;
        let first = (round * 7).saturating_sub(9).max(1);
        let offsets: Vec<u64> = page.entries.iter().map(|entry| entry.offset).collect();
        assert_eq!(offsets, (first..=round * 7).collect::<Vec<_>>());
        assert_eq!((page.oldest, page.top), (first, last));
        assert_eq!(
            subject
                .offsets("room", Range::BeforeOffset(u64::MAX), 100)
                .await
                .last(),
            Some(&first)
        );
    }
}

pub(crate) async fn nothing_retained_still_counts_on(factory: Factory) {
    let subject = factory(Settings::default()).retaining(0, HOUR);
    let mut before = Tag(0);
    let mut listener = crate::listener::Listener::join(&subject, 0, "room").await;
    for offset in 1..=20 {
        let appended = subject.append(subject.message("room", "x")).await.unwrap();
        assert_eq!(appended.position.offset, offset);
        assert_eq!(listener.next().await.prev, before);
        before = appended.position.tag;
        let page = subject.read("room", Range::AfterOffset(0), 100).await;
        assert_eq!(
            (page.entries.len(), page.more, page.top, page.oldest),
            (0, false, appended.position, offset + 1)
        );
    }
}

pub(crate) async fn events_expire_by_age(factory: Factory) {
    let subject = factory(Settings::default()).retaining(100, Duration::from_millis(700));
    let _listener = crate::listener::Listener::join(&subject, 0, "room").await;
    let last = subject.publish("room", 5).await[4].position;
    let mut polls = tokio::time::interval(Duration::from_millis(20));
    loop {
        let page = subject.read("room", Range::AfterOffset(0), 100).await;
        assert_eq!(
            (page.top, page.oldest),
            (last, 6 - page.entries.len() as u64),
            "the youngest stay longest"
        );
        if page.entries.is_empty() {
            break;
        }
        polls.tick().await;
    }
    let next = subject
        .append(subject.message("room", "later"))
        .await
        .unwrap();
    assert_eq!((next.position.epoch, next.position.offset), (last.epoch, 6));
    assert_eq!(
        subject
            .offsets("room", Range::BeforeOffset(u64::MAX), 100)
            .await,
        [6]
    );
}

pub(crate) async fn a_longer_log_is_not_read_beyond_a_smaller_bound(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 20).await;
    let smaller = subject.retaining(5, HOUR);
    assert_eq!(
        smaller.offsets("room", Range::AfterOffset(0), 100).await,
        [16, 17, 18, 19, 20]
    );
    let gone = smaller.retaining(5, Duration::ZERO);
    assert_eq!(
        gone.read("room", Range::AfterOffset(0), 100).await.oldest,
        21
    );
}
