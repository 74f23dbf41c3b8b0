//! `/metrics` on a listener of its own: what an operator sees is not for the world.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tracing::debug;

use super::{Api, health};
use crate::accepting;
use crate::node::Node;
use crate::write_deadline::WriteDeadline;

/// Scrapers at the same time; more wait.
const CONNECTIONS_MAX: usize = 16;

/// For a request's head, and for a scraper that does not take its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Serves scrapes until its task is dropped.
///
/// # Errors
/// When the listener is of no use from the start.
pub async fn serve_metrics(listener: TcpListener, node: Arc<Node>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = router(Api {
        node,
        config: Arc::default(),
        rates: Arc::default(),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (socket, _) = accepting::next(|| listener.accept()).await;
        let socket = WriteDeadline::new(socket, TIMEOUT);
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _place = place;
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(TIMEOUT);
            if let Err(error) = builder
                .serve_connection(TokioIo::new(socket), service)
                .await
            {
                debug!(%error, "A scrape ended early.");
            }
        });
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(api)
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, OPEN_METRICS)],
        api.node.metrics.encode(),
    )
}
