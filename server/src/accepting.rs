//! How a listener takes sockets: no error ends it, at a pace that never spins and never parks for good.

use std::io;
use std::time::Duration;

use tracing::{debug, warn};

/// Pauses after an error such as "too many open files": they double between these.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The next socket that `accept` gives, whatever errors come before it.
pub async fn next<S, A>(mut accept: impl FnMut() -> A) -> S
where
    A: Future<Output = io::Result<S>>,
{
    let mut pause = PAUSE_MIN;
    loop {
        match accept().await {
            Ok(socket) => return socket,
            Err(error) if is_about_one_socket(&error) => {
                debug!(%error, "A socket was gone before it was accepted.");
            }
            Err(error) => {
                warn!(%error, ?pause, "Unable to accept; pausing.");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

fn is_about_one_socket(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionRefused | Kind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn no_error_ends_it() {
        let errors = [
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::Other,
            io::ErrorKind::OutOfMemory,
        ];
        let mut outcomes: Vec<io::Result<&str>> = vec![Ok("a socket")];
        outcomes.extend(errors.map(|kind| Err(io::Error::from(kind))));
        let socket = next(|| ready(outcomes.pop().expect("nobody asks again"))).await;
        assert_eq!(socket, "a socket");
    }
}
