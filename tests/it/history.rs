//! `history`: pages of the log, both ways, by offset and by time.

use parlor_protocol::ErrorCode;
use parlor_protocol::command::{Direction, History};
use parlor_protocol::reply::Page;
use parlor_tests::{Client, Token, everywhere, in_both_forms, said};

const KINDS: [&str; 2] = ["disk:a", "memory:a"];

fn offsets(page: &Page) -> Vec<u64> {
    page.events
        .iter()
        .filter_map(|event| event.offset)
        .collect()
}

async fn page(client: &mut Client, command: History) -> Page {
    client.try_history(command).await.expect("a page")
}

#[test]
fn pages_follow_each_other_in_both_directions_without_a_hole() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            let last = ann.publish_many(channel, 0..25).await;
            for direction in [Direction::Forward, Direction::Backward] {
                let mut command = History {
                    limit: Some(10),
                    ..History::new(channel, direction)
                };
                let mut found = Vec::new();
                loop {
                    let page = page(&mut ann, command.clone()).await;
                    assert_eq!((page.offset, &page.position), (25, &last.position));
                    found.extend(offsets(&page));
                    assert_eq!(page.more, found.len() < 25);
                    if !page.more {
                        break;
                    }
                    command.offset = found.last().copied();
                }
                if direction == Direction::Backward {
                    found.reverse();
                }
                assert_eq!(found, (1..=25).collect::<Vec<_>>());
            }
        }
    });
}

#[test]
fn time_is_an_address_like_the_offset() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            let mut times = Vec::new();
            for word in 1..=5 {
                times.push(ann.publish(channel, word).await.time);
            }
            let at_third = Some(times[2]);
            let after = History {
                time: at_third,
                ..History::new(channel, Direction::Forward)
            };
            assert_eq!(offsets(&page(&mut ann, after).await), [4, 5], "exclusive");
            let before = History {
                time: at_third,
                ..History::new(channel, Direction::Backward)
            };
            assert_eq!(offsets(&page(&mut ann, before).await), [2, 1], "exclusive");
        }
    });
}

#[test]
fn without_a_start_it_begins_at_the_end_that_it_comes_from() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            ann.publish_many(channel, 0..60).await;
            let newest = page(&mut ann, History::new(channel, Direction::Backward)).await;
            assert_eq!(
                offsets(&newest),
                (11..=60).rev().collect::<Vec<_>>(),
                "fifty by default"
            );
            assert!(newest.more);
            let oldest = page(&mut ann, History::new(channel, Direction::Forward)).await;
            assert_eq!(offsets(&oldest), (1..=50).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_limit_of_none_tells_the_top_alone() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            let published = ann.publish(channel, 1).await;
            let none = History {
                limit: Some(0),
                ..History::new(channel, Direction::Backward)
            };
            let page = page(&mut ann, none).await;
            assert!(page.events.is_empty());
            assert_eq!((page.offset, page.position), (1, published.position));
        }
    });
}

#[test]
fn a_channel_without_an_event_has_a_history_too() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in KINDS {
            let page = page(&mut ann, History::new(channel, Direction::Forward)).await;
            assert!(page.events.is_empty() && !page.more);
            assert_eq!(page.offset, 0);
        }
    });
}

#[test]
fn an_offset_and_a_time_at_once_are_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let time = Some(ann.hello().time);
        let both = History {
            offset: Some(1),
            time,
            ..History::new("disk:a", Direction::Forward)
        };
        let refused = ann.try_history(both).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::BadRequest));
    });
}

#[test]
fn retention_keeps_the_newest_and_the_offsets() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        for channel in ["short:a", "short-memory:a"] {
            ann.publish_many(channel, 0..12).await;
            let kept = ann.whole_history(channel).await;
            let kept: Vec<_> = kept
                .iter()
                .map(|event| (event.offset, said(event)))
                .collect();
            let expected: Vec<_> = (8..=12)
                .map(|offset| (Some(offset), (offset - 1).to_string()))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(offset, words)| (*offset, words.as_str()))
                .collect();
            assert_eq!(kept, expected, "{channel}");
        }
    });
}

#[test]
fn history_survives_a_restart_and_offsets_go_on() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let last = ann.publish_many("disk:a", 0..10).await;
        let before = ann.whole_history("disk:a").await;
        ann.leave().await;
        let server = server.stop().await.start().await;
        let mut ann = server.join("ann").await;
        assert_eq!(ann.whole_history("disk:a").await, before);
        let next = ann.publish("disk:a", "next").await;
        assert_eq!(next.offset, 11);
        assert!(next.time > last.time);
    });
}

#[test]
fn who_may_not_read_history_is_told() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann").may(&["subscribe", "publish"], "*").sign();
        let mut ann = server.join_by_token(&token).await;
        ann.publish("disk:a", 1).await;
        let refused = ann
            .try_history(History::new("disk:a", Direction::Forward))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPermitted));
    });
}
