//! SIGTERM: nobody new, everybody told, everything answered.

use std::time::Duration;

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Connect};
use parlor_protocol::{CloseCode, ErrorCode, Reply};
use parlor_tests::{
    At, Client, Process, Server, everywhere, in_both_forms, in_time, publish, text,
};

#[test]
fn a_draining_server_says_goodbye_to_everybody() {
    everywhere(async |at| {
        let mut server = at.start().await;
        let mut clients = server.audience("ann", "disk:a").await;
        clients.push(server.open().await);
        server.begin_stop();
        for client in &mut clients {
            let goodbye = client.expect_close(CloseCode::Draining).await;
            assert!(
                goodbye
                    .push
                    .is_some_and(|push| push.retry_after_ms.is_some())
            );
        }
    });
}

#[test]
fn what_was_sent_before_the_goodbye_is_answered_or_not_done() {
    everywhere(async |at| {
        let mut server = at.start().await;
        let mut clients = server.join_every_shard("ann").await;
        let mut sent = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let words = (0..100).map(|word| text(format!("{number}-{word}")));
            sent.push(
                client
                    .send_together(words.map(|words| Command::Publish(publish("disk:a", words))))
                    .await,
            );
        }
        // The first answer shows that the frame was taken.
        for (client, ids) in clients.iter_mut().zip(&sent) {
            client.reply(ids[0]).await.expect("published");
        }
        server.begin_stop();
        let mut answered = clients.len();
        for client in &mut clients {
            client.expect_close(CloseCode::Draining).await;
            answered += replies(client);
        }
        assert_eq!(
            answered,
            100 * clients.len(),
            "all that was accepted is answered before the goodbye"
        );
        let server = server.stop().await.start().await;
        let history = server.join("ann").await.whole_history("disk:a").await;
        assert_eq!(history.len(), answered, "and kept");
    });
}

fn replies(client: &mut Client) -> usize {
    let waiting = client.take_waiting();
    waiting
        .iter()
        .filter(|message| {
            matches!(
                message,
                ServerMessage::Reply {
                    result: Ok(Reply::Publish(_)),
                    ..
                }
            )
        })
        .count()
}

#[test]
fn goodbyes_are_spread_over_the_window() {
    in_both_forms(async |at| {
        let setup = at
            .setup()
            .with(|config| config.transport.drain_window = Duration::from_millis(800));
        let mut server = setup.start().await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(server.join("ann").await);
        }
        server.begin_stop();
        let start = std::time::Instant::now();
        let ends = clients.iter_mut().map(async |client| {
            client.expect_close(CloseCode::Draining).await;
            start.elapsed()
        });
        let mut ends = futures_util::future::join_all(ends).await;
        ends.sort();
        let spread = ends[3] - ends[0];
        assert!(spread >= Duration::from_millis(400), "{ends:?}");
    });
}

/// A server that is draining, for as long as the returned connections stay.
async fn draining(at: At) -> (Server, Vec<Client>) {
    let setup = at
        .setup()
        .with(|config| config.transport.drain_window = Duration::from_secs(20));
    let mut server = setup.start().await;
    // The first of each shard goes at once, the others later: they keep the server up meanwhile.
    let mut first = server.join_every_shard("first").await;
    let second = server.join_every_shard("second").await;
    server.begin_stop();
    for client in &mut first {
        client.expect_close(CloseCode::Draining).await;
    }
    (server, second)
}

#[test]
fn newcomers_are_sent_away_and_readiness_is_off() {
    everywhere(async |at| {
        let (server, mut second) = draining(at).await;
        // Listeners are closed: a newcomer finds nobody, or is told.
        let refused = match tokio::net::TcpStream::connect(server.address()).await {
            Err(_) => true,
            Ok(_) => server
                .backend()
                .try_get("/readyz")
                .await
                .is_none_or(|(status, _)| status == 503),
        };
        assert!(refused);
        // Who is still there is served meanwhile.
        for client in &mut second {
            client.ping().await;
        }
    });
}

#[test]
fn a_connect_that_comes_too_late_is_told_to_come_back() {
    in_both_forms(async |at| {
        let setup = at
            .setup()
            .with(|config| config.transport.drain_window = Duration::from_secs(20));
        let mut server = setup.start().await;
        let mut first = server.join("ann").await;
        let mut late = server.open().await;
        server.begin_stop();
        first.expect_close(CloseCode::Draining).await;
        let refused = late.connect(Connect::default()).await.unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorCode::Draining));
        assert!(refused.retry_after_ms.is_some());
        late.expect_close(CloseCode::Draining).await;
    });
}

#[test]
fn a_server_without_clients_stops_at_once() {
    everywhere(async |at| {
        let setup = at
            .setup()
            .with(|config| config.transport.drain_window = Duration::from_secs(3600));
        in_time("a quick stop", setup.start().await.stop()).await;
    });
}

#[test]
fn sigterm_lets_a_process_end_in_good_order() {
    in_both_forms(async |at| {
        let directory = tempfile::TempDir::new().expect("a directory");
        let process = Process::start(directory.path(), 2);
        let mut ann = Client::open(process.address(), at.form).await;
        let connect = Connect {
            user: Some("ann".to_owned()),
            ..Connect::default()
        };
        ann.connect(connect).await.expect("connected");
        let ids = ann
            .send_together((0..50).map(|word| Command::Publish(publish("room:a", text(word)))))
            .await;
        ann.reply(ids[0]).await.expect("published");
        let (code, goodbye) = tokio::join!(process.terminate(), ann.goodbye());
        goodbye.assert(CloseCode::Draining);
        assert_eq!((code, replies(&mut ann)), (Some(0), 49));
    });
}
