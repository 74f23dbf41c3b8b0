//! The harness's proxy does to a connection what rows of faults ask of it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use parlor_tests::{Flow, Proxy, eventually};

const LONG: Duration = Duration::from_secs(10);
const BRIEF: Duration = Duration::from_millis(200);

/// A server that says back what it hears.
fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut reader = stream.try_clone().expect("another handle");
                std::io::copy(&mut reader, &mut &stream).ok()
            });
        }
    });
    Proxy::start(address)
}

fn dial(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_nodelay(true).expect("without delay");
    stream
}

fn say(stream: &mut TcpStream, words: &[u8]) {
    stream.write_all(words).expect("written");
}

fn hear(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut buffer = vec![0; count];
    stream.read_exact(&mut buffer).expect("said back");
    buffer
}

#[test]
fn bytes_pass_and_the_end_too() {
    let proxy = echo();
    let mut stream = dial(&proxy);
    say(&mut stream, b"hello");
    assert_eq!(hear(&mut stream, 5), b"hello");
    stream.shutdown(std::net::Shutdown::Write).expect("ended");
    assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
    eventually("the connection to be forgotten", || {
        (proxy.connections() == 0).then_some(())
    });
}

#[test]
fn a_delay_holds_bytes_back_in_order() {
    let proxy = echo();
    proxy.down(Flow::Delay(BRIEF));
    let mut stream = dial(&proxy);
    let start = Instant::now();
    say(&mut stream, b"first ");
    say(&mut stream, b"second");
    assert_eq!(hear(&mut stream, 12), b"first second");
    assert!(start.elapsed() >= BRIEF);
}

#[test]
fn a_stalled_direction_gives_all_of_it_later() {
    let proxy = echo();
    let mut stream = dial(&proxy);
    proxy.up(Flow::Stall);
    say(&mut stream, b"hello");
    stream.set_read_timeout(Some(BRIEF)).expect("a timeout");
    let kind = stream.read(&mut [0; 5]).expect_err("nothing comes").kind();
    assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    proxy.up(Flow::Pass);
    assert_eq!(hear(&mut stream, 5), b"hello");
}

#[test]
fn slices_are_put_together_by_the_reader() {
    let proxy = echo();
    proxy.both(Flow::Slice(1));
    let mut stream = dial(&proxy);
    say(&mut stream, b"hello, one by one");
    assert_eq!(hear(&mut stream, 17), b"hello, one by one");
}

#[test]
fn a_reset_is_a_reset_and_a_refused_dial_is_refused() {
    let proxy = echo();
    let mut stream = dial(&proxy);
    say(&mut stream, b"hello");
    hear(&mut stream, 5);
    proxy.cut();
    let error = stream.read(&mut [0]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.address()).expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal();
    let mut stream = dial(&proxy);
    say(&mut stream, b"again");
    assert_eq!(hear(&mut stream, 5), b"again");
}
