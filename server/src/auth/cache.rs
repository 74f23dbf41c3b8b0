//! Remembers verified tokens by their hash, so that a signature is checked once. Bounded.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Verified;

/// Tokens in one generation; at most two generations are held.
const GENERATION_MAX: usize = 16_384;

pub(super) type TokenHash = [u8; 32];

pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// Two generations: what is used moves into the young one; when that is full, the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TokenHash, Arc<Verified>>,
    old: HashMap<TokenHash, Arc<Verified>>,
}

impl Cache {
    pub(super) fn find(&self, hash: &TokenHash) -> Option<Arc<Verified>> {
        let mut generations = self.0.lock();
        if let Some(found) = generations.young.get(hash) {
            return Some(Arc::clone(found));
        }
        let found = generations.old.remove(hash)?;
        generations.insert(*hash, Arc::clone(&found));
        Some(found)
    }

    pub(super) fn insert(&self, hash: TokenHash, verified: Arc<Verified>) {
        self.0.lock().insert(hash, verified);
    }
}

impl Generations {
    fn insert(&mut self, hash: TokenHash, verified: Arc<Verified>) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, Who};
    use super::*;

    fn verified() -> Arc<Verified> {
        let identity = Identity {
            who: Who::Anonymous,
            info: None,
            grants: Vec::new(),
            expires_at: None,
            token: None,
        };
        Arc::new(Verified {
            identity: Arc::new(identity),
            channel: None,
        })
    }

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_is_used() {
        let cache = Cache::default();
        let used = hash("used");
        cache.insert(used, verified());
        for number in 0..3 * GENERATION_MAX {
            cache.insert(hash(&number.to_string()), verified());
            assert!(cache.find(&used).is_some());
        }
        let generations = cache.0.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }
}
