//! What an operator sees of Redis from a node's side: its metrics and its log.

use parlor_protocol::Form;
use parlor_tests::{
    At, Cli, Client, Figures, Redis, RedisSentinel, Server, Setup, in_both_forms, in_time,
};

/// A server on a Redis of its own, and somebody who listens there.
async fn start(at: At) -> (Redis, Server, Client) {
    let redis = Redis::start();
    let server = at.setup().on_redis(&redis.url()).start().await;
    let mut ann = server.join("ann").await;
    ann.subscribe("disk:a").await;
    (redis, server, ann)
}

#[test]
fn what_goes_through_redis_is_counted() {
    in_both_forms(async |at| {
        let (_redis, server, mut ann) = start(at).await;
        let figures = server.figures();
        let batches = figures.read("parlor_redis_batches_total").await;
        let timed = figures.read("parlor_broker_commit_seconds_count").await;
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        assert!(figures.read("parlor_redis_batches_total").await > batches);
        let newly_timed = figures.read("parlor_broker_commit_seconds_count").await - timed;
        assert!(newly_timed >= 5, "{newly_timed}");
        assert!(figures.read("parlor_broker_appends_total").await >= 5);
        assert!(figures.read("parlor_redis_entries_total").await > 0);
        assert!(figures.read("parlor_redis_dials_total").await > 0);
        let forgotten_early = figures
            .read("parlor_broker_ids_forgotten_early_total")
            .await;
        assert_eq!(forgotten_early, 0);
    });
}

#[test]
fn channels_that_began_a_new_life_are_counted() {
    in_both_forms(async |at| {
        let (redis, server, mut ann) = start(at).await;
        let figures = server.figures();
        ann.publish_many("disk:a", 0..5).await;
        ann.events(5).await;
        let changes = figures.read("parlor_redis_epoch_changes_total").await;
        redis.flush_all();
        figures
            .pass("parlor_redis_epoch_changes_total", changes)
            .await;
    });
}

/// The age of the probe through one Redis, by the whole name of its figure.
fn probe_age(redis: &Redis) -> String {
    let address = redis.address();
    format!("parlor_redis_probe_age_milliseconds{{redis=\"{address}\"}}")
}

/// Waits until the page shows this figure, or no longer does.
async fn until_shown(figures: &Figures, name: &str, is_shown: bool) {
    let as_wanted = async {
        while figures.try_read(name).await.is_some() != is_shown {
            tokio::task::yield_now().await;
        }
    };
    in_time(&format!("{name}: {is_shown}"), as_wanted).await;
}

#[tokio::test]
async fn a_redis_that_is_silent_shows_how_long() {
    let redis = Redis::start();
    let server = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = server.start().await;
    let (figures, age) = (server.figures(), probe_age(&redis));
    until_shown(figures, &age, true).await;
    redis.freeze();
    figures.pass(&age, 2_000).await;
    redis.thaw();
}

#[tokio::test]
async fn the_probe_is_shown_of_the_redis_that_is_used_and_of_no_other() {
    let group = RedisSentinel::start(1);
    let server = Setup::new(Form::Json, 1).on_redis(&group.url());
    let server = server.start().await;
    let old = group.primary();
    until_shown(server.figures(), &probe_age(old), true).await;
    old.kill();
    let new = group.wait_for_primary_other_than(old);
    until_shown(server.figures(), &probe_age(new), true).await;
    until_shown(server.figures(), &probe_age(old), false).await;
}

#[tokio::test]
async fn a_node_says_why_redis_takes_nothing_and_when_that_is_over() {
    let redis = Redis::start();
    let mut node = Cli::node_on(&redis.url(), &["--set", "log.filter=info"]);
    node.error_with("Joined the other nodes on Redis").await;
    // Heartbeats are appended too: nobody needs to publish.
    redis.set_config("maxmemory", "1");
    let line = node.error_with("Unable to append to Redis").await;
    assert!(line.contains("OOM"), "{line}");
    redis.set_config("maxmemory", "0");
    node.error_with("Redis takes appends again").await;
}
