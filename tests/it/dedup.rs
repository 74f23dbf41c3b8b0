//! Publish ids: a retry finds the first one's place, on whatever way it comes.

use parlor_protocol::ErrorCode;
use parlor_protocol::command::Publish;
use parlor_tests::{Token, binary, everywhere, in_both_forms, json, publish, said, text};

#[test]
fn a_retry_on_another_connection_gets_the_first_ones_place() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:a", "memory:a"] {
            let mut audience = server.audience("ann", channel).await;
            let mut ann = server.join("ann").await;
            let first = ann
                .publish_as("m-1", channel, "once")
                .await
                .expect("published");
            assert!(!first.duplicate);
            for other in server
                .join_every_shard("ann")
                .await
                .iter_mut()
                .chain([&mut ann])
            {
                let again = other
                    .publish_as("m-1", channel, "once")
                    .await
                    .expect("answered");
                assert!(again.duplicate);
                assert_eq!((again.offset, again.time), (first.offset, first.time));
                assert_eq!(again.position, first.position);
            }
            ann.publish(channel, "next").await;
            for subscriber in &mut audience {
                let events = subscriber.events(2).await;
                assert_eq!(
                    events.iter().map(said).collect::<Vec<_>>(),
                    ["once", "next"]
                );
            }
        }
    });
}

#[test]
fn a_retry_after_a_restart_gets_the_first_ones_place() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let first = ann
            .publish_as("m-1", "disk:a", "once")
            .await
            .expect("published");
        ann.leave().await;
        let server = server.stop().await.start().await;
        let mut ann = server.join("ann").await;
        let again = ann
            .publish_as("m-1", "disk:a", "once")
            .await
            .expect("answered");
        assert!(again.duplicate);
        assert_eq!(
            (again.offset, again.position),
            (first.offset, first.position)
        );
    });
}

#[test]
fn the_same_id_with_other_content_is_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in ["disk:a", "memory:a"] {
            let first = Publish {
                id: Some("m-1".to_owned()),
                ..publish(channel, json("\"aQ==\""))
            };
            ann.try_publish(first.clone()).await.expect("published");
            let others = [
                Publish {
                    payload: text("other"),
                    ..first.clone()
                },
                Publish {
                    payload: binary(b"\"aQ==\""),
                    ..first.clone()
                },
                Publish {
                    tags: [("a".to_owned(), "b".to_owned())].into(),
                    ..first.clone()
                },
            ];
            for other in others {
                let refused = ann.try_publish(other).await.unwrap_err();
                assert_eq!(refused.kind(), Some(ErrorCode::IdReused));
            }
            assert_eq!(
                ann.publish(channel, "next").await.offset,
                2,
                "nothing of it was logged"
            );
        }
    });
}

#[test]
fn an_id_is_its_senders_and_its_channels_own() {
    everywhere(async |at| {
        let server = at.start().await;
        let (mut ann, mut bob) = (server.join("ann").await, server.join("bob").await);
        for channel in ["disk:a", "disk:b", "memory:a"] {
            for client in [&mut ann, &mut bob] {
                let published = client
                    .publish_as("m-1", channel, channel)
                    .await
                    .expect("published");
                assert!(!published.duplicate, "{channel}");
            }
        }
    });
}

#[test]
fn an_id_needs_somebody_whose_it_is() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::anonymous().may(&["publish"], "*").sign();
        let mut nobody = server.join_by_token(&token).await;
        let refused = nobody.publish_as("m-1", "disk:a", "x").await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPermitted));
        nobody.publish("disk:a", "without an id").await;
    });
}

#[test]
fn retries_at_the_same_time_are_one_message() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:a", "memory:a"] {
            let mut clients = server.join_every_shard("ann").await;
            clients.push(server.join("ann").await);
            let tries = clients
                .iter_mut()
                .map(|client| client.publish_as("m-1", channel, "once"));
            let answers = futures_util::future::join_all(tries).await;
            let answers: Vec<_> = answers
                .into_iter()
                .map(|answer| answer.expect("answered"))
                .collect();
            assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
            assert!(
                answers
                    .iter()
                    .all(|answer| answer.position == answers[0].position)
            );
            assert_eq!(clients[0].whole_history(channel).await.len(), 1);
        }
    });
}
