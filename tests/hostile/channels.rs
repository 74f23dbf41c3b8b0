//! Channels that are too many or no channels, and places in their logs that do not exist.

use parlor_protocol::command::{Command, Connect, Direction, History, Recover, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode};
use parlor_tests::everywhere;
use serde_json::json;

use crate::bystanders::Bystanders;
use crate::case::Case;
use crate::messages::roomy;
use crate::msgpack::encode;

fn many_channels(count: usize) -> Vec<Subscribe> {
    (0..count)
        .map(|number| Subscribe::new(format!("memory:{number}")))
        .collect()
}

#[test]
fn ten_thousand_channels_in_one_frame_have_a_clear_end() {
    everywhere(async |at| {
        // By the default limits the frame itself is too large.
        let server = at.start().await;
        let connect = Connect {
            subscriptions: many_channels(10_000),
            ..Connect::default()
        };
        let mut mallory = server.open().await;
        mallory.send(Command::Connect(connect.clone())).await;
        mallory.expect_close(CloseCode::FrameTooLarge).await;
        // With room for it, it is too many channels.
        let server = at.setup().with(roomy).start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let (mut mallory, refused) = server.try_join(connect).await;
        assert_eq!(
            refused.expect_err("too many").kind(),
            Some(ErrorCode::TooMany)
        );
        mallory.expect_close(CloseCode::ConnectRefused).await;
        let mut mallory = server.join("mallory").await;
        mallory
            .send_together(many_channels(10_000).into_iter().map(Command::Subscribe))
            .await;
        mallory.expect_close(CloseCode::BadFrame).await;
        let mut mallory = server.join("mallory").await;
        let names: Vec<_> = (0..10_000)
            .map(|number| format!("memory:{number}"))
            .collect();
        mallory
            .send_bytes(encode(
                at.form,
                &json!({"id": 3, "subscribe": {"channel": names}}),
            ))
            .await;
        let error = mallory.reply(3).await.expect_err("not a channel");
        assert!(error.text.contains("channel"), "{error:?}");
        bystanders.talk().await;
    });
}

#[test]
fn ten_thousand_subscriptions_one_after_the_other_end_at_the_limit() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut mallory = server.join("mallory").await;
        let mut held = 0;
        for frame in many_channels(10_000).chunks(128) {
            let commands = frame.iter().cloned().map(Command::Subscribe);
            for id in mallory.send_together(commands).await {
                match mallory.reply(id).await {
                    Ok(_) => held += 1,
                    Err(error) => assert_eq!(error.kind(), Some(ErrorCode::TooMany), "{error:?}"),
                }
            }
        }
        assert_eq!(held, parlor_protocol::limits::CHANNELS_PER_CONNECTION_MAX);
        bystanders.talk().await;
    });
}

#[test]
fn what_is_no_channel_name_is_refused_everywhere() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let long = format!("memory:{}", "n".repeat(249));
        let names = [
            "",
            "memory:\0",
            "memory:a\r\nb",
            "memory:\u{1b}[31m",
            "memory:*",
            "memory:{a}",
            "memory:..\\",
            "memory:a b",
            "memory:\u{202e}a",
            "memory:\u{e9}",
            "memory:e\u{301}",
            "$memory",
            "memory:%2e",
            "memory:?",
            "memory:'--",
            &long,
        ];
        let mut id = 1_000;
        for name in names {
            for command in [
                "subscribe",
                "unsubscribe",
                "publish",
                "signal",
                "history",
                "presence",
                "presence_set",
            ] {
                let _case = Case((command, name));
                id += 1;
                let mut body = json!({"channel": name});
                if matches!(command, "publish" | "signal") {
                    body["data"] = json!("1");
                }
                mallory
                    .send_bytes(encode(at.form, &json!({"id": id, command: body})))
                    .await;
                let error = mallory.reply(id).await.expect_err("no name");
                assert_eq!(error.kind(), Some(ErrorCode::BadChannel), "{error:?}");
            }
        }
        mallory.ping().await;
    });
}

#[test]
fn a_made_up_position_recovers_nothing_and_harms_nobody() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        let real = mallory.publish("disk:a", "one").await.position;
        let parts: Vec<_> = real.split('.').collect();
        let (epoch, tag) = (parts[0], parts[2]);
        let positions = [
            String::new(),
            "..".to_owned(),
            "x".repeat(128),
            format!("{epoch}.18446744073709551615.{tag}"),
            format!("{epoch}.18446744073709551616.{tag}"),
            format!("{epoch}.9007199254740992.{tag}"),
            format!("{epoch}.-1.{tag}"),
            format!("{epoch}.0.{tag}"),
            format!("AAAAAAAAAAA.1.{tag}"),
            format!("{epoch}.1.AAAAAAAAAAA"),
            format!("{epoch}.1"),
            format!("{real}.1"),
            "\u{0}".repeat(30),
            "../../../../etc/passwd".to_owned(),
        ];
        for position in positions {
            let _case = Case(position.clone());
            let subscribed = mallory.resume("disk:a", Recover::From(position)).await;
            assert_eq!(subscribed.recovered, Some(false), "{subscribed:?}");
            mallory.unsubscribe("disk:a").await;
        }
        let subscribed = mallory.resume("disk:a", Recover::From(real)).await;
        assert_eq!(subscribed.recovered, Some(true), "the control");
    });
}

#[test]
fn history_beyond_every_bound_is_a_page_at_most() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut mallory = server.join("mallory").await;
        mallory.publish_many("memory:a", 0..20).await;
        for direction in [Direction::Forward, Direction::Backward] {
            for offset in [
                None,
                Some(0),
                Some(u64::MAX),
                Some(i64::MAX as u64 + 1),
                Some(1 << 53),
            ] {
                for limit in [Some(0), Some(u32::MAX)] {
                    let _case = Case((direction, offset, limit));
                    let history = History {
                        channel: "memory:a".to_owned(),
                        direction,
                        offset,
                        time: None,
                        limit,
                    };
                    let page = mallory
                        .try_history(history)
                        .await
                        .expect("a page, if an empty one");
                    assert!(page.events.len() <= 20);
                }
            }
        }
    });
}
