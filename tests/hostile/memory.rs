//! Memory under fire: what hostile clients make the server keep is little, and ends with them.

use std::time::Instant;

use parlor_protocol::Form;
use parlor_protocol::codec::ServerMessage;
use parlor_protocol::command::{Command, Direction, History};
use parlor_protocol::limits::COMMANDS_PER_FRAME_MAX;
use parlor_protocol::reply::Reply;
use parlor_tests::{blob, publish, said};
use serde_json::{Value, json};

use crate::msgpack::encode;
use crate::raw::{CONTINUATION, FIN, Fate, PING, Raw, declaring, frame, opcode};
use crate::resident::Resident;

/// Rounds over all hostile messages.
const ROUNDS: usize = 320;

/// How far resident memory may grow in all.
const GROWTH_KIB_MAX: i64 = 8 * 1024;

/// Frames of one form.
struct Messages {
    form: Form,
    /// Each is answered, or passed over.
    answered: Vec<Vec<u8>>,
    /// Each is the end of its connection.
    fatal: Vec<Vec<u8>>,
}

impl Messages {
    fn of(form: Form) -> Self {
        let data = FIN | opcode(form);
        let say = |value: &Value| frame(data, &encode(form, value));
        let parts = [
            frame(opcode(form), b""),
            frame(CONTINUATION, b"").repeat(100),
            frame(FIN | CONTINUATION, &encode(form, &json!({"ping": {}}))),
        ];
        let nested = match form {
            Form::Json => b"[".repeat(30_000),
            Form::MsgPack => b"\x91".repeat(30_000),
        };
        let answered = vec![
            say(&json!({"id": 1, "subscribe": {"channel": "c".repeat(300)}})),
            say(&json!({"id": 2, "publish": {"channel": 7}})),
            say(&json!({"id": 3, "publish": {"channel": "room:1", "data": "x".repeat(40_000)}})),
            say(&json!({"id": 4, "history": {"channel": "room:1", "limit": -1}})),
            say(&json!({"id": 5, "x".repeat(20_000): {}})),
            say(&json!({"id": 6, "presence": {"channel": "room:1", "cursor": "x".repeat(10_000)}})),
            say(&json!({"id": 7, "refresh": {"token": "a.b.c"}})),
            say(&json!({"id": 8, "connect": {"token": "a.b.c"}})),
            say(&Value::Array(vec![json!({"ping": []}); 128])),
            frame(FIN | PING, &[7; 125]),
            parts.concat(),
        ];
        let fatal = vec![
            frame(data, &nested),
            frame(data, &vec![b'{'; 60_000]),
            say(&Value::Array(vec![json!({"ping": {}}); 200])),
            declaring(data, u64::MAX, b""),
            frame(data | 0x70, &[0; 1_000]),
        ];
        Self {
            form,
            answered,
            fatal,
        }
    }

    /// All of them once. Returns how many were sent.
    async fn send(&self, server: &Resident) -> usize {
        let mut mallory = Raw::joined(server.address(), self.form, "mallory").await;
        mallory.send(&self.answered.concat()).await;
        assert_eq!(mallory.fate(4_000_000_000).await, Fate::Lives);
        for message in &self.fatal {
            mallory.send(message).await;
            match mallory.end().await {
                Fate::Closed(1002 | 1009 | 4403) => {}
                other => panic!("{other:?}"),
            }
            mallory = Raw::joined(server.address(), self.form, "mallory").await;
        }
        self.answered.len() + self.fatal.len()
    }
}

#[tokio::test]
async fn ten_thousand_hostile_messages_leave_no_memory_behind_and_no_panic() {
    let server = Resident::start();
    let mut ann = server.client("ann").await;
    ann.subscribe("room:1").await;
    let forms = Form::ALL.map(Messages::of);
    // What the first need stays with the allocator; what counts is what each more costs.
    for _ in 0..10 {
        for messages in &forms {
            messages.send(&server).await;
        }
    }
    let before = server.rss_kib();
    let (began, mut sent) = (Instant::now(), 0);
    for number in 0..ROUNDS {
        for messages in &forms {
            sent += messages.send(&server).await;
        }
        if number % 50 == 0 {
            ann.publish("room:1", number).await;
            assert_eq!(said(&ann.event().await), number.to_string());
        }
    }
    let growth = server.rss_kib() - before;
    eprintln!(
        "{sent} hostile messages in {:?}: memory grew by {growth} KiB, from {before} KiB",
        began.elapsed()
    );
    assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");
    server.assert_calm();
}

#[tokio::test]
async fn a_reader_of_nothing_who_asks_without_end_fills_his_outbox_and_no_more() {
    let server = Resident::start();
    let mut quiet = Vec::new();
    for _ in 0..50 {
        quiet.push(Raw::joined(server.address(), Form::Json, "mallory").await);
    }
    let before = server.rss_kib();
    // More than the kernel and the outbox take for one of them: the server stops reading instead.
    let pings = frame(FIN | PING, &[7; 125]).repeat(2_000);
    let mut stuck = 0;
    for mallory in &mut quiet {
        for _ in 0..60 {
            let sent =
                tokio::time::timeout(std::time::Duration::from_millis(50), mallory.send(&pings))
                    .await;
            if sent.is_err() {
                stuck += 1;
                break;
            }
        }
    }
    let each = (server.rss_kib() - before) as f64 / quiet.len() as f64;
    eprintln!(
        "{stuck} of {} were not read on; {each:.0} KiB of memory each",
        quiet.len()
    );
    // An outbox of 256 KiB, with the overhead of its many small frames.
    assert!(each < 1_024.0, "{each} KiB each");
    let mut ann = server.client("ann").await;
    ann.subscribe("room:1").await;
    ann.publish("room:1", "still here").await;
    assert_eq!(said(&ann.event().await), "still here");
    server.assert_calm();
}

#[tokio::test]
async fn a_frame_full_of_reads_is_answered_at_the_pace_of_its_reader() {
    const EVENTS: usize = 64;
    const EVENT_BYTES: usize = 31 * 1024;
    const PAGE_LEN: u32 = 16;
    let server = Resident::in_memory();
    let mut ann = server.client("ann").await;
    ann.subscribe("room:1").await;
    for _ in 0..EVENTS {
        ann.try_publish(publish("room:large", blob(EVENT_BYTES)))
            .await
            .expect("published");
    }
    let read = || {
        Command::History(History {
            limit: Some(PAGE_LEN),
            ..History::new("room:large", Direction::Backward)
        })
    };
    // What the first page needs stays with the allocator.
    ann.ask(read()).await.expect("a page");
    let mut mallory = server.client("mallory").await;
    let before = server.rss_kib();
    let ids = mallory
        .send_together((0..COMMANDS_PER_FRAME_MAX).map(|_| read()))
        .await;
    // Between her answers the server would have time for all of it.
    for _ in 0..300 {
        ann.ping().await;
    }
    ann.publish("room:1", "still here").await;
    assert_eq!(said(&ann.event().await), "still here");
    let growth = server.rss_kib() - before;
    let asked = COMMANDS_PER_FRAME_MAX * PAGE_LEN as usize * EVENT_BYTES / 1024;
    eprintln!("{asked} KiB were asked for in one frame: memory grew by {growth} KiB");
    assert!(growth < GROWTH_KIB_MAX, "it grew by {growth} KiB");
    // Who reads gets everything, in order.
    for id in ids {
        match mallory.message().await {
            ServerMessage::Reply {
                id: answered,
                result: Ok(Reply::History(page)),
            } => assert_eq!((answered, page.events.len()), (id, PAGE_LEN as usize)),
            other => panic!("not a page: {other:?}"),
        }
    }
    server.assert_calm();
}
