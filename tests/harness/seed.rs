//! Randomness that can be had again: printed when a test fails, taken back from `SEED`.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A number that names one random run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// `SEED` of the environment, else a fresh one.
    ///
    /// # Panics
    /// When `SEED` is no number.
    pub fn chosen() -> Self {
        Self::from_environment().unwrap_or_else(|| Self(rand::random::<u32>().into()))
    }

    /// `SEED` of the environment, if it is set.
    ///
    /// # Panics
    /// When it is no number.
    pub fn from_environment() -> Option<Self> {
        let text = std::env::var("SEED").ok()?;
        Some(Self(text.parse().expect("SEED is a number")))
    }

    /// The randomness of one part of the run.
    pub fn rng(self, part: u64) -> StdRng {
        StdRng::seed_from_u64(self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ part)
    }

    /// Prints the seed if the calling test fails before the guard is dropped.
    pub fn witness(self) -> impl Drop {
        Witness(self)
    }
}

struct Witness(Seed);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Run it again with SEED={}.", self.0.0);
        }
    }
}
