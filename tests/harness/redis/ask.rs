//! One command to one server, and asking again until something is so. Nothing waits without an end.

use std::time::{Duration, Instant};

use ::redis::{Client, RedisResult, TlsCertificates, Value};

/// How long one answer may take. A frozen server costs a test so much per question.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(1_000);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// A Sentinel in its TILT mode does nothing for 30 seconds, and it may begin anew.
const PATIENCE: Duration = Duration::from_secs(90);

/// Over a connection of its own, so that no fault of a connection before reaches it; over TLS where an authority is named.
pub(super) fn ask(url: &str, authority: Option<&[u8]>, command: &[&str]) -> RedisResult<Value> {
    let client = match authority {
        Some(authority) => secure_client(url, authority)?,
        None => Client::open(url)?,
    };
    let mut connection = client.get_connection_with_timeout(ANSWER_TIME_MAX)?;
    connection.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    connection.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    let mut words = ::redis::Cmd::new();
    for word in command {
        words.arg(*word);
    }
    words.query(&mut connection)
}

fn secure_client(url: &str, authority: &[u8]) -> RedisResult<Client> {
    // rustls wants to be told once which cryptography it uses. An error means that somebody told it already.
    let _told = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(authority.to_vec()),
    };
    Client::build_with_tls(url, certificates)
}

/// Asks until there is something.
///
/// # Panics
/// When there is nothing for a long time; says what was waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        std::thread::sleep(PAUSE);
    }
}
