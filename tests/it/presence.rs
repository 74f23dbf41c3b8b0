//! `presence` and `presence_set`: who is there, seen by everybody the same way.

use std::time::Duration;

use parlor::config::Config;
use parlor_protocol::command::{Connect, Presence, PresenceSet, Subscribe};
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::{Members, PresenceWasSet};
use parlor_protocol::{ErrorCode, Push, WireError};
use parlor_tests::{Client, Server, Token, everywhere, in_both_forms, json};

const ROOM: &str = "memory:room";

/// Short enough to wait for.
fn hasty(config: &mut Config) {
    config.presence.grace = Duration::from_millis(300);
}

/// Long enough that nothing of it ends in a test.
fn patient(config: &mut Config) {
    config.presence.grace = Duration::from_secs(600);
}

/// A watcher on each shard. They are one user, so that their own coming is over when the test begins.
async fn watchers(server: &Server) -> Vec<Client> {
    let mut watchers = server.join_every_shard("watcher").await;
    for watcher in &mut watchers {
        watcher
            .try_subscribe(Subscribe::new(ROOM).with_presence(true))
            .await
            .expect("subscribed");
    }
    let all = watchers.len() as u64;
    for watcher in &mut watchers {
        until(watcher, |diff| diff.connections == all).await;
    }
    watchers
}

/// The first diff that is wanted; their versions must be dense.
async fn until(client: &mut Client, wanted: impl Fn(&PresenceDiff) -> bool) -> PresenceDiff {
    let mut version = None;
    loop {
        match client.push().await {
            Push::Presence(diff) => {
                assert!(
                    version.is_none_or(|before| diff.version == before + 1),
                    "{diff:?} after {version:?}"
                );
                version = Some(diff.version);
                if wanted(&diff) {
                    return diff;
                }
            }
            other => panic!("not a presence diff: {other:?}"),
        }
    }
}

fn users(members: &Members) -> Vec<&str> {
    members
        .members
        .iter()
        .map(|member| member.user.as_str())
        .collect()
}

async fn set(client: &mut Client, state: Option<&str>) -> Result<PresenceWasSet, WireError> {
    let state = state.map(json);
    client
        .try_presence_set(PresenceSet {
            channel: ROOM.to_owned(),
            state,
        })
        .await
}

async fn page(client: &mut Client, limit: u32, cursor: Option<String>) -> Members {
    let command = Presence {
        channel: ROOM.to_owned(),
        limit: Some(limit),
        cursor,
    };
    client.try_presence(command).await.expect("a page")
}

#[test]
fn coming_and_going_is_told_on_every_shard() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        for watcher in &mut watchers {
            let diff = until(watcher, |diff| !diff.joined.is_empty()).await;
            assert_eq!(diff.joined.len(), 1);
            assert_eq!(diff.joined[0].user, "ann");
            assert_eq!(diff.joined[0].sessions, [ann.hello().session.id.clone()]);
            assert_eq!((diff.users, diff.connections), (2, at.shards as u64 + 1));
        }
        ann.unsubscribe(ROOM).await;
        for watcher in &mut watchers {
            let diff = until(watcher, |diff| !diff.left.is_empty()).await;
            assert_eq!(
                (diff.left, diff.users, diff.connections),
                (vec!["ann".to_owned()], 1, at.shards as u64)
            );
        }
    });
}

#[test]
fn saying_goodbye_leaves_at_once() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        // Who comes and goes between two diffs is in neither.
        for watcher in &mut watchers {
            until(watcher, |diff| !diff.joined.is_empty()).await;
        }
        ann.leave().await;
        for watcher in &mut watchers {
            until(watcher, |diff| diff.left == ["ann"]).await;
        }
    });
}

#[test]
fn a_lost_connection_leaves_after_the_grace() {
    everywhere(async |at| {
        let server = at.setup().with(hasty).start().await;
        let mut watchers = watchers(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        for watcher in &mut watchers {
            until(watcher, |diff| !diff.joined.is_empty()).await;
        }
        ann.lose();
        for watcher in &mut watchers {
            until(watcher, |diff| diff.left == ["ann"]).await;
        }
        assert_eq!(users(&watchers[0].members(ROOM).await), ["watcher"]);
    });
}

#[test]
fn a_reload_within_the_grace_is_no_flap() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        for watcher in &mut watchers {
            until(watcher, |diff| !diff.joined.is_empty()).await;
        }
        for _ in 0..3 {
            let session = ann.hello().session.clone();
            ann.lose();
            let connect = Connect {
                user: Some("ann".to_owned()),
                session: Some(session.clone()),
                subscriptions: vec![Subscribe::new(ROOM)],
                ..Connect::default()
            };
            let (back, hello) = server.join_with(connect).await;
            assert_eq!(hello.session.id, session.id);
            ann = back;
        }
        // Whatever a flap would have told comes before the next change.
        set(&mut ann, Some("1")).await.expect("she is present");
        for watcher in &mut watchers {
            let Push::Presence(diff) = watcher.push().await else {
                panic!("another push")
            };
            assert!(diff.joined.is_empty() && diff.left.is_empty(), "{diff:?}");
            assert_eq!(diff.updated.len(), 1);
        }
    });
}

#[test]
fn a_user_is_one_member_with_all_its_connections() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut tabs = server.audience("ann", ROOM).await;
        let members = tabs[0].members(ROOM).await;
        assert_eq!(users(&members), ["ann"]);
        assert_eq!((members.users, members.connections), (1, at.shards as u64));
        let mut sessions = members.members[0].sessions.clone();
        let mut expected: Vec<_> = tabs
            .iter()
            .map(|tab| tab.hello().session.id.clone())
            .collect();
        sessions.sort();
        expected.sort();
        assert_eq!(sessions, expected);
        let last = tabs.pop().expect("a tab");
        last.leave().await;
        let mut watcher = server.join("watcher").await;
        let members = watcher.members(ROOM).await;
        assert_eq!(members.connections, at.shards as u64 - 1);
    });
}

#[test]
fn a_state_is_seen_by_all_and_ends_with_its_user() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        set(&mut ann, Some(r#"{"away":true}"#))
            .await
            .expect("she is present");
        for watcher in &mut watchers {
            let is_it = |diff: &PresenceDiff| {
                let mut told = diff.joined.iter().chain(&diff.updated);
                told.any(|member| {
                    member.user == "ann" && member.state == Some(json(r#"{"away":true}"#))
                })
            };
            until(watcher, is_it).await;
        }
        let members = ann.members(ROOM).await;
        assert_eq!(members.members[0].state, Some(json(r#"{"away":true}"#)));
        set(&mut ann, None).await.expect("removed");
        for watcher in &mut watchers {
            until(watcher, |diff| {
                diff.updated.iter().any(|member| member.state.is_none())
            })
            .await;
        }
        set(&mut ann, Some("1")).await.expect("set again");
        ann.unsubscribe(ROOM).await;
        ann.subscribe(ROOM).await;
        assert_eq!(
            ann.members(ROOM).await.members[0].state,
            None,
            "it ended with her presence"
        );
    });
}

#[test]
fn only_who_is_there_has_a_state() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut ann = server.join("ann").await;
        let refused = set(&mut ann, Some("1")).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::NotPresent));
        let mut nobody = server.join_with(Connect::default()).await.0;
        nobody.subscribe(ROOM).await;
        let refused = set(&mut nobody, Some("1")).await.unwrap_err();
        assert_eq!(
            refused.kind(),
            Some(ErrorCode::NotPermitted),
            "nobody has no state"
        );
    });
}

#[test]
fn pages_hold_everybody_once_in_order() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut expected = Vec::new();
        for number in 0..12 {
            let user = format!("user-{number:02}");
            let mut client = server.join(&user).await;
            client.subscribe(ROOM).await;
            // Within the grace one is present without a connection.
            client.lose();
            expected.push(user);
        }
        let mut reader = server.join("reader").await;
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = page(&mut reader, 5, cursor).await;
            assert!(page.members.len() <= 5);
            assert_eq!((page.users, page.connections), (12, 12));
            found.extend(page.members.into_iter().map(|member| member.user));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
        let counts = page(&mut reader, 0, None).await;
        assert!(counts.members.is_empty());
        assert_eq!(counts.users, 12);
        let foreign = Presence {
            channel: ROOM.to_owned(),
            limit: None,
            cursor: Some("\u{1}".to_owned()),
        };
        let refused = reader.try_presence(foreign).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::BadRequest));
    });
}

#[test]
fn diffs_go_on_where_the_snapshot_ends() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        for round in 0..3 {
            let version = watchers[0].members(ROOM).await.version;
            let mut ann = server.join("ann").await;
            ann.subscribe(ROOM).await;
            for watcher in &mut watchers {
                let diff = until(watcher, |diff| !diff.joined.is_empty()).await;
                assert_eq!(diff.version, version + 1, "round {round}");
            }
            ann.leave().await;
            for watcher in &mut watchers {
                let diff = until(watcher, |diff| !diff.left.is_empty()).await;
                assert_eq!(diff.version, version + 2, "round {round}");
            }
        }
    });
}

#[test]
fn who_did_not_ask_for_presence_hears_none() {
    everywhere(async |at| {
        let server = at.setup().with(patient).start().await;
        let mut watchers = watchers(&server).await;
        let mut deaf = server.join("deaf").await;
        deaf.subscribe(ROOM).await;
        let mut ann = server.join("ann").await;
        ann.subscribe(ROOM).await;
        for watcher in &mut watchers {
            until(watcher, |diff| {
                diff.joined.iter().any(|member| member.user == "ann")
            })
            .await;
        }
        ann.publish(ROOM, "after").await;
        assert_eq!(deaf.event().await.offset, Some(1));
    });
}

#[test]
fn the_info_of_the_token_is_shown() {
    in_both_forms(async |at| {
        let server = at.setup().with_tokens().start().await;
        let info = serde_json::json!({ "name": "Ann" });
        let token = Token::of("ann")
            .may(&["subscribe", "presence"], "*")
            .claim("info", info);
        let mut ann = server.join_by_token(&token.sign()).await;
        ann.subscribe(ROOM).await;
        let members = ann.members(ROOM).await;
        assert_eq!(members.members[0].info, Some(json(r#"{"name":"Ann"}"#)));
    });
}

#[test]
fn the_anonymous_and_the_kinds_without_presence_are_not_listed() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut nobody = server.join_with(Connect::default()).await.0;
        nobody.subscribe(ROOM).await;
        assert_eq!(nobody.members(ROOM).await.users, 0);
        let mut ann = server.join("ann").await;
        ann.subscribe("quiet:a").await;
        let quiet = Presence {
            channel: "quiet:a".to_owned(),
            limit: None,
            cursor: None,
        };
        let refused = ann.try_presence(quiet).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::PresenceDisabled));
    });
}
