//! How many appends one writer takes. Not a promise: run it by hand on the machine in question.
//! `cargo test --release -p parlor-tests --test contract throughput -- --ignored --nocapture`

use std::time::Instant;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use parlor::broker::Append;

use crate::subject::{Factory, Settings, dedup, embedded_disk, embedded_memory};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn appends_per_second() {
    for (store, factory) in [
        ("disk", embedded_disk as Factory),
        ("memory", embedded_memory),
    ] {
        for channels in [1, 1_000] {
            measure(store, factory, channels).await;
        }
    }
}

/// 8 publishers, each with 256 appends in flight, ids and 200 bytes of payload.
async fn measure(store: &str, factory: Factory, channels: usize) {
    const PUBLISHERS: usize = 8;
    const IN_FLIGHT: usize = 256;
    const EACH: usize = 20_000;
    let subject = factory(Settings::default());
    let text = "x".repeat(200);
    let started = Instant::now();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let (subject, text) = (subject.clone(), text.clone());
        tokio::spawn(async move {
            stream::iter(0..EACH)
                .map(|index| {
                    let channel = format!("room{}", (index * PUBLISHERS + publisher) % channels);
                    let id = format!("{publisher}-{index}");
                    subject.broker.append(Append {
                        dedup: dedup("u:ann", &id),
                        ..subject.message(&channel, &text)
                    })
                })
                .buffered(IN_FLIGHT)
                .for_each(async |answer| assert!(answer.is_ok(), "{answer:?}"))
                .await;
        })
    });
    join_all(publishers)
        .await
        .into_iter()
        .for_each(|done| done.unwrap());
    let rate = (PUBLISHERS * EACH) as f64 / started.elapsed().as_secs_f64();
    println!("{store}, {channels} channels: {rate:.0} appends/s");
}
