//! What surrounds every answer: a request id, security headers, counters, and the walls of development mode.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use parlor_protocol::ErrorCode;
use tracing::debug;

use super::Api;
use super::problem::Problem;
use crate::metrics::incr;

/// Names a request in the answer and in the logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Lays the guard around all routes.
pub(super) fn around(router: Router<Api>, api: Api) -> Router {
    router
        .layer(from_fn_with_state(api.clone(), guard))
        .with_state(api)
}

async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = next_request_id();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match check_development(&api, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.render(&id),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&id);
    }
    count(&api, response.status());
    debug!(%id, %method, path, status = response.status().as_u16(), "Answered a request.");
    add_headers(response.headers_mut(), &id);
    response
}

/// Without keys, only what comes from this machine's own pages and programs is answered: a web page elsewhere can
/// point its name at 127.0.0.1 (DNS rebinding) or send requests across origins.
fn check_development(api: &Api, request: &Request) -> Result<(), Problem> {
    if !api.node.auth.is_dev() {
        return Ok(());
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_loopback) {
        let text = "in development mode the server answers only to localhost";
        return Err(Problem::from(ErrorCode::NotPermitted.with(text))
            .with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    match origin.map(|origin| {
        origin
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }) {
        Some(authority) if !is_loopback(authority) => Err(ErrorCode::NotPermitted
            .with("in development mode other origins are not answered")
            .into()),
        _ => Ok(()),
    }
}

/// Whether a `Host` names this machine: `localhost`, `127.0.0.1`, `[::1]`, with any port.
fn is_loopback(authority: &str) -> bool {
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

fn count(api: &Api, status: StatusCode) {
    let http = &api.node.metrics.http;
    incr(match status {
        _ if status.is_client_error() => &http.refused,
        _ if status.is_server_error() => &http.failed,
        _ => &http.succeeded,
    });
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        same_origin.clone(),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-opener-policy"),
        same_origin,
    );
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(nothing);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Unique in this process, and by its random start most likely among others too.
fn next_request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = match NEXT.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let start = getrandom::u64().unwrap_or_default() | 1;
            NEXT.store(start.wrapping_add(1), Ordering::Relaxed);
            start
        }
        id => id,
    };
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authority: &str, expected: bool) {
        assert_eq!(is_loopback(authority), expected, "{authority}");
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
    }
}
