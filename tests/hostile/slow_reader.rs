//! A reader that never reads: its outbox fills to its bound, it is closed as slow, and nobody else notices. It is gone
//! soon after, though its socket never takes another byte.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::Connect;
use parlor_protocol::{CloseCode, Push};
use parlor_tests::{Client, Server, blob, everywhere, in_time, publish};

use crate::bystanders::Bystanders;
use crate::raw::exchange;

/// Bytes that may wait for one client.
const OUTBOX_BYTES: usize = 128 * 1024;
/// Bytes of each event.
const EVENT_BYTES: usize = 16 * 1024;
/// Events after which it must be over: far more than all kernel buffers take.
const EVENTS_MAX: usize = 2_000;
/// Events that fill all kernel buffers.
const EVENTS_FULL: usize = 1_000;

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// The value of a metric, by its whole name and labels.
async fn metric(address: SocketAddr, name: &str) -> u64 {
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (answer, text) = exchange(address, request).await;
    assert_eq!(answer.expect("a scrape").status, 200);
    let text = String::from_utf8(text).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

/// A subscriber that does not read.
async fn sleeper(server: &Server) -> Client {
    let mut sleeper = Client::open_narrow(server.address(), server.form()).await;
    sleeper
        .connect(Connect {
            user: Some("sleeper".to_owned()),
            ..Connect::default()
        })
        .await
        .expect("connected");
    sleeper.subscribe("memory:a").await;
    sleeper
}

async fn publish_one(writer: &mut Client) {
    writer
        .try_publish(publish("memory:a", blob(EVENT_BYTES)))
        .await
        .expect("published");
}

/// Waits until one connection was closed for this reason and so many are left.
async fn expect_end(server: &Server, code: &str, left: u64) {
    let closed = format!("parlor_connections_closed_total{{code=\"{code}\"}}");
    in_time("the end to be counted", async {
        while server.figures().try_read(&closed).await != Some(1) {}
    })
    .await;
    server.figures().reach("parlor_connections", left).await;
}

#[test]
fn a_reader_that_never_reads_is_closed_at_its_bound_and_nobody_else_notices() {
    everywhere(async |at| {
        let metrics = free_address();
        let setup = at.setup().with(|config| {
            config.metrics_listen = Some(metrics);
            config.session.outbox_bytes_max = OUTBOX_BYTES;
            // It reads in the end, to see what it was told.
            config.transport.linger = Duration::from_secs(60);
            config.session.pong_timeout = Duration::from_secs(600);
        });
        let server = setup.start().await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut sleeper = sleeper(&server).await;
        let mut ann = server.join("ann").await;
        ann.subscribe("memory:a").await;
        let mut writer = server.join("writer").await;

        let (mut events, mut slowest) = (0, Duration::ZERO);
        while metric(metrics, "parlor_outbox_overflows_total").await == 0 {
            assert!(events < EVENTS_MAX, "the outbox has no bound");
            for _ in 0..10 {
                let began = Instant::now();
                let published = writer
                    .try_publish(publish("memory:a", blob(EVENT_BYTES)))
                    .await
                    .expect("published");
                slowest = slowest.max(began.elapsed());
                events += 1;
                assert_eq!(published.offset, events as u64);
                assert_eq!(
                    ann.event().await.offset,
                    Some(events as u64),
                    "another reader misses nothing"
                );
            }
        }
        slowest = slowest.max(bystanders.talk().await);

        sleeper.expect_close(CloseCode::Slow).await;
        let heard = sleeper.take_waiting();
        for (number, message) in heard.iter().enumerate() {
            match message {
                ServerMessage::Push(Push::Event { event, .. }) => {
                    assert_eq!(event.offset, Some(number as u64 + 1))
                }
                other => panic!("not an event: {other:?}"),
            }
        }
        let missed = (events - heard.len()) * EVENT_BYTES;
        assert!(
            missed >= OUTBOX_BYTES,
            "what waited was dropped: {missed} bytes"
        );
        assert_eq!(metric(metrics, "parlor_outbox_overflows_total").await, 1);
        // Counted when the socket is gone, a moment after its goodbye.
        in_time("the end to be counted", async {
            while metric(metrics, "parlor_connections_closed_total{code=\"slow\"}").await == 0 {}
        })
        .await;
        eprintln!(
            "{:?} with {} shard(s): closed as slow after {events} events ({} KiB), read {} of them; the slowest answer took {slowest:?}",
            at.form,
            at.shards,
            events * EVENT_BYTES / 1024,
            heard.len(),
        );
        writer.publish("memory:a", "after").await;
        assert_eq!(ann.event().await.offset, Some(events as u64 + 1));
    });
}

#[test]
fn a_slow_reader_whose_socket_stays_full_is_gone_after_the_linger_time() {
    everywhere(async |at| {
        let setup = at.setup().with(|config| {
            config.session.outbox_bytes_max = OUTBOX_BYTES;
            config.session.pong_timeout = Duration::from_secs(600);
            config.transport.linger = Duration::from_millis(300);
        });
        let server = setup.start().await;
        let sleeper = sleeper(&server).await;
        let mut writer = server.join("writer").await;
        let mut events = 0;
        while server.figures().read("parlor_outbox_overflows_total").await == 0 {
            assert!(events < EVENTS_MAX, "the outbox has no bound");
            for _ in 0..10 {
                publish_one(&mut writer).await;
                events += 1;
            }
        }
        // The writer stays.
        expect_end(&server, "slow", 1).await;
        sleeper.lose();
    });
}

#[test]
fn a_reader_whose_full_socket_holds_back_its_pings_is_gone_after_the_pong_timeout() {
    everywhere(async |at| {
        let setup = at.setup().with(|config| {
            // All of it fits: it is not too slow, it only says nothing.
            config.session.outbox_bytes_max = 2 * EVENTS_FULL * EVENT_BYTES;
            // Time enough to fill the socket before.
            config.session.ping_interval = Duration::from_secs(2);
            config.session.ping_interval_min = Duration::from_secs(2);
            config.session.pong_timeout = Duration::from_secs(2);
            config.transport.linger = Duration::from_millis(300);
        });
        let server = setup.start().await;
        let sleeper = sleeper(&server).await;
        let mut writer = server.join("writer").await;
        for _ in 0..EVENTS_FULL {
            publish_one(&mut writer).await;
        }
        // Nobody reads for it from now on, so that it would miss pings, too.
        writer.leave().await;
        expect_end(&server, "no_pong", 0).await;
        sleeper.lose();
    });
}
