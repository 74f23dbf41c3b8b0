//! What a request brings: JSON bodies, query strings and what its path names, bounded and typed, refused as problems.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use parlor_protocol::ErrorCode;
use serde::de::DeserializeOwned;

use super::Api;
use super::problem::Problem;

/// Bytes of a body. A payload of the largest size may be in base64, and lists hold many.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

/// A query string.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

/// What the path names in its `{…}`.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        check_headers(request.headers())?;
        let bytes = collect(request, api.config.body_timeout).await?;
        parse(&bytes).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(ErrorCode::BadRequest
                .with(shorten(rejection.body_text()))
                .into()),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(ErrorCode::BadRequest
                .with(shorten(rejection.body_text()))
                .into()),
        }
    }
}

/// A form could be posted by any web page without asking: only JSON is taken, and that needs a preflight.
fn check_headers(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |text: &str| {
        Problem::from(ErrorCode::BadRequest.with(text))
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    };
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(refuse(
            "the body needs the header `Content-Type: application/json`",
        ));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(refuse("compressed bodies are not taken")),
        _ => Ok(()),
    }
}

async fn collect(request: Request, timeout: Duration) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    match tokio::time::timeout(timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ErrorCode::TooLarge
            .with(format!("the body has more than {BODY_BYTES_MAX} bytes"))
            .into()),
        Ok(Err(_)) => Err(ErrorCode::BadRequest
            .with("the body did not arrive whole")
            .into()),
        Err(_) => Err(Problem::from(
            ErrorCode::BadRequest.with("the body took too long to arrive"),
        )
        .with_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let text = if path == "." {
            inner.to_string()
        } else {
            format!("{path}: {inner}")
        };
        Problem::from(ErrorCode::BadRequest.with(shorten(text)))
    })?;
    match reader.end() {
        Ok(()) => Ok(parsed),
        Err(_) => Err(ErrorCode::BadRequest
            .with("something follows the JSON value")
            .into()),
    }
}

/// Errors quote the caller's words: never more than a line of them.
fn shorten(mut text: String) -> String {
    const TEXT_BYTES_MAX: usize = 200;
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        #[derive(Debug, serde::Deserialize)]
        struct Raw {
            data: Box<serde_json::value::RawValue>,
        }
        let deep = format!(
            r#"{{"data":{}{}}}"#,
            "[".repeat(400_000),
            "]".repeat(400_000)
        );
        // Raw values are skipped over, not parsed; their depth is checked where they become payloads.
        let raw: Raw = parse(deep.as_bytes()).expect("well-formed");
        assert!(super::super::answer::json(raw.data).check().is_err());
        assert!(parse::<serde_json::Value>(deep.as_bytes()).is_err());
    }

    #[test]
    fn faults_are_named() {
        #[derive(Debug, serde::Deserialize)]
        struct Named {
            #[expect(dead_code, reason = "only its parsing is looked at")]
            name: String,
        }
        let text = |body: &str| format!("{:?}", parse::<Named>(body.as_bytes()).expect_err(body));
        assert!(text("{}").contains("missing field `name`"));
        assert!(text(r#"{"name":1}"#).contains("name: invalid type"));
        assert!(text(r#"{"name":"a"} x"#).contains("something follows"));
    }
}
