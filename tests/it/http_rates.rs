//! How often one may ask over HTTP: whoever has a token, with a user or without one; a backend as often as it likes.

use parlor_protocol::Form;
use parlor_tests::{API_KEY, Backend, Setup, Token};
use serde_json::{Value, json};

use crate::raw_http::{run, with_tokens};

/// More than pass at once where one a second may, however slow the machine.
const MANY: usize = 10;

/// The names of what became of many publishes in one request, in a channel of one publish a second.
async fn publish_together(backend: &Backend) -> Vec<Value> {
    let message = json!({ "channel": "rated:a", "data": 1 });
    let list = json!({ "messages": vec![message; MANY] });
    let (status, answer) = backend.post("/v1/publish_many", list).await;
    assert_eq!(status, 200, "{answer}");
    let results = answer["results"].as_array().expect("a list").iter();
    results
        .map(|result| result["error"]["name"].clone())
        .collect()
}

/// The first refusal among many requests; none when all of them succeed.
async fn refusal(ask: impl AsyncFn() -> (u16, Value)) -> Option<(u16, Value)> {
    for _ in 0..MANY {
        let (status, answer) = ask().await;
        if status != 200 {
            return Some((status, answer));
        }
    }
    None
}

#[track_caller]
fn assert_rate_limited(what: &str, refusal: Option<(u16, Value)>) {
    let (status, problem) = refusal.unwrap_or_else(|| panic!("{what}: nothing is refused"));
    assert_eq!(
        (status, &problem["name"]),
        (429, &json!("rate_limited")),
        "{what}"
    );
    let wait = problem["retry_after_ms"].as_u64();
    assert!(wait.is_some_and(|ms| (1..=1_000).contains(&ms)), "{what}");
}

#[test]
fn a_token_publishes_no_faster_than_its_kind_allows_with_a_user_or_without() {
    with_tokens(async |server| {
        for (who, token) in [
            ("a user", Token::of("ann")),
            ("nobody", Token::anonymous()),
            ("nobody else", Token::anonymous().claim("jti", "another")),
        ] {
            let token = token.may(&["publish", "signal"], "rated:*").sign();
            let backend = server.backend().with_key(&token);
            let outcomes = publish_together(&backend).await;
            let passed = outcomes.iter().filter(|name| name.is_null()).count();
            assert_eq!(passed, 2, "{who}: one a second, and a burst of two");
            let limited = outcomes.iter().filter(|name| **name == "rate_limited");
            assert_eq!(limited.count(), MANY - passed, "{who}");
            let body = json!({ "channel": "rated:a", "data": 1 });
            for path in ["/v1/publish", "/v1/signal"] {
                let refused = refusal(async || backend.post(path, body.clone()).await).await;
                assert_rate_limited(&format!("{path} of {who}"), refused);
            }
        }
    });
}

#[test]
fn a_backend_publishes_as_fast_as_it_likes() {
    with_tokens(async |server| {
        let backend = server.backend().with_key(API_KEY);
        let outcomes = publish_together(&backend).await;
        assert!(outcomes.iter().all(Value::is_null), "{outcomes:?}");
        let body = json!({ "channel": "rated:a", "data": 1 });
        for path in ["/v1/publish", "/v1/signal"] {
            let refused = refusal(async || backend.post(path, body.clone()).await).await;
            assert_eq!(refused, None, "{path}");
        }
    });
}

#[test]
fn a_token_asks_no_more_often_than_a_connection_may() {
    let setup = Setup::new(Form::Json, 1)
        .with_tokens()
        .with(|config| config.session.commands_per_second_max = 1);
    run(
        async |server| {
            for path in [
                "/v1/history",
                "/v1/presence",
                "/v1/occupancy",
                "/v1/channel",
            ] {
                let url = format!("{path}?channel=memory:a");
                for token in [Token::of("ann"), Token::anonymous()] {
                    let token = token.may(&["history", "presence"], "memory:*").sign();
                    let reader = server.backend().with_key(&token);
                    let refused = refusal(async || reader.get(&url).await).await;
                    assert_rate_limited(path, refused);
                }
                let backend = server.backend().with_key(API_KEY);
                let refused = refusal(async || backend.get(&url).await).await;
                assert_eq!(refused, None, "{path} of a backend");
            }
        },
        setup,
    );
}
