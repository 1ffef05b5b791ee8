//! Runs the scheduled function, which EventBridge Scheduler invokes in AWS. Here `cargo local reverify` requests a run from
//! the running server.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use reverify::{Report, Selection};
use shared::{
    app::{App, Clock},
    models::time::Timestamp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use verification::Network;

/// A route of the local server only.
const PATH: &str = "/local/reverify";
/// The deadline of one run.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Runs the function once, with `at` as the present time.
///
/// # Errors
/// The table cannot be read.
pub async fn run(app: &App, network: &Network, at: Option<Timestamp>) -> Result<Report, String> {
    let mut app = app.clone();
    if let Some(at) = at {
        app.clock = Clock::Set(std::sync::Arc::new(at.millis().into()));
    }
    let report = reverify::sweep(&app, network, &Selection::default(), TIME_LIMIT).await;
    report.map_err(|error| error.to_string())
}

/// `POST /local/reverify?at=TIME`.
pub(crate) fn routes(app: App, network: Network) -> Router {
    let handler = move |request: Request| {
        let (app, network) = (app.clone(), network.clone());
        async move {
            let at = request.uri().query().and_then(|query| query.strip_prefix("at="));
            match at.map(str::parse).transpose() {
                Ok(at) => render(run(&app, &network, at).await),
                Err(_) => (StatusCode::BAD_REQUEST, "at is not a time").into_response(),
            }
        }
    };
    Router::new().route(PATH, post(handler))
}

fn render(report: Result<Report, String>) -> Response {
    match report.and_then(|report| serde_json::to_string_pretty(&report).map_err(|error| error.to_string())) {
        Ok(report) => format!("{report}\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Requests a run from the server at `address` (`host:port`), and returns its report as JSON.
///
/// # Errors
/// The connection fails, or the server returns an error.
pub async fn request(address: &str, at: Option<Timestamp>) -> Result<String, String> {
    let query = at.map(|at| format!("?at={at}")).unwrap_or_default();
    let request = format!("POST {PATH}{query} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Ok(response)
    };
    let response = exchange.await.map_err(|error: std::io::Error| {
        format!("{address} (--addr): {error}; is `cargo local` running there?")
    })?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.trim_end().to_owned()),
        _ => Err(format!(
            "{address} (--addr): {} {body}",
            head.lines().next().unwrap_or_default()
        )),
    }
}
