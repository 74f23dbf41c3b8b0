//! Tokens as a backend of the operator would make them, with a JWT library and the shared secret.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The secret that servers with tokens are started with.
pub(crate) const SECRET: &str = "a secret of the tests, more than 32 bytes long";

/// The API key that servers with tokens know, under the name `backend`.
pub const API_KEY: &str = "parlor-test-key-0123456789abcdef";

/// The claims of a token.
#[derive(Clone, Debug)]
pub struct Token(Value);

impl Token {
    /// Good for an hour, and for nothing: give it capabilities.
    pub fn of(user: &str) -> Self {
        Self(json!({ "sub": user, "exp": now_s() + 3600, "caps": [] }))
    }

    /// Without a user.
    pub fn anonymous() -> Self {
        Self(json!({ "exp": now_s() + 3600, "caps": [] }))
    }

    /// A subscription token for one channel.
    pub fn for_channel(user: &str, channel: &str) -> Self {
        Self(json!({ "sub": user, "exp": now_s() + 3600, "channel": channel }))
    }

    /// These verbs on the channels that match.
    ///
    /// # Panics
    /// Never: the capabilities are a list.
    #[must_use]
    pub fn may(mut self, verbs: &[&str], channels: &str) -> Self {
        let capability = json!({ "channels": channels, "allow": verbs });
        self.0["caps"]
            .as_array_mut()
            .expect("a list")
            .push(capability);
        self
    }

    /// Any claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0[name] = value.into();
        self
    }

    /// Ends so many seconds from now; negative: ended.
    #[must_use]
    pub fn ends_in(self, seconds: i64) -> Self {
        let exp = now_s().saturating_add_signed(seconds);
        self.claim("exp", exp)
    }

    /// The signed text.
    ///
    /// # Panics
    /// Never: an HMAC key signs everything.
    pub fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// Signed by somebody else.
    ///
    /// # Panics
    /// Never: an HMAC key signs everything.
    pub fn sign_with(&self, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &self.0, &key).expect("HMAC signs")
    }
}

/// The time as claims tell it: seconds since 1970.
///
/// # Panics
/// When the clock stands before that.
pub fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}
