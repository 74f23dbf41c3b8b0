//! Echo off: the publisher has its event in its place, without the data that it has already.

use parlor_protocol::command::Publish;
use parlor_tests::{everywhere, publish, said, text};

#[test]
fn without_echo_the_own_copy_comes_in_its_place_without_data() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:a", "memory:a"] {
            let mut audience = server.audience("bob", channel).await;
            let mut ann = server.join("ann").await;
            ann.subscribe(channel).await;
            audience[0].publish(channel, "before").await;
            let quiet = Publish {
                echo: false,
                id: Some("m".to_owned()),
                tags: [("a".to_owned(), "b".to_owned())].into(),
                ..publish(channel, text("mine"))
            };
            let published = ann.try_publish(quiet).await.expect("published");
            audience[0].publish(channel, "after").await;

            let events = ann.events(3).await;
            assert_eq!((said(&events[0]), said(&events[2])), ("before", "after"));
            let own = &events[1];
            assert!(
                own.own && own.payload.is_none() && own.tags.is_empty(),
                "{own:?}"
            );
            assert_eq!(
                (own.offset, own.position.as_ref()),
                (Some(2), Some(&published.position))
            );
            assert_eq!(
                (own.id.as_deref(), own.user.as_deref()),
                (Some("m"), Some("ann"))
            );
            for bob in &mut audience {
                let events = bob.events(3).await;
                assert!(!events[1].own);
                assert_eq!(said(&events[1]), "mine");
            }
        }
    });
}

#[test]
fn the_users_other_connections_have_the_data() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut others = server.audience("ann", "disk:a").await;
        let mut ann = server.join("ann").await;
        ann.subscribe("disk:a").await;
        let quiet = Publish {
            echo: false,
            ..publish("disk:a", text("mine"))
        };
        ann.try_publish(quiet).await.expect("published");
        assert!(ann.event().await.own);
        for other in &mut others {
            assert_eq!(said(&other.event().await), "mine");
        }
    });
}
