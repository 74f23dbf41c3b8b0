//! How a roster is read: pages of members in the order of their user ids, bounded in number and in bytes.
//!
//! A cursor is the last user id of a page, in base64. It stays good whoever comes and goes, so whoever is present
//! throughout appears on exactly one page.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlor_protocol::limits::USER_BYTES_MAX;
use parlor_protocol::reply::Member;
use parlor_protocol::{ErrorCode, WireError};

use super::roster::{User, Users};

/// Bytes of the members of one page, as JSON. Leaves room for the rest of the reply within 48 KiB.
const PAGE_BYTES_MAX: usize = 47 * 1_024;

/// Sessions of one user that a member shows; all are counted.
const SESSIONS_SHOWN_MAX: usize = 32;

/// At most `limit` members behind the user `after`, and the cursor of the next page if there is one.
/// A member that alone is too large for a page is still given.
pub(super) fn page(
    users: &Users,
    limit: usize,
    after: Option<&str>,
) -> (Vec<Member>, Option<String>) {
    let mut members: Vec<Member> = Vec::new();
    if limit == 0 {
        return (members, None);
    }
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut bytes = 0;
    for (id, user) in users.range::<str, _>((from, Bound::Unbounded)) {
        let member = member(id, user);
        bytes += member_bytes(&member);
        if let Some(last) = members.last()
            && (members.len() == limit || bytes > PAGE_BYTES_MAX)
        {
            let next = URL_SAFE_NO_PAD.encode(&last.user);
            return (members, Some(next));
        }
        members.push(member);
    }
    (members, None)
}

/// # Errors
/// `bad_request` when no page can have given this cursor.
pub(super) fn user_of_cursor(cursor: &str) -> Result<String, WireError> {
    let refused = || {
        ErrorCode::BadRequest.with("unable to read the page; the cursor is not one of this server")
    };
    // Checked first, so that nothing large is decoded.
    if cursor.len() > USER_BYTES_MAX.div_ceil(3) * 4 {
        return Err(refused());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
    String::from_utf8(bytes).map_err(|_| refused())
}

pub(super) fn member(id: &Arc<str>, user: &User) -> Member {
    Member {
        user: (**id).to_owned(),
        info: user.info.clone(),
        state: user.state.clone(),
        sessions: user
            .sessions
            .iter()
            .take(SESSIONS_SHOWN_MAX)
            .map(|session| (**session).to_owned())
            .collect(),
    }
}

/// What a member costs in JSON, at most. MessagePack is smaller.
pub(super) fn member_bytes(member: &Member) -> usize {
    const NAMES: usize = r#"{"user":,"info":,"state":,"sessions":[]},"#.len();
    let payloads = member
        .info
        .iter()
        .chain(&member.state)
        .map(|json| json.bytes.len())
        .sum::<usize>();
    let sessions = member
        .sessions
        .iter()
        .map(|session| text_bytes(session))
        .sum::<usize>();
    NAMES + text_bytes(&member.user) + payloads + sessions
}

/// What a text costs in a JSON list, quotes and comma included.
pub(super) fn text_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    3 + text.bytes().map(escaped).sum::<usize>()
}
