//! What Redis can answer instead of doing it, by name, and what follows.

use redis::RedisError;

/// Why something on Redis did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The connection broke or nothing came in time: whether it was done is unknown.
    #[error("no answer from Redis: {0}")]
    Lost(String),
    /// No connection could be made: nothing was done.
    #[error("Redis is not reachable: {0}")]
    Unreachable(String),
    /// MOVED, READONLY, a replica where a primary was expected: the topology is another. Nothing was done.
    #[error("Redis has another topology: {0}")]
    Elsewhere(String),
    /// ASK, TRYAGAIN, NOREPLICAS, LOADING, MASTERDOWN, CLUSTERDOWN, BUSY: nothing was done, and it passes.
    #[error("Redis is busy with itself: {0}")]
    Passing(String),
    /// OOM, MISCONF: Redis refuses writes until somebody helps. Nothing was done.
    #[error("Redis takes no writes: {0}")]
    NoWrites(String),
    /// NOPERM, NOAUTH, WRONGPASS: the user may not. Nothing was done.
    #[error("Redis refuses the user: {0}")]
    Denied(String),
    /// Anything else: a fault of ours, or a foreign answer.
    #[error("Redis answered what was not expected: {0}")]
    Odd(String),
}

impl Fault {
    /// Whether the connection must be made anew.
    pub(super) fn needs_new_link(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Unreachable(_) | Self::Elsewhere(_) | Self::Denied(_)
        )
    }

    /// Whether waiting a moment may help; else the caller is told at once.
    pub(super) fn passes(&self) -> bool {
        !matches!(self, Self::NoWrites(_) | Self::Odd(_))
    }

    /// Whether a node that starts waits for its end: what is wrong with the user or with what is kept there stays wrong.
    pub(super) fn is_waited_for(&self) -> bool {
        !matches!(self, Self::Denied(_) | Self::Odd(_))
    }

    fn by_name(name: &str, text: String) -> Option<Self> {
        Some(match name {
            "MOVED" | "READONLY" | "UNBLOCKED" => Self::Elsewhere(text),
            // NOREPLICAS is normal for a moment after a promotion: the replicas have not spoken to the new primary.
            "NOREPLICAS" | "ASK" | "TRYAGAIN" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN"
            | "BUSY" => Self::Passing(text),
            "OOM" | "MISCONF" => Self::NoWrites(text),
            "NOPERM" | "NOAUTH" | "WRONGPASS" => Self::Denied(text),
            _ => return None,
        })
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        if error.is_io_error()
            || error.is_timeout()
            || error.is_connection_dropped()
            || error.is_connection_refusal()
        {
            return Self::Lost(text);
        }
        if let Some(known) = error
            .code()
            .and_then(|code| Self::by_name(code, text.clone()))
        {
            return known;
        }
        // Redis 6.2 wraps what a command inside a script answered: the name stands somewhere in the text.
        let words = text
            .split(|c: char| !c.is_ascii_uppercase())
            .filter(|word| word.len() > 2);
        for word in words {
            if let Some(known) = Self::by_name(word, text.clone()) {
                return known;
            }
        }
        match error.kind() {
            redis::ErrorKind::AuthenticationFailed => Self::Denied(text),
            _ => Self::Odd(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(answer: &str) -> Fault {
        let (code, detail) = answer.split_once(' ').unwrap();
        redis::make_extension_error(code.to_owned(), Some(detail.to_owned())).into()
    }

    #[test]
    fn every_name_has_its_consequence() {
        for (answer, needs_new_link, passes) in [
            ("MOVED 3999 127.0.0.1:6381", true, true),
            (
                "READONLY You can't write against a read only replica.",
                true,
                true,
            ),
            ("ASK 3999 127.0.0.1:6381", false, true),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                false,
                true,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                false,
                true,
            ),
            ("MASTERDOWN Link with MASTER is down", false, true),
            ("CLUSTERDOWN The cluster is down", false, true),
            ("BUSY Redis is busy running a script.", false, true),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                false,
                false,
            ),
            ("MISCONF Errors writing to the AOF file", false, false),
            ("NOREPLICAS Not enough good replicas to write.", false, true),
            ("NOPERM this user has no permissions", true, true),
            ("WRONGTYPE Operation against a key", false, false),
        ] {
            let fault = fault(answer);
            assert_eq!(
                (fault.needs_new_link(), fault.passes()),
                (needs_new_link, passes),
                "{answer}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_node_that_starts_waits_for_what_may_pass() {
        for (answer, is_waited_for) in [
            ("LOADING Redis is loading the dataset in memory", true),
            (
                "READONLY You can't write against a read only replica.",
                true,
            ),
            ("CLUSTERDOWN The cluster is down", true),
            ("MISCONF Errors writing to the AOF file", true),
            ("WRONGPASS invalid username-password pair", false),
            ("NOPERM this user has no permissions", false),
            ("ERR No such master with that name", false),
        ] {
            assert_eq!(fault(answer).is_waited_for(), is_waited_for, "{answer}");
        }
        assert!(Fault::Unreachable(String::new()).is_waited_for());
        assert!(Fault::Lost(String::new()).is_waited_for());
    }

    #[test]
    fn a_name_inside_a_scripts_error_counts() {
        let fault = fault(
            "ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed",
        );
        assert!(matches!(fault, Fault::NoWrites(_)), "{fault:?}");
    }
}
