//! Who may do what: identities, their grants, and the ways to prove an identity.
//!
//! It knows tokens and keys; no sockets, no channels' contents. Every refusal of a token reads the same to the
//! client; the reason is told to the log alone, at `debug`, without the token.

use std::sync::Arc;

use parlor_protocol::limits::USER_BYTES_MAX;
use parlor_protocol::{ChannelName, ErrorCode, Payload, Time, WireError};

use crate::clock;
use crate::kind::{ChannelKind, Verb};
use crate::pattern::Pattern;

mod api_keys;
mod cache;
mod claims;
mod config;
mod jwt;
mod loopback;
mod revocations;

pub use claims::{Capability, NewToken, OneOrMany};
pub use config::{Algorithm, ApiKey, AuthConfig, KeyMaterial, Secret, TokenKey};
pub use loopback::{is_loopback, is_loopback_origin};
pub use revocations::{REMEMBERED_S, Revocation, Revocations, TokenMark};

use api_keys::ApiKeys;
use cache::Cache;
use jwt::Refusal;

/// Somebody who proved who they are, with what they may do.
#[derive(Clone, Debug)]
pub struct Identity {
    pub who: Who,
    /// Shown to others in presence: JSON from the token.
    pub info: Option<Payload>,
    pub grants: Vec<Grant>,
    /// When the proof ends; none for API keys and development mode.
    pub expires_at: Option<Time>,
    /// What its token can be revoked by; none for API keys and development mode.
    pub token: Option<TokenMark>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A person: `u:` in dedup scopes.
    User(Arc<str>),
    /// A connection whose token names no user: may read, is never present.
    Anonymous,
    /// A backend by its key's name: `k:` in dedup scopes.
    Backend(Arc<str>),
}

/// Verbs on the channels that match a pattern (`{user}` already filled in).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub channels: Pattern,
    pub verbs: Vec<Verb>,
}

impl Identity {
    pub fn user(&self) -> Option<&Arc<str>> {
        match &self.who {
            Who::User(user) => Some(user),
            Who::Anonymous | Who::Backend(_) => None,
        }
    }

    /// Whether a claim or the channel's kind allows it.
    pub fn may(&self, verb: Verb, channel: &ChannelName, kind: &ChannelKind) -> bool {
        kind.allowed.contains(&verb) || self.is_granted(verb, channel.as_str())
    }

    /// Whether a claim allows it on every channel: what a command about a user, not a channel, needs.
    pub fn may_everywhere(&self, verb: Verb) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.verbs.contains(&verb) && grant.channels.as_str() == "*")
    }

    /// Whose publish ids these are.
    pub fn sender(&self) -> Option<Arc<str>> {
        match &self.who {
            Who::User(user) => Some(format!("u:{user}").into()),
            Who::Backend(key) => Some(format!("k:{key}").into()),
            Who::Anonymous => None,
        }
    }

    fn is_granted(&self, verb: Verb, channel: &str) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.verbs.contains(&verb) && grant.channels.matches(channel))
    }
}

/// Proves identities with the keys of the config.
#[derive(Debug)]
pub struct Auth {
    tokens: jwt::Tokens,
    keys: ApiKeys,
    /// Tokens that were verified already: a signature is checked once, not at every request.
    cache: Cache,
    revocations: Revocations,
    is_dev: bool,
}

impl Auth {
    /// # Errors
    /// [`Error`] when a key is weak, malformed or ambiguous: the server must not start with it.
    pub fn new(config: AuthConfig) -> Result<Self, Error> {
        Ok(Self {
            keys: ApiKeys::new(config.api_keys.clone())?,
            is_dev: config.dev,
            tokens: jwt::Tokens::new(config)?,
            cache: Cache::default(),
            revocations: Revocations::default(),
        })
    }

    /// Whether nobody needs to prove anything.
    pub fn is_dev(&self) -> bool {
        self.is_dev
    }

    /// Whether there is any way in.
    pub fn has_keys(&self) -> bool {
        self.is_dev || !self.tokens.is_empty() || !self.keys.is_empty()
    }

    /// Which tokens were revoked, as far as this node knows.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Whether the identity's token was revoked after it was accepted.
    pub fn is_revoked(&self, identity: &Identity) -> bool {
        let user = identity.user().map(|user| &**user);
        identity
            .token
            .as_ref()
            .is_some_and(|token| self.revocations.cover(user, token))
    }

    /// Who a WebSocket client is, from its `connect` or `refresh`. `user` counts in development mode only.
    ///
    /// # Errors
    /// `bad_token`, `token_expired`, `token_revoked`, `bad_key`.
    pub fn verify_connect(
        &self,
        token: Option<&str>,
        user: Option<&str>,
    ) -> Result<Arc<Identity>, WireError> {
        match token {
            Some(token) => self.verify_bearer(token),
            None if self.is_dev => self.verify_dev(user),
            None => Err(refuse(&Refusal::Missing)),
        }
    }

    /// Who presents this: a token when there is a dot in it, else an API key, which has none (the config refuses one that has).
    ///
    /// # Errors
    /// `bad_token`, `token_expired`, `token_revoked`, `bad_key`.
    pub fn verify_bearer(&self, bearer: &str) -> Result<Arc<Identity>, WireError> {
        match bearer.contains('.') {
            true => self.verify(bearer),
            false => self.verify_key(bearer),
        }
    }

    /// Who a token's bearer is.
    ///
    /// # Errors
    /// `bad_token`, `token_expired`, `token_revoked`; their texts never say more.
    pub fn verify(&self, token: &str) -> Result<Arc<Identity>, WireError> {
        let verified = self.verified(token)?;
        match &verified.channel {
            None => Ok(Arc::clone(&verified.identity)),
            Some(_) => Err(refuse(&Refusal::Purpose)),
        }
    }

    /// What a subscription token adds for one channel, in the form of an identity that has only that.
    ///
    /// # Errors
    /// `bad_token` also when it was made for another user or channel; `token_expired`, `token_revoked`.
    pub fn verify_subscription(
        &self,
        token: &str,
        identity: &Identity,
        channel: &ChannelName,
    ) -> Result<Arc<Identity>, WireError> {
        let verified = self.verified(token)?;
        if verified.channel.as_deref() != Some(channel.as_str())
            || verified.identity.user() != identity.user()
        {
            return Err(refuse(&Refusal::Purpose));
        }
        Ok(Arc::clone(&verified.identity))
    }

    /// Which backend an API key belongs to. Takes the same time whether and where it differs.
    ///
    /// # Errors
    /// `bad_key`.
    pub fn verify_key(&self, secret: &str) -> Result<Arc<Identity>, WireError> {
        self.keys
            .find(secret)
            .ok_or_else(|| ErrorCode::BadKey.into())
    }

    /// Who somebody says they are: development mode believes it, and lets everybody do everything.
    ///
    /// # Errors
    /// `bad_token` outside of development mode; `bad_request` for an unusable user id.
    pub fn verify_dev(&self, user: Option<&str>) -> Result<Arc<Identity>, WireError> {
        if !self.is_dev {
            return Err(refuse(&Refusal::Missing));
        }
        let who = match user {
            None => Who::Anonymous,
            Some(user) if is_user_id(user) => Who::User(user.into()),
            Some(_) => return Err(ErrorCode::BadRequest.with(USER_ID_RULE)),
        };
        Ok(Arc::new(Identity {
            who,
            info: None,
            grants: all_grants(),
            expires_at: None,
            token: None,
        }))
    }

    /// The backend that everybody is in development mode who calls the HTTP API without a key.
    pub fn dev_backend(&self) -> Option<Arc<Identity>> {
        let who = Who::Backend("dev".into());
        self.is_dev.then(|| {
            Arc::new(Identity {
                who,
                info: None,
                grants: all_grants(),
                expires_at: None,
                token: None,
            })
        })
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`IssueError`] when no key can sign or the token would be refused at its verification.
    pub fn issue(&self, token: &NewToken) -> Result<String, IssueError> {
        // After "revoke all that Ann has" in this very second, a new one for Ann must not count as an old one.
        let good_from = self.revocations.issued_before(token.user.as_deref());
        self.tokens.sign(token, clock::now(), good_from)
    }

    fn verified(&self, token: &str) -> Result<Arc<Verified>, WireError> {
        let now = clock::now();
        let hash = cache::hash(token);
        let found = match self.cache.find(&hash) {
            Some(found) => found,
            None => {
                let fresh = Arc::new(
                    self.tokens
                        .verify(token, now)
                        .map_err(|reason| refuse(&reason))?,
                );
                self.cache.insert(hash, Arc::clone(&fresh));
                fresh
            }
        };
        match found.identity.expires_at {
            Some(end) if end <= now => Err(refuse(&Refusal::Expired)),
            // Behind the cache: a revocation is for tokens that were good.
            _ if self.is_revoked(&found.identity) => Err(refuse(&Refusal::Revoked)),
            _ => Ok(found),
        }
    }
}

/// What a good token says.
#[derive(Debug)]
struct Verified {
    identity: Arc<Identity>,
    /// Set in a subscription token: good for this channel alone, and not to connect with.
    channel: Option<String>,
}

/// Every verb on every channel.
pub fn all_grants() -> Vec<Grant> {
    vec![Grant {
        channels: Pattern::new("*"),
        verbs: Verb::ALL.to_vec(),
    }]
}

/// Whether this can be a user's id: 1 to 128 bytes without control characters.
pub fn is_user_id(user: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&user.len()) && !user.contains(char::is_control)
}

const USER_ID_RULE: &str = "a user id has 1 to 128 bytes and no control characters";

/// The same few words for every refusal, so that they teach a forger nothing.
fn refuse(reason: &Refusal) -> WireError {
    tracing::debug!(%reason, "Refused a token.");
    match reason {
        Refusal::Expired => ErrorCode::TokenExpired.into(),
        Refusal::Revoked => ErrorCode::TokenRevoked.into(),
        _ => ErrorCode::BadToken.into(),
    }
}

/// Why the keys of a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("token key {0}: an HMAC secret needs at least 32 bytes")]
    ShortSecret(String),
    #[error("token key {name}: {reason}")]
    BadKey { name: String, reason: String },
    #[error("token key {0}: two keys have this `kid`")]
    DuplicateKid(String),
    #[error("with several token keys each needs a `kid`, so that a token can name its key")]
    KidMissing,
    #[error("leeway may be at most 30 s")]
    Leeway,
    #[error("API key `{0}`: its hash is not the 64 hex digits of a SHA-256")]
    BadHash(String),
    #[error("API key `{0}`: two keys have this name")]
    DuplicateName(String),
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("no token key of the config can sign: give an HMAC secret or a private key")]
    NoSigningKey,
    #[error("{USER_ID_RULE}")]
    User,
    #[error("a token must not be valid for longer than a year")]
    TooLong,
    #[error("the token would have more than 8192 bytes")]
    TooLarge,
    /// Somebody whose clock is ahead revoked what is issued up to then.
    #[error("what is issued to this user in the next {wait_s} s is revoked already")]
    TooEarly { wait_s: u64 },
    #[error("the key cannot sign: {0}")]
    Signing(String),
}

#[cfg(test)]
mod tests;
