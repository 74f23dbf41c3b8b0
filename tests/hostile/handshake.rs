//! The handshake (RFC 6455 §4): what is no handshake gets a status that says so, soon, and at no cost.

use std::time::{Duration, Instant};

use parlor::config::Config;
use parlor_protocol::Form;
use parlor_tests::{Server, everywhere, in_both_forms};

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::raw::{Answer, FIN, Fate, Heard, PING, Raw, exchange, frame, handshake};

/// The honest handshake with one line replaced: by nothing, or by others.
fn replaced(form: Form, name: &str, by: &str) -> String {
    let honest = handshake(form, "");
    let line = honest
        .split_inclusive("\r\n")
        .find(|line| line.starts_with(name))
        .unwrap_or_else(|| panic!("no line {name}"));
    honest.replacen(line, by, 1)
}

async fn answer(server: &Server, request: &str) -> Answer {
    let mut raw = Raw::dial(server.address(), server.form()).await;
    raw.send(request.as_bytes()).await;
    let answer = raw.answer().await.expect("an answer");
    raw.finish().await;
    answer
}

fn refused_handshakes(form: Form) -> Vec<(&'static str, String, u16)> {
    let without = |name| replaced(form, name, "");
    let with = |name, by: &str| replaced(form, name, by);
    let key = |key: &str| {
        with(
            "Sec-WebSocket-Key",
            &format!("Sec-WebSocket-Key: {key}\r\n"),
        )
    };
    let same = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    vec![
        ("no Upgrade", without("Upgrade"), 426),
        ("another Upgrade", with("Upgrade", "Upgrade: h2c\r\n"), 426),
        ("no Connection", without("Connection"), 426),
        (
            "Connection: close",
            with("Connection", "Connection: close\r\n"),
            426,
        ),
        ("HTTP/1.0", with("GET", "GET /v1/socket HTTP/1.0\r\n"), 400),
        (
            "POST",
            with("GET", "POST /v1/socket HTTP/1.1\r\nContent-Length: 0\r\n"),
            400,
        ),
        ("no version", without("Sec-WebSocket-Version"), 426),
        (
            "version 8",
            with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n"),
            426,
        ),
        (
            "version 130",
            with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 130\r\n"),
            426,
        ),
        (
            "two versions",
            handshake(form, "Sec-WebSocket-Version: 13\r\n"),
            426,
        ),
        ("no key", without("Sec-WebSocket-Key"), 400),
        ("an empty key", key(""), 400),
        ("a key of 15 bytes", key("AAAAAAAAAAAAAAAAAAAA"), 400),
        ("a key of 17 bytes", key("AAAAAAAAAAAAAAAAAAAAAAA="), 400),
        (
            "a key that is no base64",
            key("!!!!!!!!!!!!!!!!!!!!!!=="),
            400,
        ),
        ("two keys", handshake(form, same), 400),
        (
            "an unknown subprotocol",
            with("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: mqtt\r\n"),
            400,
        ),
        (
            "an empty subprotocol",
            with("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol:\r\n"),
            400,
        ),
        (
            "an origin elsewhere",
            handshake(form, "Origin: https://evil.example\r\n"),
            403,
        ),
        (
            "an origin that begins like ours",
            handshake(form, "Origin: http://127.0.0.1.evil.example\r\n"),
            403,
        ),
        ("the origin null", handshake(form, "Origin: null\r\n"), 403),
        (
            "two origins",
            handshake(
                form,
                "Origin: http://127.0.0.1\r\nOrigin: https://evil.example\r\n",
            ),
            403,
        ),
        (
            "an origin that is no text",
            handshake(form, "Origin: http://\u{e9}vil\r\n"),
            403,
        ),
        (
            "a name elsewhere that points here",
            with(
                "Host",
                "Host: evil.example:8000\r\nOrigin: http://evil.example:8000\r\n",
            ),
            403,
        ),
    ]
}

#[test]
fn what_is_no_handshake_is_told_so() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        for (what, request, status) in refused_handshakes(at.form) {
            let _case = Case(what);
            let answer = answer(&server, &request).await;
            assert_eq!(answer.status, status, "{answer:?}");
            let names_version = answer
                .head
                .to_lowercase()
                .contains("sec-websocket-version: 13");
            assert_eq!(
                names_version,
                status == 426,
                "the version that is spoken: {answer:?}"
            );
        }
        bystanders.talk().await;
    });
}

#[test]
fn an_unusual_handshake_is_a_handshake() {
    everywhere(async |at| {
        let server = at.start().await;
        let offered = |first: &str| {
            let many: Vec<_> = (1..1_000).map(|number| format!("p{number}")).collect();
            format!("Sec-WebSocket-Protocol: {first}{}\r\n", many.join(","))
        };
        let known = at.form.subprotocol();
        for (what, request) in [
            (
                "our own origin",
                handshake(at.form, "Origin: http://127.0.0.1\r\n"),
            ),
            (
                "an offer to compress",
                handshake(
                    at.form,
                    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99\r\n",
                ),
            ),
            (
                "lists and cases",
                replaced(at.form, "Connection", "connection: keep-alive, UPGRADE\r\n"),
            ),
            (
                "1,000 subprotocols, ours first",
                replaced(
                    at.form,
                    "Sec-WebSocket-Protocol",
                    &offered(&format!("{known},")),
                ),
            ),
            (
                "64 header lines",
                handshake(at.form, &"a: b\r\n".repeat(58)),
            ),
        ] {
            let _case = Case(what);
            let answer = answer(&server, &request).await;
            assert_eq!(answer.status, 101, "{answer:?}");
            let head = answer.head.to_lowercase();
            assert!(
                head.contains(&format!("sec-websocket-protocol: {known}")),
                "{answer:?}"
            );
            assert!(
                !head.contains("sec-websocket-extensions"),
                "nothing is compressed: {answer:?}"
            );
        }
        let last = replaced(
            at.form,
            "Sec-WebSocket-Protocol",
            &offered("").replace("p999", known),
        );
        assert_eq!(
            answer(&server, &last).await.status,
            400,
            "nobody reads 1,000 names"
        );
    });
}

#[test]
fn a_handshake_is_one_however_it_is_cut_and_nothing_behind_it_is_lost() {
    everywhere(async |at| {
        let server = at.start().await;
        // Few header lines and many: two parts of the server read them.
        for more in [String::new(), "a: b\r\n".repeat(50)] {
            let request = handshake(at.form, &more);
            for cut in [1, 60, request.len() - 2, request.len()] {
                let _case = Case((cut, request.len()));
                let mut raw = Raw::dial(server.address(), at.form).await;
                raw.send(&request.as_bytes()[..cut]).await;
                if cut < request.len() {
                    // Whoever came later is answered first: most likely the piece has been looked at.
                    answer(&server, &handshake(at.form, "")).await;
                }
                let ping = frame(FIN | PING, b"still here");
                raw.send(&[&request.as_bytes()[cut..], &ping].concat())
                    .await;
                assert_eq!(raw.answer().await.map(|answer| answer.status), Some(101));
                assert_eq!(raw.hear().await, Heard::Pong(b"still here".to_vec()));
            }
        }
    });
}

#[test]
fn a_head_has_a_size() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        for (what, request) in [
            (
                "65 header lines",
                handshake(at.form, &"a: b\r\n".repeat(59)),
            ),
            (
                "2,000 header lines",
                handshake(at.form, &"a:\r\n".repeat(2_000)),
            ),
            (
                "one line of 17 KiB",
                handshake(at.form, &format!("a: {}\r\n", "x".repeat(17 * 1024))),
            ),
            (
                "17 KiB of blanks",
                handshake(
                    at.form,
                    &format!("Sec-WebSocket-Protocol: a{}b\r\n", " ".repeat(17 * 1024)),
                ),
            ),
            (
                "a path of 20 KiB",
                format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20 * 1024)),
            ),
            (
                "a head without an end",
                format!("GET / HTTP/1.1\r\nHost: {}", "x".repeat(100 * 1024)),
            ),
        ] {
            let _case = Case(what);
            let began = Instant::now();
            assert_eq!(answer(&server, &request).await.status, 431);
            eprintln!("{what}: refused after {:?}", began.elapsed());
        }
        bystanders.talk().await;
    });
}

fn hasty(config: &mut Config) {
    config.transport.header_timeout = Duration::from_secs(1);
    config.session.connect_timeout = Duration::from_secs(1);
}

#[test]
fn a_head_has_a_time_however_it_trickles() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        let mut silent = Raw::dial(server.address(), at.form).await;
        let mut slow = Raw::dial(server.address(), at.form).await;
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        // One byte at a time: each of them must not buy another second.
        let request = handshake(at.form, "");
        let trickle = async {
            for byte in request.bytes().cycle() {
                tick.tick().await;
                slow.send(&[byte]).await;
            }
        };
        let end = async {
            assert_eq!(
                silent.end().await,
                Fate::Lost,
                "nothing was asked, nothing is answered"
            );
            began.elapsed()
        };
        let ended = tokio::select! {
            ended = end => ended,
            () = trickle => began.elapsed(),
        };
        eprintln!("a silent socket ended after {ended:?}");
        drop(slow.rest().await);
        eprintln!("a trickling one after {:?}", began.elapsed());
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_socket_that_never_says_connect_is_closed_as_that() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        let mut silent = server.open().await;
        let mut pinging = Raw::upgraded(server.address(), at.form).await;
        pinging.send(&frame(FIN | PING, b"still here")).await;
        let mut half = Raw::upgraded(server.address(), at.form).await;
        half.send(&[0x81]).await;
        silent
            .expect_close(parlor_protocol::CloseCode::ConnectTimeout)
            .await;
        for raw in [&mut pinging, &mut half] {
            assert_eq!(raw.end().await, Fate::Closed(4004));
        }
    });
}

#[test]
fn noise_before_any_handshake_is_refused() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for bytes in [
            tls,
            http2,
            vec![0; 1_024],
            vec![0xff; 1_024],
            b"\r\n\r\n\r\n".to_vec(),
            b"\n".repeat(20_000),
        ] {
            let _case = Case(bytes[..4.min(bytes.len())].to_vec());
            let mut raw = Raw::dial(server.address(), at.form).await;
            raw.send(&bytes).await;
            raw.finish().await;
            let said = raw.rest().await;
            assert!(
                said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
                "{}",
                String::from_utf8_lossy(&said)
            );
        }
        let (answer, _) = exchange(
            server.address(),
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert_eq!(answer.expect("an answer").status, 200);
        bystanders.talk().await;
    });
}
