//! What only a store on disk promises: restarts, backups, full disks, full queues, an orderly end.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use parlor::broker::embedded::{EmbeddedConfig, OpenError};
use parlor::broker::{Append, Embedded, Error, Range};
use parlor::hub::Hub;
use parlor::kind::Durability;
use parlor_protocol::{Position, Tag};
use parlor_tests::eventually;

use crate::listener::Listener;
use crate::subject::{Subject, dedup, embedded, embedded_counting, name};

fn config(directory: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        data_dir: Some(directory.to_owned()),
        ..EmbeddedConfig::default()
    }
}

fn open(directory: &Path) -> Subject {
    embedded(config(directory), Durability::Disk)
}

async fn shut_down(subject: Subject) {
    tokio::task::spawn_blocking(move || subject.broker.shut_down())
        .await
        .unwrap();
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let subject = open(temp.path());
    let unwritten = subject
        .broker
        .join(&name("unwritten"), &subject.kind)
        .await
        .unwrap();
    let publish = Append {
        dedup: dedup("u:ann", "1"),
        ..subject.message("room", "hello")
    };
    let first = subject.append(publish.clone()).await.unwrap();
    let last = subject.publish("room", 30).await[29].position;
    shut_down(subject).await;

    let subject = open(temp.path());
    let page = subject.read("room", Range::AfterOffset(0), 100).await;
    assert_eq!((page.entries.len(), page.top, page.oldest), (31, last, 1));
    assert_eq!(page.entries[0].position(), first.position);
    assert_eq!(
        subject
            .broker
            .join(&name("unwritten"), &subject.kind)
            .await
            .unwrap(),
        unwritten
    );
    let again = subject.append(publish).await.unwrap();
    assert_eq!((again.duplicate, again.position), (true, first.position));
    let next = subject
        .append(subject.message("room", "next"))
        .await
        .unwrap();
    assert_eq!(
        (next.position.epoch, next.position.offset),
        (last.epoch, 32)
    );
    let page = subject.read("room", Range::AfterOffset(31), 1).await;
    assert_eq!(page.entries[0].prev, last.tag);
    assert!(page.entries[0].time > again.time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_diverges() {
    let (temp, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let subject = open(temp.path());
    let common = subject.publish("room", 5).await[4].position;
    shut_down(subject).await;
    copy(temp.path(), backup.path());

    let subject = open(temp.path());
    let lost: Vec<Position> = subject
        .publish("room", 3)
        .await
        .iter()
        .map(|appended| appended.position)
        .collect();
    shut_down(subject).await;
    copy(backup.path(), temp.path());

    let subject = open(temp.path());
    let kept: Vec<Position> = subject
        .publish("room", 3)
        .await
        .iter()
        .map(|appended| appended.position)
        .collect();
    for (lost, kept) in lost.iter().zip(&kept) {
        assert_eq!((lost.epoch, lost.offset), (kept.epoch, kept.offset));
        assert_ne!(
            lost.tag, kept.tag,
            "offset {} names two events and nobody can tell",
            lost.offset
        );
    }
    let page = subject
        .read("room", Range::AfterOffset(common.offset), 1)
        .await;
    assert_eq!(
        page.entries[0].prev, common.tag,
        "who stood before the fork resumes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_serves_one_process_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let subject = open(temp.path());
    let refused = Embedded::open(config(temp.path()), Arc::new(Hub::new(1))).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("another parlor uses this directory"),
        "{refused}"
    );
    drop(subject);
    Embedded::open(config(temp.path()), Arc::new(Hub::new(1))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_directory_disk_channels_are_refused() {
    let subject = embedded(EmbeddedConfig::default(), Durability::Disk);
    let refusals = [
        subject
            .append(subject.message("room", "x"))
            .await
            .unwrap_err(),
        subject
            .broker
            .join(&name("room"), &subject.kind)
            .await
            .unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Error::Unavailable { .. }), "{refusal}");
    }
}

/// Floods a store whose queue is small, and checks that what was refused was not done.
async fn check_flood(config: EmbeddedConfig) {
    const FLOOD: usize = 5_000;
    let subject = embedded(config, Durability::Disk);
    let waiting: Vec<_> = (0..FLOOD)
        .map(|index| {
            subject
                .broker
                .append(subject.message("room", &index.to_string()))
        })
        .collect();
    let mut accepted = Vec::new();
    let mut refused = 0;
    for (index, answer) in join_all(waiting).await.into_iter().enumerate() {
        match answer {
            Ok(appended) => accepted.push((appended.position.offset, format!("\"{index}\""))),
            Err(Error::Busy { retry_after }) => {
                assert!(retry_after > Duration::ZERO);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0, "the flood never filled the queue");
    let logged: Vec<_> = subject
        .log("room")
        .await
        .iter()
        .map(|entry| {
            (
                entry.offset,
                String::from_utf8(entry.payload.bytes.to_vec()).unwrap(),
            )
        })
        .collect();
    assert_eq!(accepted, logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_drops_nothing_it_took() {
    let temp = tempfile::tempdir().unwrap();
    check_flood(EmbeddedConfig {
        queue_len_max: 4,
        ..config(temp.path())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_bounded_in_bytes_too() {
    let temp = tempfile::tempdir().unwrap();
    check_flood(EmbeddedConfig {
        queue_bytes_max: 2_000,
        ..config(temp.path())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_was_accepted() {
    let temp = tempfile::tempdir().unwrap();
    let subject = open(temp.path());
    let waiting: Vec<_> = (0..1_000)
        .map(|_| subject.broker.append(subject.message("room", "x")))
        .collect();
    shut_down(subject.clone()).await;
    for (answer, offset) in join_all(waiting).await.into_iter().zip(1..) {
        assert_eq!(answer.unwrap().position.offset, offset);
    }
    assert_eq!(
        subject.append(subject.message("room", "late")).await,
        Err(Error::Closed)
    );
    assert_eq!(
        subject.broker.join(&name("room"), &subject.kind).await,
        Err(Error::Closed)
    );
    drop(subject);
    assert_eq!(open(temp.path()).log("room").await.len(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_go_before_their_window_is_over_are_counted() {
    let temp = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        dedup_len_max: 3,
        ..config(temp.path())
    };
    let (subject, stats) = embedded_counting(config, Durability::Disk);
    for id in 0..10 {
        let append = Append {
            dedup: dedup("u:ann", &id.to_string()),
            ..subject.message("room", "x")
        };
        assert!(!subject.append(append).await.unwrap().duplicate);
    }
    eventually("them to be counted", || {
        (stats.ids_forgotten_early.load(Ordering::Relaxed) == 7).then_some(())
    });
}

/// A store that may grow to 1 MiB is filled, refuses, and takes appends again once retention made room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_without_a_hole_and_works_again_when_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        disk_bytes_max: Some(1 << 20),
        ..config(temp.path())
    };
    let subject = embedded(config, Durability::Disk).retaining(1_000_000, Duration::from_secs(3));
    let mut listener = Listener::join(&subject, 0, "room").await;
    let large = "x".repeat(20_000);
    let mut last = Position {
        offset: 0,
        tag: Tag(0),
        ..subject
            .broker
            .join(&name("room"), &subject.kind)
            .await
            .unwrap()
    };
    let refusal = loop {
        match subject.append(subject.message("room", &large)).await {
            Ok(appended) => {
                assert_eq!(appended.position.offset, last.offset + 1);
                last = appended.position;
            }
            Err(refusal) => break refusal,
        }
        assert!(last.offset < 100, "the bound was never reached");
    };
    listener.read_to(last.offset).await;
    assert_eq!(
        listener.delivered().len(),
        0,
        "an event that is not on the disk was delivered"
    );
    assert!(
        matches!(&refusal, Error::Unavailable { retry_after, .. } if !retry_after.is_zero()),
        "{refusal}"
    );
    subject.broker.health().unwrap_err();
    assert_eq!(
        subject
            .read("room", Range::BeforeOffset(u64::MAX), 1)
            .await
            .top,
        last,
        "reads go on"
    );

    let mut polls = tokio::time::interval(Duration::from_millis(50));
    let next = loop {
        match subject.append(subject.message("room", &large)).await {
            Ok(appended) => break appended.position,
            Err(refusal) => assert!(matches!(refusal, Error::Unavailable { .. }), "{refusal}"),
        }
        polls.tick().await;
    };
    assert_eq!(
        (next.epoch, next.offset),
        (last.epoch, last.offset + 1),
        "a failed try used no offset"
    );
    assert_eq!(subject.broker.health(), Ok(()));
    let page = subject.read("room", Range::BeforeOffset(u64::MAX), 1).await;
    assert_eq!(page.entries[0].prev, last.tag);
}

/// Whether any file of the store holds this text.
fn holds(directory: &Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|file| {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_hold_nothing_of_what_was_erased() {
    let temp = tempfile::tempdir().unwrap();
    let subject = open(temp.path());
    // Small ones and large ones, of many channels, so that rows move from page to page and lie on pages of their own.
    let secret = |index: usize| format!("the-secret-of-the-day-{index}-");
    for index in 0..40 {
        let long = secret(index).repeat(if index % 2 == 0 { 1 } else { 500 });
        for filler in 0..20 {
            subject
                .append(subject.message(&format!("room:{}", filler % 7), "filler"))
                .await
                .unwrap();
        }
        let publish = Append {
            dedup: dedup(&format!("u:{}", secret(index)), &secret(index)),
            user: Some(secret(index).into()),
            tags: [("tag".to_owned(), secret(index))].into(),
            ..subject.message(&format!("room:{}", index % 5), &long)
        };
        subject.append(publish).await.unwrap();
    }
    assert!(holds(temp.path(), &secret(3)));
    for room in 0..5 {
        let room = format!("room:{room}");
        let log = subject.log(&room).await;
        let secret = log.iter().filter(|entry| entry.user.is_some());
        let offsets: Vec<u64> = secret.map(|entry| entry.offset).collect();
        subject.erase(&room, &offsets).await.unwrap();
    }
    // While it runs: nobody has to stop it.
    for index in 0..40 {
        assert!(!holds(temp.path(), &secret(index)), "{}", secret(index));
    }
    shut_down(subject).await;
    assert!(!holds(temp.path(), "the-secret-of-the-day"));
}
