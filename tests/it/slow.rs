//! Readers that read too slowly: nobody waits for them, and they are told what they miss.

use std::sync::Arc;
use std::time::Duration;

use parlor::config::Config;
use parlor_protocol::command::{Command, Connect, Direction, History, Recover};
use parlor_protocol::reply::NotRecovered;
use parlor_protocol::{CloseCode, EventKind, Push};
use parlor_tests::{Client, Frailty, Server, blob, everywhere, in_both_forms, json, publish, said};

/// Far more than all kernel buffers and the outbox together take.
const FLOOD: usize = 600;
/// Bytes of each event of it.
const EVENT_BYTES: usize = 16 * 1024;

fn narrow(config: &mut Config) {
    config.session.outbox_bytes_max = 256 << 10;
    // Nothing of this is about pings.
    config.session.pong_timeout = Duration::from_secs(600);
}

/// A connected reader that does not read.
async fn sleeper(server: &Server, channel: &str) -> Client {
    let mut client = Client::open_narrow(server.address(), server.form()).await;
    client
        .connect(Connect {
            user: Some("sleeper".to_owned()),
            ..Connect::default()
        })
        .await
        .expect("connected");
    client.subscribe(channel).await;
    client
}

/// Publishes so many large events, a few at a time, all answered.
async fn flood(writer: &mut Client, channel: &str, count: usize) {
    let mut left = count;
    while left > 0 {
        let now = left.min(3);
        let commands = (0..now).map(|_| Command::Publish(publish(channel, blob(EVENT_BYTES))));
        for id in writer.send_together(commands).await {
            writer
                .reply(id)
                .await
                .expect("the publisher never waits for the reader");
        }
        left -= now;
    }
}

#[test]
fn the_publisher_never_waits_for_a_slow_reader() {
    everywhere(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut audience = server.audience("ann", "memory:a").await;
        let mut sleepers = Vec::new();
        for _ in 0..2 * at.shards {
            sleepers.push(sleeper(&server, "memory:a").await);
        }
        let mut writer = server.join("writer").await;
        let reading =
            futures_util::future::join_all(audience.iter_mut().map(|ann| ann.events(FLOOD)));
        let (heard, ()) = tokio::join!(reading, flood(&mut writer, "memory:a", FLOOD));
        for events in heard {
            assert!(
                events
                    .iter()
                    .filter_map(|event| event.offset)
                    .eq(1..=FLOOD as u64)
            );
        }
        for sleeper in &mut sleepers {
            sleeper.expect_close(CloseCode::Slow).await;
        }
    });
}

#[test]
fn a_reader_that_was_closed_as_slow_resumes_without_a_gap() {
    everywhere(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut sleeper = sleeper(&server, "disk:a").await;
        let mut writer = server.join("writer").await;
        let start = writer.subscribe("disk:a").await.position;
        writer.unsubscribe("disk:a").await;
        flood(&mut writer, "disk:a", FLOOD).await;
        sleeper.expect_close(CloseCode::Slow).await;
        let heard = events_waiting(&mut sleeper);
        assert!(
            heard
                .iter()
                .filter_map(|event| event.offset)
                .eq(1..=heard.len() as u64),
            "a dense beginning"
        );
        assert!(
            heard.len() < FLOOD,
            "the rest was dropped: the outbox is bounded"
        );
        let position = heard
            .last()
            .and_then(|event| event.position.clone())
            .unwrap_or(start);
        let mut back = server.join("sleeper").await;
        let subscribed = back.resume("disk:a", Recover::From(position)).await;
        assert_eq!(
            (subscribed.recovered, subscribed.from),
            (Some(true), Some(heard.len() as u64 + 1))
        );
        let rest = back.events(FLOOD - heard.len()).await;
        assert!(
            rest.iter()
                .filter_map(|event| event.offset)
                .eq(heard.len() as u64 + 1..=FLOOD as u64)
        );
    });
}

fn events_waiting(client: &mut Client) -> Vec<parlor_protocol::Event> {
    let waiting = client.take_waiting().into_iter();
    waiting
        .map(|message| match message {
            parlor_protocol::codec::ServerMessage::Push(Push::Event { event, .. }) => event,
            other => panic!("not an event: {other:?}"),
        })
        .collect()
}

#[test]
fn a_reader_that_skips_is_told_what_it_skipped() {
    everywhere(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut sleeper = sleeper(&server, "skip:a").await;
        let mut writer = server.join("writer").await;
        flood(&mut writer, "skip:a", FLOOD).await;
        // Now it wakes, and others go on.
        let mut next = 1;
        let mut skipped = 0;
        while next <= FLOOD as u64 {
            match sleeper.push().await {
                Push::Event { event, .. } => {
                    assert_eq!(event.offset, Some(next), "no hole without an advance");
                    next += 1;
                }
                Push::Advance(advance) => {
                    assert!(advance.offset >= next);
                    assert_eq!(advance.reason, "skipped");
                    skipped += advance.offset + 1 - next;
                    next = advance.offset + 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(skipped > 0, "the outbox is bounded");
        let last = writer.publish("skip:a", "awake").await;
        let event = sleeper.event().await;
        assert_eq!((said(&event), event.offset), ("awake", Some(last.offset)));
    });
}

#[test]
fn the_position_of_an_advance_is_one_to_resume_from() {
    in_both_forms(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut sleeper = sleeper(&server, "skip:a").await;
        let mut writer = server.join("writer").await;
        flood(&mut writer, "skip:a", FLOOD).await;
        let advance = loop {
            match sleeper.push().await {
                Push::Event { .. } => {}
                Push::Advance(advance) => break advance,
                other => panic!("{other:?}"),
            }
        };
        let after = writer.publish("skip:a", "after").await.offset;
        let subscribed = writer
            .resume("skip:a", Recover::From(advance.position))
            .await;
        assert_eq!(
            (subscribed.recovered, subscribed.to),
            (Some(true), Some(after))
        );
        assert_eq!(subscribed.from, Some(advance.offset + 1));
    });
}

#[test]
fn a_reader_hears_everything_while_its_own_command_takes_long() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let setup = at.setup().frail(&frailty).with(|config| {
            narrow(config);
            // All of it fits: what is left of the flood when the socket is full waits for nothing but the socket.
            config.session.outbox_bytes_max = 2 * FLOOD * EVENT_BYTES;
        });
        let server = setup.start().await;
        let mut ann = sleeper(&server, "memory:a").await;
        let mut writer = server.join("writer").await;
        frailty.hold_readings();
        let history = History::new("disk:a", Direction::Forward);
        let asked = ann.send(Command::History(history)).await;
        frailty.until_held().await;
        flood(&mut writer, "memory:a", FLOOD).await;
        let offsets = ann.events(FLOOD).await;
        let offsets = offsets.iter().filter_map(|event| event.offset);
        assert!(offsets.eq(1..=FLOOD as u64));
        frailty.go_on();
        ann.reply(asked).await.expect("a page");
    });
}

#[test]
fn signals_are_dropped_first() {
    in_both_forms(async |at| {
        // The kernel takes at most a few MiB: what is flooded keeps the outbox more than half full, never full.
        let server = at
            .setup()
            .with(|config| {
                narrow(config);
                config.session.outbox_bytes_max = 24 << 20;
            })
            .start()
            .await;
        let mut sleeper = sleeper(&server, "memory:a").await;
        let mut writer = server.join("writer").await;
        writer.subscribe("memory:quick").await;
        let events = (22 << 20) / (EVENT_BYTES + 512);
        flood(&mut writer, "memory:a", events).await;
        for _ in 0..10 {
            writer.signal("memory:a", json("\"typing\"")).await;
        }
        writer.publish("memory:a", "last").await;
        let heard = sleeper.events(events + 1).await;
        assert!(
            heard.iter().all(|event| event.kind == EventKind::Message),
            "signals were dropped, messages were not"
        );
        assert!(
            heard
                .iter()
                .filter_map(|event| event.offset)
                .eq(1..=events as u64 + 1)
        );
        writer.signal("memory:a", json("\"typing\"")).await;
        assert_eq!(
            sleeper.event().await.kind,
            EventKind::Signal,
            "with room there are signals again"
        );
    });
}

#[test]
fn a_reader_that_replays_slowly_holds_nobody_up_and_misses_nothing() {
    everywhere(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut writer = server.join("writer").await;
        let start = writer.subscribe("disk:a").await.position;
        writer.unsubscribe("disk:a").await;
        flood(&mut writer, "disk:a", FLOOD / 2).await;
        let mut sleeper = Client::open_narrow(server.address(), server.form()).await;
        sleeper
            .connect(Connect::default())
            .await
            .expect("connected");
        let subscribed = sleeper.resume("disk:a", Recover::From(start)).await;
        assert_eq!(
            (subscribed.recovered, subscribed.to),
            (Some(true), Some(FLOOD as u64 / 2))
        );
        // It does not read, the replay waits, and all goes on without it.
        flood(&mut writer, "disk:a", FLOOD / 2).await;
        let heard = sleeper.events(FLOOD).await;
        assert!(
            heard
                .iter()
                .filter_map(|event| event.offset)
                .eq(1..=FLOOD as u64),
            "a replay waits for room"
        );
    });
}

#[test]
fn a_replay_that_retention_overtakes_is_to_start_anew() {
    everywhere(async |at| {
        let server = at.setup().with(narrow).start().await;
        let mut writer = server.join("writer").await;
        let start = writer.subscribe("medium:a").await.position;
        writer.unsubscribe("medium:a").await;
        flood(&mut writer, "medium:a", 300).await;
        let mut sleeper = Client::open_narrow(server.address(), server.form()).await;
        sleeper
            .connect(Connect::default())
            .await
            .expect("connected");
        let subscribed = sleeper.resume("medium:a", Recover::From(start)).await;
        assert_eq!(
            (subscribed.recovered, subscribed.to),
            (Some(true), Some(300))
        );
        // While it does not read, all of it is forgotten, and more.
        flood(&mut writer, "medium:a", FLOOD).await;
        let mut position = String::new();
        let mut next = 1;
        let ended = loop {
            match sleeper.push().await {
                Push::Event { event, .. } => {
                    assert_eq!(event.offset, Some(next));
                    next += 1;
                    position = event.position.expect("a logged event");
                }
                Push::Unsubscribed(ended) => break ended,
                other => panic!("{other:?}"),
            }
        };
        assert!(ended.resubscribe && ended.code >= 2500, "{ended:?}");
        assert!(next <= FLOOD as u64 + 300);
        let again = sleeper.resume("medium:a", Recover::From(position)).await;
        assert_eq!(
            (again.recovered, again.reason),
            (Some(false), Some(NotRecovered::Expired))
        );
        writer.publish("medium:a", "next").await;
        let event = sleeper.event().await;
        assert_eq!(
            (said(&event), event.offset),
            ("next", Some(again.offset + 1))
        );
    });
}
