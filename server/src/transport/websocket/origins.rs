//! Who may open a socket from a web page (RFC 6454; OWASP: cross-site WebSocket hijacking).

/// Allowed origins, exact: scheme, host and port. A page of the server itself is always allowed, and so is a
/// client that sends no `Origin` (it is no browser, and tokens are never taken from cookies).
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub allowed: Vec<String>,
    /// Any origin at all: for public widgets.
    pub any: bool,
}

impl Origins {
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        self.any
            || self
                .allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(origin))
            || is_own(origin, host)
    }
}

fn is_own(origin: &str, host: Option<&str>) -> bool {
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    match (authority, host) {
        (Some(authority), Some(host)) => !host.is_empty() && authority.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origin: Option<&str>, expected: bool) {
        let origins = Origins {
            allowed: vec![
                "https://example.com".to_owned(),
                "http://localhost:3000".to_owned(),
            ],
            any: false,
        };
        assert_eq!(
            origins.allow(origin, Some("chat.example.org:8000")),
            expected,
            "{origin:?}"
        );
    }

    #[test]
    fn only_exact_origins_may_open_a_socket() {
        check(None, true);
        check(Some("https://example.com"), true);
        check(Some("HTTPS://EXAMPLE.COM"), true);
        check(Some("http://localhost:3000"), true);
        check(Some("http://chat.example.org:8000"), true);
        check(Some("https://chat.example.org:8000"), true);
        check(Some("null"), false);
        check(Some(""), false);
        check(Some("http://example.com"), false);
        check(Some("https://example.com:8443"), false);
        check(Some("https://evil-example.com"), false);
        check(Some("https://example.com.evil.org"), false);
        check(Some("https://sub.example.com"), false);
        check(Some("http://chat.example.org"), false);
        check(Some("http://chat.example.org:8000.evil.org"), false);
        check(Some("https://exämple.com"), false);
    }
}
