//! API keys of backends: kept as hashes, compared in constant time.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::config::ApiKey;
use super::{Error, Identity, Who};

#[derive(Debug)]
pub(super) struct ApiKeys(Vec<([u8; 32], Arc<Identity>)>);

impl ApiKeys {
    pub(super) fn new(keys: Vec<ApiKey>) -> Result<Self, Error> {
        let mut found: Vec<([u8; 32], Arc<Identity>)> = Vec::with_capacity(keys.len());
        for ApiKey { name, hash, grants } in keys {
            let who = Who::Backend(name.as_str().into());
            if found.iter().any(|(_, identity)| identity.who == who) {
                return Err(Error::DuplicateName(name));
            }
            let hash = from_hex(&hash).ok_or(Error::BadHash(name))?;
            found.push((
                hash,
                Arc::new(Identity {
                    who,
                    info: None,
                    grants,
                    expires_at: None,
                    token: None,
                }),
            ));
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares with every key, wherever the match stands.
    pub(super) fn find(&self, secret: &str) -> Option<Arc<Identity>> {
        const NONE: u64 = u64::MAX;
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut found = NONE;
        for (place, (known, _)) in (0_u64..).zip(&self.0) {
            let same: Choice = known.ct_eq(&hash);
            found.conditional_assign(&place, same);
        }
        self.0
            .get(usize::try_from(found).ok()?)
            .map(|(_, identity)| Arc::clone(identity))
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}
