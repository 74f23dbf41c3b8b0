//! Floods: whoever sends without end is read in turns, and everybody else of the same shard is served between them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parlor_protocol::CloseCode;
use parlor_protocol::command::{Command, Ping};
use parlor_tests::{At, in_both_forms};

use crate::bystanders::Bystanders;
use crate::raw::{CLOSE, CONTINUATION, FIN, Fate, PING, PONG, Raw, command, frame, opcode};

/// How long a flood lasts.
const FLOOD: Duration = Duration::from_millis(700);

/// What half of the bystanders' words may take at most: some tens of milliseconds here, seconds where a flood is not
/// read in turns.
const WORD_MAX: Duration = Duration::from_millis(150);

/// Bytes handed to the kernel at once.
const CHUNK: usize = 256 * 1024;

/// Threads that write the same bytes again and again, and read what comes, until they are stopped or the server closes.
struct Flood {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    All,
    Nothing,
}

impl Flood {
    fn start(raw: Raw, again: &[u8], reading: Reading) -> Self {
        let stream = raw.into_blocking();
        stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let chunk = again.repeat(CHUNK.div_ceil(again.len()));
        let mut threads = vec![];
        let (writer, stopped) = (
            stream.try_clone().expect("a second handle"),
            Arc::clone(&stop),
        );
        threads.push(std::thread::spawn(move || {
            write_on(writer, &chunk, &stopped)
        }));
        if reading == Reading::All {
            let stopped = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || read_on(stream, &stopped)));
        }
        Self { stop, threads }
    }

    /// Bytes that were written.
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"));
        counts.next().expect("the writer")
    }
}

fn write_on(mut stream: TcpStream, chunk: &[u8], stop: &AtomicBool) -> usize {
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.write(&chunk[written % chunk.len()..]) {
            Ok(len) => written += len,
            Err(error) if is_impatience(&error) => {}
            Err(_) => break,
        }
    }
    written
}

fn read_on(mut stream: TcpStream, stop: &AtomicBool) -> usize {
    let mut chunk = vec![0; CHUNK];
    let mut read = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => read += len,
            Err(error) if is_impatience(&error) => {}
            Err(_) => break,
        }
    }
    read
}

fn is_impatience(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Bystanders of the same shard talk while this comes without end.
async fn check(at: At, what: &str, first: &[u8], again: &[u8], reading: Reading) {
    let server = at.start().await;
    let mut bystanders = Bystanders::of(&server).await;
    let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
    mallory.send(first).await;
    let flood = Flood::start(mallory, again, reading);
    let (began, mut words) = (Instant::now(), Vec::new());
    while began.elapsed() < FLOOD {
        words.push(bystanders.talk().await);
    }
    let mib = flood.stop() >> 20;
    words.sort_unstable();
    let (median, slowest) = (words[words.len() / 2], words[words.len() - 1]);
    eprintln!(
        "{what} ({:?}): {mib} MiB in {FLOOD:?}; {} words of bystanders took {median:?} in the median, {slowest:?} at most",
        at.form,
        words.len(),
    );
    assert!(median < WORD_MAX, "{median:?}");
    bystanders.talk().await;
    server.stop().await;
}

#[test]
fn pings_without_end_hold_nobody_up() {
    in_both_forms(async |at| {
        check(
            at,
            "pings, all answers read",
            b"",
            &frame(FIN | PING, b"12345678"),
            Reading::All,
        )
        .await
    });
}

#[test]
fn pings_whose_answers_nobody_reads_hold_nobody_up() {
    in_both_forms(async |at| {
        check(
            at,
            "pings, no answer read",
            b"",
            &frame(FIN | PING, &[7; 125]),
            Reading::Nothing,
        )
        .await
    });
}

#[test]
fn pongs_that_nobody_asked_for_hold_nobody_up() {
    in_both_forms(async |at| {
        check(at, "pongs", b"", &frame(FIN | PONG, b""), Reading::Nothing).await
    });
}

#[test]
fn a_message_of_empty_parts_without_end_holds_nobody_up() {
    in_both_forms(async |at| {
        let (first, again) = (frame(opcode(at.form), b"{"), frame(CONTINUATION, b""));
        check(at, "empty parts", &first, &again, Reading::Nothing).await;
    });
}

#[test]
fn who_goes_on_sending_after_the_close_holds_nobody_up() {
    in_both_forms(async |at| {
        check(
            at,
            "noise after a fault",
            &frame(FIN | 3, b""),
            &[0xff],
            Reading::Nothing,
        )
        .await;
        check(
            at,
            "noise after a goodbye",
            &frame(FIN | CLOSE, b""),
            &[0xff],
            Reading::Nothing,
        )
        .await;
    });
}

#[test]
fn commands_without_end_are_closed_as_a_flood() {
    in_both_forms(async |at| {
        let server = at
            .setup()
            .with(|config| config.session.commands_per_second_max = 500)
            .start()
            .await;
        let mut bystanders = Bystanders::of(&server).await;
        let mut mallory = Raw::joined(server.address(), at.form, "mallory").await;
        let ping = command(at.form, 3, Command::Ping(Ping {}));
        mallory
            .send(&frame(FIN | opcode(at.form), &ping).repeat(4_000))
            .await;
        assert_eq!(
            mallory.end().await,
            Fate::Closed(CloseCode::Flooding.number())
        );
        bystanders.talk().await;
    });
}
