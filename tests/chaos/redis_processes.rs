//! The harness's Redis processes do what rows of faults ask of them.

use parlor_tests::{Redis, RedisCluster, RedisOptions, RedisSentinel, eventually};

fn value(redis: &Redis, key: &str) -> Option<String> {
    let answer = redis.try_ask(&["GET", key]).ok()?;
    redis::from_redis_value(answer).ok()?
}

#[test]
fn what_was_appended_to_its_file_survives_a_kill() {
    let redis = Redis::start_with(RedisOptions::default().appendonly("always"));
    redis.ask(&["SET", "a", "1"]);
    redis.restart();
    assert_eq!(value(&redis, "a").as_deref(), Some("1"));
    redis.restart_empty();
    assert_eq!(value(&redis, "a"), None);
}

#[test]
fn a_frozen_one_answers_nothing_until_it_is_thawed() {
    let redis = Redis::start();
    redis.freeze();
    assert!(redis.try_ask(&["PING"]).is_err());
    redis.thaw();
    redis.ask(&["PING"]);
}

#[test]
fn a_password_and_a_user_are_asked_for() {
    let with_password = Redis::start_with(RedisOptions::default().password("secret"));
    assert!(with_password.url().contains("secret"));
    let options = RedisOptions::default().user("parlor", "secret", "~* &* +@all");
    let with_user = Redis::start_with(options);
    let bare = format!("redis://{}", with_user.address());
    let client = redis::Client::open(bare).expect("an address");
    let mut connection = client.get_connection().expect("connected");
    let answer: Result<String, _> = redis::cmd("PING").query(&mut connection);
    assert!(answer.is_err());
}

#[test]
fn a_cut_replica_keeps_what_it_had_and_can_be_promoted() {
    let primary = Redis::start();
    let replica = primary.start_replica();
    primary.ask(&["SET", "a", "1"]);
    replica.wait_until_level_with(&primary);
    replica.cut();
    primary.ask(&["SET", "a", "2"]);
    replica.promote();
    assert_eq!(value(&replica, "a").as_deref(), Some("1"));
    assert!(replica.is_primary());
}

#[test]
fn sentinels_promote_a_replica_when_the_primary_is_killed() {
    let group = RedisSentinel::start(2);
    let old = group.primary();
    old.kill();
    let new = group.wait_for_primary_other_than(old);
    new.ask(&["SET", "a", "1"]);
    old.restart();
    group.wait_until_settled();
    assert!(!old.is_primary());
    let third = group.fail_over_from(new);
    third.ask(&["SET", "b", "1"]);
}

#[test]
fn a_cluster_fails_over_and_moves_a_slot() {
    let cluster = RedisCluster::start();
    let master = cluster.master_of_key("{a}");
    master.ask(&["SET", "{a}", "1"]);
    let replica = cluster.replica_of(master);
    replica.wait_until_level_with(master);
    master.kill();
    let new = eventually("the cluster's own failover", || {
        let new = cluster.master_of_key("{a}");
        (new.port() == replica.port()).then_some(new)
    });
    assert_eq!(value(new, "{a}").as_deref(), Some("1"));
    master.restart();
    cluster.wait_until_well();
    let slot = cluster.slot_of("{a}");
    let others = cluster.nodes.iter().filter(|node| node.is_primary());
    let target = others
        .clone()
        .find(|node| node.port() != new.port())
        .expect("another master");
    cluster.move_slot(slot, target);
    assert_eq!(value(target, "{a}").as_deref(), Some("1"));
    assert_eq!(cluster.master_of(slot).port(), target.port());
}
