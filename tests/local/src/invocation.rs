//! Invocations of functions that have no HTTP route in AWS. Here a command requests one from the running server, at a route of the
//! local server only.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The response to an invocation: what the function returned, as JSON, or its error.
pub(crate) fn render(returned: Result<impl Serialize, String>) -> Response {
    let json = |returned| serde_json::to_string_pretty(&returned).map_err(|error| error.to_string());
    match returned.and_then(json) {
        Ok(json) => format!("{json}\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Posts `body` to `path` of the server at `address` (`host:port`), and returns the JSON that the function returned.
///
/// # Errors
/// The connection fails, or the server returns an error.
pub(crate) async fn request(address: &str, path: &str, body: &str) -> Result<String, String> {
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}");
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
