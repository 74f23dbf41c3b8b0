//! Erasing: what an event said is gone for good, its place is not.

use std::sync::Arc;

use parlor::broker::{Append, Appended, Erase, Error, Range};
use parlor::hub::LogEntry;
use parlor_protocol::{Epoch, Erasure, EventKind};

use crate::listener::Listener;
use crate::subject::{Factory, Settings, Subject, dedup, name};

impl Subject {
    /// Erases in the log's present life.
    pub(crate) async fn erase(&self, channel: &str, offsets: &[u64]) -> Result<Appended, Error> {
        let epoch = self.read(channel, Range::AfterOffset(0), 0).await.top.epoch;
        self.erase_in(epoch, channel, offsets).await
    }

    /// The same in a life that is known.
    pub(crate) async fn erase_in(
        &self,
        epoch: Epoch,
        channel: &str,
        offsets: &[u64],
    ) -> Result<Appended, Error> {
        let erase = Erase {
            channel: name(channel),
            kind: Arc::clone(&self.kind),
            epoch,
            offsets: offsets.to_vec(),
        };
        self.broker.erase(erase).await
    }

    fn said_by_ann(&self, channel: &str, text: &str) -> Append {
        Append {
            user: Some("ann".into()),
            tags: [("lang".to_owned(), "en".to_owned())].into(),
            dedup: dedup("u:ann", text),
            ..self.message(channel, text)
        }
    }
}

/// Whether nothing but its place is left.
#[track_caller]
fn check_is_tombstone(entry: &LogEntry) {
    assert!(entry.erased, "{entry:?}");
    assert!(
        entry.payload.bytes.is_empty() && entry.tags.is_empty(),
        "{entry:?}"
    );
    assert_eq!((&entry.id, &entry.user), (&None, &None), "{entry:?}");
}

pub(crate) async fn an_erased_event_is_gone_from_history_and_keeps_its_place(factory: Factory) {
    let subject = factory(Settings::default());
    for text in ["one", "two", "three"] {
        subject
            .append(subject.said_by_ann("room", text))
            .await
            .unwrap();
    }
    let before = subject.log("room").await;
    let told = subject.erase("room", &[2]).await.unwrap();
    assert_eq!(told.position.offset, 4);
    let after = subject.log("room").await;
    assert_eq!(after.len(), 4);
    check_is_tombstone(&after[1]);
    for (was, is) in before.iter().zip(&after) {
        assert_eq!(was.position(), is.position());
        assert_eq!(
            (was.prev, was.seq, was.time, &was.kind),
            (is.prev, is.seq, is.time, &is.kind)
        );
    }
    for untouched in [0, 2] {
        assert_eq!(after[untouched].payload, before[untouched].payload);
        assert_eq!(after[untouched].user, before[untouched].user);
        assert!(!after[untouched].erased);
    }
    let erasure = after[3].erases().unwrap();
    assert_eq!(erasure, Erasure { offsets: vec![2] });
    assert_eq!((&after[3].kind, after[3].seq), (&EventKind::Erase, 3));
    // Both directions, and by time.
    let page = subject.read("room", Range::BeforeOffset(3), 1).await;
    check_is_tombstone(&page.entries[0]);
    let since = Range::AfterTime(before[0].time);
    check_is_tombstone(&subject.read("room", since, 1).await.entries[0]);
}

pub(crate) async fn an_erasure_is_told_to_whoever_listens(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    let late = Listener::join(&subject, 1, "room").await;
    subject.publish("room", 3).await;
    listener.read_to(3).await;
    subject.erase("room", &[1, 3]).await.unwrap();
    let told = listener.next().await;
    let erasure = Erasure {
        offsets: vec![1, 3],
    };
    assert_eq!((told.offset, told.erases()), (4, Some(erasure)));
    // Who lags gets the places, and not what they held.
    let delivered = late.delivered();
    assert_eq!(delivered.len(), 4);
    check_is_tombstone(&delivered[0]);
    assert_eq!(delivered[1].payload.bytes, "\"1\"");
    check_is_tombstone(&delivered[2]);
}

pub(crate) async fn a_chain_of_tags_runs_through_what_was_erased(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    let appended = subject.publish("room", 10).await;
    subject.erase("room", &[1, 5, 6, 10]).await.unwrap();
    subject.publish("room", 5).await;
    // The listener checks that each entry follows on the one before.
    listener.read_to(16).await;
    let log = subject.log("room").await;
    for pair in log.windows(2) {
        assert_eq!(pair[1].prev, pair[0].tag);
        assert!(pair[1].time > pair[0].time);
    }
    for (entry, first) in log.iter().zip(&appended) {
        assert_eq!(entry.position(), first.position, "positions stay valid");
    }
}

pub(crate) async fn an_erasure_beside_appends_loses_nothing(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 600).await;
    let publisher = subject.clone();
    let publishing = tokio::spawn(async move {
        for _ in 0..20 {
            publisher.publish("room", 20).await;
        }
    });
    for first in [1, 101, 201, 301] {
        let offsets: Vec<u64> = (first..first + 50).collect();
        subject.erase("room", &offsets).await.unwrap();
    }
    publishing.await.unwrap();
    let log = subject.log("room").await;
    assert_eq!(log.len(), 600 + 400 + 4);
    listener.read_to(1_004).await;
    for (entry, offset) in log.iter().zip(1..) {
        assert_eq!(entry.offset, offset);
        let is_erased = (1..=400).contains(&offset) && (offset - 1) % 100 < 50;
        assert_eq!(entry.erased, is_erased, "offset {offset}");
        assert_eq!(entry.payload.bytes.is_empty(), is_erased);
    }
}

pub(crate) async fn erasures_of_one_channel_at_the_same_time_are_all_done(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 500).await;
    let erasures = (0..5_u64).map(|task| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let offsets: Vec<u64> = (0..10).map(|index| task * 100 + index * 7 + 1).collect();
            subject.erase("room", &offsets).await.unwrap();
        })
    });
    for erasure in erasures.collect::<Vec<_>>() {
        erasure.await.unwrap();
    }
    let log = subject.log("room").await;
    assert_eq!(log.len(), 505);
    for entry in &log[..500] {
        let within = (entry.offset - 1) % 100;
        let is_erased = within % 7 == 0 && within < 70;
        assert_eq!(entry.erased, is_erased, "offset {}", entry.offset);
    }
}

pub(crate) async fn a_retry_of_an_erased_publish_gets_the_first_place(factory: Factory) {
    let subject = factory(Settings::default());
    let first = subject.append(subject.said_by_ann("room", "once")).await;
    let first = first.unwrap();
    subject.erase("room", &[1]).await.unwrap();
    let again = subject.append(subject.said_by_ann("room", "once")).await;
    let again = again.unwrap();
    assert_eq!((again.position, again.duplicate), (first.position, true));
    let other = Append {
        dedup: dedup("u:ann", "once"),
        ..subject.message("room", "other")
    };
    assert_eq!(subject.append(other).await, Err(Error::IdReused));
    assert_eq!(subject.log("room").await.len(), 2);
}

pub(crate) async fn an_erasure_done_again_is_told_once(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 3).await;
    let first = subject.erase("room", &[1, 2]).await.unwrap();
    let again = subject.erase("room", &[1, 2]).await.unwrap();
    assert_eq!((again.position, again.duplicate), (first.position, true));
    // Another one that names what is gone already.
    subject.erase("room", &[2, 3]).await.unwrap();
    let log = subject.log("room").await;
    assert_eq!(log.len(), 5);
    log[..3].iter().for_each(|entry| check_is_tombstone(entry));
}

pub(crate) async fn an_erasure_is_not_erased_itself(factory: Factory) {
    let subject = factory(Settings::default());
    subject.publish("room", 1).await;
    subject.erase("room", &[1]).await.unwrap();
    subject.erase("room", &[2]).await.unwrap();
    let log = subject.log("room").await;
    assert_eq!(log[1].erases(), Some(Erasure { offsets: vec![1] }));
}

pub(crate) async fn what_retention_took_is_only_told(factory: Factory) {
    let subject = factory(Settings::default());
    let short = subject.retaining(2, std::time::Duration::from_secs(3_600));
    short.publish("room", 5).await;
    let told = short.erase("room", &[1, 5]).await.unwrap();
    assert_eq!(told.position.offset, 6);
    let log = short.log("room").await;
    assert_eq!(
        log.iter().map(|entry| entry.offset).collect::<Vec<_>>(),
        [5, 6]
    );
    check_is_tombstone(&log[0]);
}
