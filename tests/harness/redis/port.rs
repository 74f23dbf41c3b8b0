//! Loopback ports that stay a test's own while their process is away.
//!
//! They lie below the range from which the kernel takes ports for outgoing connections: otherwise somebody who dials a
//! killed server's port may get that very port as his own and be connected to himself.

use std::fs::{File, create_dir_all};
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng as _;

const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
const TRIES_MAX: usize = 1_000;

/// A port that no other test of this machine takes while it is held.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked; the lock ends with the process that holds it, however it ends.
    _lock: File,
}

impl Port {
    /// One on which nobody listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn free() -> Self {
        let folder = std::env::temp_dir().join("parlor-test-ports");
        create_dir_all(&folder).expect("a directory for locks");
        let mut rng = rand::rng();
        for _ in 0..TRIES_MAX {
            let number = rng.random_range(FIRST..LAST);
            let Ok(lock) = File::create(folder.join(number.to_string())) else {
                continue;
            };
            let is_free = || TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
            if lock.try_lock().is_ok() && is_free() {
                return Self {
                    number,
                    _lock: lock,
                };
            }
        }
        panic!("no free port in {TRIES_MAX} tries");
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
