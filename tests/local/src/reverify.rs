//! What EventBridge does in AWS: runs the schedule's function. Here a command asks the running server to.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use reverify::{Event, Report};
use shared::{
    app::{App, Clock},
    models::time::Timestamp,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use verification::Dns;

/// Where the server is asked. Nothing in AWS answers there.
const PATH: &str = "/local/reverify";
/// The time that one run has here.
const TIME: Duration = Duration::from_secs(300);

/// Runs the function once, as of `at`.
///
/// # Errors
/// A sentence: the table cannot be read.
pub async fn run(app: &App, dns: &Dns, at: Option<Timestamp>) -> Result<Report, String> {
    let mut app = app.clone();
    if let Some(at) = at {
        app.clock = Clock::Set(std::sync::Arc::new(at.millis().into()));
    }
    let shards = Event::default().shards().map_err(|error| error.to_string())?;
    let swept = reverify::sweep(&app, dns, &shards, TIME).await;
    swept.map_err(|error| error.to_string())
}

/// `POST /local/reverify?at=TIME`.
pub(crate) fn routes(app: App, dns: Dns) -> Router {
    let answer = move |request: Request| {
        let (app, dns) = (app.clone(), dns.clone());
        async move {
            let at = request.uri().query().and_then(|query| query.strip_prefix("at="));
            match at.map(str::parse).transpose() {
                Ok(at) => render(run(&app, &dns, at).await),
                Err(_) => (StatusCode::BAD_REQUEST, "at is no time").into_response(),
            }
        }
    };
    Router::new().route(PATH, post(answer))
}

fn render(report: Result<Report, String>) -> Response {
    match report.and_then(|report| serde_json::to_string_pretty(&report).map_err(|error| error.to_string())) {
        Ok(report) => report.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Asks the server at `address`, and returns its report as JSON.
///
/// # Errors
/// A sentence: nobody listens there, or what the server said.
pub async fn ask(address: SocketAddr, at: Option<Timestamp>) -> Result<String, String> {
    let query = at.map(|at| format!("?at={at}")).unwrap_or_default();
    let request = format!("POST {PATH}{query} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = exchange.await.map_err(|error: std::io::Error| {
        format!("{address} (--addr): {error}; is `cargo local` running there?")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(format!(
            "{address} (--addr): {} {body}",
            head.lines().next().unwrap_or_default()
        )),
    }
}
