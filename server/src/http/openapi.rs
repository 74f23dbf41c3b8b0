//! The description of the API, made from the handlers.

use std::sync::OnceLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{channel, erase, health, history, presence, publish, revoke, token, user};

#[derive(OpenApi)]
#[openapi(
    info(title = "Parlor", description = "A real-time chat server: what backends can ask of it."),
    paths(
        publish::publish, publish::publish_many, publish::broadcast, publish::signal, history::history, erase::erase,
        presence::presence, presence::occupancy, channel::channel, user::disconnect, user::subscribe,
        user::unsubscribe, token::issue, revoke::revoke, health::healthz, health::readyz, document,
    ),
    security(("bearer" = [])),
    modifiers(&Bearer),
)]
struct Document;

/// Every request carries an API key or a token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key, or a user's token with capabilities."))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Read this document.
#[utoipa::path(get, path = "/openapi.json", security(()), responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
pub(super) async fn document() -> impl IntoResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| Document::openapi().to_json().unwrap_or_default());
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes::ROUTES;
    use super::*;

    fn parsed() -> Value {
        serde_json::from_str(&Document::openapi().to_json().expect("it can be written"))
            .expect("JSON")
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = parsed();
        let paths = document["paths"].as_object().expect("paths");
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods
                    .as_object()
                    .expect("methods")
                    .keys()
                    .map(|method| (method.clone(), path.clone()))
            })
            .collect();
        let routed = ROUTES
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_reference_is_defined() {
        let document = parsed();
        assert!(
            document["openapi"]
                .as_str()
                .expect("a version")
                .starts_with("3.1")
        );
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.trim_start_matches('#');
            assert!(
                document.pointer(pointer).is_some(),
                "{reference} is not defined"
            );
        }
    }

    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_str() {
                        Some(reference) if name == "$ref" => into.push(reference.to_owned()),
                        _ => collect(value, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
}
