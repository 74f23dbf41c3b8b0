//! What the HTTP API answers to those who send it nonsense, or what is not theirs: a clear status, and it lives on.

use std::time::Duration;

use parlor_protocol::Form;
use parlor_tests::{API_KEY, Server, Setup, Token, in_time};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Status, head in lower case, and body of what a server answers to these bytes.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

async fn send(server: &Server, request: &str) -> Answer {
    let mut socket = TcpStream::connect(server.address())
        .await
        .expect("it accepts");
    // A refused request may be answered, and its socket closed, before all of it is written.
    let _refused = socket.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _reset = in_time("an answer", socket.read_to_end(&mut bytes)).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// A request with these headers beside the necessary ones.
fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let own = [
        ("host", "localhost"),
        ("connection", "close"),
        ("content-type", "application/json"),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let mut text = format!("{line} HTTP/1.1\r\n");
    for (name, value) in own
        .iter()
        .filter(|(name, _)| !is_given(name))
        .chain(headers)
    {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !is_given("content-length") && !is_given("transfer-encoding") {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

const GOOD: &str = r#"{"channel":"memory:1","data":{"text":"hello"}}"#;

fn run(test: impl AsyncFnOnce(Server), setup: Setup) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = setup.start().await;
        test(server).await;
    });
}

fn in_development(test: impl AsyncFnOnce(Server)) {
    run(test, Setup::new(Form::Json, 1));
}

fn with_tokens(test: impl AsyncFnOnce(Server)) {
    run(test, Setup::new(Form::Json, 1).with_tokens());
}

#[test]
fn a_bad_body_is_named_and_the_server_lives() {
    in_development(async |server| {
        let deep = format!(
            r#"{{"channel":"memory:1","data":{}{}}}"#,
            "[".repeat(40),
            "]".repeat(40)
        );
        let deepest = format!(
            r#"{{"channel":"memory:1","data":{}{}}}"#,
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        let large = format!(
            r#"{{"channel":"memory:1","data":"{}"}}"#,
            "x".repeat(33_000)
        );
        let body_too_large = format!(
            r#"{{"channel":"memory:1","data":"{}"}}"#,
            "x".repeat(1 << 20)
        );
        let key = format!(
            r#"{{"channel":"memory:1","data":1,"id":"{}"}}"#,
            "k".repeat(129)
        );
        for (what, body, status, name) in [
            ("no JSON", "{", 400, "bad_request"),
            ("no object", "[]", 400, "bad_request"),
            ("nothing", " ", 400, "bad_request"),
            ("no channel", r#"{"data":1}"#, 400, "bad_request"),
            (
                "channel of a number",
                r#"{"channel":1,"data":1}"#,
                400,
                "bad_request",
            ),
            (
                "channel twice",
                r#"{"channel":"a","channel":"b","data":1}"#,
                400,
                "bad_request",
            ),
            ("no data", r#"{"channel":"memory:1"}"#, 400, "bad_request"),
            (
                "two data",
                r#"{"channel":"memory:1","data":1,"data_b64":"AA=="}"#,
                400,
                "bad_request",
            ),
            (
                "no base64",
                r#"{"channel":"memory:1","data_b64":"?"}"#,
                400,
                "bad_payload",
            ),
            (
                "NaN",
                r#"{"channel":"memory:1","data":NaN}"#,
                400,
                "bad_request",
            ),
            (
                "something behind",
                r#"{"channel":"memory:1","data":1} x"#,
                400,
                "bad_request",
            ),
            ("too deep", &deep, 400, "bad_payload"),
            ("200,000 deep", &deepest, 413, "too_large"),
            ("payload too large", &large, 413, "too_large"),
            ("body too large", &body_too_large, 413, "too_large"),
            ("id too long", &key, 413, "too_large"),
            (
                "an empty channel",
                r#"{"channel":"","data":1}"#,
                400,
                "bad_channel",
            ),
            (
                "a channel with a star",
                r#"{"channel":"memory:*","data":1}"#,
                400,
                "bad_channel",
            ),
            (
                "a channel with CRLF",
                r#"{"channel":"memory:\r\n","data":1}"#,
                400,
                "bad_channel",
            ),
            (
                "a channel of no kind",
                r#"{"channel":"nowhere","data":1}"#,
                404,
                "unknown_channel_kind",
            ),
        ] {
            let answer = send(&server, &request("POST /v1/publish", &[], body)).await;
            assert_eq!(
                (answer.status, answer.body["name"].as_str()),
                (status, Some(name)),
                "{what}"
            );
            assert!(answer.head.contains("application/problem+json"), "{what}");
            assert!(answer.body["request_id"].is_string(), "{what}");
        }
        assert_eq!(
            send(&server, &request("POST /v1/publish", &[], GOOD))
                .await
                .status,
            200
        );
    });
}

#[test]
fn bodies_of_other_forms_are_refused() {
    in_development(async |server| {
        for (what, headers) in [
            (
                "a form",
                ("content-type", "application/x-www-form-urlencoded"),
            ),
            ("plain text", ("content-type", "text/plain")),
            ("compressed", ("content-encoding", "gzip")),
        ] {
            assert_eq!(
                send(&server, &request("POST /v1/publish", &[headers], GOOD))
                    .await
                    .status,
                415,
                "{what}"
            );
        }
        let charset = [("content-type", "Application/JSON; charset=utf-8")];
        assert_eq!(
            send(&server, &request("POST /v1/publish", &charset, GOOD))
                .await
                .status,
            200
        );
    });
}

#[test]
fn ambiguous_requests_are_refused_before_anything_reads_them() {
    in_development(async |server| {
        let post = "POST /v1/publish";
        for (what, text) in [
            (
                "two lengths",
                request(
                    post,
                    &[("content-length", "5"), ("content-length", "6")],
                    GOOD,
                ),
            ),
            (
                "an unknown coding",
                request(post, &[("transfer-encoding", "xchunked")], GOOD),
            ),
            (
                "a length that is none",
                request(post, &[("content-length", "-1")], GOOD),
            ),
            (
                "a folded header",
                format!("{post} HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n"),
            ),
            (
                "a blank before the colon",
                format!("{post} HTTP/1.1\r\nhost : localhost\r\n\r\n"),
            ),
            ("no HTTP", "hello\r\n\r\n".to_owned()),
        ] {
            let status = send(&server, &text).await.status;
            assert!(matches!(status, 0 | 400..=499), "{what}: {status}");
        }
        let many: Vec<_> = (0..100)
            .map(|number| format!("x-{number}: 1\r\n"))
            .collect();
        let headers = format!(
            "{post} HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
            many.concat()
        );
        assert_eq!(send(&server, &headers).await.status, 431);
        let long = format!(
            "{post} HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
            "a".repeat(40_000)
        );
        assert_eq!(send(&server, &long).await.status, 431);
        for method in ["TRACE", "DELETE", "PUT"] {
            assert_eq!(
                send(&server, &request(&format!("{method} /v1/publish"), &[], ""))
                    .await
                    .status,
                405,
                "{method}"
            );
        }
        assert_eq!(
            send(&server, &request("GET /v2/publish", &[], ""))
                .await
                .status,
            404
        );
        assert_eq!(send(&server, &request(post, &[], GOOD)).await.status, 200);
    });
}

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
fn a_list_with_one_bad_item_keeps_the_others() {
    in_development(async |server| {
        let backend = server.backend();
        let list = serde_json::json!({ "messages": [
            { "channel": "memory:1", "data": 1 },
            { "channel": "no channel", "data": 2 },
            { "channel": "memory:1", "data": 3 },
        ] });
        let (status, answer) = backend.post("/v1/publish_many", list).await;
        assert_eq!(status, 200);
        assert_eq!(answer["results"][0]["published"]["offset"], 1);
        assert_eq!(answer["results"][1]["error"]["name"], "bad_channel");
        assert_eq!(answer["results"][2]["published"]["offset"], 2);
        for list in [
            serde_json::json!({ "messages": [] }),
            serde_json::json!({ "messages": vec![serde_json::json!({"channel": "a"}); 1_001] }),
        ] {
            assert_eq!(backend.post("/v1/publish_many", list).await.0, 400);
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

#[test]
fn a_body_that_never_comes_is_given_up() {
    let setup = Setup::new(Form::Json, 1)
        .with(|config| config.transport.header_timeout = Duration::from_millis(300));
    run(
        async |server| {
            let unfinished = request("POST /v1/publish", &[("content-length", "100")], "{");
            assert_eq!(send(&server, &unfinished).await.status, 408);
        },
        setup,
    );
}
