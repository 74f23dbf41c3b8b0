//! Revoked tokens: refused wherever they are shown, and whoever came with one is sent away.

use std::sync::Arc;

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Connect, Recover, Refresh, Subscribe};
use parlor_protocol::push::UNSUBSCRIBED_REVOKED;
use parlor_protocol::{CloseCode, ErrorCode, Push};
use parlor_tests::{
    API_KEY, Backend, Client, Frailty, Server, Token, everywhere, in_both_forms, now_s, said,
};
use serde_json::{Value, json};

async fn revoke(backend: &Backend, body: Value) -> Value {
    let (status, answer) = backend.post("/v1/tokens/revoke", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Issued a while ago, so that "before now" means it.
fn old_token(user: &str) -> Token {
    Token::of(user).claim("iat", now_s() - 100)
}

async fn on_every_shard(server: &Server, token: &str) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
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

async fn assert_refused(server: &Server, token: &str) {
    let connect = Connect {
        token: Some(token.to_owned()),
        ..Connect::default()
    };
    let (mut client, refused) = server.try_join(connect).await;
    let kind = refused.err().and_then(|error| error.kind());
    assert_eq!(kind, Some(ErrorCode::TokenRevoked));
    client.expect_close(CloseCode::BadToken).await;
}

#[test]
fn a_users_connections_end_with_the_users_tokens_and_nobody_elses() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let token = old_token("ann").sign();
        let mut clients = on_every_shard(&server, &token).await;
        let mut bob = server.join_by_token(&old_token("bob").sign()).await;
        let answer = revoke(&backend, json!({ "user": "ann" })).await;
        assert_eq!(answer["user"], json!("ann"));
        for ann in &mut clients {
            ann.expect_close(CloseCode::Revoked).await;
        }
        assert_refused(&server, &token).await;
        bob.ping().await;
        // What is issued next is good, even in the same second.
        let (status, issued) = backend.post("/v1/tokens", json!({ "user": "ann" })).await;
        assert_eq!(status, 200, "{issued}");
        let fresh = issued["token"].as_str().expect("a token");
        server.join_by_token(fresh).await.ping().await;
    });
}

#[test]
fn a_user_may_keep_the_tokens_that_are_new_enough() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let mut old = server.join_by_token(&old_token("ann").sign()).await;
        let mut without_iat = server.join_by_token(&Token::of("ann").sign()).await;
        let fresh = Token::of("ann").claim("iat", now_s() - 10).sign();
        let mut new = server.join_by_token(&fresh).await;
        let body = json!({ "user": "ann", "issued_before": now_s() - 50 });
        revoke(&backend, body).await;
        old.expect_close(CloseCode::Revoked).await;
        without_iat.expect_close(CloseCode::Revoked).await;
        new.ping().await;
        server.join_by_token(&fresh).await.ping().await;
    });
}

#[test]
fn one_token_ends_by_its_id() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let stolen = old_token("ann").claim("jti", "t-1").sign();
        let other = old_token("ann").claim("jti", "t-2").sign();
        let nobodys = Token::anonymous().claim("jti", "t-3").sign();
        let mut thieves = on_every_shard(&server, &stolen).await;
        let mut anonymous = server.join_by_token(&nobodys).await;
        let mut ann = server.join_by_token(&other).await;
        revoke(&backend, json!({ "token_id": "t-1" })).await;
        for thief in &mut thieves {
            thief.expect_close(CloseCode::Revoked).await;
        }
        assert_refused(&server, &stolen).await;
        ann.ping().await;
        anonymous.ping().await;
        let body = json!({ "token_id": "t-3", "expires_at": now_s() + 3600 });
        revoke(&backend, body).await;
        anonymous.expect_close(CloseCode::Revoked).await;
    });
}

#[test]
fn everybodys_old_tokens_end_at_once() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let mut ended = on_every_shard(&server, &old_token("ann").sign()).await;
        let anonymous = Token::anonymous().claim("iat", now_s() - 100).sign();
        ended.push(server.join_by_token(&anonymous).await);
        let mut new = server
            .join_by_token(&Token::of("bob").claim("iat", now_s()).sign())
            .await;
        revoke(&backend, json!({ "issued_before": now_s() - 50 })).await;
        for client in &mut ended {
            client.expect_close(CloseCode::Revoked).await;
        }
        new.ping().await;
        assert_refused(&server, &anonymous).await;
    });
}

#[test]
fn a_revoked_token_is_refused_wherever_it_is_shown() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let old = |token: Token| token.claim("jti", "t-1").may(&["publish"], "*").sign();
        // Shown once before, so that it is remembered as a good one.
        let with_token = server.backend().with_key(&old(Token::of("ann")));
        let publish = json!({ "channel": "disk:a", "data": 1 });
        assert_eq!(with_token.post("/v1/publish", publish.clone()).await.0, 200);
        let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
        revoke(&backend, json!({ "token_id": "t-1" })).await;

        let (status, problem) = with_token.post("/v1/publish", publish).await;
        assert_eq!((status, &problem["name"]), (401, &json!("token_revoked")));
        let token = old(Token::of("ann"));
        let refused = ann.try_refresh(Refresh { token }).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::TokenRevoked));
        let token = Token::for_channel("ann", "disk:a")
            .claim("jti", "t-1")
            .sign();
        let subscribe = Subscribe {
            token: Some(token),
            ..Subscribe::new("disk:a")
        };
        let refused = ann.try_subscribe(subscribe).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::TokenRevoked));
        ann.ping().await;
    });
}

#[test]
fn a_subscription_ends_with_its_own_token() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let token = Token::of("ann").may(&["subscribe"], "memory:*").sign();
        let mut ann = server.join_by_token(&token).await;
        ann.subscribe("memory:a").await;
        let own = Token::for_channel("ann", "disk:a")
            .claim("jti", "t-1")
            .sign();
        let subscribe = Subscribe {
            token: Some(own),
            ..Subscribe::new("disk:a")
        };
        ann.try_subscribe(subscribe).await.expect("subscribed");
        revoke(&backend, json!({ "token_id": "t-1" })).await;
        let Push::Unsubscribed(ended) = ann.push().await else {
            panic!("not ended")
        };
        assert_eq!(
            (ended.channel.as_str(), ended.code, ended.resubscribe),
            ("disk:a", UNSUBSCRIBED_REVOKED, false)
        );
        for channel in ["disk:a", "memory:a"] {
            let body = json!({ "channel": channel, "data": channel });
            assert_eq!(backend.post("/v1/publish", body).await.0, 200);
        }
        assert_eq!(said(&ann.event().await), "memory:a");
    });
}

#[test]
fn a_token_that_is_revoked_while_connect_is_under_way_ends_its_subscription_behind_the_reply() {
    everywhere(async |at| {
        let frailty = Arc::new(Frailty::default());
        let server = at.setup().with_tokens().frail(&frailty).start().await;
        let backend = server.backend().with_key(API_KEY);
        let body = json!({ "channel": "disk:held", "data": "before" });
        assert_eq!(backend.post("/v1/publish", body).await.0, 200);
        let token = Token::of("ann")
            .may(&["subscribe", "history"], "disk:held")
            .sign();
        let own = Token::for_channel("ann", "memory:a").claim("jti", "t-1");
        let subscribe = Subscribe {
            token: Some(own.sign()),
            ..Subscribe::new("memory:a")
        };
        // Whatever shard the next connection will be on, one of these is looked at in the same round.
        let mut witnesses = on_every_shard(&server, &token).await;
        for witness in &mut witnesses {
            let subscribed = witness.try_subscribe(subscribe.clone()).await;
            subscribed.expect("subscribed");
        }
        let mut ann = server.open().await;
        frailty.hold_readings();
        let connect = Connect {
            token: Some(token),
            subscriptions: vec![
                subscribe,
                Subscribe::new("disk:held").recover(Recover::Latest(1)),
            ],
            ..Connect::default()
        };
        let asked = ann.send(Command::Connect(connect)).await;
        frailty.until_held().await;
        revoke(&backend, json!({ "token_id": "t-1" })).await;
        for witness in &mut witnesses {
            let push = witness.push().await;
            assert!(matches!(push, Push::Unsubscribed(_)), "{push:?}");
        }
        frailty.go_on();

        let ServerMessage::Reply { id, result } = ann.message().await else {
            panic!("a push before the reply; {}", ann.story())
        };
        assert_eq!(id, asked);
        result.expect("connected");
        let Push::Unsubscribed(ended) = ann.push().await else {
            panic!("not ended; {}", ann.story())
        };
        assert_eq!(
            (ended.channel.as_str(), ended.code),
            ("memory:a", UNSUBSCRIBED_REVOKED)
        );
        assert_eq!(said(&ann.event().await), "before");
    });
}

#[test]
fn a_revocation_outlives_the_server() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let token = old_token("ann").sign();
        let one = old_token("bob").claim("jti", "t-1").sign();
        revoke(&backend, json!({ "user": "ann" })).await;
        revoke(&backend, json!({ "token_id": "t-1" })).await;
        let server = server.stop().await.start().await;
        assert_refused(&server, &token).await;
        assert_refused(&server, &one).await;
        let (_, issued) = server
            .backend()
            .with_key(API_KEY)
            .post("/v1/tokens", json!({ "user": "ann" }))
            .await;
        let fresh = issued["token"].as_str().expect("a token");
        server.join_by_token(fresh).await.ping().await;
    });
}

#[test]
fn what_cannot_be_kept_is_not_revoked() {
    in_both_forms(async |at| {
        let setup = at
            .setup()
            .with_tokens()
            .with(|config| config.storage.disk_bytes_max = Some(512 << 10));
        let server = setup.start().await;
        let backend = server.backend().with_key(API_KEY);
        let mut ann = server.join_by_token(&old_token("ann").sign()).await;
        let much = json!({ "channel": "disk:a", "data": "x".repeat(9_000) });
        while backend.post("/v1/publish", much.clone()).await.0 == 200 {}
        let any = json!({ "token_id": "t".repeat(255) });
        while backend.post("/v1/tokens/revoke", any.clone()).await.0 == 200 {}
        let (status, problem) = backend
            .post("/v1/tokens/revoke", json!({ "user": "ann" }))
            .await;
        assert_eq!(
            (status, &problem["name"]),
            (503, &json!("storage_unavailable")),
            "{problem}"
        );
        assert!(problem["retry_after_ms"].is_u64());
        ann.ping().await;
    });
}

#[test]
fn only_those_who_manage_everything_may_revoke() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        for (token, expected) in [
            (Token::of("ann").may(&["manage"], "disk:*"), 403),
            (Token::of("ann").may(&["publish"], "*"), 403),
            (Token::of("root").may(&["manage"], "*"), 200),
        ] {
            let backend = server.backend().with_key(&token.sign());
            let (status, body) = backend
                .post("/v1/tokens/revoke", json!({ "token_id": "t-1" }))
                .await;
            assert_eq!(status, expected, "{body}");
        }
    });
}

#[test]
fn a_wish_that_is_not_clear_is_refused() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        for body in [
            json!({}),
            json!({ "user": "" }),
            json!({ "user": 7 }),
            json!({ "user": "ann", "token_id": "t-1" }),
            json!({ "token_id": "t-1", "issued_before": 1 }),
            json!({ "user": "ann", "expires_at": 1 }),
            json!({ "issued_before": now_s() * 1_000 }),
            json!({ "issued_before": -1 }),
            json!({ "usr": "ann", "issued_before": 1 }),
        ] {
            let (status, problem) = backend.post("/v1/tokens/revoke", body.clone()).await;
            assert_eq!(
                (status, &problem["name"]),
                (400, &json!("bad_request")),
                "{body}"
            );
        }
    });
}
