//! How a Redis is reached: users, passwords, TLS, prefixes; and which one is refused at the start.

use std::collections::BTreeSet;
use std::sync::Arc;

use parlor::broker::Redis as Broker;
use parlor::broker::redis::{Authorities, OpenError, RedisConfig};
use parlor::hub::Hub;
use parlor_tests::{Authority, Redis, RedisCluster, RedisOptions, RedisSentinel, eventually};

use crate::listener::Listener;
use crate::redis::{append_again, config_of, over, stream_key};
use crate::subject::{SHARDS, Subject};

async fn works(subject: &Subject) {
    let appended = subject.append(subject.message("room", "x")).await.unwrap();
    assert_eq!(appended.position.offset, 1);
    assert_eq!(subject.log("room").await.len(), 1);
}

fn open(config: RedisConfig) -> Result<Broker, OpenError> {
    Broker::open(config, Arc::new(Hub::new(1)))
}

fn refusal(config: RedisConfig) -> String {
    open(config).expect_err("it must not start").to_string()
}

fn address(server: &Redis) -> String {
    format!("redis://{}", server.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_and_a_wrong_one_is_told() {
    let server = Redis::start_with(RedisOptions::default().password("right"));
    let config = |password: Option<&str>| RedisConfig {
        password: password.map(str::to_owned),
        ..config_of(&address(&server), "parlor")
    };
    works(&over(config(Some("right")))).await;
    for wrong in [Some("wrong"), None] {
        let told = refusal(config(wrong));
        assert!(told.contains("refuses the user"), "{told}");
        assert!(!told.contains("wrong:"), "no password is repeated: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_the_documented_rights_is_enough() {
    let server = Redis::start_with(RedisOptions::default().documented_user("secret"));
    let config = RedisConfig {
        user: Some("parlor".to_owned()),
        password: Some("secret".to_owned()),
        ..config_of(&address(&server), "parlor")
    };
    works(&over(config)).await;
}

/// Where there is no Cluster Redis says so, unless the user may not even ask.
#[test]
fn a_user_with_the_documented_rights_may_ask_a_cluster_for_its_slots() {
    let server = Redis::start_with(RedisOptions::default().documented_user("secret"));
    for question in ["SLOTS", "INFO"] {
        let told = server.try_ask(&["CLUSTER", question]).unwrap_err();
        let told = told.to_string();
        assert!(told.contains("cluster support disabled"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_keep_parlors_apart() {
    let server = Redis::start();
    for prefix in ["one", "two"] {
        works(&over(config_of(&address(&server), prefix))).await;
    }
}

/// Writes down what a node of another wish or version would have.
fn agree_before(server: &Redis, field: &str, value: &str) {
    server.ask(&["HSET", "parlor:{config}:agreed", field, value]);
}

/// How many partitions were ever used.
fn partitions(server: &Redis) -> usize {
    let metas = server.ask(&["KEYS", "parlor:*:meta"]);
    redis::from_redis_value::<Vec<String>>(metas).unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_work_with_the_partitions_that_were_agreed_on() {
    let server = Redis::start();
    // On one primary a node would have chosen a single one.
    agree_before(&server, "partitions", "3");
    let node = || over(config_of(&address(&server), "parlor"));
    let (one, other) = (node(), node());
    for shard in 0..SHARDS {
        let channel = format!("room:{shard}");
        let mut listener = Listener::join(&other, shard, &channel).await;
        // Both have just started: a busy machine may want to be asked again.
        let position = append_again(&one, &channel).await;
        assert!(!listener.read_to(position.offset).await.is_empty());
    }
    eventually("all three to be used", || {
        (partitions(&server) == 3).then_some(())
    });
}

#[test]
fn a_redis_whose_keys_are_of_another_version_is_refused() {
    let server = Redis::start();
    agree_before(&server, "version", "2");
    let told = refusal(config_of(&address(&server), "parlor"));
    assert!(told.contains("version 2"), "{told}");
}

#[test]
fn a_number_of_partitions_that_cannot_be_is_refused() {
    for number in ["0", "1025"] {
        let server = Redis::start();
        agree_before(&server, "partitions", number);
        let told = refusal(config_of(&address(&server), "parlor"));
        assert!(told.contains(&format!("{number} partitions")), "{told}");
    }
}

#[test]
fn a_redis_that_evicts_is_refused() {
    let options = RedisOptions::default().setting("maxmemory-policy", "allkeys-lru");
    let server = Redis::start_with(options);
    let told = refusal(config_of(&address(&server), "parlor"));
    assert!(
        told.contains("allkeys-lru") && told.contains("noeviction"),
        "{told}"
    );
}

#[test]
fn a_redis_that_is_not_there_is_named() {
    let told = refusal(config_of("redis://127.0.0.1:1", "parlor"));
    assert!(told.contains("127.0.0.1:1"), "{told}");
}

#[test]
fn a_replica_is_no_primary() {
    let server = Redis::start();
    let replica = server.start_replica();
    let told = refusal(config_of(&address(&replica), "parlor"));
    assert!(told.contains("unable to start"), "{told}");
}

fn trusting(url: &str, authority: &Authority) -> RedisConfig {
    RedisConfig {
        authorities: Authorities::of_pem(&std::fs::read(authority.certificate()).unwrap()).unwrap(),
        ..config_of(url, "parlor")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_an_authority_of_ones_own() {
    let authority = Authority::new();
    let server = Redis::start_with(RedisOptions::default().tls(&authority));
    let url = server.url();
    works(&over(trusting(&url, &authority))).await;
    let stranger = refusal(config_of(&url, "parlor"));
    assert!(
        stranger.contains("unable to start"),
        "nobody trusts this authority unasked: {stranger}"
    );
}

/// Where several Redis speak TLS only, among themselves too, and to Parlor only as the user with the documented rights.
fn locked(authority: &Authority) -> RedisOptions {
    let options = RedisOptions::default().documented_user("secret");
    options.administered("other").tls(authority)
}

/// A node there.
fn admitted(url: &str, authority: &Authority) -> Subject {
    over(RedisConfig {
        user: Some("parlor".to_owned()),
        password: Some("secret".to_owned()),
        ..trusting(url, authority)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_the_documented_rights_are_enough_under_sentinels_through_a_failover() {
    let authority = Authority::new();
    let group = RedisSentinel::start_with(1, locked(&authority));
    let node = || admitted(&group.url(), &authority);
    let (one, other) = (node(), node());
    let mut listener = Listener::join(&other, 0, "room").await;
    one.append(one.message("room", "x")).await.unwrap();
    assert_eq!(listener.read_to(1).await.len(), 1);
    let old = group.primary();
    group.replicas()[0].wait_until_level_with(old);
    old.kill();
    group.wait_for_primary_other_than(old);
    let position = append_again(&one, "room").await;
    assert!(!listener.read_to(position.offset).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_the_documented_rights_are_enough_on_every_master_of_a_cluster() {
    let authority = Authority::new();
    let cluster = RedisCluster::start_with(&locked(&authority));
    let node = || admitted(&cluster.url(), &authority);
    let (one, other) = (node(), node());
    let mut masters = BTreeSet::new();
    for shard in 0..SHARDS {
        let channel = format!("room:{shard}");
        let mut listener = Listener::join(&other, shard, &channel).await;
        // Both have just started: a busy machine may want to be asked again.
        let position = append_again(&one, &channel).await;
        assert!(!listener.read_to(position.offset).await.is_empty());
        let stream = stream_key(&cluster.nodes, &channel);
        masters.insert(cluster.master_of_key(&stream).port());
    }
    assert_eq!(masters.len(), 3, "the channels lie on every master");
}
