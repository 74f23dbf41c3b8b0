//! What surrounds every answer: a request id, security headers, counters, and the walls of development mode.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use parlor_protocol::ErrorCode;
use tracing::debug;

use super::problem::Problem;
use super::{Api, cors};
use crate::auth;
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
    let origin = cors::allowed(&api.config, request.headers());
    let mut response = match check_development(&api, &request) {
        Err(problem) => problem.render(&id),
        Ok(()) if origin.is_some() && cors::is_preflight(&method, request.headers()) => {
            cors::preflight()
        }
        Ok(()) => next.run(request).await,
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.render(&id);
    }
    count(&api, response.status());
    debug!(%id, %method, path, status = response.status().as_u16(), "Answered a request.");
    add_headers(response.headers_mut(), &id);
    if let Some(origin) = origin {
        cors::add_headers(response.headers_mut(), origin);
    }
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
    if !host.is_some_and(auth::is_loopback) {
        let text = "in development mode the server answers only to localhost";
        return Err(Problem::from(ErrorCode::NotPermitted.with(text))
            .with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    let origin = request
        .headers()
        .get(header::ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    match origin {
        Some(origin) if !auth::is_loopback_origin(origin) => Err(ErrorCode::NotPermitted
            .with("in development mode other origins are not answered")
            .into()),
        _ => Ok(()),
    }
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
