//! Tokens for the connections of a run: one for all, or each user's own, signed here as a backend would.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

/// What connections prove themselves with.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    /// Nothing: the server is in development mode.
    None,
    /// The same token for all.
    Shared(String),
    /// A JWT (HS256) per user, signed with this secret: servers that remember what they verified verify each one.
    Signed(String),
}

impl Tokens {
    pub(crate) fn of(&self, user: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Shared(token) => Some(token.clone()),
            Self::Signed(secret) => Some(signed(secret, user, SystemTime::now())),
        }
    }
}

fn signed(secret: &str, user: &str, now: SystemTime) -> String {
    let end = now + LIFETIME;
    let end = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = format!(r#"{{"exp":{end},"sub":{}}}"#, json!(user));
    let claims = URL_SAFE_NO_PAD.encode(claims);
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(format!("{head}.{claims}").as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{head}.{claims}.{signature}")
}

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_is_a_json_web_token_of_its_user() {
        let token = signed("secret", "ann", UNIX_EPOCH);
        // printf '{"alg":"HS256","typ":"JWT"}' | basenc --base64url, and so on; openssl dgst -sha256 -hmac secret -binary.
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjg2NDAwLCJzdWIiOiJhbm4ifQ.aORIxoUo2TNi8uO9uMTSnDEbVgNQYbmyv0bUQAHLpvc"
        );
    }
}
