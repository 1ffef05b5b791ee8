//! Lists the hosts that are served, as an edge that polls does by an invocation of the function `hosts`. Here `cargo local hosts`
//! requests a page from the running server.

use ::hosts::handle;
use axum::{Router, http::StatusCode, response::IntoResponse, routing::post};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::json;
use shared::app::App;

use crate::invocation;

/// A route of the local server only.
const PATH: &str = "/local/hosts";

/// `POST /local/hosts` with the event of the function as its body.
pub(crate) fn routes(app: App) -> Router {
    let handler = move |event: String| {
        let app = app.clone();
        async move {
            let event = serde_json::from_str(&event).unwrap_or_default();
            match handle(&app, LambdaEvent::new(event, Context::default())).await {
                Err(error) if error.is_invalid() => {
                    (StatusCode::BAD_REQUEST, error.to_string()).into_response()
                }
                page => invocation::render(page.map_err(|error| error.to_string())),
            }
        }
    };
    Router::new().route(PATH, post(handler))
}

/// Requests a page from the server at `address` (`host:port`), and returns it as JSON.
///
/// # Errors
/// The connection fails, or the function returns an error.
pub async fn request(address: &str, limit: Option<u16>, cursor: Option<&str>) -> Result<String, String> {
    let mut event = json!({"cursor": cursor});
    if let Some(limit) = limit {
        event["limit"] = limit.into();
    }
    invocation::request(address, PATH, &event.to_string()).await
}
