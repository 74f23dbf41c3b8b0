//! Loopback ports that stay a test's own while their process is away.
//!
//! They lie below the range from which the kernel takes ports for outgoing connections: otherwise somebody who dials a
//! killed server's port may get that very port as his own and be connected to himself.

use std::fs::{File, create_dir_all};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use rand::Rng as _;

const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
const TRIES_MAX: usize = 1_000;
/// So far above its port a node of a Cluster listens to the others. From 7.0 on it could be told another place, before not.
const BUS: u16 = 10_000;

/// A port that no other test of this machine takes while it is held.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked; the locks end with the process that holds them, however it ends.
    _locks: Vec<File>,
}

impl Port {
    /// One on which nobody listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn free() -> Self {
        Self::find(FIRST..LAST, &[0])
    }

    /// The same for a node of a Cluster: nobody listens where it listens to the others, either.
    pub(super) fn free_with_bus() -> Self {
        Self::find(FIRST..LAST - BUS, &[0, BUS])
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    /// One in this range that is free, and so are those that lie so far above it.
    fn find(range: Range<u16>, distances: &[u16]) -> Self {
        let mut rng = rand::rng();
        for _ in 0..TRIES_MAX {
            let number = rng.random_range(range.clone());
            let locks = distances.iter().map(|distance| lock(number + distance));
            if let Some(locks) = locks.collect::<Option<Vec<_>>>() {
                return Self {
                    number,
                    _locks: locks,
                };
            }
        }
        panic!("no free port in {TRIES_MAX} tries");
    }
}

/// None when somebody has it, or listens there.
fn lock(number: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("parlor-test-ports");
    create_dir_all(&folder).expect("a directory for locks");
    let lock = File::create(folder.join(number.to_string())).ok()?;
    lock.try_lock().ok()?;
    let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
    is_free.then_some(lock)
}
