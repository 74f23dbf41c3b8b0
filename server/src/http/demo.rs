//! The demo page: files built from the SDK, inside the binary.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Api;

/// Path, media type, content.
const FILES: [(&str, &str, &str); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("demo/index.html"),
    ),
    (
        "/demo.css",
        "text/css; charset=utf-8",
        include_str!("demo/demo.css"),
    ),
    (
        "/demo.js",
        "text/javascript; charset=utf-8",
        include_str!("demo/demo.js"),
    ),
    (
        "/parlor.js",
        "text/javascript; charset=utf-8",
        include_str!("demo/parlor.js"),
    ),
];

/// Nothing from anywhere else, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router<Api> {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, media_type, content)| {
            router.route(path, get(async move || file(media_type, content)))
        })
}

fn file(media_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        // The binary may be another one tomorrow.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_that_its_policy_forbids() {
        let (_, _, page) = FILES[0];
        assert!(
            !page.contains(" style=") && !page.contains(" onclick="),
            "inline code is forbidden"
        );
        assert!(!page.contains("<script>"), "scripts are files");
        assert!(!page.contains("https://"), "nothing comes from elsewhere");
    }
}
