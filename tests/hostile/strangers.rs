//! Sockets that never finish the handshake: they cost little, end soon, and lock nobody out.

use std::time::{Duration, Instant};

use parlor_protocol::Form;
use parlor_tests::{Client, in_both_forms, said};

use crate::raw::{Fate, Raw, handshake};
use crate::resident::Resident;

const STRANGERS: usize = 2_000;

/// What one of them may cost the server, in KiB of resident memory.
const STRANGER_KIB_MAX: i64 = 64;

/// How far a stranger goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Nothing,
    HalfHead,
    NoConnect,
    /// The header of a frame of 64 KiB, and no byte of it.
    HalfFrame,
}

impl Way {
    /// Two in three never become a WebSocket: more than there are places for such.
    fn of(number: usize) -> Self {
        match number % 10 {
            0..=3 => Self::Nothing,
            4..=6 => Self::HalfHead,
            7 | 8 => Self::NoConnect,
            _ => Self::HalfFrame,
        }
    }

    async fn go(self, address: std::net::SocketAddr) -> Raw {
        if matches!(self, Self::NoConnect | Self::HalfFrame) {
            let mut raw = Raw::upgraded(address, Form::MsgPack).await;
            if self == Self::HalfFrame {
                raw.send(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4])
                    .await;
            }
            return raw;
        }
        let mut raw = Raw::dial(address, Form::Json).await;
        if self == Self::HalfHead {
            let head = handshake(Form::Json, "Cookie: a=b\r\n");
            raw.send(&head.as_bytes()[..head.len() - 5]).await;
        }
        raw
    }
}

/// A user who talks to himself; returns how long the slowest word took.
async fn talk(client: &mut Client, words: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for word in 0..words {
        let began = Instant::now();
        client.publish("room:1", word).await;
        assert_eq!(said(&client.event().await), word.to_string());
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

async fn join(server: &Resident, user: &str) -> Client {
    let mut client = server.client(user).await;
    client.subscribe("room:1").await;
    client
}

#[tokio::test]
async fn two_thousand_strangers_cost_little_and_lock_nobody_out() {
    // Both this process and the server, which inherits the limit, hold them all.
    let files = rlimit::increase_nofile_limit(8_192).expect("the limit of open files is known");
    assert!(
        files >= 2_500,
        "2,000 sockets need more than {files} open files: raise the hard limit"
    );
    let server = Resident::start();
    let mut ann = join(&server, "ann").await;
    talk(&mut ann, 20).await;
    let before = server.rss_kib();

    let began = Instant::now();
    let mut strangers = Vec::with_capacity(STRANGERS);
    for number in 0..STRANGERS {
        let way = Way::of(number);
        strangers.push((way, way.go(server.address()).await));
    }
    let opened = began.elapsed();
    let began = Instant::now();
    let mut bob = join(&server, "bob").await;
    let joined = began.elapsed();
    ann.unsubscribe("room:1").await;
    let slowest = talk(&mut bob, 20).await;
    let each = (server.rss_kib() - before) as f64 / STRANGERS as f64;
    eprintln!("{STRANGERS} strangers in {opened:?}; {each:.1} KiB of memory each");
    eprintln!("meanwhile somebody joined in {joined:?}, the slowest word took {slowest:?}");
    assert!(each < STRANGER_KIB_MAX as f64, "{each} KiB each");

    for (way, mut stranger) in strangers {
        let fate = stranger.end().await;
        let expected = match way {
            Way::Nothing | Way::HalfHead => Fate::Lost,
            Way::NoConnect | Way::HalfFrame => Fate::Closed(4004),
        };
        assert_eq!(fate, expected, "{way:?}");
    }
    eprintln!(
        "the last of them was closed {:?} after the first came",
        began.elapsed() + opened
    );
    talk(&mut bob, 20).await;
    eprintln!(
        "memory: {before} KiB before, {} KiB after",
        server.rss_kib()
    );
    server.assert_calm();
}

#[test]
fn who_says_nothing_makes_room_for_who_does() {
    in_both_forms(async |at| {
        let server = at
            .setup()
            .with(|config| config.transport.pending_max = 16)
            .start()
            .await;
        let ask = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(Raw::dial(server.address(), at.form).await);
        }
        for number in 0..50 {
            server.join(&format!("user-{number}")).await.leave().await;
        }
        // Asked a moment ago, idle now: the newest of all, it stays while older ones are there to leave.
        let mut backend = Raw::dial(server.address(), at.form).await;
        for _ in 0..3 {
            backend.send(ask).await;
            assert_eq!(backend.answer().await.expect("an answer").status, 200);
            silent.push(Raw::dial(server.address(), at.form).await);
        }
        for mut stranger in silent.drain(..80) {
            assert_eq!(
                stranger.end().await,
                Fate::Lost,
                "the oldest have left, long before any timeout"
            );
        }
        // All places idle after a request: they, too, make room.
        let mut idle = Vec::new();
        for _ in 0..40 {
            let mut raw = Raw::dial(server.address(), at.form).await;
            raw.send(ask).await;
            assert_eq!(raw.answer().await.expect("an answer").status, 200);
            idle.push(raw);
        }
        server.join("late").await.ping().await;
    });
}
