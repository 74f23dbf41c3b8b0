//! Whether the process lives, and whether it should be sent anybody. No details: these answer strangers.

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;

/// Say that the process lives.
#[utoipa::path(get, path = "/healthz", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Say whether the server takes clients: 503 while it drains or its message log is unavailable.
#[utoipa::path(
    get, path = "/readyz", security(()),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        (status = 503, body = String, content_type = "text/plain"),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.node.lifecycle.is_draining() || api.node.broker.health().is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}
