//! Several nodes on one Redis: what a backend asks of one holds on all of them, within a second.

use std::time::{Duration, Instant};

use parlor_protocol::command::{Command, Connect, Recover, Subscribe};
use parlor_protocol::push::Status;
use parlor_protocol::reply::SubscribeOutcome;
use parlor_protocol::{CloseCode, ErrorCode, Push, WireError};
use parlor_tests::{
    API_KEY, At, Backend, Client, Proxy, Redis, Server, Setup, Token, everywhere, in_both_forms,
    in_time, now_s, publish, said, text,
};
use serde_json::{Value, json};

/// How soon every node obeys.
const EVERYWHERE_WITHIN: Duration = Duration::from_secs(1);

/// A node that cannot deliver says so within 2 s, and a busy machine may take as long again.
const RED_WITHIN: Duration = Duration::from_secs(4);

/// For how long it is looked at whether a node stays red: everything is dialled anew meanwhile, and probes are appended.
const RED_FOR: Duration = Duration::from_secs(2);

/// Two nodes and the Redis between them.
struct Pair {
    redis: Redis,
    one: Server,
    other: Server,
}

impl Pair {
    async fn start(at: At) -> Self {
        let redis = Redis::start();
        let setup = at.setup().with_tokens().on_redis(&redis.url());
        Self {
            one: setup.another().start().await,
            other: setup.start().await,
            redis,
        }
    }

    /// Speaks to the first node.
    fn backend(&self) -> Backend {
        self.one.backend().with_key(API_KEY)
    }
}

async fn post(backend: &Backend, path: &str, body: Value) {
    let (status, answer) = backend.post(path, body).await;
    assert_eq!(status, 200, "{answer}");
}

async fn is_refused(server: &Server, token: &str) -> bool {
    let connect = Connect {
        token: Some(token.to_owned()),
        ..Connect::default()
    };
    match server.try_join(connect).await.1 {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), Some(ErrorCode::TokenRevoked));
            true
        }
    }
}

/// Refused for lack of Redis, and told when to come back.
fn expect_retry(refused: Option<WireError>) {
    let refused = refused.expect("nothing is taken without Redis");
    assert_eq!(refused.kind(), Some(ErrorCode::StorageUnavailable));
    assert!(refused.retry_after_ms.is_some(), "{refused}");
}

async fn is_ready(server: &Server) -> bool {
    server.backend().get("/readyz").await.0 == 200
}

async fn until_ready(server: &Server) {
    let ready = async {
        while !is_ready(server).await {
            tokio::task::yield_now().await;
        }
    };
    in_time("the node to be ready", ready).await;
}

async fn stays_red(server: &Server) {
    let began = Instant::now();
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while began.elapsed() < RED_FOR {
        looks.tick().await;
        assert!(!is_ready(server).await, "after {:?}", began.elapsed());
    }
}

async fn expect_status(client: &mut Client, degraded: bool) {
    assert_eq!(client.push().await, Push::Status(Status { degraded }));
}

#[test]
fn an_order_to_one_node_is_obeyed_by_all() {
    everywhere(async |at| {
        let nodes = Pair::start(at).await;
        let backend = nodes.backend();
        let token = Token::of("ann").sign();
        let mut clients = [
            nodes.one.join_by_token(&token).await,
            nodes.other.join_by_token(&token).await,
        ];
        let channel = json!({ "channel": "disk:a" });
        let began = Instant::now();
        post(&backend, "/v1/users/ann/subscribe", channel.clone()).await;
        for ann in &mut clients {
            let Push::Subscribed(subscribed) = ann.push().await else {
                panic!("not subscribed: {}", ann.story())
            };
            assert_eq!(subscribed.channel, "disk:a");
        }
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
        let began = Instant::now();
        post(&backend, "/v1/users/ann/unsubscribe", channel).await;
        for ann in &mut clients {
            let Push::Unsubscribed(ended) = ann.push().await else {
                panic!("not unsubscribed")
            };
            assert_eq!(
                (ended.channel.as_str(), ended.resubscribe),
                ("disk:a", false)
            );
        }
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
        let began = Instant::now();
        post(&backend, "/v1/users/ann/disconnect", json!({})).await;
        for ann in &mut clients {
            ann.expect_close(CloseCode::Disconnected).await;
        }
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
    });
}

#[test]
fn a_token_that_one_node_revokes_is_worth_nothing_on_all() {
    everywhere(async |at| {
        let nodes = Pair::start(at).await;
        let backend = nodes.backend();
        let by_user = Token::of("ann").sign();
        let by_id = Token::of("bob").claim("jti", "t-1").sign();
        let old = Token::of("dan").claim("iat", now_s() - 100).sign();
        let mut ann = nodes.other.join_by_token(&by_user).await;
        let mut bob = nodes.other.join_by_token(&by_id).await;
        // Without a time of issue a token counts as old.
        let new = Token::of("cid").claim("iat", now_s()).sign();
        let mut cid = nodes.other.join_by_token(&new).await;
        let mut dan = nodes.other.join_by_token(&old).await;
        let began = Instant::now();
        post(&backend, "/v1/tokens/revoke", json!({ "user": "ann" })).await;
        post(&backend, "/v1/tokens/revoke", json!({ "token_id": "t-1" })).await;
        let before = json!({ "issued_before": now_s() - 50 });
        post(&backend, "/v1/tokens/revoke", before).await;
        ann.expect_close(CloseCode::Revoked).await;
        bob.expect_close(CloseCode::Revoked).await;
        dan.expect_close(CloseCode::Revoked).await;
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
        assert!(is_refused(&nodes.other, &by_user).await);
        assert!(is_refused(&nodes.other, &by_id).await);
        assert!(is_refused(&nodes.other, &old).await);
        cid.ping().await;
        // One that starts later knows it too.
        let late = Setup::new(at.form, at.shards)
            .with_tokens()
            .on_redis(&nodes.redis.url())
            .start()
            .await;
        assert!(is_refused(&late, &by_user).await);
        assert!(is_refused(&late, &by_id).await);
        assert!(is_refused(&late, &old).await);
    });
}

#[test]
fn a_session_goes_on_on_another_node() {
    everywhere(async |at| {
        let nodes = Pair::start(at).await;
        let token = Some(Token::of("ann").sign());
        let connect = Connect {
            token,
            ..Connect::default()
        };
        let (ann, hello) = nodes.one.join_with(connect.clone()).await;
        ann.lose();
        let again = Connect {
            session: Some(hello.session.clone()),
            ..connect
        };
        let (_ann, resumed) = nodes.other.join_with(again).await;
        assert_eq!(resumed.session.id, hello.session.id);
    });
}

#[test]
fn without_redis_everybody_stays_and_is_told_on_every_node() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let proxy = Proxy::start(redis.address());
        let setup = at.setup().with_tokens();
        let setup = setup.on_redis(&redis.url_at(proxy.address()));
        let (one, other) = (setup.another().start().await, setup.start().await);
        let backend = one.backend().with_key(API_KEY);
        let token = Token::of("ann").sign();
        let mut clients = [
            one.join_by_token(&token).await,
            other.join_by_token(&token).await,
        ];
        proxy.cut();
        for ann in &mut clients {
            expect_status(ann, true).await;
        }
        let (status, problem) = backend.post("/v1/users/ann/disconnect", json!({})).await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem["retry_after_ms"].is_u64(), "{problem}");
        proxy.heal();
        for ann in &mut clients {
            expect_status(ann, false).await;
            ann.ping().await;
        }
        let began = Instant::now();
        post(&backend, "/v1/tokens/revoke", json!({ "user": "ann" })).await;
        for ann in &mut clients {
            ann.expect_close(CloseCode::Revoked).await;
        }
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
    });
}

#[test]
fn a_redis_that_is_silent_is_answered_for_in_time() {
    in_both_forms(async |at| {
        let nodes = Pair::start(at).await;
        let backend = nodes.backend();
        let token = Token::of("ann").may(&["publish", "subscribe"], "*").sign();
        let mut ann = nodes.one.join_by_token(&token).await;
        nodes.redis.freeze();
        expect_status(&mut ann, true).await;
        let began = Instant::now();
        let refused = ann.try_publish(publish("disk:a", text("x"))).await.err();
        let answered = [began.elapsed()];
        expect_retry(refused);
        let began = Instant::now();
        let refused = ann.try_subscribe(Subscribe::new("disk:a")).await.err();
        let answered = [answered[0], began.elapsed()];
        expect_retry(refused);
        let began = Instant::now();
        let (status, problem) = backend.post("/v1/users/ann/disconnect", json!({})).await;
        assert_eq!(status, 503, "{problem}");
        assert!(problem["retry_after_ms"].is_u64(), "{problem}");
        let answered = [answered[0], answered[1], began.elapsed()];
        assert!(
            answered.iter().all(|took| *took < Duration::from_secs(7)),
            "{answered:?}"
        );
        nodes.redis.thaw();
        expect_status(&mut ann, false).await;
        ann.publish("disk:a", "back").await;
    });
}

#[test]
fn many_subscriptions_to_a_redis_that_is_silent_are_answered_together() {
    in_both_forms(async |at| {
        let nodes = Pair::start(at).await;
        let token = Token::of("ann").may(&["subscribe"], "*").sign();
        let mut bob = nodes.one.join_by_token(&token).await;
        let wishes = || (0..20).map(|number| Subscribe::new(format!("disk:{number}")));
        nodes.redis.freeze();
        let connect = Connect {
            token: Some(token),
            subscriptions: wishes().collect(),
            ..Connect::default()
        };
        let began = Instant::now();
        let (mut ann, hello) = nodes.one.join_with(connect).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(7), "{took:?}");
        assert!(hello.degraded);
        assert_eq!(hello.subscriptions.len(), 20);
        for (number, outcome) in hello.subscriptions.into_iter().enumerate() {
            match outcome {
                SubscribeOutcome::Refused { channel, error } => {
                    assert_eq!(channel, format!("disk:{number}"));
                    expect_retry(Some(error));
                }
                SubscribeOutcome::Subscribed(told) => panic!("without Redis: {told:?}"),
            }
        }
        // Nor does one that is connected already look dead for lack of a pong.
        expect_status(&mut bob, true).await;
        let began = Instant::now();
        for id in bob.send_together(wishes().map(Command::Subscribe)).await {
            expect_retry(bob.reply(id).await.err());
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        nodes.redis.thaw();
        for client in [&mut ann, &mut bob] {
            expect_status(client, false).await;
            client.subscribe("disk:0").await;
        }
    });
}

#[test]
fn a_node_that_appends_and_hears_nothing_is_not_ready() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let server = at.setup().on_redis(&redis.url()).start().await;
        until_ready(&server).await;
        let mut ann = server.join("ann").await;
        let mut bob = server.join("bob").await;
        bob.subscribe("disk:b").await;
        // The tails are the only ones that use this.
        redis.ask(&["ACL", "SETUSER", "default", "-xread"]);
        let began = Instant::now();
        while is_ready(&server).await {
            assert!(began.elapsed() < RED_WITHIN, "{:?}", began.elapsed());
            ann.publish("disk:a", "taken").await;
        }
        expect_status(&mut bob, true).await;
        ann.publish("disk:a", "taken while it is red").await;
        // No path counts for another: not one probe has come back through the tails.
        stays_red(&server).await;
        redis.ask(&["ACL", "SETUSER", "default", "+xread"]);
        until_ready(&server).await;
        expect_status(&mut bob, false).await;
        ann.publish("disk:b", "delivered").await;
        assert_eq!(said(&bob.event().await), "delivered");
    });
}

#[test]
fn who_comes_from_a_faster_node_goes_on_where_it_was() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        redis.ask(&[
            "ACL", "SETUSER", "late", "on", ">secret", "~*", "&*", "+@all",
        ]);
        let fast = at.setup().on_redis(&redis.url()).start().await;
        let slow = at.setup().on_redis(&redis.url()).with(|config| {
            let redis = config.redis.as_mut().expect("it was just named");
            redis.user = Some("late".to_owned());
            redis.password = Some("secret".to_owned());
        });
        let slow = slow.start().await;
        let mut ann = fast.join("ann").await;
        let mut bob = slow.join("bob").await;
        let mut cat = slow.join("cat").await;
        bob.subscribe("disk:a").await;
        ann.subscribe("disk:a").await;
        // The tails are the only ones that use this.
        redis.ask(&["ACL", "SETUSER", "late", "-xread"]);
        // One after the other: a read that waits already may still bring the first.
        let mut last = ann.publish("disk:a", 0).await;
        for number in 1..4 {
            last = ann.publish("disk:a", number).await;
        }
        let recover = Recover::From(last.position);
        let subscribed = cat.resume("disk:a", recover).await;
        assert_eq!((subscribed.recovered, subscribed.from), (Some(true), None));
        redis.ask(&["ACL", "SETUSER", "late", "+xread"]);
        ann.publish("disk:a", "next").await;
        assert_eq!(said(&cat.event().await), "next");
    });
}

#[test]
fn a_node_that_was_cut_off_obeys_as_soon_as_it_is_back() {
    in_both_forms(async |at| {
        let redis = Redis::start();
        let proxy = Proxy::start(redis.address());
        let setup = at.setup().with_tokens();
        let one = setup.another().on_redis(&redis.url()).start().await;
        let cut_off = setup.on_redis(&redis.url_at(proxy.address())).start().await;
        let backend = one.backend().with_key(API_KEY);
        let mut ann = cut_off.join_by_token(&Token::of("ann").sign()).await;
        let mut bob = cut_off.join_by_token(&Token::of("bob").sign()).await;
        let mut cid = cut_off.join_by_token(&Token::of("cid").sign()).await;
        proxy.cut();
        for client in [&mut ann, &mut bob, &mut cid] {
            expect_status(client, true).await;
        }
        post(&backend, "/v1/tokens/revoke", json!({ "user": "ann" })).await;
        post(&backend, "/v1/users/bob/disconnect", json!({})).await;
        let mut late = cut_off.join_by_token(&Token::of("ann").sign()).await;
        proxy.heal();
        expect_status(&mut cid, false).await;
        let began = Instant::now();
        ann.expect_close(CloseCode::Revoked).await;
        late.expect_close(CloseCode::Revoked).await;
        bob.expect_close(CloseCode::Disconnected).await;
        assert!(began.elapsed() < EVERYWHERE_WITHIN, "{:?}", began.elapsed());
        cid.ping().await;
    });
}

#[test]
fn what_was_revoked_outlives_a_redis_that_forgets_everything() {
    in_both_forms(async |at| {
        let nodes = Pair::start(at).await;
        let backend = nodes.backend();
        let token = Token::of("ann").sign();
        let one = Token::of("bob").claim("jti", "t-1").sign();
        post(&backend, "/v1/tokens/revoke", json!({ "user": "ann" })).await;
        post(&backend, "/v1/tokens/revoke", json!({ "token_id": "t-1" })).await;
        nodes.redis.flush_all();
        assert!(is_refused(&nodes.other, &token).await);
        // A node that starts now knows only what the others tell it anew.
        let setup = at.setup().with_tokens().on_redis(&nodes.redis.url());
        let late = setup.start().await;
        let patience = Instant::now() + Duration::from_secs(20);
        while !(is_refused(&late, &token).await && is_refused(&late, &one).await) {
            assert!(Instant::now() < patience, "never told anew");
        }
    });
}
