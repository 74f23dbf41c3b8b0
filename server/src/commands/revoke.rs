//! Revoking tokens: which ones a backend means, and that all nodes are told.

use std::sync::Arc;

use parlor_protocol::{ErrorCode, WireError};

use super::Caller;
use super::manage::permitted_everywhere;
use crate::auth::{REMEMBERED_S, Revocation, is_user_id};
use crate::clock;
use crate::node::{Node, revoking};

/// Bytes of a token's id.
const TOKEN_ID_BYTES_MAX: usize = 255;
/// How far a backend's clock may be ahead, in seconds. Further ahead is a mistake (milliseconds, most likely) that would
/// lock everybody out.
const AHEAD_MAX_S: u64 = 60;

/// What a backend says. Times are in seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub user: Option<String>,
    pub token_id: Option<String>,
    pub issued_before: Option<u64>,
    /// When the token ends that `token_id` names.
    pub expires_at: Option<u64>,
}

/// Revokes on all nodes. When it returns this node refuses the tokens, and the others do within a second; connections
/// that were made with them are closed. Returns what was revoked.
///
/// # Errors
/// `not_permitted`; `bad_request` when it is not clear what is meant; `too_many`; what the broker answers, and then
/// nothing was revoked.
pub async fn revoke(node: &Node, caller: &Caller, wish: Wish) -> Result<Revocation, WireError> {
    permitted_everywhere(caller)?;
    let now = clock::now().as_unix_ms() / 1_000;
    let revocation = meant(wish, now)?;
    let is_one_more = !matches!(revocation, Revocation::Everyone { .. });
    if is_one_more && !node.auth.revocations().has_room(now) {
        return Err(ErrorCode::TooMany
            .with("too many tokens are revoked one by one: revoke all by `issued_before`"));
    }
    revoking::revoke(node, &revocation).await?;
    Ok(revocation)
}

fn meant(wish: Wish, now: u64) -> Result<Revocation, WireError> {
    let bad = |text: &str| Err(ErrorCode::BadRequest.with(text));
    if wish
        .issued_before
        .is_some_and(|second| second > now + AHEAD_MAX_S)
    {
        return bad("issued_before: lies in the future; it counts seconds since 1970");
    }
    match wish {
        Wish {
            token_id: Some(id),
            user: None,
            issued_before: None,
            expires_at,
        } => {
            if !(1..=TOKEN_ID_BYTES_MAX).contains(&id.len()) {
                return bad("token_id: has 1 to 255 bytes");
            }
            let longest = now + REMEMBERED_S;
            Ok(Revocation::Token {
                id: id.into(),
                until: expires_at
                    .map_or(longest, |end| end.saturating_add(AHEAD_MAX_S))
                    .min(longest),
            })
        }
        Wish {
            expires_at: Some(_),
            ..
        } => bad("expires_at: is about a `token_id`"),
        Wish {
            token_id: Some(_), ..
        } => bad("token_id: names one token; leave out `user` and `issued_before`"),
        Wish {
            user: Some(user),
            issued_before,
            ..
        } => {
            if !is_user_id(&user) {
                return bad("user: has 1 to 128 bytes and no control characters");
            }
            // Tokens of this very second are meant too: whoever revokes wants the newest gone before all others.
            Ok(Revocation::User {
                user: Arc::from(user),
                issued_before: issued_before.unwrap_or(now + 1),
            })
        }
        Wish {
            issued_before: Some(issued_before),
            ..
        } => Ok(Revocation::Everyone { issued_before }),
        Wish { .. } => bad("needs a `user`, a `token_id` or `issued_before`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[track_caller]
    fn check(wish: Wish, expected: Option<Revocation>) {
        assert_eq!(meant(wish.clone(), NOW).ok(), expected, "{wish:?}");
    }

    fn user(user: &str) -> Wish {
        Wish {
            user: Some(user.to_owned()),
            ..Wish::default()
        }
    }

    fn token(id: &str) -> Wish {
        Wish {
            token_id: Some(id.to_owned()),
            ..Wish::default()
        }
    }

    #[test]
    fn a_user_alone_means_all_that_was_issued_so_far() {
        let of_ann = |issued_before| {
            Some(Revocation::User {
                user: "ann".into(),
                issued_before,
            })
        };
        check(user("ann"), of_ann(NOW + 1));
        let wish = Wish {
            issued_before: Some(7),
            ..user("ann")
        };
        check(wish, of_ann(7));
    }

    #[test]
    fn a_token_is_remembered_until_it_ends() {
        let one = |until| {
            Some(Revocation::Token {
                id: "t1".into(),
                until,
            })
        };
        check(token("t1"), one(NOW + REMEMBERED_S));
        let ends = |expires_at| Wish {
            expires_at: Some(expires_at),
            ..token("t1")
        };
        check(ends(NOW + 9), one(NOW + 9 + AHEAD_MAX_S));
        check(ends(u64::MAX), one(NOW + REMEMBERED_S));
    }

    #[test]
    fn a_time_alone_means_everyone() {
        let before = |second| Wish {
            issued_before: Some(second),
            ..Wish::default()
        };
        check(
            before(NOW),
            Some(Revocation::Everyone { issued_before: NOW }),
        );
        check(before(NOW * 1_000), None);
        check(before(NOW + AHEAD_MAX_S + 1), None);
    }

    #[test]
    fn what_is_unclear_revokes_nothing() {
        check(Wish::default(), None);
        check(user(""), None);
        check(user(&"u".repeat(129)), None);
        check(token(""), None);
        check(token(&"t".repeat(256)), None);
        let both = Wish {
            user: Some("ann".to_owned()),
            ..token("t1")
        };
        check(both, None);
        let both = Wish {
            issued_before: Some(NOW),
            ..token("t1")
        };
        check(both, None);
        let end_of_what = Wish {
            expires_at: Some(NOW),
            ..user("ann")
        };
        check(end_of_what, None);
    }
}
