//! Which tokens were revoked: all that is known of it, compact and in memory. Who tells it, and what happens to open
//! connections, is not decided here.
//!
//! Revocations only add up: none is ever taken back, so they may be told in any order and more than once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// How long a revocation is remembered, and how long a token is good at most after it was issued, in seconds: 400 days.
/// Together they mean that no token outlives its revocation.
pub const REMEMBERED_S: u64 = 400 * 24 * 3600;

/// Users, and tokens by their id, of which revocations are taken. More are refused by [`Revocations::has_room`].
const KNOWN_MAX: usize = 1_000_000;

/// How far clocks of issuers may differ: a token revoked by its id at this second was not issued later than so much after it.
const CLOCKS_DIFFER_S: u64 = 60;

/// One revocation. Times are in seconds since 1970, as in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// All tokens of a user that were issued before this second.
    User { user: Arc<str>, issued_before: u64 },
    /// All tokens that were issued before this second.
    Everyone { issued_before: u64 },
    /// The token with this `jti`, and until when that must be remembered.
    Token { id: Arc<str>, until: u64 },
}

/// What a token can be revoked by, beside its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenMark {
    /// Its `jti`.
    pub id: Option<Arc<str>>,
    /// Its `iat`, in seconds; 0 when it does not say: then it counts as issued before everything.
    pub issued_at: u64,
}

/// As it stands in the log. Readers pass over fields that they do not know.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_id: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Revocation {
    /// JSON with a version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut written = Written {
            v: 1,
            ..Written::default()
        };
        match self {
            Self::User {
                user,
                issued_before,
            } => {
                written.user = Some(Arc::clone(user));
                written.issued_before = Some(*issued_before);
            }
            Self::Everyone { issued_before } => written.issued_before = Some(*issued_before),
            Self::Token { id, until } => {
                written.token_id = Some(Arc::clone(id));
                written.until = Some(*until);
            }
        }
        serde_json::to_vec(&written).expect("strings and numbers are JSON")
    }

    /// `None` when this build cannot read it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes).ok()? {
            Written {
                v: 1,
                user: Some(user),
                token_id: None,
                issued_before: Some(issued_before),
                ..
            } => Some(Self::User {
                user,
                issued_before,
            }),
            Written {
                v: 1,
                user: None,
                token_id: Some(id),
                until: Some(until),
                ..
            } => Some(Self::Token { id, until }),
            Written {
                v: 1,
                user: None,
                token_id: None,
                issued_before: Some(issued_before),
                ..
            } => Some(Self::Everyone { issued_before }),
            _ => None,
        }
    }
}

/// All that was revoked and still matters.
#[derive(Default)]
pub struct Revocations {
    /// Most servers never revoke anything: then no lock is taken.
    any: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    everyone_before: u64,
    users_before: HashMap<Arc<str>, u64>,
    tokens: HashMap<Arc<str>, Lapse>,
    /// How many there may be before the lapsed ones are looked for again.
    purge_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Lapse {
    /// When it was revoked.
    since: u64,
    until: u64,
}

impl Revocations {
    /// Takes one that was recorded at this second.
    pub fn insert(&self, revocation: &Revocation, recorded: u64, now: u64) {
        let mut known = self.known.write();
        match revocation {
            Revocation::Everyone { issued_before } => {
                known.everyone_before = known.everyone_before.max(*issued_before);
                // What it covers need not be remembered one by one.
                known.purge(now);
            }
            Revocation::User {
                user,
                issued_before,
            } => {
                let before = known.users_before.entry(Arc::clone(user)).or_default();
                *before = (*before).max(*issued_before);
            }
            Revocation::Token { id, until } => {
                let since = recorded;
                let lapse = known.tokens.entry(Arc::clone(id));
                let lapse = lapse.or_insert(Lapse { since, until: 0 });
                lapse.until = lapse.until.max(*until);
            }
        }
        if known.len() > known.purge_at {
            known.purge(now);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether another user or token can be remembered.
    pub fn has_room(&self, now: u64) -> bool {
        if self.len() < KNOWN_MAX {
            return true;
        }
        let mut known = self.known.write();
        known.purge(now);
        known.len() < KNOWN_MAX
    }

    /// Whether this token of this user was revoked.
    pub fn cover(&self, user: Option<&str>, token: &TokenMark) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let known = self.known.read();
        let before = known.issued_before(user);
        token.issued_at < before
            || token
                .id
                .as_ref()
                .is_some_and(|id| known.tokens.contains_key(id))
    }

    /// The second from which on a token of this user is good; 0: any.
    pub fn issued_before(&self, user: Option<&str>) -> u64 {
        self.known.read().issued_before(user)
    }

    /// What `other` lacks of all this: to be told anew where it was lost.
    pub fn missing_in(&self, other: &Self) -> Vec<Revocation> {
        let (known, other) = (self.known.read(), other.known.read());
        let mut missing = Vec::new();
        let everyone = known.everyone_before;
        if other.everyone_before < everyone {
            missing.push(Revocation::Everyone {
                issued_before: everyone,
            });
        }
        let users = known.users_before.iter().filter(|(user, before)| {
            let there = other.issued_before(Some(user)).max(everyone);
            there < **before
        });
        missing.extend(users.map(|(user, before)| Revocation::User {
            user: Arc::clone(user),
            issued_before: *before,
        }));
        let tokens = known.tokens.iter().filter(|(id, lapse)| {
            let there = other.tokens.get(*id);
            there.is_none_or(|there| there.until < lapse.until)
        });
        missing.extend(tokens.map(|(id, lapse)| Revocation::Token {
            id: Arc::clone(id),
            until: lapse.until,
        }));
        missing
    }

    /// How many users and tokens are remembered.
    pub fn len(&self) -> usize {
        self.known.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Known {
    fn issued_before(&self, user: Option<&str>) -> u64 {
        let of_user = user.and_then(|user| self.users_before.get(user));
        self.everyone_before.max(of_user.copied().unwrap_or(0))
    }

    fn len(&self) -> usize {
        self.users_before.len() + self.tokens.len()
    }

    /// Drops what no token can be refused by any more: by its age, or because everyone's tokens are covered.
    fn purge(&mut self, now: u64) {
        let everyone = self.everyone_before;
        let oldest = now.saturating_sub(REMEMBERED_S);
        self.users_before
            .retain(|_, before| *before > everyone && *before > oldest);
        self.tokens
            .retain(|_, lapse| lapse.until > now && lapse.since + CLOCKS_DIFFER_S >= everyone);
        // Looked for again when there are twice as many, so that each insertion costs little.
        self.purge_at = (2 * self.len()).max(1_024);
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn user(user: &str, issued_before: u64) -> Revocation {
        Revocation::User {
            user: user.into(),
            issued_before,
        }
    }

    fn token(id: &str, until: u64) -> Revocation {
        Revocation::Token {
            id: id.into(),
            until,
        }
    }

    fn mark(id: Option<&str>, issued_at: u64) -> TokenMark {
        TokenMark {
            id: id.map(Arc::from),
            issued_at,
        }
    }

    fn with(revocations: &[Revocation]) -> Revocations {
        let all = Revocations::default();
        for one in revocations {
            all.insert(one, NOW, NOW);
        }
        all
    }

    #[test]
    fn a_users_older_tokens_are_covered_and_nobody_elses() {
        let all = with(&[user("ann", NOW), user("ann", NOW - 9)]);
        assert!(all.cover(Some("ann"), &mark(None, NOW - 1)));
        assert!(!all.cover(Some("ann"), &mark(None, NOW)));
        assert!(!all.cover(Some("bob"), &mark(None, 0)));
        assert!(!all.cover(None, &mark(None, 0)));
        // One that does not say when it was issued counts as old.
        assert!(all.cover(Some("ann"), &mark(None, 0)));
    }

    #[test]
    fn a_token_is_covered_by_its_id_alone() {
        let all = with(&[token("t1", NOW + 9)]);
        assert!(all.cover(Some("ann"), &mark(Some("t1"), NOW)));
        assert!(all.cover(None, &mark(Some("t1"), NOW)));
        assert!(!all.cover(Some("ann"), &mark(Some("t2"), NOW)));
        assert!(!all.cover(Some("ann"), &mark(None, NOW)));
    }

    #[test]
    fn everyones_older_tokens_are_covered_and_the_rest_is_forgotten() {
        let all = with(&[user("ann", NOW), token("t1", NOW + 99_999)]);
        all.insert(
            &Revocation::Everyone {
                issued_before: NOW + 1_000,
            },
            NOW + 1_000,
            NOW + 1_000,
        );
        assert!(all.is_empty());
        for id in [None, Some("t1")] {
            assert!(all.cover(Some("ann"), &mark(id, NOW + 999)));
            assert!(!all.cover(Some("ann"), &mark(id, NOW + 1_000)));
        }
    }

    #[test]
    fn what_another_lacks_is_named_and_nothing_else() {
        let everyone = |issued_before| Revocation::Everyone { issued_before };
        let all = with(&[
            everyone(NOW - 90),
            user("ann", NOW - 5),
            user("bob", NOW - 5),
            token("t1", NOW + 9),
            token("t2", NOW + 9),
        ]);
        let some = [user("ann", NOW - 9), user("bob", NOW), token("t2", NOW + 9)];
        let mut missing = all.missing_in(&with(&some));
        missing.sort_by_key(|one| format!("{one:?}"));
        let expected = [
            everyone(NOW - 90),
            token("t1", NOW + 9),
            user("ann", NOW - 5),
        ];
        assert_eq!(missing, expected);
        assert_eq!(all.missing_in(&all), []);
        assert_eq!(
            all.missing_in(&with(&[
                everyone(NOW),
                token("t1", NOW + 9),
                token("t2", NOW + 9)
            ])),
            []
        );
    }

    #[test]
    fn what_lapsed_makes_room() {
        let all = Revocations::default();
        for number in 0..3_000 {
            all.insert(&token(&number.to_string(), NOW + 10), NOW, NOW);
            all.insert(&user(&number.to_string(), NOW), NOW, NOW);
        }
        assert_eq!(all.len(), 6_000);
        let later = NOW + REMEMBERED_S;
        for number in 3_000..9_000 {
            all.insert(&token(&number.to_string(), later + 10), later, later);
        }
        assert_eq!(all.len(), 6_000);
        assert!(all.has_room(later));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let all = [
            user("ann \"the\" user", 7),
            token("t1", 9),
            Revocation::Everyone { issued_before: 8 },
        ];
        for one in all {
            assert_eq!(Revocation::parse(&one.to_bytes()), Some(one));
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_not_guessed_at() {
        for text in [
            r#"{"v":2,"user":"ann","issued_before":7}"#,
            r#"{"v":1,"user":"ann"}"#,
            r#"{"v":1}"#,
            r#"{"user":"ann","issued_before":7}"#,
            "7",
            "",
        ] {
            assert_eq!(Revocation::parse(text.as_bytes()), None, "{text}");
        }
    }
}
