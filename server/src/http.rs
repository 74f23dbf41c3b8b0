//! The HTTP API.
use crate::node::Node;
use axum::Router;
use std::sync::Arc;

pub fn router(node: Arc<Node>, _demo: bool) -> Router {
    Router::new()
        .route("/v1/publish", axum::routing::post(publish))
        .with_state(node)
}

async fn publish(
    axum::extract::State(node): axum::extract::State<Arc<Node>>,
    body: axum::Json<serde_json::Value>,
) -> String {
    let identity = node.auth.dev_backend().expect("dev");
    let caller = crate::commands::Caller {
        identity,
        connection: None,
    };
    let data = body["data"].to_string();
    let command = parlor_protocol::command::Publish {
        channel: body["channel"].as_str().unwrap_or("").to_owned(),
        id: body["id"].as_str().map(str::to_owned),
        echo: true,
        tags: Default::default(),
        payload: parlor_protocol::Payload {
            format: parlor_protocol::Format::Json,
            bytes: data.into(),
        },
    };
    match crate::commands::publish::publish(&node, &caller, command) {
        Ok(outcome) => match outcome.await {
            Ok(published) => serde_json::to_string(&published).unwrap_or_default(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

pub async fn serve_metrics(
    _listener: std::net::TcpListener,
    _node: Arc<Node>,
) -> std::io::Result<()> {
    std::future::pending().await
}
