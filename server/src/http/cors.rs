//! Which web pages of other origins may call the API: those that the config names, and no cookies are involved.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::HttpConfig;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key");
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origin of this request, if its pages may call.
pub(super) fn allowed(config: &HttpConfig, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return None;
    };
    let named = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    (config.any_origin || config.origins.iter().any(named)).then(|| origin.clone())
}

/// Whether a browser only asks whether it might.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Yes to a preflight; its origin is added as to any answer.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

/// Lets the page read the answer.
pub(super) fn add_headers(headers: &mut HeaderMap, origin: HeaderValue) {
    const VARY: (HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(VARY.0, VARY.1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(origin: &str, expected: bool) {
        let config = HttpConfig {
            origins: vec!["https://example.com".to_owned()],
            ..HttpConfig::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_str(origin).expect("a value"),
        );
        assert_eq!(allowed(&config, &headers).is_some(), expected, "{origin}");
    }

    #[test]
    fn only_exact_origins_may_call() {
        check("https://example.com", true);
        check("https://example.com:8443", false);
        check("http://example.com", false);
        check("https://example.com.evil.org", false);
        check("https://evil-example.com", false);
        check("null", false);
    }
}
