//! What nodes tell each other, and what clients are told of it: the channels of the server's own, and how it is.

use parlor_protocol::command::{History, Subscribe};
use parlor_protocol::{CloseCode, ErrorCode};
use parlor_tests::{API_KEY, everywhere, in_both_forms, publish, text};
use serde_json::json;

const RESERVED: [&str; 3] = ["$control", "$revocations", "$anything"];

#[test]
fn nobody_reads_or_writes_the_servers_own_channels() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in RESERVED {
            let refused = [
                ann.try_subscribe(Subscribe::new(channel)).await.err(),
                ann.try_publish(publish(channel, text("x"))).await.err(),
                ann.try_history(History::new(
                    channel,
                    parlor_protocol::command::Direction::Forward,
                ))
                .await
                .err(),
            ];
            for error in refused {
                let kind = error.and_then(|error| error.kind());
                assert_eq!(kind, Some(ErrorCode::BadChannel), "{channel}");
            }
        }
    });
}

#[test]
fn no_backend_reads_or_writes_the_servers_own_channels() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        for channel in RESERVED {
            let body = json!({ "channel": channel, "data": 1 });
            assert_eq!(backend.post("/v1/publish", body.clone()).await.0, 400);
            let (status, _) = backend.post("/v1/users/ann/subscribe", body).await;
            assert_eq!(status, 400);
            let name = channel.replace('$', "%24");
            for path in ["history", "presence", "occupancy", "channel"] {
                let (status, body) = backend.get(&format!("/v1/{path}?channel={name}")).await;
                assert_eq!((status, &body["name"]), (400, &json!("bad_channel")));
            }
        }
    });
}

#[test]
fn the_servers_own_channels_are_not_counted() {
    in_both_forms(async |at| {
        let server = at.start().await;
        let backend = server.backend();
        let (status, answer) = backend.post("/v1/users/nobody/disconnect", json!({})).await;
        assert_eq!((status, &answer["connections"]), (200, &json!(0)));
        let mut ann = server.join("ann").await;
        let subscribed = ann.subscribe("memory:a").await;
        assert_eq!(subscribed.offset, 0);
    });
}

#[test]
fn orders_are_obeyed_in_their_order() {
    everywhere(async |at| {
        let server = at.start().await;
        let backend = server.backend();
        let mut ann = server.join("ann").await;
        let (both, one) = (
            json!({ "channel": "disk:a" }),
            json!({ "channel": "disk:b" }),
        );
        for _ in 0..20 {
            for (path, body) in [
                ("subscribe", &both),
                ("subscribe", &one),
                ("unsubscribe", &both),
                ("unsubscribe", &one),
            ] {
                let path = format!("/v1/users/ann/{path}");
                let (status, answer) = backend.post(&path, body.clone()).await;
                assert_eq!((status, &answer["connections"]), (200, &json!(1)));
            }
        }
        // Whatever was told of a subscription that ended before its log was read: none is left.
        ann.subscribe("disk:a").await;
        ann.subscribe("disk:b").await;
    });
}

#[test]
fn an_order_is_for_those_who_are_connected_then() {
    everywhere(async |at| {
        let server = at.start().await;
        let backend = server.backend();
        let mut ann = server.join("ann").await;
        backend.post("/v1/users/ann/disconnect", json!({})).await;
        ann.expect_close(CloseCode::Disconnected).await;
        let mut ann = server.join("ann").await;
        backend.post("/v1/users/bob/disconnect", json!({})).await;
        assert_eq!(ann.pushes_so_far().await, []);
    });
}
