//! Aliases: which pushes belong to which subscription.

use std::cell::Cell;

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Subscribe, Unsubscribe};
use parlor_protocol::reply::Subscribed;
use parlor_protocol::{Event, Push, Reply};
use parlor_tests::{Client, everywhere, publish, text};

/// How often the reader leaves and comes back while others publish.
const ROUNDS: usize = 20;

#[test]
fn nothing_of_a_channel_follows_the_reply_to_unsubscribe_and_all_behind_subscribe_is_new() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:busy", "memory:busy"] {
            for reader in server.join_every_shard("reader").await {
                let writer = server.join("writer").await;
                let is_over = Cell::new(false);
                tokio::join!(
                    async {
                        come_and_go(reader, channel).await;
                        is_over.set(true);
                    },
                    write_until(writer, channel, &is_over)
                );
            }
        }
    });
}

async fn write_until(mut writer: Client, channel: &str, is_over: &Cell<bool>) {
    while !is_over.get() {
        let commands = (0..4).map(|word| Command::Publish(publish(channel, text(word))));
        for id in writer.send_together(commands).await {
            writer.reply(id).await.expect("published");
        }
    }
}

async fn come_and_go(mut reader: Client, channel: &str) {
    for _ in 0..ROUNDS {
        let subscribe = reader
            .send(Command::Subscribe(Subscribe::new(channel)))
            .await;
        let Reply::Subscribe(subscribed) = silently(&mut reader, subscribe).await else {
            panic!("not subscribed")
        };
        let mut next = subscribed.offset + 1;
        for event in reader.events(3).await {
            assert_eq!(
                event.offset,
                Some(next),
                "live events start right behind the reply"
            );
            next += 1;
        }
        let command = Unsubscribe {
            channel: channel.to_owned(),
        };
        let unsubscribe = reader.send(Command::Unsubscribe(command)).await;
        until(&mut reader, unsubscribe, &subscribed, next).await;
        // A ping's round trip gives what was under way the time to come.
        assert_eq!(
            reader.pushes_so_far().await,
            [],
            "nothing follows the reply"
        );
    }
}

/// The reply, before which nothing comes.
async fn silently(reader: &mut Client, id: u32) -> Reply {
    match reader.message().await {
        ServerMessage::Reply { id: found, result } if found == id => result.expect("accepted"),
        other => panic!("before the reply came {other:?}"),
    }
}

/// Reads on to the reply: what still comes before it is this subscription's, without a hole.
async fn until(reader: &mut Client, id: u32, subscribed: &Subscribed, mut next: u64) {
    loop {
        match reader.message().await {
            ServerMessage::Push(Push::Event {
                alias,
                event: Event { offset, .. },
            }) => {
                assert_eq!((alias, offset), (subscribed.alias, Some(next)));
                next += 1;
            }
            ServerMessage::Reply { id: found, result } if found == id => {
                result.expect("unsubscribed");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_channel_has_one_alias_for_all_connections() {
    everywhere(async |at| {
        let server = at.start().await;
        let mut aliases = Vec::new();
        let mut clients = server.join_every_shard("ann").await;
        for client in &mut clients {
            aliases.push(client.subscribe("disk:a").await.alias);
        }
        assert!(
            aliases.iter().all(|alias| *alias == aliases[0]),
            "{aliases:?}"
        );
        assert_ne!(clients[0].subscribe("disk:b").await.alias, aliases[0]);
    });
}
