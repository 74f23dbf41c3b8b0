//! Patterns of channel names: literals and `*` (any run of characters, also an empty one).

use std::fmt;

use parlor_protocol::limits::CHANNEL_NAME_BYTES_MAX;

/// A parsed pattern: literals with a star between each two of them.
///
/// Kept in parts, so that a user id that is filled in stays a literal whatever stands in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    raw: Box<str>,
    /// At least one; the first is anchored at the start, the last at the end.
    literals: Box<[Box<str>]>,
}

/// Stands for the caller's user id in a permission pattern.
const USER: &str = "{user}";

impl Pattern {
    /// Any text is a pattern; the empty one matches nothing that is a channel name.
    pub fn new(raw: impl Into<String>) -> Self {
        let raw = raw.into();
        let literals = raw.split('*').map(Box::from).collect();
        Self {
            raw: raw.into(),
            literals,
        }
    }

    /// A permission pattern for this user: `{user}` becomes the id, in which a star is only a star.
    /// None when the pattern names the user and there is none.
    pub fn for_user(raw: &str, user: Option<&str>) -> Option<Self> {
        if !raw.contains(USER) {
            return Some(Self::new(raw));
        }
        let user = user?;
        let literals = raw
            .split('*')
            .map(|literal| literal.replace(USER, user).into())
            .collect();
        Some(Self {
            raw: raw.into(),
            literals,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Whether the whole of `name` matches. Linear: each literal is sought once, leftmost first.
    pub fn matches(&self, name: &str) -> bool {
        let [first, rest @ ..] = &*self.literals else {
            return false;
        };
        let [middle @ .., last] = rest else {
            return **first == *name;
        };
        let Some(mut name) = name
            .strip_prefix(&**first)
            .and_then(|name| name.strip_suffix(&**last))
        else {
            return false;
        };
        for literal in middle {
            match name.find(&**literal) {
                Some(at) => name = &name[at + literal.len()..],
                None => return false,
            }
        }
        true
    }

    /// Whether some channel name matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        shortest_common(self.raw.as_bytes(), other.raw.as_bytes())
            .is_some_and(|bytes| bytes <= CHANNEL_NAME_BYTES_MAX)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.raw).finish()
    }
}

/// Bytes of the shortest text that matches both patterns; none when no text does.
///
/// Walks the table of (rest of one, rest of the other) from the ends: a star is either done, or takes one
/// more token of the other side.
fn shortest_common(one: &[u8], other: &[u8]) -> Option<usize> {
    // `below[j]`: the answer for (one[i + 1..], other[j..]).
    let mut below: Vec<Option<usize>> = vec![None; other.len() + 1];
    for i in (0..=one.len()).rev() {
        let mut row = vec![None; other.len() + 1];
        for j in (0..=other.len()).rev() {
            row[j] = match (one.get(i), other.get(j)) {
                (None, None) => Some(0),
                (Some(b'*'), Some(b'*')) => min(below[j], row[j + 1]),
                (Some(b'*'), Some(_)) => min(below[j], row[j + 1].map(|rest: usize| rest + 1)),
                (Some(_), Some(b'*')) => min(row[j + 1], below[j].map(|rest| rest + 1)),
                (Some(b'*'), None) => below[j],
                (None, Some(b'*')) => row[j + 1],
                (Some(a), Some(b)) if a == b => below[j + 1].map(|rest| rest + 1),
                _ => None,
            };
        }
        below = row;
    }
    below[0]
}

fn min(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (some, None) | (None, some) => some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern);
        for name in matching {
            assert!(pattern.matches(name), "{pattern:?} should match {name}");
        }
        for name in others {
            assert!(
                !pattern.matches(name),
                "{pattern:?} should not match {name}"
            );
        }
    }

    #[test]
    fn a_literal_matches_itself_alone() {
        check(
            "room:1",
            &["room:1"],
            &["room:", "room:12", "aroom:1", "Room:1", ""],
        );
    }

    #[test]
    fn a_star_matches_any_run() {
        check(
            "room:*",
            &["room:", "room:1", "room:1:2"],
            &["room", "aroom:1"],
        );
        check("*", &["a", "a:b"], &[]);
        check(
            "a*b*c",
            &["abc", "axbxc", "abbc", "abcbc"],
            &["ab", "acb", "abcd"],
        );
        check("*ab*ab*", &["abab", "xabyabz"], &["ab", "aab"]);
        check("a*a", &["aa", "aba"], &["a"]);
    }

    #[test]
    fn a_users_pattern_holds_their_id() {
        let pattern = Pattern::for_user("inbox:{user}:*", Some("ann")).expect("there is a user");
        assert!(pattern.matches("inbox:ann:1") && !pattern.matches("inbox:bob:1"));
        assert_eq!(Pattern::for_user("inbox:{user}", None), None);
        assert!(
            Pattern::for_user("news", None)
                .expect("names no user")
                .matches("news")
        );
    }

    #[test]
    fn a_star_in_a_user_id_widens_nothing() {
        let pattern = Pattern::for_user("inbox:{user}", Some("*")).expect("there is a user");
        assert!(!pattern.matches("inbox:bob"));
        assert!(pattern.matches("inbox:*"));
        let nested = Pattern::for_user("{user}:*", Some("{user}")).expect("there is a user");
        assert!(!nested.matches("bob:1"));
    }

    #[track_caller]
    fn check_overlap(one: &str, other: &str, expected: bool) {
        assert_eq!(
            Pattern::new(one).overlaps(&Pattern::new(other)),
            expected,
            "{one} and {other}"
        );
        assert_eq!(
            Pattern::new(other).overlaps(&Pattern::new(one)),
            expected,
            "{other} and {one}"
        );
    }

    #[test]
    fn patterns_overlap_when_one_name_matches_both() {
        check_overlap("room:*", "room:*", true);
        check_overlap("room:*", "*", true);
        check_overlap("room:*", "*:1", true);
        check_overlap("room:*", "game:*", false);
        check_overlap("room:*", "room", false);
        check_overlap("room:1", "room:1", true);
        check_overlap("room:1", "room:2", false);
        check_overlap("a*b", "*a", false);
        check_overlap("a*b", "b*a", false);
        check_overlap("a*", "*b", true);
        check_overlap("*ab*", "*ba*", true);
        check_overlap("a*c", "ab*bc", true);
        check_overlap("ab*bc", "abc", false);
        check_overlap("", "*", true);
    }

    #[test]
    fn patterns_do_not_overlap_in_names_that_are_too_long() {
        let (a, b) = ("a".repeat(200), "b".repeat(100));
        check_overlap(&format!("{a}*"), &format!("*{b}"), false);
        check_overlap(&format!("{a}*"), &format!("*{}", &b[..55]), true);
    }
}
