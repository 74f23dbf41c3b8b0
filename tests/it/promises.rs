//! The promises of the design, by name. Where another file shows one in full, its test is named here.
//!
//! | promise | shown by |
//! |---|---|
//! | acknowledged means kept | `crash::acknowledged_means_kept_across_kill`, `recovery` |
//! | one order | `one_order_for_every_subscriber` |
//! | no silent gap | `interleavings`, `no_silent_gap_through_losses_and_restarts` |
//! | no duplicate | `no_duplicate_on_whatever_way_a_retry_comes`, `dedup` |
//! | the publisher never waits for a slow reader | `slow::the_publisher_never_waits_for_a_slow_reader` |
//! | everything is bounded | `limits::every_limit_is_kept_to_the_byte`, `slow`, `connect::a_full_server_refuses_the_handshake` |
//! | a node's death is an event, not an incident | `crash`, `a_restart_is_an_event_not_an_incident` |

use futures_util::future::join_all;
use parlor_protocol::client::{ClientConfig, ClientEvent};
use parlor_protocol::command::{Command, Recover, Subscribe};
use parlor_tests::{API_KEY, Backend, Client, Driver, Token, everywhere, publish, said, text};
use serde_json::json;

/// Messages of each publisher.
const MESSAGES: usize = 60;

#[test]
fn one_order_for_every_subscriber() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:busy", "memory:busy"] {
            let mut readers = server.audience("reader", channel).await;
            let mut writers = server.join_every_shard("writer").await;
            writers.extend(server.join_every_shard("writer").await);
            let backend = server.backend();
            let count = writers.len() + 1;
            let all = count * MESSAGES;
            let writing = join_all(
                writers
                    .iter_mut()
                    .enumerate()
                    .map(|(writer, client)| write(client, channel, writer)),
            );
            let calling = call(&backend, channel, count - 1);
            let reading = join_all(readers.iter_mut().map(|reader| reader.events(all)));
            let (_, (), heard) = tokio::join!(writing, calling, reading);
            let history = writers[0].whole_history(channel).await;
            assert!(
                history
                    .iter()
                    .filter_map(|event| event.offset)
                    .eq(1..=all as u64),
                "dense"
            );
            assert!(
                history.is_sorted_by(|one, next| one.time < next.time),
                "time only grows"
            );
            for events in heard {
                assert_eq!(events, history);
            }
            for writer in 0..count {
                let own = format!("{writer}:");
                let of_one = history
                    .iter()
                    .map(said)
                    .filter(|words| words.starts_with(&own));
                assert!(
                    of_one.eq((0..MESSAGES).map(|word| format!("{own}{word}"))),
                    "each publisher's order is kept"
                );
            }
        }
    });
}

/// Publishes in frames of ten, without waiting in between.
async fn write(client: &mut Client, channel: &str, writer: usize) {
    let mut ids = Vec::new();
    for start in (0..MESSAGES).step_by(10) {
        let words = (start..start + 10).map(|word| text(format!("{writer}:{word}")));
        let commands = words.map(|words| Command::Publish(publish(channel, words)));
        ids.extend(client.send_together(commands).await);
    }
    for id in ids {
        client.reply(id).await.expect("published");
    }
}

/// The same over HTTP, one after the other.
async fn call(backend: &Backend, channel: &str, writer: usize) {
    for word in 0..MESSAGES {
        let body = json!({ "channel": channel, "data": format!("{writer}:{word}") });
        let (status, answer) = backend.post("/v1/publish", body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn no_silent_gap_through_losses_and_restarts() {
    everywhere(async |at| {
        let mut server = at.start().await;
        let mut position = server.join("ann").await.subscribe("disk:a").await.position;
        let mut heard = 0;
        for round in 0..3 {
            let mut writer = server.join("writer").await;
            writer
                .publish_many("disk:a", 10 * round..10 * round + 5)
                .await;
            let mut ann = server.join("ann").await;
            let subscribed = ann.resume("disk:a", Recover::From(position.clone())).await;
            assert_eq!(subscribed.recovered, Some(true));
            writer
                .publish_many("disk:a", 10 * round + 5..10 * round + 10)
                .await;
            // Some of it is read, then the connection and the server are gone.
            for event in ann.events(7).await {
                heard += 1;
                assert_eq!(event.offset, Some(heard));
                position = event.position.expect("a position");
            }
            ann.lose();
            writer.leave().await;
            server = server.stop().await.start().await;
        }
        let mut ann = server.join("ann").await;
        ann.resume("disk:a", Recover::From(position)).await;
        let rest = ann.events(30 - 21).await;
        assert!(rest.iter().filter_map(|event| event.offset).eq(22..=30));
    });
}

#[test]
fn no_duplicate_on_whatever_way_a_retry_comes() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann")
            .may(&["publish", "subscribe", "history"], "*")
            .sign();
        let mut ann = server.join_by_token(&token).await;
        ann.subscribe("disk:a").await;
        let first = ann
            .publish_as("m-1", "disk:a", "once")
            .await
            .expect("published");
        let body = json!({ "channel": "disk:a", "id": "m-1", "data": "once" });
        // Over HTTP as the same user, over another socket, and after a restart.
        let (_, again) = server
            .backend()
            .with_key(&token)
            .post("/v1/publish", body.clone())
            .await;
        assert_eq!(
            (again["offset"].as_u64(), &again["duplicate"]),
            (Some(first.offset), &json!(true))
        );
        let mut other = server.join_by_token(&token).await;
        assert!(
            other
                .publish_as("m-1", "disk:a", "once")
                .await
                .expect("answered")
                .duplicate
        );
        assert_eq!(ann.event().await.offset, Some(1));
        assert_eq!(ann.pushes_so_far().await, []);
        drop((ann, other));
        let server = server.stop().await.start().await;
        let (_, again) = server
            .backend()
            .with_key(&token)
            .post("/v1/publish", body.clone())
            .await;
        assert_eq!(
            (again["offset"].as_u64(), &again["duplicate"]),
            (Some(first.offset), &json!(true))
        );
        // Another sender's id is another publish.
        let (_, others) = server
            .backend()
            .with_key(API_KEY)
            .post("/v1/publish", body)
            .await;
        assert_eq!(others["offset"].as_u64(), Some(2));
    });
}

#[test]
fn a_restart_is_an_event_not_an_incident() {
    everywhere(async |at| {
        // A fixed port, as a node behind one name has: clients come back by themselves.
        let server = at.start().await;
        let address = server.address();
        let config = ClientConfig {
            form: at.form,
            user: Some("ann".to_owned()),
            ..ClientConfig::default()
        };
        let mut ann = Driver::new(address, config);
        ann.session.subscribe(Subscribe::new("disk:a"));
        ann.until(|event| matches!(event, ClientEvent::Subscribed { .. }))
            .await;
        let mut bob = server.join("bob").await;
        bob.publish("disk:a", 1).await;
        ann.until(
            |event| matches!(event, ClientEvent::Event { event, .. } if event.offset == Some(1)),
        )
        .await;
        bob.leave().await;
        let stopped = server.stop().await;
        // What is published while nobody is there waits for the next connection.
        let request = ann.session.publish(parlor_protocol::command::Publish {
            id: Some("m-1".to_owned()),
            ..publish("disk:a", text("waited"))
        });
        request.expect("there is room");
        let server = stopped.start_at(address).await;
        let heard = ann
            .until(|event| matches!(event, ClientEvent::Event { event, .. } if event.offset == Some(2)))
            .await;
        assert!(!heard.iter().any(|event| matches!(
            event,
            ClientEvent::Gap { .. } | ClientEvent::Duplicate { .. }
        )));
        let continuity = heard.iter().find_map(|event| match event {
            ClientEvent::Subscribed { continuity, .. } => Some(*continuity),
            _ => None,
        });
        assert_eq!(
            continuity,
            Some(parlor_protocol::client::Continuity::Complete)
        );
        assert_eq!(
            server
                .join("reader")
                .await
                .whole_history("disk:a")
                .await
                .len(),
            2
        );
    });
}
