//! Where a partition's stream does not go on where its tail stood, the channels are compared with their logs: also those that
//! somebody is just joining.

use std::sync::Arc;

use parlor::hub::ShardId;
use parlor::kind::Durability;
use parlor_protocol::Form;
use parlor_tests::{Redis, Setup, eventually};

use crate::redis::{on_server, tear};
use crate::subject::name;

/// A heartbeat may fall into the hole instead of the event, once in some hundred times.
const ROUNDS: usize = 4;

const SHARD: ShardId = ShardId(0);

const HOLES: &str = "parlor_redis_holes_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_beside_a_hole_does_not_miss_what_fell_into_it() {
    let server = Arc::new(Redis::start());
    let subject = on_server(&server, Durability::Disk);
    for round in 0..ROUNDS {
        let room = format!("room{round}");
        let channel = name(&room);
        let live = subject.hub.enter(&channel, SHARD);
        // The join has read its top, and whoever joins is not told yet.
        let joined = subject.broker.join(&channel, &subject.kind).await.unwrap();
        tear(&server);
        let first = subject.publish(&room, 1).await[0].position;
        let top = eventually("the channel's top to be known", || live.top());
        assert_eq!(top, first);
        assert_eq!(live.learn_top(joined), first);
        let pull = live.pull(SHARD, joined, 0);
        assert!(
            pull.trimmed || pull.entries.len() == 1,
            "the event is neither in the tail nor looked for in the log: {pull:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_counted() {
    let redis = Redis::start();
    let setup = Setup::new(Form::Json, 1).on_redis(&redis.url());
    let server = setup.start().await;
    let figures = server.figures();
    // From here on the tail knows what the next entry must follow on.
    figures.pass("parlor_redis_entries_total", 0).await;
    let holes = figures.read(HOLES).await;
    tear(&redis);
    figures.pass(HOLES, holes).await;
}
