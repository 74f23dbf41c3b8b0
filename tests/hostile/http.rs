//! The HTTP API's own hostile input: what would be two different requests to two readers is none (RFC 9112).

use parlor_protocol::Form;
use parlor_tests::in_both_forms;

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::raw::{Raw, exchange};

/// A publish whose framing is the given header lines and body.
fn publish(headers: &str, body: &str) -> String {
    format!(
        "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
    )
}

const EVENT: &str = r#"{"channel":"memory:http","data":1}"#;

fn ambiguous() -> Vec<(&'static str, String)> {
    let len = EVENT.len();
    let chunked = format!("{len:x}\r\n{EVENT}\r\n0\r\n\r\n");
    vec![
        (
            "two lengths",
            publish(
                &format!("Content-Length: {len}\r\nContent-Length: 3\r\n"),
                EVENT,
            ),
        ),
        (
            "a list of lengths",
            publish(&format!("Content-Length: {len}, 3\r\n"), EVENT),
        ),
        (
            "a negative length",
            publish("Content-Length: -1\r\n", EVENT),
        ),
        (
            "a length with a sign",
            publish(&format!("Content-Length: +{len}\r\n"), EVENT),
        ),
        (
            "a length in hex",
            publish("Content-Length: 0x10\r\n", EVENT),
        ),
        (
            "a length above 2^64",
            publish("Content-Length: 99999999999999999999999\r\n", EVENT),
        ),
        (
            "an unknown coding",
            publish("Transfer-Encoding: xchunked\r\n", &chunked),
        ),
        (
            "chunked, but not last",
            publish("Transfer-Encoding: chunked, identity\r\n", &chunked),
        ),
        (
            "a vertical tab before chunked",
            publish("Transfer-Encoding: \u{b}chunked\r\n", &chunked),
        ),
        (
            "a chunk of no number",
            publish("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of 2^64",
            publish("Transfer-Encoding: chunked\r\n", "ffffffffffffffff1\r\n"),
        ),
        (
            "chunks in HTTP/1.0",
            publish("Transfer-Encoding: chunked\r\n", &chunked).replacen("1.1", "1.0", 1),
        ),
        (
            "a header on two lines",
            publish(&format!("A: b\r\n c\r\nContent-Length: {len}\r\n"), EVENT),
        ),
        (
            "a blank before the colon",
            publish(&format!("Content-Length : {len}\r\n"), EVENT),
        ),
        (
            "a NUL in a header",
            publish(&format!("A: \0\r\nContent-Length: {len}\r\n"), EVENT),
        ),
        (
            "a lone CR",
            publish(
                &format!("A: b\rContent-Length: 3\r\nContent-Length: {len}\r\n"),
                EVENT,
            ),
        ),
        (
            "HTTP/3.0",
            publish(&format!("Content-Length: {len}\r\n"), EVENT).replacen("1.1", "3.0", 1),
        ),
        (
            "a path with a blank",
            "GET /v1/his tory HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
    ]
}

#[test]
fn a_request_that_two_readers_read_differently_is_none() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        ann.subscribe("memory:http").await;
        for (what, request) in ambiguous() {
            let _case = Case(what);
            let (answer, rest) = exchange(server.address(), request.as_bytes()).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(
                !String::from_utf8_lossy(&rest).contains("HTTP/1.1"),
                "one answer, and the end"
            );
        }
        assert!(
            ann.pushes_so_far().await.is_empty(),
            "nothing of it was published"
        );
    });
}

#[test]
fn with_both_a_length_and_chunks_the_chunks_count_and_nothing_behind_them() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        ann.subscribe("memory:http").await;
        let smuggled = publish(&format!("Content-Length: {}\r\n", EVENT.len()), EVENT);
        let body = format!("{:x}\r\n{EVENT}\r\n0\r\n\r\n{smuggled}", EVENT.len());
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        ] {
            let (answer, rest) =
                exchange(server.address(), publish(headers, &body).as_bytes()).await;
            assert_eq!(answer.expect("an answer").status, 200);
            assert!(
                !String::from_utf8_lossy(&rest).contains("HTTP/1.1"),
                "the connection ends with the answer"
            );
        }
        assert_eq!(
            ann.pushes_so_far().await.len(),
            2,
            "what was smuggled is no request"
        );
    });
}

#[test]
fn a_request_that_is_not_for_us_is_refused() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let deep = "[".repeat(100_000);
        let json = |body: &str| publish(&format!("Content-Length: {}\r\n", body.len()), body);
        let rows = [
            (
                "CONNECT",
                "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n".to_owned(),
            ),
            (
                "TRACE",
                "TRACE /v1/publish HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            ),
            (
                "another host",
                "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
            ),
            (
                "no host",
                "GET /v1/channel?channel=memory:a HTTP/1.1\r\n\r\n".to_owned(),
            ),
            (
                "up and away",
                "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            ),
            (
                "encoded dots",
                "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            ),
            ("100,000 levels", json(&deep)),
            ("2 MiB", json(&" ".repeat(2 << 20))),
            (
                "gzip",
                publish("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"),
            ),
            (
                "a form",
                json(EVENT).replace("application/json", "text/plain"),
            ),
            ("bytes that are no text", json("\u{0}\u{1}")),
            (
                "a page elsewhere",
                json(EVENT).replacen("Host", "Origin: https://evil.example\r\nHost", 1),
            ),
        ];
        for (what, request) in rows {
            let _case = Case(what);
            let mut raw = Raw::dial(server.address(), Form::Json).await;
            raw.send(request.as_bytes()).await;
            let answer = raw.answer().await.expect("an answer");
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
        bystanders.talk().await;
    });
}
