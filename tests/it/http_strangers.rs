//! What the HTTP API answers to those who ask for what is not theirs.

use parlor_protocol::Form;
use parlor_tests::{API_KEY, Setup, Token};

use crate::raw_http::{GOOD, in_development, request, run, send, with_tokens};

#[test]
fn a_key_is_right_or_it_is_refused() {
    with_tokens(async |server| {
        let right = format!("Bearer {API_KEY}");
        let short = format!("Bearer {}", &API_KEY[..API_KEY.len() - 1]);
        let wrong = format!("Bearer {}x", &API_KEY[..API_KEY.len() - 1]);
        for (what, headers) in [
            ("no key", vec![]),
            ("a prefix", vec![("authorization", short.as_str())]),
            ("one byte wrong", vec![("authorization", wrong.as_str())]),
            ("an empty key", vec![("authorization", "Bearer ")]),
            ("another scheme", vec![("authorization", "Basic YTpi")]),
            (
                "two keys",
                vec![
                    ("authorization", right.as_str()),
                    ("authorization", right.as_str()),
                ],
            ),
            ("a cookie", vec![("cookie", API_KEY)]),
        ] {
            let answer = send(&server, &request("POST /v1/publish", &headers, GOOD)).await;
            assert_eq!(
                (answer.status, answer.body["name"].as_str()),
                (401, Some("bad_key")),
                "{what}"
            );
            assert!(answer.head.contains("www-authenticate: bearer"), "{what}");
        }
        let in_the_url = format!("POST /v1/publish?key={API_KEY}&authorization=Bearer%20{API_KEY}");
        assert_eq!(
            send(&server, &request(&in_the_url, &[], GOOD)).await.status,
            401
        );
        let authorization = [("authorization", right.as_str())];
        assert_eq!(
            send(&server, &request("POST /v1/publish", &authorization, GOOD))
                .await
                .status,
            200
        );
    });
}

#[test]
fn every_command_is_refused_to_those_who_may_not() {
    with_tokens(async |server| {
        let ann = Token::of("ann").may(&["publish"], "memory:own").sign();
        let ann = server.backend().with_key(&ann);
        let channel = serde_json::json!({ "channel": "memory:other", "data": 1 });
        for path in [
            "/v1/publish",
            "/v1/signal",
            "/v1/users/bob/subscribe",
            "/v1/users/bob/unsubscribe",
            "/v1/users/bob/disconnect",
        ] {
            let (status, problem) = ann.post(path, channel.clone()).await;
            assert_eq!(
                (status, problem["name"].as_str()),
                (403, Some("not_permitted")),
                "{path}"
            );
        }
        let (status, _) = ann
            .post("/v1/tokens", serde_json::json!({ "user": "bob" }))
            .await;
        assert_eq!(status, 403, "/v1/tokens");
        let (status, _) = ann
            .post("/v1/tokens/revoke", serde_json::json!({ "user": "bob" }))
            .await;
        assert_eq!(status, 403, "/v1/tokens/revoke");
        for path in [
            "/v1/history",
            "/v1/presence",
            "/v1/occupancy",
            "/v1/channel",
        ] {
            let (status, problem) = ann.get(&format!("{path}?channel=memory:own")).await;
            assert_eq!(
                (status, problem["name"].as_str()),
                (403, Some("not_permitted")),
                "{path}"
            );
        }
        let own = serde_json::json!({ "channel": "memory:own", "data": 1 });
        assert_eq!(ann.post("/v1/publish", own).await.0, 200);
    });
}

#[test]
fn a_broadcast_is_refused_for_each_channel_that_is_not_ones_own() {
    with_tokens(async |server| {
        let ann = Token::of("ann").may(&["publish"], "memory:own").sign();
        let ann = server.backend().with_key(&ann);
        let body = serde_json::json!({
            "channels": ["memory:other", "memory:own", "no channel", "nowhere"], "data": 1,
        });
        let (status, answer) = ann.post("/v1/broadcast", body).await;
        assert_eq!(status, 200, "{answer}");
        let name = |place: usize| answer["results"][place]["error"]["name"].as_str();
        assert_eq!(
            [0, 1, 2, 3].map(name),
            [
                Some("not_permitted"),
                None,
                Some("bad_channel"),
                Some("unknown_channel_kind")
            ]
        );
        assert_eq!(answer["results"][1]["published"]["offset"], 1, "{answer}");
    });
}

#[test]
fn a_token_from_the_api_is_good_and_means_what_was_asked() {
    with_tokens(async |server| {
        let backend = server.backend().with_key(API_KEY);
        let wish = serde_json::json!({
            "user": "ann", "info": { "name": "Ann" }, "expires_in_s": 60,
            "caps": [{ "channels": ["memory:{user}"], "allow": ["publish"] }],
        });
        let (status, issued) = backend.post("/v1/tokens", wish).await;
        assert_eq!(
            (status, issued["expires_in_s"].as_u64()),
            (200, Some(60)),
            "{issued}"
        );
        let ann = server
            .backend()
            .with_key(issued["token"].as_str().expect("a token"));
        let publish = |channel: &str| serde_json::json!({ "channel": channel, "data": 1 });
        assert_eq!(ann.post("/v1/publish", publish("memory:ann")).await.0, 200);
        assert_eq!(ann.post("/v1/publish", publish("memory:bob")).await.0, 403);
        for (what, wish) in [
            (
                "an unknown verb",
                serde_json::json!({ "caps": [{ "channels": ["*"], "allow": ["fly"] }] }),
            ),
            ("info of no object", serde_json::json!({ "info": 1 })),
            (
                "a user with a line break",
                serde_json::json!({ "user": "a\nb" }),
            ),
            (
                "a channel that is none",
                serde_json::json!({ "channel": "a b" }),
            ),
            (
                "for ten years",
                serde_json::json!({ "expires_in_s": 315_360_000 }),
            ),
        ] {
            assert_eq!(backend.post("/v1/tokens", wish).await.0, 400, "{what}");
        }
    });
}

#[test]
fn in_development_mode_only_this_machine_is_answered() {
    in_development(async |server| {
        let post = "POST /v1/publish";
        assert_eq!(
            send(&server, &request(post, &[("host", "evil.example")], GOOD))
                .await
                .status,
            421
        );
        assert_eq!(
            send(
                &server,
                &request(post, &[("origin", "https://evil.example")], GOOD)
            )
            .await
            .status,
            403
        );
        assert_eq!(
            send(&server, &request(post, &[("origin", "null")], GOOD))
                .await
                .status,
            403
        );
        assert_eq!(
            send(
                &server,
                &request(post, &[("origin", "http://localhost:5173")], GOOD)
            )
            .await
            .status,
            200
        );
        let upgrade = |host: &str, origin: &str| {
            let headers = [
                ("host", host),
                ("origin", origin),
                ("connection", "upgrade, close"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            ];
            request("GET /v1/socket", &headers, "")
        };
        assert_eq!(
            send(&server, &upgrade("evil.example", "http://evil.example"))
                .await
                .status,
            403
        );
        assert_eq!(
            send(&server, &upgrade("localhost", "http://evil.example"))
                .await
                .status,
            403
        );
    });
}

#[test]
fn only_pages_of_named_origins_may_call() {
    let setup = Setup::new(Form::Json, 1)
        .with_tokens()
        .with(|config| config.transport.origins = vec!["https://app.example".to_owned()]);
    run(
        async |server| {
            let preflight = |origin: &str| {
                let headers = [
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                ];
                request("OPTIONS /v1/publish", &headers, "")
            };
            let yes = send(&server, &preflight("https://app.example")).await;
            assert_eq!(yes.status, 204);
            assert!(
                yes.head
                    .contains("access-control-allow-origin: https://app.example"),
                "{}",
                yes.head
            );
            for origin in [
                "https://app.example.evil.org",
                "http://app.example",
                "https://app.example:8443",
                "null",
            ] {
                let no = send(&server, &preflight(origin)).await;
                assert!(
                    no.status == 405 && !no.head.contains("access-control-allow-origin"),
                    "{origin}"
                );
            }
        },
        setup,
    );
}

#[test]
fn nothing_is_told_to_strangers() {
    with_tokens(async |server| {
        let health = send(&server, &request("GET /healthz", &[], "")).await;
        assert_eq!(health.status, 200);
        assert!(!health.head.contains("server:"), "{}", health.head);
        assert_eq!(
            send(&server, &request("GET /readyz", &[], "")).await.status,
            200
        );
        for path in ["/metrics", "/", "/demo.js"] {
            assert_eq!(
                send(&server, &request(&format!("GET {path}"), &[], ""))
                    .await
                    .status,
                404,
                "{path}"
            );
        }
    });
}
