//! The controller's HTTP server: `/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes.
//! What is measured and what counts as healthy is told by the cycle.

mod health;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
pub use health::Health;

use crate::telemetry::Metrics;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum CannotServe {
    /// Somebody else listens there.
    #[error(
        "cannot serve metrics and health at {address}: another process listens there already. \
         Give HTTP_ADDR another port, or off"
    )]
    Taken {
        /// What was asked for.
        address: SocketAddr,
    },
    /// The system does not let us.
    #[error("cannot serve metrics and health at {address}: {why}. Give HTTP_ADDR an address of this machine, or off")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        why: io::Error,
    },
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Listens at `address` (port 0 takes any free one) and serves in the background until `shutdown`
/// is done. Returns the address that it listens at.
///
/// # Errors
/// If it can't listen there.
pub async fn serve(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<SocketAddr, CannotServe> {
    let cannot = |why: io::Error| match why.kind() {
        io::ErrorKind::AddrInUse => CannotServe::Taken { address },
        _ => CannotServe::Bind { address, why },
    };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let server = axum::serve(listener, router(Shared { health, metrics })).with_graceful_shutdown(shutdown);
    tokio::spawn(async move {
        if let Err(why) = server.await {
            tracing::error!(address = %bound, "the HTTP server has stopped: {why}");
        }
    });
    tracing::info!(address = %bound, "serving /metrics, /livez and /readyz");
    Ok(bound)
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|State(shared): State<Shared>| async move { answer(shared.health.alive()) }))
        .route("/readyz", get(|State(shared): State<Shared>| async move { answer(shared.health.ready()) }))
        .with_state(shared)
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], shared.metrics.render())
}

/// `ok`, or what is wrong in a sentence.
fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;

    /// A plain request, as a probe makes it.
    async fn ask(address: SocketAddr, path: &'static str) -> String {
        tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
        .await
        .unwrap()
    }

    fn anywhere() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    fn parts() -> (Arc<Health>, Arc<Metrics>) {
        (Arc::new(Health::new(Duration::from_secs(30))), Arc::new(Metrics::new().unwrap()))
    }

    #[tokio::test]
    async fn probes_and_metrics_are_answered() {
        let (health, metrics) = parts();
        let address = serve(anywhere(), health.clone(), metrics, std::future::pending()).await.unwrap();
        assert!(ask(address, "/livez").await.starts_with("HTTP/1.1 200"));
        let before = ask(address, "/readyz").await;
        assert!(before.starts_with("HTTP/1.1 503") && before.contains("first cycle"), "{before}");
        health.is_ready();
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = ask(address, "/metrics").await;
        assert!(metrics.contains("text/plain") && metrics.contains("postgres_controller_drift_total 0"), "{metrics}");
        assert!(ask(address, "/").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_taken_port_is_explained() {
        let (health, metrics) = parts();
        let address = serve(anywhere(), health.clone(), metrics.clone(), std::future::pending()).await.unwrap();
        let error = serve(address, health, metrics, std::future::pending()).await.unwrap_err().to_string();
        assert!(error.contains("HTTP_ADDR") && error.contains(&address.to_string()), "{error}");
    }
}
