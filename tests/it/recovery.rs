//! Coming back: all that was missed, or the reason why not. Never a part.

use std::sync::Arc;

use futures_util::future::join_all;
use parlor_protocol::command::{Command, Recover, Subscribe};
use parlor_protocol::reply::{NotRecovered, Reply};
use parlor_tests::{Client, Frailty, Token, everywhere, in_both_forms, said};

const KINDS: [&str; 2] = ["disk:a", "memory:a"];

async fn from(
    client: &mut Client,
    channel: &str,
    position: &str,
) -> parlor_protocol::reply::Subscribed {
    client
        .resume(channel, Recover::From(position.to_owned()))
        .await
}

async fn assert_not_recovered(
    client: &mut Client,
    channel: &str,
    position: &str,
    reason: NotRecovered,
) {
    let subscribed = from(client, channel, position).await;
    assert_eq!(
        (subscribed.recovered, subscribed.reason),
        (Some(false), Some(reason))
    );
    assert_eq!((subscribed.from, subscribed.to), (None, None));
    // None of what was missed follows; what comes next does.
    let published = client.publish(channel, "next").await;
    assert_eq!(published.offset, subscribed.offset + 1);
    let next = client.event().await;
    assert_eq!((said(&next), next.offset), ("next", Some(published.offset)));
}

#[test]
fn late_subscriber_recovers_exactly_the_missed_messages() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut bob = server.join("bob").await;
            let mut ann = server.join("ann").await;
            ann.subscribe(channel).await;
            bob.publish(channel, "heard").await;
            let position = ann.event().await.position.expect("a logged event");
            ann.lose();
            bob.publish_many(channel, 0..7).await;
            for mut ann in server.join_every_shard("ann").await {
                let subscribed = from(&mut ann, channel, &position).await;
                assert_eq!(
                    (subscribed.recovered, subscribed.from, subscribed.to),
                    (Some(true), Some(2), Some(8))
                );
                let events = ann.events(7).await;
                assert_eq!(events, ann.whole_history(channel).await[1..]);
                assert_eq!(ann.pushes_so_far().await, []);
            }
        }
    });
}

#[test]
fn who_missed_nothing_is_told_so() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut ann = server.join("ann").await;
            let fresh = ann.subscribe(channel).await.position;
            ann.unsubscribe(channel).await;
            let again = from(&mut ann, channel, &fresh).await;
            assert_eq!(
                (again.recovered, again.from, again.to),
                (Some(true), None, None),
                "before the first event"
            );
            let position = ann.publish(channel, 1).await.position;
            ann.event().await;
            ann.unsubscribe(channel).await;
            let again = from(&mut ann, channel, &position).await;
            assert_eq!(
                (again.recovered, again.from, again.to),
                (Some(true), None, None)
            );
            ann.publish(channel, 2).await;
            assert_eq!(ann.event().await.offset, Some(2));
        }
    });
}

#[test]
fn a_position_from_before_the_first_event_recovers_from_the_first() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut ann = server.join("ann").await;
            let position = ann.subscribe(channel).await.position;
            ann.unsubscribe(channel).await;
            ann.publish_many(channel, 0..3).await;
            let subscribed = from(&mut ann, channel, &position).await;
            assert_eq!(
                (subscribed.recovered, subscribed.from, subscribed.to),
                (Some(true), Some(1), Some(3))
            );
            assert_eq!(ann.events(3).await.len(), 3);
        }
    });
}

#[test]
fn the_latest_come_first_as_many_as_there_are() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut ann = server.join("ann").await;
            ann.publish_many(channel, 0..10).await;
            for (wanted, first) in [(0, 11), (1, 10), (4, 7), (10, 1), (1_000_000, 1)] {
                let subscribed = ann.resume(channel, Recover::Latest(wanted)).await;
                assert_eq!(subscribed.recovered, Some(true));
                let replayed = ann.events(11 - first as usize).await;
                let offsets: Vec<_> = replayed.iter().filter_map(|event| event.offset).collect();
                assert_eq!(offsets, (first..=10).collect::<Vec<_>>());
                let missed = (first <= 10).then_some((first, 10));
                assert_eq!(subscribed.from.zip(subscribed.to), missed);
                ann.unsubscribe(channel).await;
            }
        }
    });
}

#[test]
fn the_latest_follow_on_what_the_reply_tells_also_when_retention_passed_it() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        for channel in ["short:a", "short-memory:a"] {
            let mut bob = server.join("bob").await;
            bob.publish_many(channel, 0..10).await;
            let mut ann = server.join("ann").await;
            frailty.hold_readings();
            let subscribe = Subscribe::new(channel).recover(Recover::Latest(1));
            let asked = ann.send(Command::Subscribe(subscribe)).await;
            frailty.until_held().await;
            // Five are kept: of what comes behind the top that the join knows, the first is gone when it reads.
            let gone = bob.publish(channel, 10).await;
            bob.publish_many(channel, 11..16).await;
            frailty.go_on();
            let Ok(Reply::Subscribe(subscribed)) = ann.reply(asked).await else {
                panic!("not subscribed; {}", ann.story())
            };
            assert_eq!((subscribed.recovered, subscribed.from), (Some(true), None));
            assert_eq!(
                (subscribed.offset, subscribed.position),
                (gone.offset, gone.position)
            );
            let events = ann.events(5).await;
            let offsets = events.iter().filter_map(|event| event.offset);
            assert!(offsets.eq(12..=16), "no hole behind the reply");
        }
    });
}

#[test]
fn what_is_replayed_comes_under_the_alias_of_its_own_subscription() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut ann = server.join("ann").await;
            let start = ann.subscribe(channel).await.position;
            ann.publish_many(channel, 0..3).await;
            ann.events(3).await;
            // Nobody is left: the channel's next alias is another one.
            ann.unsubscribe(channel).await;
            ann.subscribe("disk:other").await;
            ann.subscribe("memory:other").await;
            let alias = from(&mut ann, channel, &start).await.alias;
            for offset in 1..=3 {
                let (heard, event) = ann.aliased_event().await;
                assert_eq!((heard, event.offset), (alias, Some(offset)));
            }
            ann.unsubscribe("disk:other").await;
            ann.unsubscribe("memory:other").await;
        }
    });
}

#[test]
fn a_long_absence_is_replayed_while_others_go_on() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut bob = server.join("bob").await;
            let position = bob.subscribe(channel).await.position;
            bob.unsubscribe(channel).await;
            bob.publish_many(channel, 0..900).await;
            let mut readers = server.join_every_shard("ann").await;
            for (reader, ann) in readers.iter_mut().enumerate() {
                let subscribed = from(ann, channel, &position).await;
                let to = Some(900 + reader as u64);
                assert_eq!(
                    (subscribed.recovered, subscribed.from, subscribed.to),
                    (Some(true), Some(1), to)
                );
                bob.publish_many(channel, 900..901).await;
            }
            let all = 900 + at.shards;
            for ann in &mut readers {
                let events = ann.events(all).await;
                let offsets = events.iter().filter_map(|event| event.offset);
                assert!(offsets.eq(1..=all as u64), "in order, without a hole");
            }
        }
    });
}

#[test]
fn what_retention_took_is_not_recovered_in_part() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["short:a", "short-memory:a"] {
            let mut ann = server.join("ann").await;
            let start = ann.subscribe(channel).await.position;
            ann.unsubscribe(channel).await;
            let mut positions = Vec::new();
            for word in 0..12 {
                positions.push(ann.publish(channel, word).await.position);
            }
            // Five are kept: 8 to 12. Behind 7 nothing is missing, behind 6 one is.
            let subscribed = from(&mut ann, channel, &positions[6]).await;
            assert_eq!(
                (subscribed.recovered, subscribed.from, subscribed.to),
                (Some(true), Some(8), Some(12))
            );
            ann.events(5).await;
            ann.unsubscribe(channel).await;
            assert_not_recovered(&mut ann, channel, &positions[5], NotRecovered::Expired).await;
            ann.unsubscribe(channel).await;
            assert_not_recovered(&mut ann, channel, &start, NotRecovered::Expired).await;
        }
    });
}

#[test]
fn a_memory_channel_begins_a_new_life_with_its_server() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let before = ann.publish("memory:a", 1).await.position;
        let empty = ann.subscribe("memory:empty").await.position;
        ann.leave().await;
        let server = server.stop().await.start().await;
        let mut ann = server.join("ann").await;
        assert_not_recovered(&mut ann, "memory:a", &before, NotRecovered::EpochChanged).await;
        assert_not_recovered(&mut ann, "memory:empty", &empty, NotRecovered::EpochChanged).await;
    });
}

#[test]
fn a_disk_channel_goes_on_after_a_restart() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let first = ann.publish("disk:a", 1).await.position;
        ann.publish("disk:a", 2).await;
        let empty = ann.subscribe("disk:empty").await.position;
        ann.leave().await;
        let server = server.stop().await.start().await;
        let mut ann = server.join("ann").await;
        let subscribed = from(&mut ann, "disk:a", &first).await;
        assert_eq!(
            (subscribed.recovered, subscribed.from, subscribed.to),
            (Some(true), Some(2), Some(2))
        );
        assert_eq!(said(&ann.event().await), "2");
        ann.publish("disk:empty", 1).await;
        assert_eq!(
            from(&mut ann, "disk:empty", &empty).await.recovered,
            Some(true),
            "the store's epoch stays"
        );
        assert_eq!(said(&ann.event().await), "1");
    });
}

#[test]
fn a_wiped_store_is_a_new_life() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let before = ann.publish("disk:a", 1).await.position;
        ann.leave().await;
        let stopped = server.stop().await;
        for entry in std::fs::read_dir(stopped.directory()).expect("its directory") {
            std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
        let server = stopped.start().await;
        let mut ann = server.join("ann").await;
        assert_not_recovered(&mut ann, "disk:a", &before, NotRecovered::EpochChanged).await;
    });
}

#[test]
fn a_restored_backup_is_recognised() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let kept = ann.publish("disk:a", "in the backup").await.position;
        ann.leave().await;
        let stopped = server.stop().await;
        let backup = parlor_tests::Copy::of(stopped.directory());

        let server = stopped.start().await;
        let mut ann = server.join("ann").await;
        let lost = ann.publish("disk:a", "not in the backup").await.position;
        ann.leave().await;
        let stopped = server.stop().await;
        backup.restore(stopped.directory());

        let server = stopped.start().await;
        let mut ann = server.join("ann").await;
        // Above the top, at the top, and below it.
        for _ in 0..3 {
            assert_not_recovered(&mut ann, "disk:a", &lost, NotRecovered::Diverged).await;
            ann.unsubscribe("disk:a").await;
        }
        let subscribed = from(&mut ann, "disk:a", &kept).await;
        assert_eq!(
            subscribed.recovered,
            Some(true),
            "what both logs share is still a place"
        );
        let events = ann.events(3).await;
        assert!(events.iter().all(|event| said(event) == "next"));
    });
}

#[test]
fn who_may_not_read_history_does_not_recover() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann").may(&["subscribe", "publish"], "*").sign();
        let mut ann = server.join_by_token(&token).await;
        let position = ann.publish("disk:a", 1).await.position;
        ann.publish("disk:a", 2).await;
        assert_not_recovered(&mut ann, "disk:a", &position, NotRecovered::NotPermitted).await;
        ann.unsubscribe("disk:a").await;
        let latest = ann.resume("disk:a", Recover::Latest(10)).await;
        assert_eq!(
            (latest.recovered, latest.reason),
            (Some(false), Some(NotRecovered::NotPermitted))
        );
    });
}

#[test]
fn a_string_that_is_no_position_is_told() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let real = ann.publish("disk:a", 1).await.position;
        for nonsense in [
            "",
            "nonsense",
            "1.2.3",
            &real[1..],
            &format!("{real}.1"),
            &"x".repeat(128),
        ] {
            assert_not_recovered(&mut ann, "disk:a", nonsense, NotRecovered::BadPosition).await;
            ann.unsubscribe("disk:a").await;
        }
    });
}

#[test]
fn more_than_the_server_replays_is_told() {
    use parlor_protocol::limits::RECOVER_EVENTS_MAX;
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let start = ann.subscribe("memory:a").await.position;
        ann.unsubscribe("memory:a").await;
        let first = ann.publish("memory:a", "first").await.position;
        ann.publish_many("memory:a", 1..RECOVER_EVENTS_MAX + 1)
            .await;
        let subscribed = from(&mut ann, "memory:a", &first).await;
        assert_eq!(
            (subscribed.recovered, subscribed.from),
            (Some(true), Some(2))
        );
        let events = ann.events(RECOVER_EVENTS_MAX).await;
        assert!(
            events
                .iter()
                .filter_map(|event| event.offset)
                .eq(2..=RECOVER_EVENTS_MAX as u64 + 1)
        );
        ann.unsubscribe("memory:a").await;
        assert_not_recovered(&mut ann, "memory:a", &start, NotRecovered::TooMany).await;
    });
}

/// 10,000 clients that come back at once read the log at most once per channel: as many per channel as there, of fewer
/// channels. `bench/run --works cut-and-back` plays it at full size.
#[test]
fn clients_that_come_back_at_once_read_the_log_at_most_once_per_channel() {
    const CHANNELS: usize = 4;
    const CLIENTS: usize = 10;
    const PAGES: &str = "parlor_broker_pages_total";
    everywhere(async |at| {
        let server = at.start().await;
        let mut bob = server.join("bob").await;
        let names = KINDS.map(|kind| (0..CHANNELS).map(move |number| format!("{kind}{number}")));
        let names: Vec<_> = names.into_iter().flatten().collect();
        let mut crowd = Vec::new();
        for name in &names {
            // Each has heard one more than the one before when it is cut.
            for _ in 0..CLIENTS {
                let mut client = server.join("ann").await;
                client.subscribe(name).await;
                let position = bob.publish(name, "heard").await.position;
                client.event().await;
                crowd.push((name, client, position));
            }
        }
        let mut lost = Vec::new();
        for (index, (name, client, position)) in crowd.into_iter().enumerate() {
            client.lose();
            lost.push((index % CLIENTS, name, position));
        }
        server.figures().reach("parlor_channels", 0).await;
        for name in &names {
            bob.publish_many(name, 0..3).await;
        }
        let before = server.figures().read(PAGES).await;
        let returning = lost.iter().map(async |(number, name, position)| {
            let mut client = server.join("ann").await;
            let subscribed = from(&mut client, name, position).await;
            assert_eq!(subscribed.recovered, Some(true));
            let missed = CLIENTS - 1 - number + 3;
            let offsets = client.events(missed).await;
            let offsets = offsets.iter().filter_map(|event| event.offset);
            assert!(offsets.eq(*number as u64 + 2..=CLIENTS as u64 + 3));
            client
        });
        let back = join_all(returning).await;
        assert_eq!(back.len(), names.len() * CLIENTS);
        let read = server.figures().read(PAGES).await - before;
        assert_eq!(read, names.len() as u64, "pages read");
    });
}
