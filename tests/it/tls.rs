//! TLS in the server itself: the same promises over `wss` and `https`, and clients that do it wrong.

use std::fs;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use parlor::config::{CertificateFiles, Config};
use parlor::transport::tls::Certificate;
use parlor_protocol::command::{Command, Connect, Ping, Recover};
use parlor_protocol::{Envelope, Form, codec};
use parlor_tests::{
    At, Authority, Cli, Client, Server, Setup, Trust, blob, everywhere, in_both_forms, in_time,
    publish, said,
};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

fn secured(at: At, authority: &Authority) -> Setup {
    at.setup()
        .secured(authority.issue("server"), &authority.trust())
}

#[test]
fn a_conversation_over_tls() {
    everywhere(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let mut audience = server.audience("ann", "disk:a").await;
        let mut bob = server.join("bob").await;
        bob.publish("disk:a", "over wss").await;
        let body = json!({ "channel": "disk:a", "data": "over https" });
        let (status, answer) = server.backend().post("/v1/publish", body).await;
        assert_eq!(status, 200, "{answer}");
        for ann in &mut audience {
            let events = ann.events(2).await;
            let heard: Vec<_> = events.iter().map(said).collect();
            assert_eq!(heard, ["over wss", "over https"]);
        }
        assert_eq!(server.backend().get("/healthz").await.0, 200);
        for client in audience {
            client.leave().await;
        }
    });
}

#[test]
fn a_client_over_tls_resumes_without_a_gap() {
    everywhere(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let mut ann = server.join("ann").await;
        let position = ann.subscribe("disk:a").await.position;
        ann.lose();
        let mut bob = server.join("bob").await;
        bob.publish_many("disk:a", 0..20).await;
        let server = server.stop().await.start().await;
        let mut ann = server.join("ann").await;
        let subscribed = ann.resume("disk:a", Recover::From(position)).await;
        assert_eq!(subscribed.recovered, Some(true));
        let missed = ann.events(20).await;
        assert!(missed.iter().filter_map(|event| event.offset).eq(1..=20));
    });
}

#[test]
fn a_backlog_larger_than_the_socket_arrives_whole_and_in_order() {
    /// 6 MB: more than the kernel holds for both ends.
    const EVENTS: usize = 400;
    const BYTES: usize = 16 * 1024;
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority)
            .with(|config| {
                config.session.outbox_bytes_max = 64 << 20;
                // Nothing of this is about pings.
                config.session.pong_timeout = Duration::from_secs(600);
            })
            .start()
            .await;
        let trust = authority.trust();
        let mut sleeper = Client::open_secure_narrow(server.address(), at.form, &trust).await;
        connect(&mut sleeper, "sleeper").await;
        sleeper.subscribe("memory:a").await;
        let mut writer = server.join("writer").await;
        for _ in 0..EVENTS / 2 {
            let two = || Command::Publish(publish("memory:a", blob(BYTES)));
            for id in writer.send_together([two(), two()]).await {
                writer.reply(id).await.expect("published");
            }
        }
        let events = sleeper.events(EVENTS).await;
        assert!(
            events
                .iter()
                .filter_map(|event| event.offset)
                .eq(1..=EVENTS as u64)
        );
        // What was kept for the full socket is gone, and both ways still work.
        sleeper.publish("memory:a", "awake").await;
        assert_eq!(said(&sleeper.event().await), "awake");
    });
}

async fn connect(client: &mut Client, user: &str) {
    let connect = Connect {
        user: Some(user.to_owned()),
        ..Connect::default()
    };
    client.connect(connect).await.expect("connected");
}

#[test]
fn keys_may_change_while_a_connection_lives() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let stream = dial(&server).await;
        let stream = authority.trust().connect(stream).await.unwrap();
        let mut request = format!("wss://{}/v1/socket", server.address())
            .into_client_request()
            .unwrap();
        let name = at.form.subprotocol().parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", name);
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .unwrap();
        for id in 1..5 {
            // The client's change, and its wish that the server changes too, go in front of the next command.
            let connection = socket.get_mut().get_mut().1;
            connection.refresh_traffic_keys().unwrap();
            let command = match id {
                1 => Command::Connect(Connect {
                    user: Some("ann".to_owned()),
                    ..Connect::default()
                }),
                _ => Command::Ping(Ping::default()),
            };
            let envelope = Envelope {
                id: Some(id),
                command,
            };
            let frame = codec::encode_command(at.form, &envelope);
            let message = match at.form {
                Form::Json => Message::text(String::from_utf8(frame).unwrap()),
                Form::MsgPack => Message::binary(frame),
            };
            socket.send(message).await.unwrap();
            let answer = in_time("an answer", socket.next()).await;
            assert!(answer.unwrap().unwrap().into_data().len() > 2);
        }
    });
}

#[test]
fn both_versions_are_spoken_and_sessions_are_taken_up() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        for version in [&TLS12, &TLS13] {
            let trust = authority.trust_of(&[version]);
            let kinds = [kind(&server, &trust).await, kind(&server, &trust).await];
            assert_eq!(kinds[1], HandshakeKind::Resumed, "{version:?}: {kinds:?}");
            assert_ne!(kinds[0], HandshakeKind::Resumed);
        }
    });
}

/// The kind of one handshake with a whole exchange behind it, so that tickets have come.
async fn kind(server: &Server, trust: &Trust) -> HandshakeKind {
    let mut stream = trust.connect(dial(server).await).await.unwrap();
    let answer = exchange(&mut stream)
        .await
        .expect("the server says that it is over");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stream.get_ref().1.handshake_kind().unwrap()
}

async fn exchange(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
) -> io::Result<String> {
    let request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    in_time("an answer", stream.read_to_string(&mut answer)).await?;
    Ok(answer)
}

async fn dial(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

#[test]
fn plain_http_on_the_tls_port_is_told_so() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let answer = exchange(&mut dial(&server).await).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.ends_with("use https:// or wss://\n"), "{answer}");
        assert_eq!(server.backend().get("/healthz").await.0, 200);
    });
}

#[test]
fn who_speaks_no_http1_over_tls_is_refused() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let h2 = authority
            .trust()
            .with(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
        let refused = h2
            .connect(dial(&server).await)
            .await
            .expect_err("no such protocol");
        assert!(
            refused.to_string().contains("NoApplicationProtocol"),
            "{refused}"
        );
        let stranger = Authority::new().trust();
        let refused = stranger
            .connect(dial(&server).await)
            .await
            .expect_err("nobody it knows");
        assert!(
            refused.to_string().contains("invalid peer certificate"),
            "{refused}"
        );
        assert_eq!(server.backend().get("/healthz").await.0, 200);
    });
}

/// What a client sends that never finishes its handshake.
#[derive(Clone, Copy, Debug)]
enum Loris {
    Silent,
    /// The head of a record of 512 bytes, and a few of them.
    HalfAHello,
    OneByteAtATime,
    /// It begins well and says something else.
    Noise,
}

#[test]
fn whoever_does_not_finish_the_handshake_is_gone_in_time() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let deadline = Duration::from_millis(300);
        let server = secured(at, &authority)
            .with(|config| config.transport.header_timeout = deadline)
            .start()
            .await;
        let all = [
            Loris::Silent,
            Loris::HalfAHello,
            Loris::OneByteAtATime,
            Loris::Noise,
        ];
        let server = &server;
        let dragging = all.map(|loris| async move {
            let stream = dial(server).await;
            in_time(&format!("the end of {loris:?}"), drag(stream, loris)).await;
        });
        join_all(dragging).await;
        assert_eq!(server.backend().get("/healthz").await.0, 200);
    });
}

/// Returns when the server has ended the connection.
async fn drag(stream: TcpStream, loris: Loris) {
    let (mut reading, mut writing) = stream.into_split();
    let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    hello.resize(200, 7);
    let begun = match loris {
        Loris::Silent => &[][..],
        Loris::HalfAHello => &hello,
        Loris::OneByteAtATime => &hello[..1],
        Loris::Noise => &[22, 3, 1, 0, 4, 9, 9, 9, 9],
    };
    writing.write_all(begun).await.unwrap();
    let dragging = async {
        let mut beats = tokio::time::interval(Duration::from_millis(20));
        for byte in &hello[1..] {
            beats.tick().await;
            if !matches!(loris, Loris::OneByteAtATime) || writing.write_all(&[*byte]).await.is_err()
            {
                break;
            }
        }
        // Its side stays open: only the server can end this.
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        // A reset is an end, too.
        _ended = reading.read_to_end(&mut rest) => {}
        () = dragging => {}
    }
}

#[test]
fn a_crowd_that_never_finishes_the_handshake_locks_nobody_out() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let few = |config: &mut Config| config.transport.pending_max = 8;
        let server = secured(at, &authority).with(few).start().await;
        let mut crowd = Vec::new();
        for _ in 0..64 {
            let mut stream = dial(&server).await;
            stream.write_all(&[22, 3, 1]).await.unwrap();
            crowd.push(stream);
        }
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        ann.publish("disk:a", "through").await;
        assert_eq!(said(&ann.event().await), "through");
    });
}

#[test]
fn a_renewed_certificate_is_shown_and_old_connections_live() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let files = authority.issue("server");
        let server = at
            .setup()
            .secured(files.clone(), &authority.trust())
            .start()
            .await;
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        let old = shown(&server, &authority).await;
        // A key that belongs to another certificate, as in the middle of a bad renewal: nobody is worse off.
        let next = authority.issue("next");
        fs::copy(&next.key, &files.key).unwrap();
        for _ in 0..3 {
            beat().await;
            assert_eq!(shown(&server, &authority).await, old, "the old one stays");
        }
        fs::copy(&next.certificate, &files.certificate).unwrap();
        in_time("the new certificate", async {
            while shown(&server, &authority).await == old {
                beat().await;
            }
        })
        .await;
        ann.publish("disk:a", "still here").await;
        assert_eq!(said(&ann.event().await), "still here");
    });
}

/// The files are looked at once a second.
async fn beat() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The certificate of a full handshake.
async fn shown(server: &Server, authority: &Authority) -> Vec<u8> {
    let stream = authority.trust().connect(dial(server).await).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

#[test]
fn the_command_line_publishes_and_follows_over_tls() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let url = format!("https://{}", server.address());
        let ca = authority.certificate();
        let to = ["--url", &url, "--ca", ca.to_str().unwrap()];
        let follow = ["subscribe", "disk:a", "--json"];
        let mut follower = Cli::run(&[&follow[..], &to[..]].concat());
        for words in ["one", "two"] {
            let data = json!(words).to_string();
            let publish = ["publish", "disk:a", &data];
            let (is_done, errors) = Cli::run(&[&publish[..], &to[..]].concat()).end().await;
            assert!(is_done, "{errors}");
            let event: Value = serde_json::from_str(&follower.line().await).unwrap();
            assert_eq!(event["data"], words, "{event}");
        }
    });
}

#[test]
fn the_command_line_trusts_nobody_unasked() {
    in_both_forms(async |at| {
        let authority = Authority::new();
        let server = secured(at, &authority).start().await;
        let url = format!("https://{}", server.address());
        let stranger = Authority::new();
        let file = stranger.certificate();
        let stranger = ["--ca", file.to_str().unwrap()];
        let nobody: &[&str] = &[];
        for command in [
            &["publish", "disk:a", "unheard", "--url", &url][..],
            &["subscribe", "disk:a", "--url", &url],
        ] {
            for trust in [nobody, &stranger] {
                let (is_done, errors) = Cli::run(&[command, trust].concat()).end().await;
                assert!(!is_done);
                let words = ["certificate is not trusted", "--ca FILE"];
                assert!(words.iter().all(|word| errors.contains(word)), "{errors}");
            }
        }
        let (_, page) = server.backend().get("/v1/history?channel=disk:a").await;
        assert_eq!(page["events"], json!([]), "{page}");
    });
}

#[test]
fn the_command_line_is_told_where_no_tls_is_spoken() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let url = format!("https://{}", server.address());
        let publish = ["publish", "disk:a", "unheard", "--url", &url];
        let (is_done, errors) = Cli::run(&publish).end().await;
        assert!(!is_done);
        assert!(errors.contains("it speaks no TLS there"), "{errors}");
    });
}

#[track_caller]
fn check(files: CertificateFiles, expected: &str) {
    let error = Certificate::load(files).expect_err("of no use").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn files_of_no_use_are_named() {
    let authority = Authority::new();
    let (good, other) = (authority.issue("server"), authority.issue("other"));
    Certificate::load(good.clone()).expect("good files");
    let with = |certificate: &std::path::Path, key: &std::path::Path| CertificateFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    check(
        with("nowhere.pem".as_ref(), &good.key),
        "unable to read nowhere.pem;",
    );
    check(
        with(&good.certificate, "nowhere.key".as_ref()),
        "unable to read nowhere.key;",
    );
    check(with(&good.key, &good.key), "there is no certificate in");
    check(
        with(&good.certificate, &good.certificate),
        "there is no private key in",
    );
    check(
        with(&good.certificate, &other.key),
        "does not belong to the certificate in",
    );
    let broken = good.certificate.with_extension("broken");
    fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    check(with(&broken, &good.key), "unable to use what is in");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!").unwrap();
    check(with(&broken, &good.key), "it is not PEM");
}
