//! Sessions: one logical connection, whichever socket carries it.

use std::time::Duration;

use parlor_protocol::command::{Connect, Subscribe};
use parlor_protocol::{CloseCode, Push};
use parlor_tests::{Client, Server, everywhere};

async fn take_over(server: &Server, from: &Client) -> Client {
    let connect = Connect {
        user: Some("ann".to_owned()),
        session: Some(from.hello().session.clone()),
        subscriptions: vec![Subscribe::new("memory:room")],
        ..Connect::default()
    };
    server.join_with(connect).await.0
}

#[test]
fn a_session_continues_on_the_newest_connection() {
    everywhere(async |at| {
        let server = at.start().await;
        // Both from and to every shard.
        for mut old in server.join_every_shard("ann").await {
            for _ in 0..2 * at.shards {
                let new = take_over(&server, &old).await;
                assert_eq!(new.hello().session.id, old.hello().session.id);
                old.expect_close(CloseCode::Replaced).await;
                old = new;
            }
            old.ping().await;
        }
    });
}

#[test]
fn a_takeover_is_no_coming_or_going() {
    everywhere(async |at| {
        let setup = at
            .setup()
            .with(|config| config.presence.grace = Duration::from_millis(200));
        let server = setup.start().await;
        let mut watcher = server.join("watcher").await;
        let mut old = server.join("ann").await;
        old.subscribe("memory:room").await;
        watcher
            .try_subscribe(Subscribe::new("memory:room").with_presence(true))
            .await
            .expect("subscribed");
        settle(&mut watcher, 2).await;
        let mut new = take_over(&server, &old).await;
        old.expect_close(CloseCode::Replaced).await;
        // Another user's coming and going outlasts the grace: what the takeover would tell comes before it.
        let mut bob = server.join("bob").await;
        bob.subscribe("memory:room").await;
        bob.lose();
        loop {
            let Push::Presence(diff) = watcher.push().await else {
                panic!("another push")
            };
            let told: Vec<_> = diff
                .joined
                .iter()
                .chain(&diff.updated)
                .map(|member| member.user.as_str())
                .collect();
            assert!(
                !told.contains(&"ann") && !diff.left.contains(&"ann".to_owned()),
                "{diff:?}"
            );
            if diff.left == ["bob"] {
                break;
            }
        }
        let members = new.members("memory:room").await;
        assert_eq!(
            members.members[0].sessions,
            [new.hello().session.id.clone()]
        );
    });
}

/// Reads diffs until so many connections are counted.
async fn settle(watcher: &mut Client, connections: u64) {
    loop {
        match watcher.push().await {
            Push::Presence(diff) if diff.connections == connections => return,
            Push::Presence(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
