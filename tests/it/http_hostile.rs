//! What the HTTP API answers to those who send it nonsense: a clear status, and it lives on.

use std::io;
use std::time::Duration;

use parlor_protocol::Form;
use parlor_tests::{Setup, in_time};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::raw_http::{GOOD, in_development, request, run, send};

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
fn a_user_whose_name_is_no_text_is_refused_like_anything_else() {
    in_development(async |server| {
        for what in ["disconnect", "subscribe", "unsubscribe"] {
            let line = format!("POST /v1/users/%FF/{what}");
            let body = r#"{"channel":"memory:1"}"#;
            let answer = send(&server, &request(&line, &[], body)).await;
            assert_eq!(
                (answer.status, answer.body["name"].as_str()),
                (400, Some("bad_request")),
                "{what}"
            );
            assert!(answer.head.contains("application/problem+json"), "{what}");
        }
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
fn a_list_with_one_bad_item_keeps_the_others() {
    in_development(async |server| {
        let backend = server.backend();
        let list = json!({ "messages": [
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
            json!({ "messages": [] }),
            json!({ "messages": vec![json!({"channel": "a"}); 1_001] }),
        ] {
            assert_eq!(backend.post("/v1/publish_many", list).await.0, 400);
        }
    });
}

#[test]
fn a_broadcast_of_a_bad_message_is_refused_as_a_whole() {
    in_development(async |server| {
        let backend = server.backend();
        let channels: Vec<_> = (0..1_000)
            .map(|number| format!("memory:{number}"))
            .collect();
        let large = "x".repeat(33_000);
        let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
        let broadcast = |message: Value| {
            let mut body = json!({ "channels": channels });
            body.as_object_mut()
                .expect("an object")
                .extend(message.as_object().expect("an object").clone());
            body
        };
        for (what, message, status, name) in [
            ("too deep", json!({ "data": deep }), 400, "bad_payload"),
            ("too large", json!({ "data": large }), 413, "too_large"),
            (
                "an empty id",
                json!({ "data": 1, "id": "" }),
                400,
                "bad_request",
            ),
            (
                "a long tag",
                json!({ "data": 1, "tags": { "t": "x".repeat(129) } }),
                413,
                "too_large",
            ),
        ] {
            let (answered, problem) = backend.post("/v1/broadcast", broadcast(message)).await;
            assert_eq!(
                (answered, problem["name"].as_str()),
                (status, Some(name)),
                "{what}"
            );
        }
        let (status, answer) = backend
            .post("/v1/broadcast", broadcast(json!({ "data": 1 })))
            .await;
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().expect("a list");
        assert_eq!(results.len(), channels.len());
        for (result, channel) in results.iter().zip(&channels) {
            assert_eq!(result["channel"], channel.as_str());
            assert_eq!(result["published"]["offset"], 1, "nothing came before");
        }
    });
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let setup = Setup::new(Form::Json, 1)
        .with(|config| config.transport.header_timeout = Duration::from_millis(300));
    run(
        async |server| {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_recv_buffer_size(4_096).expect("a narrow one");
            let mut socket = socket.connect(server.address()).await.expect("accepted");
            // Together more than the kernel takes on both sides.
            let wish = request("GET /openapi.json", &[("connection", "keep-alive")], "");
            let wishes = wish.repeat(200);
            socket.write_all(wishes.as_bytes()).await.expect("written");
            let gone = async {
                while !socket.try_write(b"\r\n").is_err_and(is_the_end) {
                    tokio::task::yield_now().await;
                }
            };
            in_time("the end of the connection", gone).await;
        },
        setup,
    );
}

fn is_the_end(error: io::Error) -> bool {
    error.kind() != io::ErrorKind::WouldBlock
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
