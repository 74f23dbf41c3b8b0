//! A node that starts when its Redis is not there: it waits and says for what; what would be waited for in vain ends it.

use std::time::Duration;

use parlor_tests::{Cli, Proxy, Redis, RedisOptions, RedisSentinel, Setup, in_both_forms, in_time};

/// Longer than one look at Redis takes that is refused at once.
const EARLY: Duration = Duration::from_millis(800);

/// The server serves nobody until something is mended.
async fn serves_after(setup: Setup, mend: impl FnOnce()) {
    let starting = setup.start();
    tokio::pin!(starting);
    let early = tokio::time::timeout(EARLY, &mut starting).await;
    assert!(early.is_err(), "it cannot know what the others know");
    mend();
    let server = in_time("the server to start", starting).await;
    server.join("ann").await.publish("disk:a", "hello").await;
}

#[test]
fn a_node_waits_for_sentinels_that_give_no_answer() {
    in_both_forms(async |at| {
        let group = RedisSentinel::start(0);
        group.sentinels.iter().for_each(Redis::freeze);
        let thaw = || group.sentinels.iter().for_each(Redis::thaw);
        serves_after(at.setup().on_redis(&group.url()), thaw).await;
    });
}

#[test]
fn a_node_waits_for_a_redis_that_is_away_or_silent() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let line = Proxy::start(redis.address());
        let setup = at.setup().on_redis(&redis.url_at(line.address()));
        line.refuse();
        serves_after(setup.another(), || line.accept()).await;
        redis.freeze();
        serves_after(setup, || redis.thaw()).await;
    });
}

#[tokio::test]
async fn a_node_says_what_it_waits_for_and_ends_when_told() {
    // Nobody listens on port 1.
    let mut node = Cli::node_on("redis+sentinel://127.0.0.1:1/mymaster", &[]);
    let line = node.error_with("Waiting for Redis").await;
    assert!(line.contains("127.0.0.1:1 (Sentinels)"), "{line}");
    node.ask_to_end();
    let (is_done, errors) = node.end().await;
    assert!(is_done, "{errors}");
}

#[tokio::test]
async fn a_node_that_would_wait_in_vain_ends_and_says_why() {
    let evicting = RedisOptions::default().setting("maxmemory-policy", "allkeys-lru");
    let evicting = Redis::start_with(evicting);
    let locked = Redis::start_with(RedisOptions::default().password("right"));
    let small = Redis::start();
    let group = RedisSentinel::start(0);
    for (url, why) in [
        (format!("redis://{}", evicting.address()), "noeviction"),
        (format!("redis://{}", locked.address()), "refuses the user"),
        (format!("redis://{}/99", small.address()), "DB index"),
        (group.url().replace("mymaster", "another"), "No such master"),
    ] {
        let (is_done, errors) = Cli::node_on(&url, &[]).end().await;
        assert!(!is_done && errors.contains(why), "{errors}");
    }
}

#[tokio::test]
async fn a_node_warns_of_a_redis_that_keeps_too_little() {
    let nothing = RedisOptions::default();
    let snapshots = RedisOptions::default().setting("save", "900 1");
    let a_second_late = RedisOptions::default().appendonly("everysec");
    for (options, warning) in [
        (nothing, "keeps nothing on disk"),
        (snapshots, "only takes snapshots"),
        (a_second_late, "up to a second of acknowledged events"),
    ] {
        let redis = Redis::start_with(options);
        Cli::node_on(&redis.url(), &[]).error_with(warning).await;
    }
}
