//! Close codes: each ends the connection, said by a push and by the close frame.

use std::time::Duration;

use parlor_protocol::command::{Command, Connect, Ping};
use parlor_protocol::limits::FRAME_BYTES_MAX;
use parlor_protocol::{CloseCode, Form};
use parlor_tests::{API_KEY, At, Client, Goodbye, Server, Token, blob, everywhere, publish};
use serde_json::json;

use super::Case;

#[test]
fn every_close_code_is_said_by_push_and_by_close_frame() {
    everywhere(async |at| {
        for code in CloseCode::ALL.iter().copied() {
            if let Case::Seen(goodbye) = provoke(at, code).await {
                goodbye.assert(code);
            }
        }
    });
}

async fn provoke(at: At, code: CloseCode) -> Case<Goodbye> {
    Case::Seen(match code {
        // A client's frames are masked (RFC 6455 §5.1); this one is not.
        CloseCode::ProtocolError => after_raw(at, &[0x81, 0x01, b'x']).await,
        CloseCode::BadUtf8 => after_raw(at, &[0x81, 0x81, 0, 0, 0, 0, 0xff]).await,
        CloseCode::WrongFrameType => {
            let (_server, mut client) = connected(at).await;
            match at.form {
                Form::Json => client.send_binary(b"\x81\xa4ping\x80").await,
                Form::MsgPack => client.send_text(r#"{"ping":{}}"#).await,
            }
            client.goodbye().await
        }
        CloseCode::FrameTooLarge => {
            let (_server, mut client) = connected(at).await;
            client.send_bytes(vec![b' '; FRAME_BYTES_MAX + 1]).await;
            client.goodbye().await
        }
        CloseCode::BadFrame => {
            let (_server, mut client) = connected(at).await;
            // A string in JSON, and the byte that MessagePack never uses.
            client
                .send_bytes(if at.form == Form::Json {
                    b"\"hello\"".to_vec()
                } else {
                    vec![0xc1]
                })
                .await;
            client.goodbye().await
        }
        CloseCode::Internal => return Case::Unreachable("it needs a bug"),
        CloseCode::Busy => {
            return Case::Unreachable(
                "on one node nothing that connect itself needs can be busy; subscriptions have outcomes",
            );
        }
        CloseCode::Draining => {
            let mut server = at.start().await;
            let mut client = server.join("ann").await;
            server.begin_stop();
            client.goodbye().await
        }
        CloseCode::Slow => slow(at).await,
        CloseCode::NoPong | CloseCode::ConnectTimeout | CloseCode::Flooding => {
            impatient(at, code).await
        }
        CloseCode::TokenExpired | CloseCode::BadToken | CloseCode::ConnectRefused => {
            refused(at, code).await
        }
        CloseCode::Revoked => {
            let server = at.setup().with_tokens().start().await;
            let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
            let backend = server.backend().with_key(API_KEY);
            backend
                .post("/v1/tokens/revoke", json!({ "user": "ann" }))
                .await;
            ann.goodbye().await
        }
        CloseCode::Replaced => {
            let server = at.start().await;
            let mut old = server.join("ann").await;
            let session = Some(old.hello().session.clone());
            server
                .join_with(Connect {
                    user: Some("ann".to_owned()),
                    session,
                    ..Connect::default()
                })
                .await;
            old.goodbye().await
        }
        CloseCode::Disconnected => {
            let server = at.start().await;
            let mut client = server.join("ann").await;
            server
                .backend()
                .post("/v1/users/ann/disconnect", json!({}))
                .await;
            client.goodbye().await
        }
    })
}

/// The server is kept until the close was seen: one that is dropped says that it drains.
async fn connected(at: At) -> (Server, Client) {
    let server = at.start().await;
    let client = server.join("ann").await;
    (server, client)
}

async fn after_raw(at: At, bytes: &[u8]) -> Goodbye {
    let (_server, mut client) = connected(at).await;
    client.send_raw(bytes).await;
    client.goodbye().await
}

async fn slow(at: At) -> Goodbye {
    let setup = at.setup().with(|config| {
        config.session.outbox_bytes_max = 64 << 10;
        config.session.pong_timeout = Duration::from_secs(600);
    });
    let server = setup.start().await;
    let mut sleeper = Client::open_narrow(server.address(), at.form).await;
    sleeper
        .connect(Connect::default())
        .await
        .expect("connected");
    sleeper.subscribe("memory:a").await;
    let mut writer = server.join("writer").await;
    for _ in 0..600 {
        writer
            .try_publish(publish("memory:a", blob(32 << 10)))
            .await
            .expect("published");
    }
    sleeper.goodbye().await
}

/// Those that come with time or with haste.
async fn impatient(at: At, code: CloseCode) -> Goodbye {
    let setup = at.setup().with(|config| {
        let short = Duration::from_millis(250);
        match code {
            CloseCode::NoPong => {
                config.session.ping_interval = short;
                config.session.ping_interval_min = short;
                config.session.pong_timeout = short;
            }
            CloseCode::ConnectTimeout => config.session.connect_timeout = short,
            _ => config.session.commands_per_second_max = 1,
        }
    });
    let server = setup.start().await;
    if code == CloseCode::ConnectTimeout {
        return server.open().await.goodbye().await;
    }
    let mut client = server.join("ann").await;
    client.ignore_pings();
    if code == CloseCode::Flooding {
        for _ in 0..10 {
            client
                .send_together((0..120).map(|_| Command::Ping(Ping {})))
                .await;
        }
    }
    client.goodbye().await
}

/// Those that answer a refused `connect`.
async fn refused(at: At, code: CloseCode) -> Goodbye {
    let server = at.setup().with_tokens().start().await;
    let token = match code {
        CloseCode::TokenExpired => Some(Token::of("ann").ends_in(-1).sign()),
        CloseCode::BadToken => Some("a.b.c".to_owned()),
        // An API key is looked for where a token has no dots.
        _ => Some("no-key".to_owned()),
    };
    let (mut client, outcome) = server
        .try_join(Connect {
            token,
            ..Connect::default()
        })
        .await;
    outcome.unwrap_err();
    client.goodbye().await
}
