//! The edge: what is the same for every request, whatever it asks for.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::MatchedPath,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri,
    header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    app::App,
    telemetry::{self, Scope, millis},
};

pub mod body;
pub mod extract;
mod lambda;
pub mod problem;
pub mod reply;

pub use lambda::{handler, run};
pub use problem::{Problem, ProblemCode};

/// The request's id: the gateway's own, or a new one where there is no gateway.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Every answer has it, and so has every line of the log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// After this a request is answered `504`: the function itself is ended after 15 s.
const TIME_LIMIT: Duration = Duration::from_secs(14);

/// What answers requests.
pub type Edge = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// A router with everything around it that is the same for every request.
pub fn service(router: Router<App>, app: App) -> Edge {
    let base_path = app.config.base_path.clone();
    let router = router
        .layer(from_fn(remember_route))
        .fallback(async || Problem::from(ProblemCode::NotFound))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app);
    let answer = move |mut request: Request<Body>| {
        let path = request.uri().path().to_owned();
        if let Some(base_path) = &base_path {
            strip(request.uri_mut(), base_path);
        }
        edge(router.clone(), request, path).map(Ok)
    };
    BoxCloneSyncService::new(tower::service_fn(answer))
}

/// Answers a request; `path` is its path as the client wrote it.
async fn edge(router: Router, mut request: Request<Body>, path: String) -> Response {
    let request_id = lambda::request_id(request.extensions())
        .or_else(|| request.extensions().get::<RequestId>().map(|id| id.0.clone()))
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let scope = Scope::new(&*request_id);
    scope
        .run(measured(router, request, (path, request_id), &scope))
        .await
}

/// Answers, and writes the request's line.
async fn measured(
    router: Router,
    request: Request<Body>,
    (path, request_id): (String, String),
    scope: &Scope,
) -> Response {
    let since = Instant::now();
    let invocation = lambda::invocation_id(request.extensions()).map(str::to_owned);
    let method = request.method().clone();
    let none_match = request
        .headers()
        .get_all(IF_NONE_MATCH)
        .iter()
        .cloned()
        .collect::<Vec<_>>();

    let handled = AssertUnwindSafe(router.oneshot(request)).catch_unwind();
    let mut response = match tokio::time::timeout(TIME_LIMIT, handled).await {
        Ok(Ok(Ok(response))) => response,
        // Where it was went to the log already.
        Ok(Err(_)) => Problem::from(ProblemCode::Internal).into_response(),
        Err(_) => {
            tracing::error!("the time of the request is up");
            Problem::from(ProblemCode::Timeout).into_response()
        }
    };

    let route = response
        .extensions_mut()
        .remove::<Route>()
        .map_or_else(String::new, |route| route.0);
    let mut code = None;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        code = Some(problem.code.text());
        problem.log(&request_id);
        let mut rendered = problem.render(&path, &request_id);
        rendered
            .headers_mut()
            .extend(std::mem::take(response.headers_mut()).into_iter().filter_map(
                // What the router added, such as `Allow`; the empty answer's own headers are not the body's.
                |(name, value)| {
                    name.filter(|name| *name != CONTENT_TYPE && *name != CONTENT_LENGTH)
                        .map(|name| (name, value))
                },
            ));
        response = rendered;
    }
    if matches!(method, Method::GET | Method::HEAD) && is_known(response.headers(), &none_match) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(&request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status();
    tracing::info!(
        target: telemetry::METRICS,
        requestId = request_id,
        lambdaRequestId = invocation,
        method = method.as_str(),
        route,
        status = status.as_u16(),
        code,
        latencyMs = millis(since.elapsed()),
        dynamodbMs = millis(scope.dynamodb_time()),
        dynamodbRequests = scope.dynamodb_requests(),
        coldStart = u8::from(telemetry::is_cold_start()),
        serverErrors = u8::from(status.is_server_error()),
        "answered"
    );
    response
}

/// The pattern of the path, for the log.
#[derive(Clone)]
struct Route(String);

async fn remember_route(request: axum::extract::Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| Route(path.as_str().to_owned()));
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

async fn method_not_allowed(method: Method) -> Response {
    // The gateway answers a browser's preflights; any other question about options gets the methods in `Allow`.
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Problem::from(ProblemCode::MethodNotAllowed).into_response(),
    }
}

/// Removes the prefix that a custom domain's mapping may have left in the path.
fn strip(uri: &mut Uri, base_path: &str) {
    let Some(path) = uri
        .path()
        .strip_prefix(base_path)
        .filter(|path| path.is_empty() || path.starts_with('/'))
    else {
        return;
    };
    let path = if path.is_empty() { "/" } else { path };
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    if let Ok(path_and_query) = path_and_query.parse() {
        parts.path_and_query = Some(path_and_query);
    }
    if let Ok(stripped) = Uri::from_parts(parts) {
        *uri = stripped;
    }
}

/// Whether the client has the answer already (RFC 9110, section 13.1.2: weak comparison).
fn is_known(headers: &HeaderMap, none_match: &[HeaderValue]) -> bool {
    let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    none_match
        .iter()
        .flat_map(entity_tags)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The tags of a header's list. Our own tags have no commas in them, so nothing is lost by parting at each.
fn entity_tags(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}
