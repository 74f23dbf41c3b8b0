//! Nodes on a Redis that gives them the rights that operators are told to give, and no more.

use parlor_protocol::CloseCode;
use parlor_tests::{
    API_KEY, Client, Redis, RedisOptions, Setup, Token, in_both_forms, in_time, said, text,
};
use serde_json::json;

const CHANNEL: &str = "disk:a";

/// Of somebody who may do everything there.
fn token(user: &str) -> String {
    let verbs = ["subscribe", "publish", "signal", "history", "presence"];
    Token::of(user).may(&verbs, CHANNEL).sign()
}

fn limited(setup: Setup, redis: &Redis) -> Setup {
    // Without user and password, which the settings name.
    let url = format!("redis://{}", redis.address());
    setup.on_redis(&url).with(|config| {
        let redis = config.redis.as_mut().expect("it was just named");
        redis.user = Some("parlor".to_owned());
        redis.password = Some("secret".to_owned());
        redis.prefix = "parlor".to_owned();
    })
}

async fn until_both_are_present(client: &mut Client) {
    let both = async {
        while client.members(CHANNEL).await.users < 2 {
            tokio::task::yield_now().await;
        }
    };
    in_time("both to be present", both).await;
}

#[test]
fn the_documented_rights_are_enough_for_all_that_nodes_do() {
    in_both_forms(async |at| {
        let redis = Redis::start_with(RedisOptions::default().documented_user("secret"));
        let setup = limited(at.setup().with_tokens(), &redis);
        let (one, other) = (setup.another().start().await, setup.start().await);
        let mut ann = one.join_by_token(&token("ann")).await;
        let mut bob = other.join_by_token(&token("bob")).await;
        ann.subscribe(CHANNEL).await;
        bob.subscribe(CHANNEL).await;
        until_both_are_present(&mut bob).await;
        ann.publish(CHANNEL, "hello").await;
        assert_eq!(said(&bob.event().await), "hello");
        ann.signal(CHANNEL, text("typing")).await;
        assert_eq!(said(&bob.event().await), "typing");
        let backend = one.backend().with_key(API_KEY);
        for (path, body) in [
            (
                "/v1/history/erase",
                json!({ "channel": CHANNEL, "offsets": [1] }),
            ),
            ("/v1/tokens/revoke", json!({ "user": "ann" })),
            ("/v1/users/bob/disconnect", json!({})),
        ] {
            let (status, answer) = backend.post(path, body).await;
            assert_eq!(status, 200, "{path}: {answer}");
        }
        ann.expect_close(CloseCode::Revoked).await;
        bob.expect_close(CloseCode::Disconnected).await;
        let mut bob = other.join_by_token(&token("bob")).await;
        assert!(bob.whole_history(CHANNEL).await[0].erased);
    });
}
