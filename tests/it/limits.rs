//! Every limit of the wire: at it all is well, one above is refused with its code. A new limit fails until it has its case.

use parlor_protocol::command::{
    Command, Connect, Direction, History, Ping, Presence, PresenceSet, Publish, Recover, Subscribe,
};
use parlor_protocol::{CloseCode, ErrorCode, Form, Tags, WireError, limits};
use parlor_tests::{At, Client, Server, blob, in_both_forms, json, publish, text};

#[test]
fn every_limit_is_kept_to_the_byte() {
    in_both_forms(async |at| {
        for (name, ..) in limits::ALL {
            let server = at
                .setup()
                .with(|config| config.presence.grace = std::time::Duration::from_secs(600));
            let server = server.start().await;
            check(at, &server, name).await;
        }
    });
}

async fn check(at: At, server: &Server, name: &str) {
    let mut ann = server.join("ann").await;
    match name {
        "CHANNEL_NAME_BYTES_MAX" => channel_name(&mut ann).await,
        "FRAME_BYTES_MAX" => frame_bytes(at, server).await,
        "COMMANDS_PER_FRAME_MAX" => commands_per_frame(&mut ann).await,
        "CHANNELS_PER_CONNECTION_MAX" => channels(server, &mut ann).await,
        "PAYLOAD_BYTES_MAX" => payload_bytes(&mut ann).await,
        "PAYLOAD_DEPTH_MAX" => payload_depth(at, &mut ann).await,
        "PUBLISH_ID_BYTES_MAX" => publish_id(&mut ann).await,
        "TAGS_MAX" | "TAG_BYTES_MAX" => tags(&mut ann).await,
        "USER_BYTES_MAX" => user_bytes(server).await,
        "TOKEN_BYTES_MAX" => token_bytes(server).await,
        "POSITION_BYTES_MAX" => position_bytes(&mut ann).await,
        "PRESENCE_STATE_BYTES_MAX" => presence_state(&mut ann).await,
        "HISTORY_PAGE_MAX" => history_page(&mut ann).await,
        "PRESENCE_PAGE_MAX" => presence_page(server, &mut ann).await,
        "ERASE_OFFSETS_MAX" => erase_offsets(server, &mut ann).await,
        // `recovery::more_than_the_server_replays_is_told` shows both sides of it.
        "RECOVER_EVENTS_MAX" => {}
        // Five minutes are too long for a test of sockets: the contract suite of the brokers shows them with
        // a window of its own. Here: it is told.
        "DEDUP_WINDOW_MS" => {
            assert_eq!(ann.hello().limits.dedup_window_ms, limits::DEDUP_WINDOW_MS)
        }
        // `connect::the_wished_ping_interval_is_clamped_and_told` and
        // `liveness::the_documented_times_are_the_configured_ones` show these.
        "PING_INTERVAL_MIN_MS"
        | "PING_INTERVAL_DEFAULT_MS"
        | "PING_INTERVAL_MAX_MS"
        | "PONG_TIMEOUT_MS" => {}
        other => panic!("the limit {other} has no case"),
    }
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, WireError>, expected: ErrorCode) {
    assert_eq!(outcome.expect_err("above the limit").kind(), Some(expected));
}

async fn channel_name(ann: &mut Client) {
    let name = |bytes: usize| format!("disk:{}", "n".repeat(bytes - 5));
    ann.subscribe(&name(limits::CHANNEL_NAME_BYTES_MAX)).await;
    assert_refused(
        ann.try_subscribe(Subscribe::new(name(limits::CHANNEL_NAME_BYTES_MAX + 1)))
            .await,
        ErrorCode::BadChannel,
    );
    for name in ["", "disk:ü", "disk:a b", "disk:a\n", "disk:*", "$disk:a"] {
        assert_refused(
            ann.try_subscribe(Subscribe::new(name)).await,
            ErrorCode::BadChannel,
        );
    }
}

/// A ping command with blanks or ignored bytes behind it, of exactly this size.
fn padded_ping(form: Form, bytes: usize) -> Vec<u8> {
    match form {
        Form::Json => {
            let mut frame = br#"{"id":77,"ping":{}}"#.to_vec();
            frame.resize(bytes, b' ');
            frame
        }
        Form::MsgPack => {
            // {"id": 77, "ping": {"x": bin32}}
            let head = b"\x82\xa2id\x4d\xa4ping\x81\xa1x\xc6";
            let len = u32::try_from(bytes - head.len() - 4).expect("a short one");
            [&head[..], &len.to_be_bytes(), &vec![0; len as usize]].concat()
        }
    }
}

async fn frame_bytes(at: At, server: &Server) {
    let mut ann = server.join("ann").await;
    ann.send_bytes(padded_ping(at.form, limits::FRAME_BYTES_MAX))
        .await;
    ann.reply(77).await.expect("at the limit");
    ann.send_bytes(padded_ping(at.form, limits::FRAME_BYTES_MAX + 1))
        .await;
    ann.expect_close(CloseCode::FrameTooLarge).await;
}

async fn commands_per_frame(ann: &mut Client) {
    let pings = |count: usize| (0..count).map(|_| Command::Ping(Ping {}));
    for id in ann
        .send_together(pings(limits::COMMANDS_PER_FRAME_MAX))
        .await
    {
        ann.reply(id).await.expect("at the limit");
    }
    ann.send_together(pings(limits::COMMANDS_PER_FRAME_MAX + 1))
        .await;
    ann.expect_close(CloseCode::BadFrame).await;
}

async fn channels(server: &Server, ann: &mut Client) {
    let name = |number: usize| Subscribe::new(format!("memory:{number}"));
    for number in 0..limits::CHANNELS_PER_CONNECTION_MAX {
        ann.try_subscribe(name(number)).await.expect("at the limit");
    }
    assert_refused(
        ann.try_subscribe(name(limits::CHANNELS_PER_CONNECTION_MAX))
            .await,
        ErrorCode::TooMany,
    );
    ann.unsubscribe("memory:0").await;
    ann.try_subscribe(name(0))
        .await
        .expect("there is room again");
    let connect = |count: usize| Connect {
        subscriptions: (0..count).map(name).collect(),
        ..Connect::default()
    };
    server
        .join_with(connect(limits::CHANNELS_PER_CONNECTION_MAX))
        .await;
    let (mut client, refused) = server
        .try_join(connect(limits::CHANNELS_PER_CONNECTION_MAX + 1))
        .await;
    assert_refused(refused, ErrorCode::TooMany);
    client.expect_close(CloseCode::ConnectRefused).await;
}

async fn payload_bytes(ann: &mut Client) {
    ann.try_publish(publish("disk:a", blob(limits::PAYLOAD_BYTES_MAX)))
        .await
        .expect("at the limit");
    let above = blob(limits::PAYLOAD_BYTES_MAX + 1);
    assert_refused(
        ann.try_publish(publish("disk:a", above.clone())).await,
        ErrorCode::TooLarge,
    );
    let signal = parlor_protocol::command::Signal {
        channel: "disk:a".to_owned(),
        payload: above,
    };
    assert_refused(ann.try_signal(signal).await, ErrorCode::TooLarge);
    let bytes = parlor_tests::binary(&vec![7; limits::PAYLOAD_BYTES_MAX]);
    ann.try_publish(publish("disk:a", bytes))
        .await
        .expect("binary at the limit");
    let bytes = parlor_tests::binary(&vec![7; limits::PAYLOAD_BYTES_MAX + 1]);
    assert_refused(
        ann.try_publish(publish("disk:a", bytes)).await,
        ErrorCode::TooLarge,
    );
}

async fn payload_depth(at: At, ann: &mut Client) {
    let nested = |depth: usize| json("[".repeat(depth) + &"]".repeat(depth));
    ann.try_publish(publish("disk:a", nested(limits::PAYLOAD_DEPTH_MAX)))
        .await
        .expect("at the limit");
    let above = nested(limits::PAYLOAD_DEPTH_MAX + 1);
    assert_refused(
        ann.try_publish(publish("disk:a", above)).await,
        ErrorCode::BadPayload,
    );
    if at.form == Form::MsgPack {
        // In a text frame this would be no frame at all.
        assert_refused(
            ann.try_publish(publish("disk:a", json("{"))).await,
            ErrorCode::BadPayload,
        );
    }
}

async fn publish_id(ann: &mut Client) {
    let id = |bytes: usize| "i".repeat(bytes);
    ann.publish_as(&id(limits::PUBLISH_ID_BYTES_MAX), "disk:a", 1)
        .await
        .expect("at the limit");
    assert_refused(
        ann.publish_as(&id(limits::PUBLISH_ID_BYTES_MAX + 1), "disk:a", 2)
            .await,
        ErrorCode::TooLarge,
    );
    assert_refused(ann.publish_as("", "disk:a", 3).await, ErrorCode::BadRequest);
}

async fn tags(ann: &mut Client) {
    let with = |tags: Tags| Publish {
        tags,
        ..publish("disk:a", json("1"))
    };
    let many = |count: usize| {
        (0..count)
            .map(|tag| (tag.to_string(), String::new()))
            .collect()
    };
    let long = |bytes: usize| "t".repeat(bytes);
    ann.try_publish(with(many(limits::TAGS_MAX)))
        .await
        .expect("at the limit");
    assert_refused(
        ann.try_publish(with(many(limits::TAGS_MAX + 1))).await,
        ErrorCode::TooMany,
    );
    let (at, above) = (long(limits::TAG_BYTES_MAX), long(limits::TAG_BYTES_MAX + 1));
    ann.try_publish(with([(at.clone(), at)].into()))
        .await
        .expect("at the limit");
    assert_refused(
        ann.try_publish(with([(above.clone(), String::new())].into()))
            .await,
        ErrorCode::TooLarge,
    );
    assert_refused(
        ann.try_publish(with([(String::new(), above)].into())).await,
        ErrorCode::TooLarge,
    );
}

async fn user_bytes(server: &Server) {
    let user = |bytes: usize| Connect {
        user: Some("u".repeat(bytes)),
        ..Connect::default()
    };
    server.join_with(user(limits::USER_BYTES_MAX)).await;
    assert_refused(
        server.try_join(user(limits::USER_BYTES_MAX + 1)).await.1,
        ErrorCode::TooLarge,
    );
    for nobody in ["", "a\u{0}b", "line\nbreak"] {
        let connect = Connect {
            user: Some(nobody.to_owned()),
            ..Connect::default()
        };
        assert_refused(server.try_join(connect).await.1, ErrorCode::BadRequest);
    }
}

async fn token_bytes(server: &Server) {
    let token = |bytes: usize| Connect {
        token: Some(".".repeat(bytes)),
        ..Connect::default()
    };
    // Looked at, and refused for what it says.
    assert_refused(
        server.try_join(token(limits::TOKEN_BYTES_MAX)).await.1,
        ErrorCode::BadToken,
    );
    // Not even looked at.
    assert_refused(
        server.try_join(token(limits::TOKEN_BYTES_MAX + 1)).await.1,
        ErrorCode::TooLarge,
    );
}

async fn position_bytes(ann: &mut Client) {
    let from = |bytes: usize| Subscribe::new("disk:a").recover(Recover::From("p".repeat(bytes)));
    let subscribed = ann
        .try_subscribe(from(limits::POSITION_BYTES_MAX))
        .await
        .expect("at the limit");
    assert_eq!(subscribed.recovered, Some(false));
    ann.unsubscribe("disk:a").await;
    assert_refused(
        ann.try_subscribe(from(limits::POSITION_BYTES_MAX + 1))
            .await,
        ErrorCode::TooLarge,
    );
}

async fn presence_state(ann: &mut Client) {
    ann.subscribe("memory:a").await;
    let set = |bytes: usize| PresenceSet {
        channel: "memory:a".to_owned(),
        state: Some(blob(bytes)),
    };
    ann.try_presence_set(set(limits::PRESENCE_STATE_BYTES_MAX))
        .await
        .expect("at the limit");
    assert_refused(
        ann.try_presence_set(set(limits::PRESENCE_STATE_BYTES_MAX + 1))
            .await,
        ErrorCode::TooLarge,
    );
}

async fn history_page(ann: &mut Client) {
    ann.publish_many("memory:a", 0..limits::HISTORY_PAGE_MAX + 1)
        .await;
    let all = |limit: usize| History {
        limit: u32::try_from(limit).ok(),
        ..History::new("memory:a", Direction::Forward)
    };
    for limit in [
        limits::HISTORY_PAGE_MAX,
        limits::HISTORY_PAGE_MAX + 1,
        u32::MAX as usize,
    ] {
        let page = ann.try_history(all(limit)).await.expect("clamped");
        assert_eq!(
            (page.events.len(), page.more),
            (limits::HISTORY_PAGE_MAX, true)
        );
    }
}

async fn erase_offsets(server: &Server, ann: &mut Client) {
    ann.publish_many("memory:a", 0..limits::ERASE_OFFSETS_MAX + 1)
        .await;
    let backend = server.backend();
    let erase = async |offsets: usize| {
        let offsets: Vec<usize> = (1..=offsets).collect();
        let body = serde_json::json!({ "channel": "memory:a", "offsets": offsets });
        backend.post("/v1/history/erase", body).await
    };
    let (status, answer) = erase(limits::ERASE_OFFSETS_MAX + 1).await;
    assert_eq!((status, &answer["name"]), (400, &"too_many".into()));
    let (status, answer) = erase(limits::ERASE_OFFSETS_MAX).await;
    assert_eq!(status, 200, "{answer}");
}

async fn presence_page(server: &Server, ann: &mut Client) {
    for number in 0..=limits::PRESENCE_PAGE_MAX {
        let mut user = server.join(&format!("user-{number}")).await;
        user.subscribe("memory:a").await;
        // The grace keeps everybody present without a socket.
        user.lose();
    }
    let page = Presence {
        channel: "memory:a".to_owned(),
        limit: Some(u32::MAX),
        cursor: None,
    };
    let page = ann.try_presence(page).await.expect("clamped");
    assert_eq!(page.members.len(), limits::PRESENCE_PAGE_MAX);
    assert_eq!(page.users, limits::PRESENCE_PAGE_MAX as u64 + 1);
    assert!(page.next.is_some());
}

#[test]
fn a_rate_that_is_exceeded_is_told_with_when_to_go_on() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let commands = (0..4).map(|word| Command::Publish(publish("rated:a", text(word))));
        let mut refused = 0;
        for id in ann.send_together(commands).await {
            if let Err(error) = ann.reply(id).await {
                assert_eq!(error.kind(), Some(ErrorCode::RateLimited));
                assert!(
                    error
                        .retry_after_ms
                        .is_some_and(|ms| (1..=1_000).contains(&ms)),
                    "{error:?}"
                );
                refused += 1;
            }
        }
        assert_eq!(refused, 2, "one a second, and a burst of twice as many");
    });
}

#[test]
fn commands_that_make_no_sense_count_too() {
    in_both_forms(async |at| {
        let server = at
            .setup()
            .with(|config| config.session.commands_per_second_max = 1)
            .start()
            .await;
        let mut ann = server.join("ann").await;
        let bad: &[u8] = match at.form {
            Form::Json => br#"{"fly":{}}"#,
            Form::MsgPack => b"\x81\xa3fly\x80",
        };
        for _ in 0..1_200 {
            ann.send_bytes(bad.to_vec()).await;
        }
        ann.expect_close(CloseCode::Flooding).await;
    });
}
