//! What Redis can answer instead of doing it, each by name: what the publisher sees, and that nothing is lost or doubled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor::broker::{Append, Error, Range};
use parlor::kind::Durability;
use parlor_tests::{Redis, RedisCluster, RedisOptions, eventually};

use crate::listener::Listener;
use crate::redis::{on_cluster, on_server, stream_key};
use crate::subject::{Subject, dedup};

/// Publishes once more under a new id, and says how it went.
async fn publish(subject: &Subject, id: u64) -> Result<u64, Error> {
    let append = Append {
        dedup: dedup("u:ann", &id.to_string()),
        ..subject.message("room", &id.to_string())
    };
    subject
        .append(append)
        .await
        .map(|appended| appended.position.offset)
}

fn is_unavailable(outcome: &Result<u64, Error>) -> bool {
    matches!(outcome, Err(Error::Unavailable { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noscript_the_same_batch_goes_again_with_the_script() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    for id in 1..=20 {
        server.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(publish(&subject, id).await, Ok(id));
    }
    assert_eq!(listener.read_to(20).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oom_is_answered_at_once_and_takes_no_offset() {
    let server = Arc::new(Redis::start_with(
        RedisOptions::default().memory_max("100mb"),
    ));
    let subject = on_server(&server, Durability::Disk);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    server.set_config("maxmemory", "1");
    let started = Instant::now();
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "nobody waits for memory that does not come"
    );
    assert_eq!(
        subject.offsets("room", Range::AfterOffset(0), 10).await,
        [1],
        "reading goes on"
    );
    server.set_config("maxmemory", "100mb");
    assert_eq!(eventually_published(&subject, 2).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noreplicas_passes() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    server.set_config("min-replicas-to-write", "1");
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    server.set_config("min-replicas-to-write", "0");
    assert_eq!(
        eventually_published(&subject, 2).await,
        2,
        "the same id, after a refusal that wrote nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misconf_is_answered_and_ends_when_the_disk_is_well() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    // A snapshot that cannot be written, with snapshots on: Redis refuses writes from then on.
    server.set_config("dir", "/proc");
    server.set_config("save", "3600 1");
    server.ask(&["BGSAVE"]);
    eventually("the snapshot to have failed", || {
        let status = server.info("rdb_last_bgsave_status")?;
        (status.trim() == "err").then_some(())
    });
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    server.set_config("save", "");
    assert_eq!(eventually_published(&subject, 2).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readonly_a_demoted_primary_is_left_and_taken_again() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    server.cut();
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    server.promote();
    assert_eq!(
        eventually_published(&subject, 2).await,
        2,
        "nothing was lost: no new offset"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading_is_waited_for() {
    let server = Arc::new(Redis::start_with(
        RedisOptions::default().appendonly("always"),
    ));
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 500).await;
    server.set_config("key-load-delay", "100");
    server.ask(&["CONFIG", "REWRITE"]);
    server.restart_without_waiting();
    // Redis answers LOADING for a while, and then knows everything.
    let appended = eventually_published(&subject, 501).await;
    assert_eq!(appended, 501, "the log came back as it was");
    assert_eq!(
        listener.read_to(501).await.len(),
        501,
        "nobody was sent away"
    );
}

/// Publishes until it is taken, as a client does that is told to come back: with one id, so that it is there once.
async fn eventually_published(subject: &Subject, id: u64) -> u64 {
    for _ in 0..200 {
        match publish(subject, id).await {
            Ok(offset) => return offset,
            Err(Error::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("publishes never succeeded again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_becomes_known() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    assert_eq!(publish(&subject, 1).await, Ok(1));
    for round in 0..3 {
        server.freeze();
        let sent = tokio::spawn({
            let subject = subject.clone();
            async move { publish(&subject, 2 + round).await }
        });
        // Longer than an answer may take: the batch is sent again, over another connection.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.thaw();
        assert_eq!(sent.await.unwrap(), Ok(2 + round));
    }
    listener.read_to(4).await;
    assert_eq!(
        subject.offsets("room", Range::AfterOffset(0), 10).await,
        [1, 2, 3, 4]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_after_its_deadline() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    server.freeze();
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    server.thaw();
    // What waited in Redis's sockets is read now, and must do nothing.
    let offset = eventually_published(&subject, 3).await;
    assert_eq!(offset, 2, "the late one was not written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_ask_and_tryagain_a_slot_moves_while_its_channel_is_written() {
    let cluster = Arc::new(RedisCluster::start());
    let subject = on_cluster(&cluster);
    let mut listener = Listener::join(&subject, 0, "room").await;
    assert_eq!(publish(&subject, 1).await, Ok(1));
    let slot = cluster.slot_of(&stream_key(&cluster.nodes, "room"));
    let to = cluster
        .nodes
        .iter()
        .find(|node| node.is_primary() && node.port() != cluster.master_of(slot).port());
    let to = to.unwrap();
    let writing = tokio::spawn({
        let subject = subject.clone();
        async move {
            for id in 2..=300 {
                assert_eq!(eventually_published(&subject, id).await, id);
            }
        }
    });
    let from = cluster.begin_move(slot, to);
    // Some keys here, some there: TRYAGAIN. All there: ASK. Then MOVED.
    while cluster.move_some_keys(slot, from, to, 1) > 0 {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.end_move(slot, from, to);
    writing.await.unwrap();
    assert_eq!(
        listener.read_to(300).await.len(),
        300,
        "nobody was sent away, nothing came twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusterdown_a_shard_without_its_master_pauses_and_goes_on() {
    let cluster = Arc::new(RedisCluster::start());
    let subject = on_cluster(&cluster);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    let master = cluster.master_of(cluster.slot_of(&stream_key(&cluster.nodes, "room")));
    cluster.replica_of(master).wait_until_level_with(master);
    master.kill();
    assert_eq!(
        eventually_published(&subject, 2).await,
        2,
        "the replica had everything: no new epoch"
    );
}
