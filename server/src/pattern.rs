//! Patterns of channel names: literals and `*` (any run of characters, also an empty one).

/// A parsed pattern. In permission patterns `{user}` stands for the caller's user id and is filled in
/// before parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    raw: String,
}

impl Pattern {
    /// Any non-empty text is a pattern.
    pub fn new(raw: impl Into<String>) -> Self {
        Self { raw: raw.into() }
    }

    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Whether the whole of `name` matches. Linear in practice: greedy with one point of return.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.raw.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            if p < pattern.len() && pattern[p] == b'*' {
                retry = Some((p, n));
                p += 1;
            } else if p < pattern.len() && pattern[p] == name[n] {
                p += 1;
                n += 1;
            } else if let Some((star, from)) = retry {
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}
