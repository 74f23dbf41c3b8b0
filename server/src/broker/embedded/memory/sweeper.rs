//! The thread that lets go of what expired while nobody appends to its channel.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::{MemoryLogs, Pressure, STRIPES};

/// In this time it comes by every channel once.
pub(super) const ROUND: Duration = Duration::from_secs(64);

/// It ends by itself, one step after the logs have gone or were shut down.
pub(super) fn start(logs: &Arc<MemoryLogs>, round: Duration) -> io::Result<()> {
    let logs = Arc::downgrade(logs);
    let pause = round / STRIPES as u32;
    thread::Builder::new()
        .name("parlor-sweep".to_owned())
        .spawn(move || run(&logs, pause))?;
    Ok(())
}

fn run(logs: &Weak<MemoryLogs>, pause: Duration) {
    for stripe in (0..STRIPES).cycle() {
        thread::sleep(pause);
        match logs.upgrade() {
            Some(logs) if !logs.is_closed() => {
                logs.forget_expired();
                logs.sweep(stripe, Pressure::Low);
            }
            _ => return,
        }
    }
}
