//! What a token says, as it stands in its JSON, and what that means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlor_protocol::{ChannelName, Format, Payload, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::jwt::Refusal;
use super::{Grant, Identity, IssueError, REMEMBERED_S, TokenMark, Verified, Who, is_user_id};
use crate::kind::Verb;
use crate::pattern::Pattern;

/// A token's body. Each claim is typed and may stand once; unknown ones are ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The user; absent: anonymous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sub: Option<String>,
    /// Seconds since 1970.
    pub(super) exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    /// A JSON object that others see in presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) caps: Vec<Capability>,
    /// Makes it a subscription token for this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<String>,
    /// What a subscription token allows there; by default to subscribe and to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow: Option<Vec<String>>,
}

/// Verbs on channels: `{"channels": "room:*", "allow": ["subscribe", "publish"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Patterns; `{user}` stands for the token's user.
    pub channels: OneOrMany,
    /// Names of verbs.
    #[serde(alias = "verbs")]
    pub allow: Vec<String>,
}

/// A string or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    pub user: Option<String>,
    /// A JSON object.
    pub info: Option<Payload>,
    pub caps: Vec<Capability>,
    /// Makes it a subscription token for this channel.
    pub channel: Option<String>,
    /// What a subscription token allows; none: to subscribe and to read.
    pub allow: Option<Vec<String>>,
    /// From now; at most a year.
    pub expires_in: Duration,
}

/// The last second of the year 9999: later times are taken for mistakes.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A token may claim to be issued this much ahead, in seconds: see [`Claims::issue_from`].
const IAT_AHEAD_S: u64 = 1;

const LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl Claims {
    /// The claims of a new token.
    pub(super) fn of(token: &NewToken, now: Time) -> Result<Self, IssueError> {
        if token.user.as_deref().is_some_and(|user| !is_user_id(user)) {
            return Err(IssueError::User);
        }
        if token.expires_in > LIFETIME_MAX {
            return Err(IssueError::TooLong);
        }
        let now = now.as_unix_ms() / 1000;
        let info = token
            .info
            .as_ref()
            .and_then(|info| serde_json::from_slice(&info.bytes).ok());
        Ok(Self {
            sub: token.user.clone(),
            exp: now + token.expires_in.as_secs(),
            iat: Some(now),
            info,
            caps: token.caps.clone(),
            channel: token.channel.clone(),
            allow: token.allow.clone(),
            ..Self::default()
        })
    }

    /// Makes the token good although others of its user were revoked in this second: at most that second later.
    ///
    /// # Errors
    /// `TooEarly`: what was revoked lies further ahead, and this one with it.
    pub(super) fn issue_from(&mut self, good_from: u64) -> Result<(), IssueError> {
        let Some(iat) = self.iat else { return Ok(()) };
        let wait_s = good_from.saturating_sub(iat + IAT_AHEAD_S);
        if wait_s > 0 {
            return Err(IssueError::TooEarly { wait_s });
        }
        self.iat = Some(iat.max(good_from));
        Ok(())
    }

    /// Checks when, by whom and for whom the token was made.
    pub(super) fn check(&self, expected: &Expected, now: Time) -> Result<(), Refusal> {
        let (now, leeway) = (now.as_unix_ms() / 1000, expected.leeway.as_secs());
        let times = [Some(self.exp), self.nbf, self.iat];
        if times.into_iter().flatten().any(|time| time > SECONDS_MAX) {
            return Err(Refusal::Time);
        }
        if self.nbf.is_some_and(|nbf| nbf > now + leeway)
            || self
                .iat
                .is_some_and(|iat| iat > now + leeway.max(IAT_AHEAD_S))
        {
            return Err(Refusal::Time);
        }
        let is_issuer = |issuer: &String| expected.issuers.contains(issuer);
        if !expected.issuers.is_empty() && !self.iss.as_ref().is_some_and(is_issuer) {
            return Err(Refusal::Issuer);
        }
        match &self.aud {
            None if expected.audiences.is_empty() => {}
            Some(aud)
                if aud
                    .as_slice()
                    .iter()
                    .any(|name| expected.audiences.contains(name)) => {}
            _ => return Err(Refusal::Audience),
        }
        // Last: "expired" must not be said of a token that would be refused anyway.
        if self.ends_at(leeway) <= now {
            Err(Refusal::Expired)
        } else {
            Ok(())
        }
    }

    /// When it ends, in seconds: by its own word, or when a revocation of it might be forgotten.
    fn ends_at(&self, leeway: u64) -> u64 {
        let forgotten = self.iat.map_or(u64::MAX, |iat| iat + REMEMBERED_S);
        self.exp.saturating_add(leeway).min(forgotten)
    }

    /// What the checked claims mean.
    pub(super) fn into_verified(self, leeway: Duration) -> Result<Verified, Refusal> {
        let user = self.sub.as_deref();
        if user.is_some_and(|user| !is_user_id(user)) {
            return Err(Refusal::Claim("sub"));
        }
        let grants = match &self.channel {
            None => granted(&self.caps, user)?,
            Some(channel) => vec![subscription_grant(channel, self.allow.as_deref())?],
        };
        let who = user.map_or(Who::Anonymous, |user| Who::User(user.into()));
        // The leeway forgives a slow clock of the issuer: until its end the token is as good as before.
        let ends_at = self.ends_at(leeway.as_secs());
        let info = self.info.map(payload).transpose()?;
        Ok(Verified {
            identity: Arc::new(Identity {
                who,
                info,
                grants,
                expires_at: Some(Time::from_unix_ms(ends_at * 1000)),
                token: Some(TokenMark {
                    id: self.jti.map(Arc::from),
                    issued_at: self.iat.unwrap_or(0),
                }),
            }),
            channel: self.channel,
        })
    }
}

/// What the config wants a token to say.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) issuers: Vec<String>,
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
}

fn granted(caps: &[Capability], user: Option<&str>) -> Result<Vec<Grant>, Refusal> {
    let mut grants = Vec::new();
    for capability in caps {
        let verbs = verbs(&capability.allow)?;
        // A pattern for the user's own channels grants nothing to nobody.
        let patterns = capability
            .channels
            .as_slice()
            .iter()
            .filter_map(|raw| Pattern::for_user(raw, user));
        grants.extend(patterns.map(|channels| Grant {
            channels,
            verbs: verbs.clone(),
        }));
    }
    Ok(grants)
}

fn subscription_grant(channel: &str, allow: Option<&[String]>) -> Result<Grant, Refusal> {
    // A channel's name has no star, so as a pattern it matches itself alone.
    let name = ChannelName::parse(channel).map_err(|_| Refusal::Claim("channel"))?;
    let verbs = match allow {
        Some(names) => verbs(names)?,
        None => vec![Verb::Subscribe, Verb::History, Verb::Presence],
    };
    Ok(Grant {
        channels: Pattern::new(name.as_str()),
        verbs,
    })
}

fn verbs(names: &[String]) -> Result<Vec<Verb>, Refusal> {
    names
        .iter()
        .map(|name| Verb::parse(name).ok_or(Refusal::Claim("allow")))
        .collect()
}

fn payload(info: Box<RawValue>) -> Result<Payload, Refusal> {
    let text = String::from(Box::<str>::from(info));
    let payload = Payload {
        format: Format::Json,
        bytes: Bytes::from(text),
    };
    if !payload.bytes.starts_with(b"{") || payload.check().is_err() {
        return Err(Refusal::Claim("info"));
    }
    Ok(payload)
}
