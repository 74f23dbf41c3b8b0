//! A join's position and the deliveries after it leave nothing between them.

use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::listener::Listener;
use crate::subject::{Factory, SHARDS, Settings, Subject};

/// Appends race with joins at random moments. A listener checks each entry itself: exactly the next offset
/// behind the joined position, with its `prev`.
pub(crate) async fn a_join_never_misses_an_event(factory: Factory) {
    const ROUNDS: u64 = 12;
    let seed = crate::crash::seed();
    let subject = factory(Settings::default());
    for round in 0..ROUNDS {
        race(&subject, &format!("room{round}"), seed.wrapping_add(round)).await;
    }
}

async fn race(subject: &Subject, channel: &str, seed: u64) {
    const APPENDS: usize = 240;
    let appending = async {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut sent = 0;
        while sent < APPENDS {
            let burst = random.random_range(1..=12).min(APPENDS - sent);
            subject.publish(channel, burst).await;
            sent += burst;
            tokio::task::yield_now().await;
        }
    };
    let listening = (0..SHARDS).map(|shard| {
        let subject = subject.clone();
        let channel = channel.to_owned();
        tokio::spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed ^ shard as u64);
            for _ in 0..random.random_range(0..200) {
                tokio::task::yield_now().await;
            }
            // Come and go: the channel dies and is made again while events are on their way.
            while random.random_bool(0.5) {
                let mut visit = Listener::join(&subject, shard, &channel).await;
                let some = (visit.position.offset + random.random_range(0..5)).min(APPENDS as u64);
                visit.read_to(some).await;
            }
            Listener::join(&subject, shard, &channel)
                .await
                .read_to(APPENDS as u64)
                .await;
        })
    });
    let ((), listened) = tokio::join!(appending, join_all(listening));
    listened.into_iter().for_each(|done| done.unwrap());
}

pub(crate) async fn a_join_before_the_first_event_sees_it(factory: Factory) {
    let subject = factory(Settings::default());
    let mut listener = Listener::join(&subject, 0, "room").await;
    assert_eq!(listener.position.offset, 0);
    subject.publish("room", 3).await;
    assert_eq!(listener.read_to(3).await.len(), 3);
}
