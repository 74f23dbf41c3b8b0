//! A publish with an id stays single inside the window.

use std::time::{Duration, Instant};

use parlor::broker::{Append, Error};
use parlor_protocol::EventKind;

use crate::subject::{Factory, Settings, Subject, dedup, json};

fn with_id(subject: &Subject, sender: &str, id: &str) -> Append {
    Append {
        dedup: dedup(sender, id),
        ..subject.message("room", "hello")
    }
}

pub(crate) async fn a_retry_gets_the_first_place(factory: Factory) {
    let subject = factory(Settings::default());
    let first = subject
        .append(with_id(&subject, "u:ann", "1"))
        .await
        .unwrap();
    subject.publish("room", 3).await;
    let again = subject
        .append(with_id(&subject, "u:ann", "1"))
        .await
        .unwrap();
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(
        (again.position, again.time, again.durability),
        (first.position, first.time, first.durability)
    );
    assert_eq!(subject.log("room").await.len(), 4);
}

pub(crate) async fn a_retry_beside_its_first_stays_single(factory: Factory) {
    let subject = factory(Settings::default());
    let waiting: Vec<_> = (0..20)
        .map(|_| subject.broker.append(with_id(&subject, "u:ann", "1")))
        .collect();
    let mut duplicates = 0;
    for answer in waiting {
        let appended = answer.await.unwrap();
        assert_eq!(appended.position.offset, 1);
        duplicates += usize::from(appended.duplicate);
    }
    assert_eq!(duplicates, 19);
    assert_eq!(subject.log("room").await.len(), 1);
}

pub(crate) async fn the_same_id_with_other_content_is_refused(factory: Factory) {
    let subject = factory(Settings::default());
    let first = with_id(&subject, "u:ann", "1");
    subject.append(first.clone()).await.unwrap();
    let others = [
        Append {
            payload: json("\"other\""),
            ..first.clone()
        },
        Append {
            event: EventKind::Other("pin".to_owned()),
            ..first.clone()
        },
        Append {
            tags: [("a".to_owned(), "b".to_owned())].into(),
            ..first.clone()
        },
    ];
    for other in others {
        assert_eq!(subject.append(other).await, Err(Error::IdReused));
    }
    // In one batch with its first, too.
    let waiting = [
        first.clone(),
        with_id(&subject, "u:ann", "2"),
        Append {
            payload: json("2"),
            ..with_id(&subject, "u:ann", "2")
        },
    ]
    .map(|append| subject.broker.append(append));
    let [first_again, second, second_reused] = waiting;
    assert!(first_again.await.unwrap().duplicate);
    assert_eq!(second.await.unwrap().position.offset, 2);
    assert_eq!(second_reused.await, Err(Error::IdReused));
    assert_eq!(
        subject.log("room").await.len(),
        2,
        "a refused publish takes no offset"
    );
}

pub(crate) async fn ids_are_unique_per_channel_and_sender(factory: Factory) {
    let subject = factory(Settings::default());
    let elsewhere = Append {
        dedup: dedup("u:ann", "1"),
        ..subject.message("other", "hello")
    };
    for append in [
        with_id(&subject, "u:ann", "1"),
        with_id(&subject, "k:ann", "1"),
        elsewhere,
    ] {
        assert!(!subject.append(append).await.unwrap().duplicate);
    }
}

pub(crate) async fn an_id_is_new_again_after_its_window(factory: Factory) {
    // A window of no length is always over.
    let subject = factory(Settings {
        dedup_window: Duration::ZERO,
    });
    subject
        .append(with_id(&subject, "u:ann", "1"))
        .await
        .unwrap();
    let again = subject
        .append(with_id(&subject, "u:ann", "1"))
        .await
        .unwrap();
    assert_eq!((again.duplicate, again.position.offset), (false, 2));
}

/// An id as its publisher knows it: it was first taken between these two moments.
struct Known {
    id: String,
    sent: Instant,
    answered: Instant,
}

impl Known {
    async fn publish(subject: &Subject, id: String) -> Self {
        let sent = Instant::now();
        let append = with_id(subject, "u:ann", &id);
        assert!(!subject.append(append).await.unwrap().duplicate, "{id}");
        Self {
            id,
            sent,
            answered: Instant::now(),
        }
    }

    /// Publishes it once more. However slow the machine is: a known one was asked for before its window ended, and one
    /// that is new again was answered after.
    async fn is_still_known(&self, subject: &Subject) -> bool {
        let age_min = self.answered.elapsed();
        let append = with_id(subject, "u:ann", &self.id);
        let duplicate = subject.append(append).await.unwrap().duplicate;
        let age_max = self.sent.elapsed();
        if duplicate {
            assert!(age_min < SHORT + CLOCKS, "{}: after {age_min:?}", self.id);
        } else {
            assert!(age_max + CLOCKS > SHORT, "{}: after {age_max:?}", self.id);
        }
        duplicate
    }
}

/// A window that ends several times while a test looks on.
const SHORT: Duration = Duration::from_millis(300);

/// A store's clock counts in ms, and is read a little before or after ours.
const CLOCKS: Duration = Duration::from_millis(10);

pub(crate) async fn an_id_is_known_for_its_whole_window_and_no_longer(factory: Factory) {
    let subject = factory(Settings {
        dedup_window: SHORT,
    });
    // New ones all the time: whenever the store lets go of old ids, some are a moment old and some are just due.
    let (began, mut known, mut ids) = (Instant::now(), Vec::new(), 0_u32);
    loop {
        if began.elapsed() < SHORT * 3 {
            ids += 1;
            known.push(Known::publish(&subject, ids.to_string()).await);
        }
        let mut still_known = Vec::new();
        for one in known {
            if one.is_still_known(&subject).await {
                still_known.push(one);
            }
        }
        known = still_known;
        // It ends: an id that is known for too long fails.
        if known.is_empty() && began.elapsed() > SHORT * 3 {
            return;
        }
    }
}
