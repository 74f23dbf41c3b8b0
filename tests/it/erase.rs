//! Erasing over HTTP: gone from history and resumes, told to who listens, on every node, by who may.

use parlor_protocol::command::{Direction, History, Recover};
use parlor_protocol::{Erasure, Event, EventKind, Position};
use parlor_tests::{API_KEY, Backend, Client, Redis, Token, everywhere, in_both_forms, said};
use serde_json::{Value, json};

const ERASE: &str = "/v1/history/erase";
const KINDS: [&str; 2] = ["disk:a", "memory:a"];

async fn erase(backend: &Backend, channel: &str, offsets: &[u64]) -> Value {
    let body = json!({ "channel": channel, "offsets": offsets });
    let (status, told) = backend.post(ERASE, body).await;
    assert_eq!(status, 200, "{told}");
    told
}

async fn history(client: &mut Client, channel: &str) -> Vec<Event> {
    let command = History::new(channel, Direction::Forward);
    client.try_history(command).await.expect("a page").events
}

#[track_caller]
fn check_is_tombstone(event: &Event) {
    assert!(event.erased, "{event:?}");
    assert_eq!(
        (&event.payload, &event.user, &event.id),
        (&None, &None, &None),
        "{event:?}"
    );
    assert!(event.seq.is_some() && event.position.is_some(), "{event:?}");
}

#[track_caller]
fn check_tells(event: &Event, offsets: &[u64]) {
    assert_eq!((&event.kind, event.seq), (&EventKind::Erase, None));
    let erasure = event.payload.as_ref().and_then(Erasure::parse);
    assert_eq!(
        erasure,
        Some(Erasure {
            offsets: offsets.to_vec()
        })
    );
}

#[test]
fn an_erased_message_is_gone_from_history_and_everybody_is_told() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut audience = server.audience("ann", channel).await;
            for words in ["one", "two", "three"] {
                audience[0].publish(channel, words).await;
            }
            let told = erase(&server.backend(), channel, &[2]).await;
            assert_eq!(told["offset"], json!(4), "{told}");
            for ann in &mut audience {
                let events = ann.events(4).await;
                check_tells(&events[3], &[2]);
                assert_eq!(events[3].position.as_deref(), told["position"].as_str());
                let log = history(ann, channel).await;
                check_is_tombstone(&log[1]);
                assert_eq!((said(&log[0]), said(&log[2])), ("one", "three"));
                assert_eq!(log[1].position, events[1].position, "its place stays");
            }
        }
    });
}

#[test]
fn who_was_away_gets_the_places_and_is_told() {
    in_both_forms(async |at| {
        let server = at.start().await;
        for channel in KINDS {
            let mut ann = server.join("ann").await;
            let first = ann.publish(channel, "one").await;
            ann.publish(channel, "two").await;
            ann.publish(channel, "three").await;
            erase(&server.backend(), channel, &[1, 2]).await;
            let mut late = server.join("bob").await;
            // From behind a message that is erased meanwhile.
            let resumed = late
                .resume(channel, Recover::From(first.position.clone()))
                .await;
            assert_eq!(
                (resumed.recovered, resumed.from, resumed.to),
                (Some(true), Some(2), Some(4))
            );
            let events = late.events(3).await;
            check_is_tombstone(&events[0]);
            assert_eq!(said(&events[1]), "three");
            check_tells(&events[2], &[1, 2]);
        }
    });
}

#[test]
fn erasing_again_is_harmless_and_a_retried_publish_stays_erased() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            let first = ann.publish_as("m-1", channel, "secret").await;
            let told = erase(&server.backend(), channel, &[1]).await;
            let again = erase(&server.backend(), channel, &[1, 1]).await;
            assert_eq!(
                (&again["offset"], &again["duplicate"]),
                (&told["offset"], &json!(true))
            );
            let retried = ann.publish_as("m-1", channel, "secret").await;
            let (first, retried) = (first.expect("published"), retried.expect("published"));
            assert_eq!((retried.offset, retried.duplicate), (first.offset, true));
            let log = history(&mut ann, channel).await;
            assert_eq!(log.len(), 2);
            check_is_tombstone(&log[0]);
        }
    });
}

#[test]
fn only_who_may_erases_and_only_what_is_there() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let body = json!({ "channel": "disk:a", "data": "hello" });
        let (_, published) = backend.post("/v1/publish", body).await;
        let ask = async |backend: &Backend, body: Value| {
            let (status, answer) = backend.post(ERASE, body).await;
            (status, answer["name"].as_str().unwrap_or("").to_owned())
        };
        let of = |offsets: &[u64]| json!({ "channel": "disk:a", "offsets": offsets });
        let writer = Token::of("ann")
            .may(&["publish", "history", "manage"], "*")
            .sign();
        let writer = server.backend().with_key(&writer);
        assert_eq!(
            ask(&writer, of(&[1])).await,
            (403, "not_permitted".to_owned())
        );
        for (body, status, name) in [
            (of(&[]), 400, "bad_request"),
            (of(&[0]), 400, "bad_request"),
            (of(&[2]), 404, "not_found"),
            (of(&(1..=101).collect::<Vec<_>>()), 400, "too_many"),
            (
                json!({ "channel": "disk:a", "offsets": [1], "epoch": "AAAAAAAAAAE" }),
                404,
                "not_found",
            ),
            (
                json!({ "channel": "disk:a", "offsets": [1], "epoch": "?" }),
                400,
                "bad_request",
            ),
            (
                json!({ "channel": "$control", "offsets": [1] }),
                400,
                "bad_channel",
            ),
        ] {
            let answer = ask(&backend, body.clone()).await;
            assert_eq!(answer, (status, name.to_owned()), "{body}");
        }
        let moderator = Token::of("eve").may(&["erase"], "disk:*").sign();
        let moderator = server.backend().with_key(&moderator);
        let position: Position = published["position"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a position");
        let body =
            json!({ "channel": "disk:a", "offsets": [1], "epoch": position.epoch.to_string() });
        assert_eq!(ask(&moderator, body).await.0, 200);
    });
}

#[test]
fn what_is_erased_on_one_node_is_gone_on_the_other() {
    everywhere(async |at| {
        let redis = Redis::start();
        let setup = at.setup().on_redis(&redis.url());
        let one = setup.another().start().await;
        let other = setup.start().await;
        let mut ann = other.join("ann").await;
        ann.subscribe("disk:a").await;
        let mut positions = Vec::new();
        for words in ["one", "two", "three"] {
            positions.push(ann.publish("disk:a", words).await.position);
        }
        ann.events(3).await;
        erase(&one.backend(), "disk:a", &[2]).await;
        check_tells(&ann.event().await, &[2]);
        check_is_tombstone(&history(&mut ann, "disk:a").await[1]);
        // Out of the memory of the node that only heard of it.
        let mut late = other.join("bob").await;
        late.resume("disk:a", Recover::From(positions[0].clone()))
            .await;
        let events = late.events(3).await;
        check_is_tombstone(&events[0]);
        assert_eq!(said(&events[1]), "three");
    });
}
