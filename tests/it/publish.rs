//! `publish`: what an answer means, and what is carried from publisher to reader.

use parlor_protocol::command::{Command, Publish};
use parlor_protocol::limits::PAYLOAD_BYTES_MAX;
use parlor_protocol::{ErrorCode, EventKind, Reply};
use parlor_tests::{binary, blob, everywhere, json, publish, said, text};

#[test]
fn the_answer_names_place_time_and_durability() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for (channel, durability) in [("disk:a", "disk"), ("memory:a", "memory")] {
            let first = ann.publish(channel, 1).await;
            let second = ann.publish(channel, 2).await;
            assert_eq!((first.offset, second.offset), (1, 2));
            assert_eq!(first.durability, durability);
            assert!(first.time < second.time, "time is strictly increasing");
            assert!(!first.duplicate && !second.duplicate);
            assert_ne!(first.position, second.position);
        }
    });
}

#[test]
fn everything_but_the_payloads_blanks_arrives_as_it_was_sent() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut audience = server.audience("bob", "disk:a").await;
        let mut ann = server.join("ann").await;
        let payloads = [
            json("null"),
            json(r#"{"b":1,"a":[1.50,1e3,"\u00e9\n",""]}"#),
            json("\"<script>\u{2028}&amp;\""),
            binary(&[]),
            binary(&[0, 1, 2, 255]),
        ];
        for (index, payload) in payloads.into_iter().enumerate() {
            let sent = Publish {
                id: Some(format!("m-{index}")),
                tags: [
                    ("lang".to_owned(), "en".to_owned()),
                    (String::new(), String::new()),
                ]
                .into(),
                ..publish("disk:a", payload)
            };
            ann.try_publish(sent.clone()).await.expect("published");
            for bob in &mut audience {
                let event = bob.event().await;
                assert_eq!(event.kind, EventKind::Message);
                assert_eq!(
                    (event.offset, event.seq),
                    (Some(index as u64 + 1), Some(index as u64 + 1))
                );
                assert_eq!((&event.id, &event.tags), (&sent.id, &sent.tags));
                assert_eq!((event.user.as_deref(), event.own), (Some("ann"), false));
                assert_eq!(event.payload, Some(sent.payload.clone()));
            }
        }
    });
}

#[test]
fn what_is_pushed_is_what_history_tells() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in ["disk:a", "memory:a"] {
            ann.subscribe(channel).await;
            for word in 0..5 {
                ann.publish_as(&format!("m-{word}"), channel, word)
                    .await
                    .expect("published");
            }
            let pushed = ann.events(5).await;
            assert_eq!(pushed, ann.whole_history(channel).await);
        }
    });
}

#[test]
fn a_frame_of_many_publishes_keeps_their_order() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in ["disk:a", "memory:a"] {
            let commands = (0..100).map(|word| Command::Publish(publish(channel, text(word))));
            let ids = ann.send_together(commands).await;
            for (offset, id) in (1..).zip(ids) {
                let Ok(Reply::Publish(published)) = ann.reply(id).await else {
                    panic!("not published")
                };
                assert_eq!(published.offset, offset);
            }
            let history = ann.whole_history(channel).await;
            assert_eq!(
                history.iter().map(said).collect::<Vec<_>>(),
                (0..100).map(|word| word.to_string()).collect::<Vec<_>>()
            );
        }
    });
}

#[test]
fn a_command_without_an_id_is_done_without_a_reply() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        ann.send_without_id(Command::Publish(publish("disk:a", text("quietly"))))
            .await;
        ann.ping().await;
        assert_eq!(ann.take_waiting(), []);
        assert_eq!(ann.whole_history("disk:a").await.len(), 1);
    });
}

#[test]
fn a_refused_publish_leaves_no_hole() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in ["disk:a", "memory:a"] {
            ann.publish(channel, 1).await;
            let large = publish(channel, blob(PAYLOAD_BYTES_MAX + 1));
            let refused = ann.try_publish(large).await.unwrap_err();
            assert_eq!(refused.kind(), Some(ErrorCode::TooLarge));
            assert_eq!(ann.publish(channel, 2).await.offset, 2);
        }
    });
}
