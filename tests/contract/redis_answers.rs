//! What Redis can answer instead of doing it, each by name: what the publisher sees, and that nothing is lost or doubled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor::broker::{Append, Error, Range};
use parlor::kind::Durability;
use parlor_tests::{Redis, RedisCluster, RedisOptions, eventually};

use crate::listener::Listener;
use crate::redis::{config_of, on_cluster, on_server, over, stream_key};
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

/// The names in the tests' names are Redis's own words: it must have said them.
fn assert_answered(server: &Redis, name: &str) {
    assert!(server.errors_answered(name) > 0, "{name} never came");
}

/// Whether any of them said so.
fn any_answered(servers: &[Redis], name: &str) -> bool {
    servers.iter().any(|one| one.errors_answered(name) > 0)
}

fn wait_for_answer(server: &Redis, name: &str) {
    eventually(name, || (server.errors_answered(name) > 0).then_some(()));
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
    assert_answered(&server, "NOSCRIPT");
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
    assert_answered(&server, "OOM");
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
    assert_answered(&server, "NOREPLICAS");
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
    assert_answered(&server, "MISCONF");
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
    assert_answered(&server, "READONLY");
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
        RedisOptions::default()
            .appendonly("always")
            .setting("key-load-delay", "300"),
    ));
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 500).await;
    // Redis looks at its sockets after each thousand commands that it loads: some seconds in which it answers often.
    for _ in 0..12 {
        subject.publish("elsewhere", 500).await;
    }
    server.restart_without_waiting();
    // Redis answers LOADING for a while, and then knows everything.
    let appended = eventually_published(&subject, 501).await;
    assert_eq!(appended, 501, "the log came back as it was");
    assert_eq!(
        listener.read_to(501).await.len(),
        501,
        "nobody was sent away"
    );
    assert_answered(&server, "LOADING");
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
    // Some keys here, some there: TRYAGAIN, of which older versions know nothing. An append uses seven of the eight.
    assert_eq!(cluster.move_some_keys(slot, from, to, 4), 4);
    let in_pieces = match from.info("redis_version") {
        Some(version) if version.starts_with("6.") => "ASK",
        Some(_) | None => "TRYAGAIN",
    };
    wait_for_answer(from, in_pieces);
    // All there: ASK. Then MOVED.
    while cluster.move_keys(slot, from, to) > 0 {}
    wait_for_answer(from, "ASK");
    cluster.end_move(slot, from, to);
    writing.await.unwrap();
    let published = published_until_moved(&cluster, &subject, slot, 300).await;
    assert_eq!(
        listener.read_to(published).await.len() as u64,
        published,
        "nobody was sent away, nothing came twice"
    );
}

/// A node that looks at the topology just then hears no MOVED: the slot moves on until one was answered. Returns the id of
/// the last publish.
async fn published_until_moved(
    cluster: &RedisCluster,
    subject: &Subject,
    slot: u16,
    mut last: u64,
) -> u64 {
    for _ in 0..20 {
        if any_answered(&cluster.nodes, "MOVED") {
            return last;
        }
        cluster.move_slot(slot, another_master(cluster, &[slot]));
        last += 1;
        assert_eq!(eventually_published(subject, last).await, last);
    }
    panic!("MOVED never came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_node_that_was_forgotten_is_not_believed() {
    let (cluster, forgotten) = (RedisCluster::start(), RedisCluster::start_forgotten());
    let first = format!("//{},", forgotten.address());
    let url = cluster.url().replace("//", &first);
    let subject = over(config_of(&url, "forgotten"));
    assert_eq!(publish(&subject, 1).await, Ok(1));
    let slot = cluster.slot_of(&stream_key(&cluster.nodes, "room"));
    cluster.move_slot(slot, another_master(&cluster, &[slot]));
    assert_eq!(eventually_published(&subject, 2).await, 2);
    let kept: u64 = redis::from_redis_value(forgotten.ask(&["DBSIZE"])).unwrap();
    assert_eq!(kept, 0, "nothing was ever sent there");
}

/// A master that serves none of these slots.
fn another_master<'a>(cluster: &'a RedisCluster, slots: &[u16]) -> &'a Redis {
    let theirs: Vec<_> = slots
        .iter()
        .map(|slot| cluster.master_of(*slot).port())
        .collect();
    let mut nodes = cluster.nodes.iter();
    nodes
        .find(|node| node.is_primary() && !theirs.contains(&node.port()))
        .expect("three masters for two slots")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusterdown_a_cluster_that_serves_nothing_while_a_shard_is_gone_is_waited_for() {
    let cluster = Arc::new(RedisCluster::start());
    let subject = on_cluster(&cluster);
    assert_eq!(publish(&subject, 1).await, Ok(1));
    let slot = cluster.slot_of(&stream_key(&cluster.nodes, "room"));
    let master = cluster.master_of(slot);
    // Not the one that carries the probes: without it the node would not even ask.
    let gone = another_master(&cluster, &[slot, 0]);
    let replica_gone = cluster.replica_of(gone);
    for node in &cluster.nodes {
        node.set_config("cluster-require-full-coverage", "yes");
    }
    replica_gone.kill();
    gone.kill();
    eventually("the master to hear of it", || {
        let said: String =
            redis::from_redis_value(master.try_ask(&["CLUSTER", "INFO"]).ok()?).ok()?;
        said.contains("cluster_state:fail").then_some(())
    });
    let refused = publish(&subject, 2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert_answered(master, "CLUSTERDOWN");
    for node in cluster.nodes.iter().filter(|node| node.is_running()) {
        node.set_config("cluster-require-full-coverage", "no");
    }
    assert_eq!(eventually_published(&subject, 2).await, 2);
}

/// A channel whose partition this master serves.
async fn channel_on(cluster: &RedisCluster, subject: &Subject, master: &Redis) -> String {
    for index in 0..100 {
        let channel = format!("room:{index}");
        subject.publish(&channel, 1).await;
        let slot = cluster.slot_of(&stream_key(&cluster.nodes, &channel));
        if cluster.master_of(slot).port() == master.port() {
            return channel;
        }
    }
    panic!("none of a hundred channels is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_gone_stops_no_publish_to_the_others() {
    let cluster = Arc::new(RedisCluster::start());
    let subject = on_cluster(&cluster);
    let _here = Listener::join(&subject, 0, "room").await;
    assert_eq!(publish(&subject, 1).await, Ok(1));
    let slot = cluster.slot_of(&stream_key(&cluster.nodes, "room"));
    let gone = another_master(&cluster, &[slot, 0]);
    let elsewhere = channel_on(&cluster, &subject, gone).await;
    let _there = Listener::join(&subject, 1, &elsewhere).await;
    cluster.replica_of(gone).kill();
    gone.kill();
    // At first each waits as long as a publish does, and then no longer.
    loop {
        let refused = subject.append(subject.message(&elsewhere, "x")).await;
        match refused.unwrap_err() {
            Error::Unavailable { reason, .. } if reason.contains("Redis is away") => break,
            Error::Unavailable { .. } => {}
            error => panic!("{error}"),
        }
    }
    assert_eq!(publish(&subject, 2).await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_without_its_master_pauses_and_goes_on() {
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
