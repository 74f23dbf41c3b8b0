//! Replays that nobody reads: whoever resumes many channels in one `connect` and takes nothing makes the server hold a page
//! or two, not one for each channel. Nothing is lost by that: once it reads, everything comes.

use std::collections::HashMap;

use futures_util::future::join_all;
use parlor_protocol::command::{Connect, Direction, History, Recover, Subscribe};
use parlor_protocol::reply::SubscribeOutcome;
use parlor_protocol::{Alias, Form};
use parlor_tests::{Client, blob, publish};

use crate::resident::Resident;

const CHANNELS: usize = 64;

/// Events of each channel: together a page of its log, one mebibyte.
const EVENTS: usize = 32;
const EVENT_BYTES: usize = 32_000;

/// What the channels' tails may take, 256 KiB each whoever reads them, and 16 MiB for all else.
const GROWTH_KIB_MAX: i64 = CHANNELS as i64 * 256 + 16 * 1024;

/// Long enough that nobody is asked for a sign of life while it does not read.
const PING_INTERVAL_MS: u32 = 300_000;

fn channel(number: usize) -> String {
    format!("room:{number}")
}

async fn join(server: &Resident, user: &str, subscriptions: Vec<Subscribe>) -> Client {
    let mut client = Client::open(server.address(), Form::Json).await;
    client
        .connect(Connect {
            user: Some(user.to_owned()),
            ping_interval_ms: Some(PING_INTERVAL_MS),
            subscriptions,
            ..Connect::default()
        })
        .await
        .expect("connected");
    client
}

/// A writer for each channel: one alone would be held up by the rate.
async fn fill(server: &Resident) {
    let writers = (0..CHANNELS).map(|number| async move {
        let mut writer = join(server, &format!("writer-{number}"), Vec::new()).await;
        for _ in 0..EVENTS {
            writer
                .try_publish(publish(&channel(number), blob(EVENT_BYTES)))
                .await
                .expect("published");
        }
        writer.leave().await;
    });
    join_all(writers).await;
}

/// The newest events of each of these channels, asked for one after the other.
async fn look(client: &mut Client, channels: impl Iterator<Item = usize>, limit: u32) {
    for number in channels {
        let page = client
            .try_history(History {
                limit: Some(limit),
                ..History::new(channel(number), Direction::Backward)
            })
            .await
            .expect("a page");
        assert_eq!(page.events.len(), limit as usize);
    }
}

#[tokio::test]
async fn who_resumes_many_channels_and_reads_nothing_holds_a_page_and_gets_all_of_it_later() {
    let server = Resident::start();
    fill(&server).await;
    let mut ann = join(&server, "ann", Vec::new()).await;
    let mut bob = join(&server, "bob", Vec::new()).await;
    // Both of the log's readers fill their caches now: those are no part of what is measured.
    tokio::join!(
        look(&mut ann, 0..CHANNELS, 16),
        look(&mut bob, (0..CHANNELS).rev(), 16),
    );
    let before = server.rss_kib();

    let wishes = (0..CHANNELS)
        .map(|number| Subscribe::new(channel(number)).recover(Recover::Latest(EVENTS as u32)))
        .collect();
    let mut mallory = join(&server, "mallory", wishes).await;
    let mut most = server.rss_kib();
    // Pages that the replays asked for are read before these, or at least among them.
    for number in 0..CHANNELS {
        look(&mut ann, number..=number, 1).await;
        most = most.max(server.rss_kib());
    }
    let growth = most - before;
    eprintln!(
        "{CHANNELS} replays that nobody reads: memory grew by {growth} KiB, from {before} KiB"
    );
    assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");

    let numbers: HashMap<Alias, usize> = mallory
        .hello()
        .subscriptions
        .iter()
        .enumerate()
        .map(|(number, outcome)| match outcome {
            SubscribeOutcome::Subscribed(subscribed) => {
                assert_eq!(subscribed.recovered, Some(true));
                (subscribed.alias, number)
            }
            SubscribeOutcome::Refused { channel, error } => panic!("{channel}: {error:?}"),
        })
        .collect();
    let mut heard = vec![0_u64; CHANNELS];
    for _ in 0..CHANNELS * EVENTS {
        let (alias, event) = mallory.aliased_event().await;
        let last = &mut heard[numbers[&alias]];
        *last += 1;
        assert_eq!(event.offset, Some(*last), "in order, and once");
    }
    // Each went live.
    for number in 0..CHANNELS {
        ann.publish(&channel(number), "after").await;
        let (alias, event) = mallory.aliased_event().await;
        assert_eq!(numbers[&alias], number);
        assert_eq!(event.offset, Some(EVENTS as u64 + 1));
    }
    server.assert_calm();
}
