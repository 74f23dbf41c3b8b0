//! `subscribe` and `unsubscribe`: from when on one hears a channel, and until when.

use parlor_protocol::command::{
    Direction, History, Presence, PresenceSet, Signal, Subscribe, Unsubscribe,
};
use parlor_protocol::push::UNSUBSCRIBED_REVOKED;
use parlor_protocol::{ErrorCode, Push, WireError};
use parlor_tests::{API_KEY, Client, Token, everywhere, in_both_forms, publish, said, text};
use serde_json::json;

/// The commands about a channel that are not refused for want of a right.
async fn allowed(client: &mut Client, channel: &str) -> Vec<&'static str> {
    let name = || channel.to_owned();
    let history = History::new(name(), Direction::Forward);
    let presence = Presence {
        channel: name(),
        limit: None,
        cursor: None,
    };
    let presence_set = PresenceSet {
        channel: name(),
        state: None,
    };
    let signal = Signal {
        channel: name(),
        payload: text("typing"),
    };
    let message = publish(channel, text("hello"));
    let outcomes = [
        ("publish", client.try_publish(message).await.err()),
        ("signal", client.try_signal(signal).await.err()),
        ("history", client.try_history(history).await.err()),
        ("presence", client.try_presence(presence).await.err()),
        (
            "presence_set",
            client.try_presence_set(presence_set).await.err(),
        ),
    ];
    let is_allowed = |refused: &Option<WireError>| {
        refused.as_ref().and_then(WireError::kind) != Some(ErrorCode::NotPermitted)
    };
    outcomes
        .into_iter()
        .filter(|(_, refused)| is_allowed(refused))
        .map(|(command, _)| command)
        .collect()
}

fn with_token(channel: &str, token: &Token) -> Subscribe {
    Subscribe {
        token: Some(token.sign()),
        ..Subscribe::new(channel)
    }
}

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
        let with = |token: Token| with_token("disk:a", &token);
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
fn what_a_channel_token_allows_holds_in_its_channel_while_subscribed() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let mut ann = server.join_by_token(&Token::of("ann").sign()).await;
        let own = Token::for_channel("ann", "disk:a");
        let may = |verbs: &[&str]| own.clone().claim("allow", json!(verbs));
        let none: [&str; 0] = [];
        for (token, expected) in [
            (own.clone(), vec!["history", "presence", "presence_set"]),
            (may(&["subscribe"]), vec![]),
            (
                may(&["subscribe", "publish", "signal"]),
                vec!["publish", "signal"],
            ),
        ] {
            assert_eq!(allowed(&mut ann, "disk:a").await, none, "before");
            ann.try_subscribe(with_token("disk:a", &token))
                .await
                .expect("subscribed");
            assert_eq!(allowed(&mut ann, "disk:a").await, expected);
            assert_eq!(allowed(&mut ann, "disk:b").await, none, "elsewhere");
            ann.unsubscribe("disk:a").await;
        }
        assert_eq!(allowed(&mut ann, "disk:a").await, none, "after");
    });
}

#[test]
fn a_subscription_ends_when_its_own_token_does_and_the_others_stay() {
    everywhere(async |at| {
        let server = at.setup().with_tokens().start().await;
        let backend = server.backend().with_key(API_KEY);
        let token = Token::of("ann").may(&["subscribe"], "memory:*");
        let mut ann = server.join_by_token(&token.sign()).await;
        ann.subscribe("memory:a").await;
        for (channel, seconds) in [("disk:long", 3_600), ("disk:short", 3)] {
            let token = Token::for_channel("ann", channel).ends_in(seconds);
            ann.try_subscribe(with_token(channel, &token))
                .await
                .expect("subscribed");
        }
        let rights = ["history", "presence", "presence_set"];
        assert_eq!(allowed(&mut ann, "disk:short").await, rights);
        let Push::Unsubscribed(ended) = ann.push().await else {
            panic!("not ended")
        };
        assert_eq!(
            (ended.channel.as_str(), ended.code, ended.resubscribe),
            ("disk:short", UNSUBSCRIBED_REVOKED, false)
        );
        assert_eq!(ended.reason, "its token has ended");
        let none: [&str; 0] = [];
        assert_eq!(allowed(&mut ann, "disk:short").await, none);
        assert_eq!(allowed(&mut ann, "disk:long").await, rights);
        for channel in ["disk:short", "disk:long", "memory:a"] {
            let body = json!({ "channel": channel, "data": channel });
            assert_eq!(backend.post("/v1/publish", body).await.0, 200);
        }
        let events = ann.events(2).await;
        let mut heard: Vec<_> = events.iter().map(said).collect();
        heard.sort_unstable();
        assert_eq!(heard, ["disk:long", "memory:a"]);
        let fresh = Token::for_channel("ann", "disk:short");
        ann.try_subscribe(with_token("disk:short", &fresh))
            .await
            .expect("a new token begins a new subscription");
        assert_eq!(allowed(&mut ann, "disk:short").await, rights);
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
