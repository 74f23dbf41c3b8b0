//! Names of this machine: what development mode, which asks for no key, may be addressed by.

use std::net::IpAddr;

/// Whether a `Host` (or an origin's authority) names this machine: `localhost`, `127.0.0.1`, `[::1]`, with any port.
///
/// A web page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding): the name gives it away.
pub fn is_loopback(authority: &str) -> bool {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether an `Origin` is a page of this machine.
pub fn is_loopback_origin(origin: &str) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| is_loopback(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authority: &str, expected: bool) {
        assert_eq!(is_loopback(authority), expected, "{authority}");
        assert_eq!(
            is_loopback_origin(&format!("http://{authority}")),
            expected,
            "{authority}"
        );
    }

    #[test]
    fn only_this_machine_is_loopback() {
        check("localhost", true);
        check("LOCALHOST:8000", true);
        check("127.0.0.1:8000", true);
        check("127.1.2.3", true);
        check("[::1]:8000", true);
        check("[::1]", true);
        check("evil.example:8000", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example:80", false);
        check("192.168.0.1", false);
        check("[::2]:80", false);
        check("", false);
        check("localhost:80:80", false);
        assert!(!is_loopback_origin("null"));
    }
}
