//! What the next diff of a roster has to tell: the users who may have changed, as they were at the last diff.

use std::collections::BTreeMap;
use std::sync::Arc;

use parlor_protocol::Alias;
use parlor_protocol::push::PresenceDiff;
use parlor_protocol::reply::Member;

use super::page;
use super::roster::{User, Users};

/// Users that one diff can name. With more, it carries the counts only.
const NAMED_MAX: usize = 1_024;

/// Bytes of the names in a diff, as JSON. With more, it carries the counts only.
const NAMED_BYTES_MAX: usize = 31 * 1_024;

/// The changes since the last diff.
#[derive(Debug, Default)]
pub(super) struct Changes {
    by_user: BTreeMap<Arc<str>, Change>,
    /// Some changes were not written down: the diff can only carry counts.
    is_blurred: bool,
    /// Counts the changes of the roster's whole life.
    last: u64,
    /// The last change that a snapshot has shown to somebody.
    seen: u64,
}

#[derive(Debug)]
struct Change {
    /// The user at the last diff; none if it was not there.
    before: Option<User>,
    /// The number of its first change since then.
    first: u64,
}

/// The names of one diff; all empty when it is one of counts only.
#[derive(Debug, Default)]
pub(super) struct Named {
    joined: Vec<Member>,
    updated: Vec<Member>,
    left: Vec<String>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.by_user.is_empty() && !self.is_blurred
    }

    /// The user is about to change, and is still as given.
    pub(super) fn note(&mut self, user: &Arc<str>, as_is: Option<&User>) {
        self.last += 1;
        if self.is_blurred || self.by_user.contains_key(user) {
            return;
        }
        if self.by_user.len() >= NAMED_MAX {
            self.blur();
            return;
        }
        self.by_user.insert(
            Arc::clone(user),
            Change {
                before: as_is.cloned(),
                first: self.last,
            },
        );
    }

    /// Something changes that will not be told by name.
    pub(super) fn blur(&mut self) {
        self.is_blurred = true;
        self.by_user.clear();
    }

    /// Somebody was shown the roster as it is: what has changed so far is told even if it is undone.
    pub(super) fn seen(&mut self) {
        self.seen = self.last;
    }

    /// Forgets the changes, and gives the names that tell them; none if they came to nothing.
    pub(super) fn take(&mut self, users: &Users) -> Option<Named> {
        let by_user = std::mem::take(&mut self.by_user);
        if std::mem::take(&mut self.is_blurred) {
            return Some(Named::default());
        }
        let mut named = Named::default();
        for (user, change) in by_user {
            let was_seen = change.first <= self.seen;
            match (change.before, users.get(&user)) {
                (None, Some(is)) => named.joined.push(page::member(&user, is)),
                (Some(was), Some(is)) if was != **is || was_seen => {
                    named.updated.push(page::member(&user, is))
                }
                (Some(_), None) => named.left.push((*user).to_owned()),
                (None, None) if was_seen => named.left.push((*user).to_owned()),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        if named.is_empty() {
            return None;
        }
        Some(if named.bytes() > NAMED_BYTES_MAX {
            Named::default()
        } else {
            named
        })
    }
}

impl Named {
    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.updated.is_empty() && self.left.is_empty()
    }

    fn bytes(&self) -> usize {
        let members = self
            .joined
            .iter()
            .chain(&self.updated)
            .map(page::member_bytes)
            .sum::<usize>();
        members
            + self
                .left
                .iter()
                .map(|user| page::text_bytes(user))
                .sum::<usize>()
    }

    pub(super) fn into_diff(self, version: u64, users: u64, connections: u64) -> PresenceDiff {
        let Self {
            joined,
            updated,
            left,
        } = self;
        // The hub fills in the alias.
        PresenceDiff {
            alias: Alias(0),
            version,
            joined,
            updated,
            left,
            users,
            connections,
        }
    }
}
