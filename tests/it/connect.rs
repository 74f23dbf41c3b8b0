//! `connect`: who one is, what holds on the connection, and everything resumed in one round trip.

use parlor_protocol::command::{
    Command, Connect, History, Ping, SessionKey, Subscribe, Unsubscribe,
};
use parlor_protocol::reply::SubscribeOutcome;
use parlor_protocol::{CloseCode, ErrorCode, limits};
use parlor_tests::{Token, everywhere, in_both_forms, publish, said, text};

#[test]
fn connect_tells_who_one_is_and_what_holds() {
    everywhere(async |at| {
        let server = at.start().await;
        let ann = server.join("ann").await;
        let hello = ann.hello();
        assert_eq!(hello.user.as_deref(), Some("ann"));
        assert!(hello.server.starts_with("parlor/"), "{}", hello.server);
        assert_eq!(
            hello.limits.frame_bytes_max as usize,
            limits::FRAME_BYTES_MAX
        );
        assert_eq!(
            hello.limits.commands_per_frame_max as usize,
            limits::COMMANDS_PER_FRAME_MAX
        );
        assert_eq!(
            hello.limits.channels_max as usize,
            limits::CHANNELS_PER_CONNECTION_MAX
        );
        assert_eq!(
            hello.limits.payload_bytes_max as usize,
            limits::PAYLOAD_BYTES_MAX
        );
        assert_eq!(
            hello.limits.history_page_max as usize,
            limits::HISTORY_PAGE_MAX
        );
        assert_eq!(hello.limits.dedup_window_ms, limits::DEDUP_WINDOW_MS);
        assert_eq!(hello.ping_interval_ms, limits::PING_INTERVAL_DEFAULT_MS);
        assert_eq!(hello.expires_in_ms, None);
        assert!(ann.shard() < at.shards);
    });
}

#[test]
fn connections_have_names_of_their_own() {
    everywhere(async |at| {
        let server = at.start().await;
        let (ann, bob) = (server.join("ann").await, server.join("ann").await);
        assert_ne!(ann.hello().connection, bob.hello().connection);
        assert_ne!(ann.hello().session.id, bob.hello().session.id);
    });
}

#[test]
fn a_token_says_who_one_is_and_until_when() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let ann = server.join_by_token(&Token::of("ann").sign()).await;
        assert_eq!(ann.hello().user.as_deref(), Some("ann"));
        let left = ann.hello().expires_in_ms.expect("the token ends");
        assert!((3_590_000..=3_600_000).contains(&left), "{left}");
        let nobody = server.join_by_token(&Token::anonymous().sign()).await;
        assert_eq!(nobody.hello().user, None);
    });
}

#[test]
fn without_development_mode_nobody_is_believed_without_a_token() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let connect = Connect {
            user: Some("ann".to_owned()),
            ..Connect::default()
        };
        let (mut client, refused) = server.try_join(connect).await;
        assert_eq!(refused.unwrap_err().kind(), Some(ErrorCode::BadToken));
        client.expect_close(CloseCode::BadToken).await;
    });
}

#[test]
fn whatever_comes_before_connect_is_refused_and_ends_the_connection() {
    everywhere(async |at| {
        let server = at.start().await;
        let history = r#"{"channel":"disk:a"}"#;
        let history: History = serde_json::from_str(history).expect("a history command");
        let early = [
            Command::Publish(publish("disk:a", text("early"))),
            Command::Subscribe(Subscribe::new("disk:a")),
            Command::Unsubscribe(Unsubscribe {
                channel: "disk:a".to_owned(),
            }),
            Command::History(history),
            Command::Ping(Ping {}),
        ];
        for command in early {
            let mut client = server.open().await;
            let refused = client.ask(command).await.unwrap_err();
            assert_eq!(refused.kind(), Some(ErrorCode::NotConnected));
            client.expect_close(CloseCode::ConnectRefused).await;
        }
        let mut ann = server.join("ann").await;
        assert!(
            ann.whole_history("disk:a").await.is_empty(),
            "nothing of it was done"
        );
    });
}

#[test]
fn what_follows_a_refused_connect_in_the_same_frame_is_not_done() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut client = server.open().await;
        client
            .send_together([
                Command::Connect(Connect::default()),
                Command::Publish(publish("open:a", text("sneaked in"))),
            ])
            .await;
        client.expect_close(CloseCode::BadToken).await;
        let token = Token::of("ann").may(&["history"], "*").sign();
        assert!(
            server
                .join_by_token(&token)
                .await
                .whole_history("open:a")
                .await
                .is_empty()
        );
    });
}

#[test]
fn a_malformed_connect_is_answered_and_ends_the_connection() {
    everywhere(async |at| {
        let server = at.start().await;
        let connect = Connect {
            user: Some("u".repeat(129)),
            ..Connect::default()
        };
        let (mut client, refused) = server.try_join(connect).await;
        assert_eq!(refused.unwrap_err().kind(), Some(ErrorCode::TooLarge));
        client.expect_close(CloseCode::ConnectRefused).await;
    });
}

#[test]
fn one_round_trip_resumes_everything() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let mut bob = server.join("bob").await;
        let one = ann.subscribe("disk:one").await.position;
        let two = ann.subscribe("memory:two").await.position;
        ann.lose();
        bob.publish("disk:one", "first").await;
        bob.publish("memory:two", "second").await;
        let from = |channel: &str, position: String| {
            Subscribe::new(channel).recover(parlor_protocol::command::Recover::From(position))
        };
        let connect = Connect {
            user: Some("ann".to_owned()),
            subscriptions: vec![
                from("disk:one", one),
                from("memory:two", two),
                Subscribe::new("nowhere"),
            ],
            ..Connect::default()
        };
        let (mut ann, hello) = server.join_with(connect).await;
        for (outcome, channel) in hello.subscriptions.iter().zip(["disk:one", "memory:two"]) {
            let SubscribeOutcome::Subscribed(subscribed) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(subscribed.channel, channel);
            assert_eq!(
                (subscribed.recovered, subscribed.from, subscribed.to),
                (Some(true), Some(1), Some(1))
            );
        }
        let SubscribeOutcome::Refused { channel, error } = &hello.subscriptions[2] else {
            panic!("{hello:?}")
        };
        assert_eq!(
            (channel.as_str(), error.kind()),
            ("nowhere", Some(ErrorCode::UnknownChannelKind))
        );
        let events = ann.events(2).await;
        let mut words: Vec<_> = events.iter().map(said).collect();
        words.sort_unstable();
        assert_eq!(words, ["first", "second"]);
    });
}

#[test]
fn a_second_connect_is_refused_and_the_connection_lives() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let refused = ann.connect(Connect::default()).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::AlreadyConnected));
        ann.ping().await;
    });
}

#[test]
fn a_session_that_is_not_ones_own_is_replaced_by_a_new_one() {
    everywhere(async |at| {
        let server = at.start().await;
        let ann = server.join("ann").await;
        let of_ann = ann.hello().session.clone();
        let forged = SessionKey {
            secret: "guessed".to_owned(),
            ..of_ann.clone()
        };
        for (user, session) in [("ann", forged), ("eve", of_ann.clone())] {
            let connect = Connect {
                user: Some(user.to_owned()),
                session: Some(session),
                ..Connect::default()
            };
            let (_, hello) = server.join_with(connect).await;
            assert_ne!(hello.session.id, of_ann.id, "{user}");
        }
        let mut ann = ann;
        ann.ping().await;
    });
}

#[test]
fn the_wished_ping_interval_is_clamped_and_told() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let wishes = [
            (None, limits::PING_INTERVAL_DEFAULT_MS),
            (Some(60_000), 60_000),
            (Some(0), limits::PING_INTERVAL_MIN_MS),
            (Some(u32::MAX), limits::PING_INTERVAL_MAX_MS),
        ];
        for (ping_interval_ms, expected) in wishes {
            let (_, hello) = server
                .join_with(Connect {
                    ping_interval_ms,
                    ..Connect::default()
                })
                .await;
            assert_eq!(hello.ping_interval_ms, expected);
        }
    });
}

#[test]
fn the_forms_of_the_wire_speak_with_each_other() {
    // Also between shards: a JSON publisher and MessagePack readers on every shard, and the other way round.
    everywhere(async |at| {
        let server = at.start().await;
        let other = parlor_protocol::Form::ALL
            .into_iter()
            .find(|form| *form != at.form);
        let mut writer =
            parlor_tests::Client::open(server.address(), other.expect("there are two")).await;
        writer.connect(Connect::default()).await.expect("connected");
        let mut readers = server.audience("ann", "disk:mixed").await;
        let payloads = [
            parlor_tests::json(r#"{"a":[1,null]}"#),
            parlor_tests::binary(&[0, 255, 10]),
        ];
        for payload in payloads {
            writer
                .try_publish(publish("disk:mixed", payload.clone()))
                .await
                .expect("published");
            for reader in &mut readers {
                assert_eq!(reader.event().await.payload.as_ref(), Some(&payload));
            }
        }
    });
}

#[test]
fn a_full_server_refuses_the_handshake() {
    // Not a promise of the protocol but of "everything is bounded": the next connection is told, not held.
    in_both_forms(async |at| {
        let server = at
            .setup()
            .with(|config| config.transport.connections_max = 1)
            .start()
            .await;
        let _first = server.join("ann").await;
        let status = server.backend().get_upgrade("/v1/socket").await;
        assert_eq!(status, 503);
    });
}
