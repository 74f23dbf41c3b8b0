//! What authentication is configured with: keys as values, already read from wherever they were kept.

use std::fmt;
use std::time::Duration;

use super::Grant;

/// Keys and what their tokens must say.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// Keys that verify (and perhaps sign) tokens. With several, tokens choose by `kid`.
    pub token_keys: Vec<TokenKey>,
    /// Accepted `iss`; empty: not looked at.
    pub issuers: Vec<String>,
    /// Accepted `aud`; empty: a token with an audience is for somebody else.
    pub audiences: Vec<String>,
    /// How far clocks may differ; at most 30 s.
    pub leeway: Duration,
    pub api_keys: Vec<ApiKey>,
    /// Nobody needs to prove anything.
    pub dev: bool,
}

/// A key with the one algorithm that it is good for.
#[derive(Clone, Debug)]
pub struct TokenKey {
    pub kid: Option<String>,
    pub algorithm: Algorithm,
    pub material: KeyMaterial,
    /// PEM of the private key; lets the server issue tokens with an asymmetric algorithm.
    pub private_pem: Option<Secret>,
}

#[derive(Clone, Debug)]
pub enum KeyMaterial {
    /// For HMAC: verifies and signs.
    Secret(Secret),
    /// A public key.
    Pem(String),
    /// One JSON Web Key.
    Jwk(Secret),
}

/// The signature algorithms that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub const ALL: [Self; 6] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Es256,
        Self::EdDsa,
    ];

    /// The name in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }
}

/// A backend's key: only its hash is kept.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Names the backend in dedup scopes and logs.
    pub name: String,
    /// SHA-256 of the secret, in hex.
    pub hash: String,
    pub grants: Vec<Grant>,
}

/// Text that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
