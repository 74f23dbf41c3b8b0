//! A broker that is away or that lost something: who stays, who is told, and what is refused meanwhile.

use std::sync::Arc;

use parlor_protocol::command::{Command, Connect, Recover, Subscribe};
use parlor_protocol::push::{Status, UNSUBSCRIBED_LOST, UNSUBSCRIBED_RESUBSCRIBE, Unsubscribed};
use parlor_protocol::{CloseCode, ErrorCode, Push};
use parlor_tests::{
    API_KEY, Client, Frailty, Token, everywhere, in_both_forms, in_time, publish, said, text,
};
use serde_json::json;

async fn expect_status(client: &mut Client, degraded: bool) {
    assert_eq!(client.push().await, Push::Status(Status { degraded }));
}

async fn expect_unsubscribed(client: &mut Client) -> Unsubscribed {
    match client.push().await {
        Push::Unsubscribed(ended) => ended,
        other => panic!("not ended: {other:?}"),
    }
}

#[test]
fn everybody_stays_and_is_told_how_the_server_is() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut clients = server.audience("ann", "memory:a").await;
        assert!(!clients[0].hello().degraded);
        frailty.fail();
        for ann in &mut clients {
            expect_status(ann, true).await;
        }
        assert_eq!(server.backend().get("/readyz").await.0, 503);
        let refused = [
            clients[0]
                .try_publish(publish("memory:a", text("x")))
                .await
                .err(),
            clients[0]
                .try_subscribe(Subscribe::new("memory:b"))
                .await
                .err(),
        ];
        for error in refused.into_iter().flatten() {
            assert_eq!(error.kind(), Some(ErrorCode::StorageUnavailable));
            assert!(error.retry_after_ms.is_some());
        }
        let mut newcomer = server.join("bob").await;
        assert!(newcomer.hello().degraded);
        frailty.recover();
        for client in clients.iter_mut().chain([&mut newcomer]) {
            expect_status(client, false).await;
        }
        assert_eq!(server.backend().get("/readyz").await.0, 200);
        clients[0].publish("memory:a", "back").await;
        for ann in &mut clients {
            assert_eq!(said(&ann.event().await), "back");
        }
    });
}

#[test]
fn who_is_told_by_the_connect_reply_is_not_told_again() {
    in_both_forms(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut ann = server.join("ann").await;
        frailty.fail();
        expect_status(&mut ann, true).await;
        let mut bob = server.join("bob").await;
        assert!(bob.hello().degraded);
        assert_eq!(bob.pushes_so_far().await, []);
    });
}

#[test]
fn nothing_is_ordered_or_revoked_while_nobody_else_can_be_told() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().with_tokens().frail(&frailty).start().await;
        let backend = server.backend().with_key(API_KEY);
        let token = Token::of("ann").sign();
        let mut ann = server.join_by_token(&token).await;
        frailty.fail();
        expect_status(&mut ann, true).await;
        let channel = json!({ "channel": "memory:a" });
        for (path, body) in [
            ("/v1/users/ann/disconnect", json!({})),
            ("/v1/users/ann/subscribe", channel.clone()),
            ("/v1/users/ann/unsubscribe", channel),
            ("/v1/tokens/revoke", json!({ "user": "ann" })),
        ] {
            let (status, problem) = backend.post(path, body).await;
            assert_eq!(
                (status, &problem["name"]),
                (503, &json!("storage_unavailable"))
            );
            assert!(problem["retry_after_ms"].is_u64(), "{problem}");
        }
        assert_eq!(ann.pushes_so_far().await, []);
        frailty.recover();
        expect_status(&mut ann, false).await;
        let (status, _) = backend
            .post("/v1/tokens/revoke", json!({ "user": "ann" }))
            .await;
        assert_eq!(status, 200);
        ann.expect_close(CloseCode::Revoked).await;
    });
}

#[test]
fn what_was_revoked_stays_revoked_while_the_broker_is_away() {
    in_both_forms(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().with_tokens().frail(&frailty).start().await;
        let backend = server.backend().with_key(API_KEY);
        backend
            .post("/v1/tokens/revoke", json!({ "token_id": "t-1" }))
            .await;
        frailty.fail();
        let connect = Connect {
            token: Some(Token::of("ann").claim("jti", "t-1").sign()),
            ..Connect::default()
        };
        let refused = server.try_join(connect).await.1.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::TokenRevoked));
        // Others are served from what is known.
        server.join_by_token(&Token::of("ann").sign()).await;
    });
}

#[test]
fn nobody_is_served_before_the_revocations_were_read() {
    in_both_forms(async |at| {
        let frailty = Arc::new(Frailty::default());
        frailty.fail();
        let starting = at.setup().frail(&frailty).start();
        tokio::pin!(starting);
        let early = std::time::Duration::from_millis(600);
        assert!(tokio::time::timeout(early, &mut starting).await.is_err());
        frailty.recover();
        let server = in_time("the server to start", starting).await;
        server.join("ann").await.ping().await;
    });
}

#[test]
fn every_subscriber_is_told_exactly_what_was_lost() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut clients = server.audience("ann", "memory:a").await;
        clients[0].publish_many("memory:a", 0..5).await;
        for ann in &mut clients {
            ann.events(5).await;
        }
        frailty.begin_new_life("memory:a", Some(4..=5));
        for ann in &mut clients {
            let ended = expect_unsubscribed(ann).await;
            assert_eq!(
                (
                    ended.code,
                    ended.resubscribe,
                    ended.lost_from,
                    ended.lost_to
                ),
                (UNSUBSCRIBED_LOST, true, Some(4), Some(5))
            );
        }
    });
}

#[test]
fn a_new_life_without_losses_says_so() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut clients = server.audience("ann", "memory:a").await;
        frailty.begin_new_life("memory:a", None);
        for ann in &mut clients {
            let ended = expect_unsubscribed(ann).await;
            assert_eq!(
                (
                    ended.code,
                    ended.resubscribe,
                    ended.lost_from,
                    ended.lost_to
                ),
                (UNSUBSCRIBED_RESUBSCRIBE, true, None, None)
            );
        }
    });
}

#[test]
fn who_waits_for_a_shard_that_lags_stays_while_the_log_cannot_be_read() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut clients = server.audience("ann", "disk:a").await;
        // Every shard is busy while the channel goes on by more than its tail holds.
        frailty.hold_shards();
        for ann in &mut clients {
            let publish = publish("memory:b", text("x"));
            ann.send(Command::Publish(publish)).await;
        }
        frailty.until_standing(at.shards).await;
        frailty.append_past_shards("disk:a", 0..400).await;
        frailty.fail();
        frailty.let_shards_go();
        for ann in &mut clients {
            expect_status(ann, true).await;
        }
        frailty.recover();
        for ann in &mut clients {
            for number in 0..400 {
                let event = loop {
                    match ann.push().await {
                        Push::Event { event, .. } => break event,
                        Push::Status(_) => {}
                        other => panic!("{other:?}"),
                    }
                };
                assert_eq!(said(&event), number.to_string());
            }
        }
    });
}

#[test]
fn who_is_just_joining_is_told_of_the_loss_too() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let mut ann = server.join("ann").await;
        let start = ann.subscribe("disk:a").await.position;
        // More than a tail holds, so that the join must read the log.
        let publisher = &mut server.join("bob").await;
        publisher.publish_many("disk:a", 0..400).await;
        ann.events(400).await;
        let mut joiner = server.join("cid").await;
        frailty.hold_readings();
        let subscribe = Subscribe::new("disk:a").recover(Recover::From(start));
        let asked = joiner.send(Command::Subscribe(subscribe)).await;
        frailty.until_held().await;
        frailty.begin_new_life("disk:a", Some(399..=400));
        let ended = expect_unsubscribed(&mut ann).await;
        assert_eq!((ended.lost_from, ended.lost_to), (Some(399), Some(400)));
        frailty.go_on();
        joiner.reply(asked).await.expect("a reply");
        let ended = loop {
            match joiner.push().await {
                Push::Unsubscribed(ended) => break ended,
                Push::Event { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            (ended.code, ended.lost_from, ended.lost_to),
            (UNSUBSCRIBED_LOST, Some(399), Some(400))
        );
    });
}

#[test]
fn a_subscribe_that_fails_leaves_the_subscription_that_took_its_place() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().frail(&frailty).start().await;
        let backend = server.backend();
        let mut bob = server.join("bob").await;
        bob.publish("disk:a", "before").await;
        let mut ann = server.join("ann").await;
        frailty.hold_readings();
        let subscribe = Subscribe::new("disk:a").recover(Recover::Latest(1));
        let asked = ann.send(Command::Subscribe(subscribe)).await;
        frailty.until_held().await;
        // A backend ends it meanwhile, and makes another, which need not read.
        let order = json!({ "channel": "disk:a" });
        backend
            .post("/v1/users/ann/unsubscribe", order.clone())
            .await;
        expect_unsubscribed(&mut ann).await;
        backend.post("/v1/users/ann/subscribe", order).await;
        let Push::Subscribed(subscribed) = ann.push().await else {
            panic!("not subscribed")
        };
        frailty.fail();
        frailty.go_on();
        let refused = ann.reply(asked).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::StorageUnavailable));
        frailty.recover();
        bob.publish("disk:a", "after").await;
        let (alias, event) = loop {
            match ann.push().await {
                Push::Event { alias, event } => break (alias, event),
                Push::Status(_) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((alias, said(&event)), (subscribed.alias, "after"));
    });
}
