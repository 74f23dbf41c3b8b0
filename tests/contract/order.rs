//! One order: dense offsets, delivered as logged, provable by tags.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use parlor::broker::{Append, Range};
use parlor::hub::ConnectionId;
use parlor_protocol::{EventKind, Format, Payload, Tag};

use crate::listener::Listener;
use crate::subject::{Factory, Settings, dedup};

pub(crate) async fn offsets_are_dense_under_concurrency(factory: Factory) {
    const APPENDERS: usize = 8;
    const EACH: usize = 150;
    let subject = factory(Settings::default());
    let appenders = (0..APPENDERS).map(|appender| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut offsets = Vec::new();
            for index in 0..EACH {
                let append = subject.message(
                    ["a", "b", "c"][(appender + index) % 3],
                    &format!("{appender}/{index}"),
                );
                let channel = append.channel.clone();
                offsets.push((
                    channel,
                    subject.append(append).await.unwrap().position.offset,
                ));
            }
            offsets
        })
    });
    let answers: Vec<_> = join_all(appenders)
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    for channel in ["a", "b", "c"] {
        let mut answered: Vec<_> = answers
            .iter()
            .filter(|(name, _)| name.as_str() == channel)
            .map(|(_, offset)| *offset)
            .collect();
        answered.sort_unstable();
        let dense: Vec<u64> = (1..=answered.len() as u64).collect();
        assert_eq!(answered, dense, "answers of {channel}");
        let logged: Vec<u64> = subject
            .log(channel)
            .await
            .iter()
            .map(|entry| entry.offset)
            .collect();
        assert_eq!(logged, dense, "log of {channel}");
    }
}

pub(crate) async fn calls_on_one_thread_are_logged_in_their_order(factory: Factory) {
    let subject = factory(Settings::default());
    let appended = subject.publish("room", 500).await;
    let offsets: Vec<u64> = appended
        .iter()
        .map(|appended| appended.position.offset)
        .collect();
    assert_eq!(offsets, (1..=500).collect::<Vec<u64>>());
    for (index, entry) in subject.log("room").await.iter().enumerate() {
        assert_eq!(entry.payload.bytes, format!("\"{index}\""));
    }
}

pub(crate) async fn delivery_order_is_log_order(factory: Factory) {
    const APPENDERS: usize = 4;
    const EACH: usize = 200;
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    let appenders = (0..APPENDERS).map(|_| {
        let subject = subject.clone();
        tokio::spawn(async move { subject.publish("room", EACH).await })
    });
    let appenders = join_all(appenders);
    let (_, delivered) = tokio::join!(appenders, listener.read_to((APPENDERS * EACH) as u64));
    let logged = subject.log("room").await;
    assert_eq!(delivered.len(), logged.len());
    for (delivered, logged) in delivered.iter().zip(&logged) {
        assert_eq!(
            (delivered.position(), &delivered.payload),
            (logged.position(), &logged.payload)
        );
    }
}

pub(crate) async fn an_event_is_delivered_before_its_publisher_is_answered(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    for _ in 0..50 {
        let answer = subject
            .append(subject.message("room", "hello"))
            .await
            .unwrap();
        let delivered = listener.delivered();
        assert_eq!(
            delivered.last().map(|entry| entry.position()),
            Some(answer.position)
        );
        listener.next().await;
    }
}

/// Without a look at the log: a delivery left out would be found there.
pub(crate) async fn every_event_of_a_burst_is_delivered_once(factory: Factory) {
    const BURST: u64 = 50;
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    for burst in 0..6 {
        subject.publish("room", BURST as usize).await;
        let delivered: Vec<u64> = listener
            .delivered()
            .iter()
            .map(|entry| entry.offset)
            .collect();
        assert_eq!(
            delivered,
            (burst * BURST + 1..=(burst + 1) * BURST).collect::<Vec<_>>()
        );
        listener.read_to((burst + 1) * BURST).await;
    }
}

pub(crate) async fn each_entry_repeats_the_tag_of_the_one_before(factory: Factory) {
    let subject = factory(Settings::default());
    let appended = subject.publish("room", 300).await;
    let mut before = Tag(0);
    let mut tags = HashSet::new();
    for (entry, appended) in subject.log("room").await.iter().zip(&appended) {
        assert_eq!(entry.position(), appended.position);
        assert_eq!(entry.prev, before);
        assert_ne!(entry.tag, Tag(0));
        assert!(tags.insert(entry.tag), "a random tag came twice");
        before = entry.tag;
    }
    assert_eq!(
        subject.read("room", Range::AfterOffset(0), 1).await.top.tag,
        before
    );
}

pub(crate) async fn time_only_grows_and_seq_counts_messages(factory: Factory) {
    let subject = factory(Settings::default());
    for index in 0..20 {
        let event = if index % 3 == 0 {
            EventKind::Other("reaction".to_owned())
        } else {
            EventKind::Message
        };
        subject
            .append(Append {
                event,
                ..subject.message("room", "x")
            })
            .await
            .unwrap();
    }
    let log = subject.log("room").await;
    assert!(log.is_sorted_by(|earlier, later| earlier.time < later.time));
    let mut seq = 0;
    for entry in &log {
        seq += u64::from(entry.kind == EventKind::Message);
        assert_eq!(entry.seq, seq, "at offset {}", entry.offset);
    }
}

pub(crate) async fn an_event_comes_back_as_it_was_published(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    let tags = [("lang", "de"), ("odd", "a=b&c=%26"), ("", "")];
    let rich = Append {
        event: EventKind::Other("pin".to_owned()),
        dedup: dedup("u:ann", "id-1"),
        user: Some("ann".into()),
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        payload: Payload {
            format: Format::Binary,
            bytes: Bytes::from_static(&[0, 255, 7]),
        },
        no_echo_to: Some(ConnectionId(7)),
        ..subject.message("room", "")
    };
    let plain = subject.message("room", "Grüße, \u{1F600}");
    for append in [rich, plain] {
        let answer = subject.append(append.clone()).await.unwrap();
        let live = listener.next().await;
        let page = subject
            .read("room", Range::AfterOffset(answer.position.offset - 1), 1)
            .await;
        assert_eq!(live.no_echo_to, append.no_echo_to);
        for entry in [&live, &page.entries[0]] {
            assert_eq!(
                (entry.position(), entry.time),
                (answer.position, answer.time)
            );
            assert_eq!(entry.kind, append.event);
            assert_eq!(
                entry.id.as_deref(),
                append.dedup.as_ref().map(|dedup| &*dedup.id)
            );
            assert_eq!(entry.user, append.user);
            assert_eq!(entry.tags, append.tags);
            assert_eq!(entry.payload, append.payload);
        }
    }
}

pub(crate) async fn a_dropped_future_does_not_take_the_event_back(factory: Factory) {
    let subject = factory(Settings::default());
    drop(subject.broker.append(subject.message("room", "first")));
    let second = subject
        .append(subject.message("room", "second"))
        .await
        .unwrap();
    assert_eq!(second.position.offset, 2);
    let log = subject.log("room").await;
    assert_eq!(Arc::clone(&log[0]).payload.bytes, "\"first\"");
}
