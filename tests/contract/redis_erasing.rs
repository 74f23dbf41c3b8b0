//! What Redis itself holds of what was erased: nothing. And what an erasure leaves whole.

use std::sync::Arc;

use parlor::broker::Append;
use parlor::kind::Durability;
use parlor_tests::{Proxy, Redis, RedisCluster, RedisOptions};

use crate::listener::Listener;
use crate::redis::{append_again, config_of, on_address, on_cluster, on_server, over, stream_key};
use crate::subject::{Subject, dedup};

const SECRET: &str = "the-secret-of-the-day";

fn secret(subject: &Subject) -> Append {
    Append {
        dedup: dedup("u:ann", SECRET),
        user: Some(SECRET.into()),
        tags: [(SECRET.to_owned(), SECRET.to_owned())].into(),
        ..subject.message("room", SECRET)
    }
}

/// Uncompressed dumps: a text would stand in them as it is, also in a deleted part of a block.
fn plain() -> RedisOptions {
    RedisOptions::default().setting("rdbcompression", "no")
}

/// The keys whose bytes hold the secret.
fn keys_with_secret(server: &Redis) -> Vec<String> {
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "*"])).unwrap();
    let holds = |key: &String| {
        let redis::Value::BulkString(dump) = server.ask(&["DUMP", key]) else {
            return false;
        };
        dump.windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes())
    };
    keys.into_iter().filter(holds).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_holds_nothing_of_what_was_erased() {
    let server = Arc::new(Redis::start_with(plain()));
    let subject = on_server(&server, Durability::Disk);
    // Neighbours in the same blocks, of the log and of the partition's stream.
    subject.publish("room", 5).await;
    subject.append(secret(&subject)).await.unwrap();
    subject.publish("room", 5).await;
    assert_eq!(keys_with_secret(&server).len(), 2, "log and stream");
    subject.erase("room", &[6]).await.unwrap();
    assert_eq!(keys_with_secret(&server), [""; 0]);
    assert_eq!(subject.log("room").await.len(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_holds_nothing_of_what_retention_took_from_the_log() {
    let server = Arc::new(Redis::start_with(plain()));
    let subject = on_server(&server, Durability::Disk);
    subject.append(secret(&subject)).await.unwrap();
    subject.publish("room", 5).await;
    let stream = stream_key([&*server], "room");
    server.ask(&["XTRIM", &stream.replace(":s", ":l:room"), "MAXLEN", "2"]);
    subject.erase("room", &[1]).await.unwrap();
    assert!(!keys_with_secret(&server).contains(&stream));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_is_written_anew_while_appends_go_on() {
    let server = Arc::new(Redis::start_with(plain()));
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 999).await;
    subject.append(secret(&subject)).await.unwrap();
    subject.publish("room", 2_000).await;
    let publisher = subject.clone();
    let publishing = tokio::spawn(async move {
        for _ in 0..50 {
            publisher.publish("room", 10).await;
        }
    });
    subject.erase("room", &[1_000]).await.unwrap();
    publishing.await.unwrap();
    assert_eq!(keys_with_secret(&server), [""; 0]);
    let log = subject.log("room").await;
    assert_eq!(log.len(), 3_501);
    assert!(
        log.iter()
            .zip(1..)
            .all(|(entry, offset)| entry.offset == offset)
    );
    assert_eq!(log.iter().filter(|entry| entry.erased).count(), 1);
    listener.read_to(3_501).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_log_ends_when_its_meta_does() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    subject.publish("room", 3).await;
    let log = stream_key([&*server], "room").replace(":s", ":l:room");
    let ends = |key: &str| -> i64 { redis::from_redis_value(server.ask(&["TTL", key])).unwrap() };
    let before = ends(&log);
    subject.erase("room", &[2]).await.unwrap();
    let after = [ends(&log), ends(&log.replace(":l:", ":m:"))];
    assert!(
        before > 0
            && after
                .iter()
                .all(|left| (before - 5..=before).contains(left)),
        "{before} {after:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_lags_behind_an_erasure_reads_the_logs() {
    let server = Arc::new(Redis::start());
    let node = || over(config_of(&server.url(), "lag"));
    let (near, far) = (node(), node());
    let mut listener = Listener::join(&far, 0, "room").await;
    near.publish("room", 300).await;
    for offset in 1..=20 {
        near.erase("room", &[offset]).await.unwrap();
        near.publish("room", 20).await;
    }
    let entries = listener.read_to(300 + 20 * 21).await;
    assert_eq!(entries.len(), 720);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_lets_go_of_what_was_erased() {
    let server = Arc::new(Redis::start());
    let node = || over(config_of(&server.url(), "both"));
    let (near, far) = (node(), node());
    let mut listener = Listener::join(&far, 0, "room").await;
    near.publish("room", 3).await;
    listener.read_to(3).await;
    near.erase("room", &[2]).await.unwrap();
    assert!(listener.next().await.erases().is_some());
    let tail = listener.channel().tail();
    assert!(tail[1].erased && tail[1].payload.bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_costs_no_channel_its_epoch_when_redis_restarts() {
    let server = Arc::new(Redis::start_with(
        RedisOptions::default().appendonly("always"),
    ));
    let subject = on_server(&server, Durability::Disk);
    let mut listener = Listener::join(&subject, 0, "room").await;
    // Known here, and older than the cut of the stream.
    let before = subject.publish("room", 100).await[99].position;
    subject.erase("room", &[1, 100]).await.unwrap();
    server.kill();
    server.restart();
    let after = append_again(&subject, "room").await;
    assert_eq!((after.epoch, after.offset), (before.epoch, 102));
    listener.read_to(102).await;
    assert!(subject.log("room").await[99].erased);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_replica_has_what_was_erased_as_tombstones() {
    let primary = Redis::start_with(plain());
    let replica = primary.start_replica();
    let proxy = Proxy::start(primary.address());
    let subject = on_address(proxy.address());
    let mut listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 3).await;
    let before = subject.append(secret(&subject)).await.unwrap().position;
    subject.erase("room", &[4]).await.unwrap();
    replica.wait_until_level_with(&primary);
    primary.kill();
    replica.promote();
    proxy.lead_to(replica.address());
    let after = append_again(&subject, "room").await;
    assert_eq!((after.epoch, after.offset), (before.epoch, 6));
    listener.read_to(6).await;
    assert!(subject.log("room").await[3].erased);
    assert_eq!(keys_with_secret(&replica), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_erasure_is_not_lost_silently() {
    let primary = Redis::start();
    let replica = primary.start_replica();
    let proxy = Proxy::start(primary.address());
    let subject = on_address(proxy.address());
    let listener = Listener::join(&subject, 0, "room").await;
    subject.publish("room", 3).await;
    replica.wait_until_level_with(&primary);
    replica.cut();
    subject.erase("room", &[2]).await.unwrap();
    primary.kill();
    replica.promote();
    proxy.lead_to(replica.address());
    append_again(&subject, "room").await;
    listener.until_lost(4..=4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_erased_while_its_slot_moves() {
    let cluster = Arc::new(RedisCluster::start());
    let subject = on_cluster(&cluster);
    let told = subject.publish("room", 300).await;
    // Not asked for each time: a read may be told to come again while the slot moves, an erasure goes through.
    let epoch = told[0].position.epoch;
    let stream = stream_key(&cluster.nodes, "room");
    let slot = cluster.slot_of(&stream);
    let target = {
        let from = cluster.master_of(slot);
        let is_other = |node: &&Redis| node.is_primary() && node.port() != from.port();
        cluster.nodes.iter().find(is_other).unwrap()
    };
    let erasing = {
        let subject = subject.clone();
        tokio::spawn(async move {
            for offset in 1..=40 {
                let erased = subject.erase_in(epoch, "room", &[offset]).await;
                erased.unwrap();
            }
        })
    };
    cluster.move_slot(slot, target);
    erasing.await.unwrap();
    let log = subject.log("room").await;
    assert_eq!(log.len(), 340);
    assert_eq!(log.iter().filter(|entry| entry.erased).count(), 40);
}
