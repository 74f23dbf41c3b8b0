//! Error codes: each answers one command, over the socket where there is a command for it, else over HTTP.

use std::time::Duration;

use parlor_protocol::command::{
    Connect, History, Presence, PresenceSet, Refresh, Subscribe, Unsubscribe,
};
use parlor_protocol::limits::{PAYLOAD_BYTES_MAX, TAGS_MAX};
use parlor_protocol::{ErrorCode, Tags, WireError};
use parlor_tests::{API_KEY, At, Token, blob, in_both_forms, json, publish, text};

use super::Case;

#[test]
fn every_error_code_is_said_where_it_belongs() {
    in_both_forms(async |at| {
        for code in ErrorCode::ALL.iter().copied() {
            let Case::Seen(error) = provoke(at, code).await else {
                continue;
            };
            assert_eq!(
                (error.code, error.name.as_str()),
                (code.number(), code.name()),
                "{code:?}: {error:?}"
            );
            assert!(!error.text.is_empty());
            let waiting_helps = matches!(
                code,
                ErrorCode::Busy
                    | ErrorCode::RateLimited
                    | ErrorCode::StorageUnavailable
                    | ErrorCode::Draining
            );
            assert_eq!(
                error.retry_after_ms.is_some(),
                waiting_helps,
                "{code:?}: {error:?}"
            );
        }
    });
}

async fn provoke(at: At, code: ErrorCode) -> Case<WireError> {
    Case::Seen(match code {
        ErrorCode::Busy => busy(at).await,
        ErrorCode::StorageUnavailable => storage_unavailable(at).await,
        ErrorCode::Draining => draining(at).await,
        ErrorCode::Internal => {
            return Case::Unreachable("it needs a bug, or an operating system without randomness");
        }
        ErrorCode::NotFound => return not_found(at).await,
        ErrorCode::BadToken => {
            connect(
                at,
                &Token::of("ann").sign_with("another secret of at least 32 bytes"),
            )
            .await
        }
        ErrorCode::TokenExpired => connect(at, &Token::of("ann").ends_in(-1).sign()).await,
        ErrorCode::TokenRevoked => {
            let server = at.setup().with_tokens().start().await;
            let backend = server.backend().with_key(API_KEY);
            backend
                .post("/v1/tokens/revoke", serde_json::json!({ "user": "ann" }))
                .await;
            let token = Some(Token::of("ann").sign());
            let connect = Connect {
                token,
                ..Connect::default()
            };
            server.try_join(connect).await.1.unwrap_err()
        }
        ErrorCode::BadKey => connect(at, "not-a-key-that-anybody-knows").await,
        ErrorCode::NotConnected => {
            let mut client = at.start().await.open().await;
            client
                .try_publish(publish("disk:a", json("1")))
                .await
                .unwrap_err()
        }
        ErrorCode::NotPermitted => {
            let server = at.setup().with_tokens().start().await;
            let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
            ann.try_publish(publish("disk:a", json("1")))
                .await
                .unwrap_err()
        }
        ErrorCode::BadRequest
        | ErrorCode::UnknownCommand
        | ErrorCode::AlreadyConnected
        | ErrorCode::BadChannel
        | ErrorCode::UnknownChannelKind
        | ErrorCode::AlreadySubscribed
        | ErrorCode::NotSubscribed
        | ErrorCode::BadPayload
        | ErrorCode::TooLarge
        | ErrorCode::TooMany
        | ErrorCode::IdReused
        | ErrorCode::PresenceDisabled
        | ErrorCode::NotPresent
        | ErrorCode::RateLimited => of_one_command(at, code).await,
    })
}

/// Those that a single connection in development mode can provoke.
async fn of_one_command(at: At, code: ErrorCode) -> WireError {
    let server = at.start().await;
    let mut ann = server.join("ann").await;
    let refused = match code {
        ErrorCode::BadRequest => {
            let both = History {
                offset: Some(1),
                time: Some(ann.hello().time),
                ..history("disk:a")
            };
            ann.try_history(both).await.err()
        }
        ErrorCode::UnknownCommand => {
            // The same bytes in both forms: a map of an id and a name.
            let frame: &[u8] = match at.form {
                parlor_protocol::Form::Json => br#"{"id":9,"fly":{}}"#,
                parlor_protocol::Form::MsgPack => b"\x82\xa2id\x09\xa3fly\x80",
            };
            ann.send_bytes(frame.to_vec()).await;
            ann.reply(9).await.err()
        }
        ErrorCode::AlreadyConnected => ann.connect(Connect::default()).await.err(),
        ErrorCode::BadChannel => ann.try_subscribe(Subscribe::new("$reserved")).await.err(),
        ErrorCode::UnknownChannelKind => ann.try_subscribe(Subscribe::new("nowhere")).await.err(),
        ErrorCode::AlreadySubscribed => {
            ann.subscribe("disk:a").await;
            ann.try_subscribe(Subscribe::new("disk:a")).await.err()
        }
        ErrorCode::NotSubscribed => ann
            .try_unsubscribe(Unsubscribe {
                channel: "disk:a".to_owned(),
            })
            .await
            .err(),
        ErrorCode::BadPayload => ann
            .try_publish(publish("disk:a", json("[".repeat(33) + &"]".repeat(33))))
            .await
            .err(),
        ErrorCode::TooLarge => ann
            .try_publish(publish("disk:a", blob(PAYLOAD_BYTES_MAX + 1)))
            .await
            .err(),
        ErrorCode::TooMany => {
            let tags: Tags = (0..=TAGS_MAX)
                .map(|tag| (tag.to_string(), String::new()))
                .collect();
            ann.try_publish(parlor_protocol::command::Publish {
                tags,
                ..publish("disk:a", json("1"))
            })
            .await
            .err()
        }
        ErrorCode::IdReused => {
            ann.publish_as("m", "disk:a", "one")
                .await
                .expect("published");
            ann.publish_as("m", "disk:a", "two").await.err()
        }
        ErrorCode::PresenceDisabled => {
            let command = Presence {
                channel: "quiet:a".to_owned(),
                limit: None,
                cursor: None,
            };
            ann.try_presence(command).await.err()
        }
        ErrorCode::NotPresent => {
            let command = PresenceSet {
                channel: "disk:a".to_owned(),
                state: Some(json("1")),
            };
            ann.try_presence_set(command).await.err()
        }
        ErrorCode::RateLimited => {
            let mut last = Ok(());
            while last.is_ok() {
                last = ann
                    .try_publish(publish("rated:a", json("1")))
                    .await
                    .map(drop);
            }
            last.err()
        }
        other => panic!("{other:?} has a case of its own"),
    };
    let error = refused.expect("refused");
    ann.ping().await;
    error
}

fn history(channel: &str) -> History {
    let direction = parlor_protocol::command::Direction::Forward;
    History::new(channel, direction)
}

async fn connect(at: At, token: &str) -> WireError {
    let server = at.setup().with_tokens().start().await;
    let connect = Connect {
        token: Some(token.to_owned()),
        ..Connect::default()
    };
    let refused = server.try_join(connect).await.1.unwrap_err();
    // The same token is refused the same way in a refresh, and the connection lives.
    let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
    let again = ann
        .try_refresh(Refresh {
            token: token.to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(again, refused);
    ann.ping().await;
    refused
}

/// An operator's own tool holds the log's write lock: what is published meanwhile waits, until too much does.
async fn busy(at: At) -> WireError {
    let server = at.start().await;
    let mut ann = server.join("ann").await;
    ann.publish("disk:a", "so that there is a file").await;
    let tool = rusqlite::Connection::open(server.directory().join("parlor.db"))
        .expect("the log is a SQLite file");
    tool.execute_batch("BEGIN IMMEDIATE")
        .expect("the tool has the lock");
    let mut refused = None;
    // More than the writer's queue holds, spread over connections: each may have 128 under way.
    let mut clients = Vec::new();
    while refused.is_none() && clients.len() < 16 {
        let mut client = server.join("bob").await;
        for _ in 0..112 {
            client
                .send(parlor_protocol::Command::Publish(publish(
                    "disk:a",
                    blob(PAYLOAD_BYTES_MAX),
                )))
                .await;
        }
        // Answered in order behind what is refused at once, and behind nothing else.
        clients.push(client);
        if clients.len() >= 10 {
            let last = clients.last_mut().expect("just pushed");
            refused = last.reply(113).await.err();
        }
    }
    tool.execute_batch("ROLLBACK")
        .expect("the tool gives the lock back");
    refused.expect("refused")
}

async fn storage_unavailable(at: At) -> WireError {
    let server = at
        .setup()
        .with(|config| config.storage.disk_bytes_max = Some(512 << 10))
        .start()
        .await;
    let mut ann = server.join("ann").await;
    let error = loop {
        if let Err(error) = ann
            .try_publish(publish("disk:a", blob(PAYLOAD_BYTES_MAX)))
            .await
        {
            break error;
        }
    };
    let kept = ann.whole_history("disk:a").await.len();
    assert!(kept > 0, "what was acknowledged is still there");
    ann.try_publish(publish("memory:a", text("other stores go on")))
        .await
        .expect("published");
    error
}

async fn draining(at: At) -> WireError {
    let setup = at
        .setup()
        .with(|config| config.transport.drain_window = Duration::from_secs(20));
    let mut server = setup.start().await;
    let mut first = server.join("ann").await;
    let mut late = server.open().await;
    server.begin_stop();
    first
        .expect_close(parlor_protocol::CloseCode::Draining)
        .await;
    late.connect(Connect::default()).await.unwrap_err()
}

/// No command asks for a thing that may not be there; the HTTP API's paths do.
async fn not_found(at: At) -> Case<WireError> {
    let (status, problem) = at.start().await.backend().get("/v1/nothing").await;
    assert_eq!(status, ErrorCode::NotFound.http_status());
    let code = problem["code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok());
    Case::Seen(WireError {
        code: code.expect("a code"),
        name: problem["name"].as_str().expect("a name").to_owned(),
        text: problem["detail"].as_str().expect("a text").to_owned(),
        retry_after_ms: None,
    })
}
