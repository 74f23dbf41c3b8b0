//! One order: whoever publishes where, all readers and the history agree.

use futures_util::future::join_all;
use parlor_protocol::command::Command;
use parlor_tests::{Client, everywhere, publish, said, text};

/// Messages of each publisher.
const MESSAGES: usize = 60;

#[test]
fn one_order_for_every_subscriber_whoever_publishes() {
    everywhere(async |at| {
        let server = at.start().await;
        for channel in ["disk:busy", "memory:busy"] {
            let mut readers = server.audience("reader", channel).await;
            let mut writers = server.join_every_shard("writer").await;
            writers.extend(server.join_every_shard("writer").await);
            let all = writers.len() * MESSAGES;
            let writing = join_all(writers.iter_mut().enumerate().map(|(writer, client)| write(client, channel, writer)));
            let reading = join_all(readers.iter_mut().map(|reader| reader.events(all)));
            let (_, heard) = tokio::join!(writing, reading);
            let history = writers[0].whole_history(channel).await;
            assert_eq!(history.len(), all);
            let offsets: Vec<_> = history.iter().filter_map(|event| event.offset).collect();
            assert_eq!(offsets, (1..=all as u64).collect::<Vec<_>>(), "dense");
            assert!(history.is_sorted_by(|one, next| one.time < next.time), "time only grows");
            for events in heard {
                assert_eq!(events, history);
            }
            for writer in 0..writers.len() {
                let own = format!("{writer}:");
                let of_one: Vec<_> = history.iter().map(said).filter(|words| words.starts_with(&own)).collect();
                let sent: Vec<_> = (0..MESSAGES).map(|word| format!("{own}{word}")).collect();
                assert_eq!(of_one, sent, "each publisher's own order is kept");
            }
        }
    });
}

/// Publishes in frames of ten, without waiting in between.
async fn write(client: &mut Client, channel: &str, writer: usize) {
    let mut ids = Vec::new();
    for start in (0..MESSAGES).step_by(10) {
        let words = (start..start + 10).map(|word| text(format!("{writer}:{word}")));
        let commands = words.map(|words| Command::Publish(publish(channel, words)));
        ids.extend(client.send_together(commands).await);
    }
    for id in ids {
        client.reply(id).await.expect("published");
    }
}
