//! How long a test waits before it says what it waited for. Waiting ends with the event, never with the clock.

use std::time::Duration;

/// Long enough for a busy machine with two cores, short enough that a hang is told soon.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The future's output, or a panic that says what did not come.
///
/// # Panics
/// When it does not come in time.
pub async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
