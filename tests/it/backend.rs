//! Backends: what HTTP does to those who are connected, by the same policy and the same sequencer.

use std::sync::Arc;

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Connect, Recover, Subscribe};
use parlor_protocol::reply::{Reply, SubscribeOutcome};
use parlor_protocol::{CloseCode, Push};
use parlor_tests::{API_KEY, Frailty, Token, everywhere, in_both_forms, said};
use serde_json::json;

#[test]
fn people_and_backends_hear_one_conversation() {
    everywhere(async |at| {
        let server = at.start().await;
        let backend = server.backend();
        for channel in ["disk:a", "memory:a"] {
            let mut audience = server.audience("ann", channel).await;
            audience[0].publish(channel, "hello").await;
            let (status, published) = backend
                .post(
                    "/v1/publish",
                    json!({ "channel": channel, "data": "welcome" }),
                )
                .await;
            assert_eq!(
                (status, &published["offset"]),
                (200, &json!(2)),
                "{published}"
            );
            audience[0].publish(channel, "thanks").await;
            for ann in &mut audience {
                let events = ann.events(3).await;
                assert_eq!(
                    events.iter().map(said).collect::<Vec<_>>(),
                    ["hello", "welcome", "thanks"]
                );
                assert_eq!(events[1].user, None, "a backend is no user");
                assert_eq!(
                    events[1].position.as_deref(),
                    published["position"].as_str()
                );
            }
        }
    });
}

#[test]
fn a_retry_over_http_gets_the_first_ones_place() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        for channel in ["disk:a", "memory:a"] {
            let body = json!({ "channel": channel, "id": "m-1", "data": "once" });
            let (_, first) = backend.post("/v1/publish", body.clone()).await;
            let (status, again) = backend.post("/v1/publish", body).await;
            assert_eq!(
                (status, &again["offset"], &again["duplicate"]),
                (200, &first["offset"], &json!(true))
            );
            let other = json!({ "channel": channel, "id": "m-1", "data": "twice" });
            let (status, problem) = backend.post("/v1/publish", other).await;
            assert_eq!((status, &problem["name"]), (422, &json!("id_reused")));
        }
    });
}

#[test]
fn a_users_retry_over_http_is_the_same_publish() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann").may(&["publish"], "*").sign();
        let mut ann = server.join_by_token(&token).await;
        let first = ann
            .publish_as("m-1", "disk:a", "once")
            .await
            .expect("published");
        let body = json!({ "channel": "disk:a", "id": "m-1", "data": "once" });
        let (status, again) = server
            .backend()
            .with_key(&token)
            .post("/v1/publish", body)
            .await;
        assert_eq!(
            (status, again["offset"].as_u64()),
            (200, Some(first.offset)),
            "{again}"
        );
        assert_eq!(again["duplicate"], json!(true));
    });
}

#[test]
fn a_backend_subscribes_all_connections_of_a_user() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        // She may not subscribe by herself: it is the backend's right that counts.
        let mut clients = join_every_shard_by_token(&server, &Token::of("ann").sign()).await;
        let order = json!({ "channel": "disk:a" });
        let (status, answer) = backend.post("/v1/users/ann/subscribe", order.clone()).await;
        assert_eq!(
            (status, answer["connections"].as_u64()),
            (200, Some(clients.len() as u64))
        );
        backend
            .post(
                "/v1/publish",
                json!({ "channel": "disk:a", "data": "for ann" }),
            )
            .await;
        let mut aliases = Vec::new();
        for ann in &mut clients {
            let Push::Subscribed(subscribed) = ann.push().await else {
                panic!("not subscribed")
            };
            assert_eq!(subscribed.channel, "disk:a");
            let missed = if subscribed.offset == 0 {
                ann.events(1).await
            } else {
                Vec::new()
            };
            assert!(missed.iter().all(|event| said(event) == "for ann"));
            aliases.push(subscribed.alias);
        }
        let (status, _) = backend.post("/v1/users/ann/unsubscribe", order).await;
        assert_eq!(status, 200);
        for (ann, alias) in clients.iter_mut().zip(aliases) {
            let Push::Unsubscribed(ended) = ann.push().await else {
                panic!("not ended")
            };
            assert_eq!(
                (ended.channel.as_str(), ended.alias, ended.resubscribe),
                ("disk:a", alias, false)
            );
            assert!((2000..2500).contains(&ended.code));
        }
        backend
            .post(
                "/v1/publish",
                json!({ "channel": "disk:a", "data": "not for ann" }),
            )
            .await;
        for ann in &mut clients {
            assert_eq!(ann.pushes_so_far().await, []);
        }
    });
}

async fn join_every_shard_by_token(
    server: &parlor_tests::Server,
    token: &str,
) -> Vec<parlor_tests::Client> {
    let mut clients: Vec<parlor_tests::Client> = Vec::new();
    while clients.len() < server.shards() {
        let client = server.join_by_token(token).await;
        if clients.iter().any(|other| other.shard() == client.shard()) {
            client.leave().await;
        } else {
            clients.push(client);
        }
    }
    clients
}

#[test]
fn a_backends_subscription_of_what_one_has_changes_nothing() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let alias = ann.subscribe("disk:a").await.alias;
        server
            .backend()
            .post("/v1/users/ann/subscribe", json!({ "channel": "disk:a" }))
            .await;
        ann.publish("disk:a", "once").await;
        let (heard, event) = ann.aliased_event().await;
        assert_eq!((heard, said(&event)), (alias, "once"));
        assert_eq!(ann.pushes_so_far().await, []);
    });
}

#[test]
fn a_backend_ends_all_connections_of_a_user() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut clients = server.join_every_shard("ann").await;
        let mut bob = server.join("bob").await;
        let (status, answer) = server
            .backend()
            .post("/v1/users/ann/disconnect", json!({}))
            .await;
        assert_eq!(
            (status, answer["connections"].as_u64()),
            (200, Some(at.shards as u64))
        );
        for ann in &mut clients {
            ann.expect_close(CloseCode::Disconnected).await;
        }
        bob.ping().await;
    });
}

#[test]
fn the_same_identity_may_the_same_over_http() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann").may(&["publish"], "disk:mine").sign();
        let backend = server.backend().with_key(&token);
        for (channel, expected) in [
            ("disk:mine", 200),
            ("disk:other", 403),
            ("open:any", 200),
            ("nowhere", 404),
        ] {
            let (status, body) = backend
                .post("/v1/publish", json!({ "channel": channel, "data": 1 }))
                .await;
            assert_eq!(status, expected, "{channel}: {body}");
        }
        let (status, problem) = server
            .backend()
            .post("/v1/publish", json!({ "channel": "disk:mine", "data": 1 }))
            .await;
        assert_eq!((status, &problem["name"]), (401, &json!("bad_key")));
    });
}

#[test]
fn a_signal_over_http_reaches_every_shard() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut audience = server.audience("ann", "disk:a").await;
        let (status, _) = server
            .backend()
            .post("/v1/signal", json!({ "channel": "disk:a", "data": 1 }))
            .await;
        assert_eq!(status, 200);
        for ann in &mut audience {
            let event = ann.event().await;
            assert_eq!(
                (event.kind, event.offset),
                (parlor_protocol::EventKind::Signal, None)
            );
        }
    });
}

#[test]
fn subscriptions_of_the_server_count_toward_the_limit() {
    in_both_forms(async |at| {
        let server = at
            .setup()
            .with(|config| config.channels_max = 1)
            .start()
            .await;
        let connect = Connect {
            user: Some("ann".to_owned()),
            subscriptions: vec![Subscribe::new("disk:a")],
            ..Connect::default()
        };
        let mut ann = server.join_with(connect).await.0;
        server
            .backend()
            .post("/v1/users/ann/subscribe", json!({ "channel": "disk:b" }))
            .await;
        server
            .backend()
            .post("/v1/publish", json!({ "channel": "disk:b", "data": 1 }))
            .await;
        assert_eq!(ann.pushes_so_far().await, []);
    });
}

#[test]
fn what_is_ordered_while_connect_is_under_way_follows_its_reply() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut bob = server.join("bob").await;
        bob.publish("disk:held", "before").await;
        // Whatever shard ann will be on, another connection of hers tells when it has obeyed.
        let mut witnesses = server.join_every_shard("ann").await;
        let mut ann = server.open().await;
        frailty.hold_readings();
        let connect = Connect {
            user: Some("ann".to_owned()),
            subscriptions: vec![
                Subscribe::new("memory:left"),
                Subscribe::new("disk:held").recover(Recover::Latest(1)),
                Subscribe::new("memory:wished"),
            ],
            ..Connect::default()
        };
        let asked = ann.send(Command::Connect(connect)).await;
        frailty.until_held().await;
        for (path, channel) in [
            ("unsubscribe", "memory:left"),
            ("subscribe", "memory:wished"),
            ("subscribe", "memory:ordered"),
        ] {
            let path = format!("/v1/users/ann/{path}");
            let order = json!({ "channel": channel });
            assert_eq!(server.backend().post(&path, order).await.0, 200);
        }
        for witness in &mut witnesses {
            for _ in ["memory:wished", "memory:ordered"] {
                let push = witness.push().await;
                assert!(matches!(push, Push::Subscribed(_)), "{push:?}");
            }
        }
        frailty.go_on();

        let ServerMessage::Reply { id, result } = ann.message().await else {
            panic!("a push before the reply; {}", ann.story())
        };
        let Ok(Reply::Connect(hello)) = result else {
            panic!("not connected; {}", ann.story())
        };
        assert_eq!(id, asked);
        let is_subscribed =
            |outcome: &SubscribeOutcome| matches!(outcome, SubscribeOutcome::Subscribed(_));
        assert!(hello.subscriptions.iter().all(is_subscribed), "{hello:?}");
        let Push::Unsubscribed(ended) = ann.push().await else {
            panic!("not ended; {}", ann.story())
        };
        assert_eq!(ended.channel, "memory:left");
        for _ in ["what was missed", "what was ordered"] {
            match ann.push().await {
                Push::Event { event, .. } => assert_eq!(said(&event), "before"),
                Push::Subscribed(subscribed) => assert_eq!(subscribed.channel, "memory:ordered"),
                other => panic!("{other:?}"),
            }
        }
        for channel in ["memory:left", "memory:wished", "memory:ordered"] {
            bob.publish(channel, channel).await;
        }
        let events = ann.events(2).await;
        let mut heard: Vec<_> = events.iter().map(said).collect();
        heard.sort_unstable();
        assert_eq!(heard, ["memory:ordered", "memory:wished"]);
        assert_eq!(ann.pushes_so_far().await, []);
    });
}
