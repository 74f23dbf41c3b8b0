//! `subscribe` and `unsubscribe`: from when on one hears a channel, and until when.

use parlor_protocol::ErrorCode;
use parlor_protocol::command::{Subscribe, Unsubscribe};
use parlor_tests::{Token, everywhere, in_both_forms, said};

#[test]
fn a_subscriber_on_every_shard_hears_what_is_published() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:a", "memory:a"] {
            let mut audience = server.audience("ann", channel).await;
            let mut bob = server.join("bob").await;
            let published = bob.publish(channel, "hello").await;
            for ann in &mut audience {
                let event = ann.event().await;
                assert_eq!((said(&event), event.offset), ("hello", Some(1)));
                assert_eq!(event.position, Some(published.position.clone()));
                assert_eq!(
                    (event.time, event.user.as_deref()),
                    (published.time, Some("bob"))
                );
            }
        }
    });
}

#[test]
fn the_reply_says_where_the_live_events_start() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let published = ann.publish("disk:a", "before").await;
        let subscribed = ann.subscribe("disk:a").await;
        assert_eq!(
            (subscribed.offset, &subscribed.position),
            (1, &published.position)
        );
        assert_eq!(
            (subscribed.recovered, subscribed.from, subscribed.to),
            (None, None, None)
        );
        assert_eq!(subscribed.durability, "disk");
        ann.publish("disk:a", "after").await;
        let (alias, event) = ann.aliased_event().await;
        assert_eq!(
            (alias, event.offset, said(&event)),
            (subscribed.alias, Some(2), "after")
        );
    });
}

#[test]
fn channels_are_told_apart() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let one = ann.subscribe("disk:one").await.alias;
        let two = ann.subscribe("disk:One").await.alias;
        assert_ne!(one, two, "names are case-sensitive");
        let mut bob = server.join("bob").await;
        for (channel, alias) in [("disk:One", two), ("disk:one", one)] {
            bob.publish(channel, channel).await;
            let (heard, event) = ann.aliased_event().await;
            assert_eq!((heard, said(&event)), (alias, channel));
        }
        bob.publish("disk:three", "not for ann").await;
        assert_eq!(ann.pushes_so_far().await, []);
    });
}

#[test]
fn subscribing_twice_is_refused_and_changes_nothing() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        let refused = ann
            .try_subscribe(Subscribe::new("disk:a"))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::AlreadySubscribed));
        ann.publish("disk:a", "still here").await;
        assert_eq!(said(&ann.event().await), "still here");
    });
}

#[test]
fn unsubscribing_from_what_one_is_not_subscribed_to_is_refused() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let command = Unsubscribe {
            channel: "disk:a".to_owned(),
        };
        let refused = ann.try_unsubscribe(command.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotSubscribed));
        ann.subscribe("disk:a").await;
        ann.try_unsubscribe(command.clone())
            .await
            .expect("now it is");
        let refused = ann.try_unsubscribe(command).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotSubscribed));
    });
}

#[test]
fn who_left_hears_no_more_and_the_others_do() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut audience = server.audience("ann", "disk:a").await;
        let mut bob = server.join("bob").await;
        bob.subscribe("disk:a").await;
        bob.unsubscribe("disk:a").await;
        bob.publish("disk:a", "not for bob").await;
        for ann in &mut audience {
            assert_eq!(said(&ann.event().await), "not for bob");
        }
        assert_eq!(bob.pushes_so_far().await, []);
    });
}

#[test]
fn a_channel_token_opens_one_channel_to_its_user() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
        let with = |token: Token| Subscribe {
            token: Some(token.sign()),
            ..Subscribe::new("disk:a")
        };
        let refused = ann
            .try_subscribe(Subscribe::new("disk:a"))
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPermitted));
        for foreign in [
            Token::for_channel("ann", "disk:b"),
            Token::for_channel("eve", "disk:a"),
            Token::of("ann"),
        ] {
            let refused = ann.try_subscribe(with(foreign)).await.unwrap_err();
            assert_eq!(refused.kind(), Some(ErrorCode::BadToken));
        }
        let ended = with(Token::for_channel("ann", "disk:a").ends_in(-5));
        let refused = ann.try_subscribe(ended).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::TokenExpired));
        let own = with(Token::for_channel("ann", "disk:a"));
        ann.try_subscribe(own)
            .await
            .expect("the token is for her and this channel");
    });
}

#[test]
fn capabilities_are_patterns_and_verbs() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let token = Token::of("ann")
            .may(&["subscribe"], "disk:inbox-{user}")
            .may(&["subscribe"], "memory:*");
        let mut ann = server.join_by_token(&token.sign()).await;
        for (channel, allowed) in [
            ("disk:inbox-ann", true),
            ("disk:inbox-eve", false),
            ("memory:x", true),
            ("disk:x", false),
            ("open:x", true),
        ] {
            let outcome = ann.try_subscribe(Subscribe::new(channel)).await;
            assert_eq!(outcome.is_ok(), allowed, "{channel}: {outcome:?}");
        }
    });
}
