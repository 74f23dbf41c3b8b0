//! Errors as RFC 9457 problem details, with the codes of the wire.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parlor_protocol::{ErrorCode, WireError};
use serde::Serialize;
use utoipa::ToSchema;

/// An error on its way out. Boxed, because it is rarer and larger than what succeeds.
#[derive(Clone, Debug)]
pub struct Problem(Box<ProblemBody>);

/// An error as the HTTP API tells it: `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Names the kind of problem; the same for the same `name`.
    #[serde(rename = "type")]
    kind: String,
    /// What this kind of problem is.
    title: String,
    /// The HTTP status.
    status: u16,
    /// The code on the wire: 1000–1999 try again later, 2000–2999 do not repeat it as it is, 3000–3999 get a new
    /// key or token first.
    code: u16,
    /// The code's name.
    name: String,
    /// What was wrong this time.
    detail: String,
    /// How long to wait, where waiting helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Names this request in the server's logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// One header that says the same to HTTP clients.
    #[serde(skip)]
    header: Option<(HeaderName, HeaderValue)>,
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Self {
        let code = error.kind();
        let status = code.map_or(500, ErrorCode::http_status);
        let title = code.map_or("an error", ErrorCode::text).to_owned();
        let challenge =
            (status == 401).then(|| (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self(Box::new(ProblemBody {
            kind: format!("urn:parlor:error:{}", error.name),
            title,
            status,
            code: error.code,
            name: error.name,
            detail: error.text,
            retry_after_ms: error.retry_after_ms,
            request_id: None,
            header: challenge.or_else(|| error.retry_after_ms.map(retry_after)),
        }))
    }
}

impl From<ErrorCode> for Problem {
    fn from(code: ErrorCode) -> Self {
        WireError::from(code).into()
    }
}

impl Problem {
    /// The same code under a status that HTTP clients know for this case.
    #[must_use]
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    pub(super) fn not_found() -> Self {
        ErrorCode::NotFound
            .with("there is nothing at this path; /openapi.json lists what there is")
            .into()
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::from(
            ErrorCode::BadRequest.with("this path has other methods; /openapi.json lists them"),
        )
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// The finished response, which names the request.
    pub(super) fn render(mut self, request_id: &str) -> Response {
        self.0.request_id = Some(request_id.to_owned());
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let header = self.0.header.take();
        let mut response = (status, Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
        response
    }
}

impl IntoResponse for Problem {
    /// Leaves the body to `guard`, which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// The header counts whole seconds: rounded up, so that nobody comes early.
fn retry_after(ms: u64) -> (HeaderName, HeaderValue) {
    (header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_in_headers_what_http_clients_look_for() {
        let busy =
            Problem::from(WireError::from(ErrorCode::Busy).retry_after_ms(1_200)).render("r1");
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "2");
        assert_eq!(
            busy.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let key = Problem::from(ErrorCode::BadKey).render("r2");
        assert_eq!(
            (key.status(), &key.headers()[header::WWW_AUTHENTICATE]),
            (
                StatusCode::UNAUTHORIZED,
                &HeaderValue::from_static("Bearer")
            )
        );
    }

    #[test]
    fn every_error_has_a_status_of_its_class() {
        for code in ErrorCode::ALL {
            let status = StatusCode::from_u16(code.http_status()).expect("a status");
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{}",
                code.name()
            );
        }
    }
}
