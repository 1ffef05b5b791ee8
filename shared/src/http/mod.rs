//! The HTTP edge: the layers around every handler, the extractors and the responses.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    app::App,
    telemetry::{self, Scope, millis},
};

pub mod body;
pub mod extract;
mod lambda;
mod origin;
pub mod problem;
pub mod reply;
pub mod routes;

pub use lambda::{Event, gateway_url, handler, run};
pub use origin::OriginSecrets;
pub use problem::{Problem, ProblemCode};
pub use routes::Routes;

/// The request's id: the gateway's, or a random one without a gateway.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The response header with the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The paths of setup links. Their token must not get into a referrer or a search engine, whatever the response is.
const SECRET_PATHS: &str = "/portal/setup/";

/// The time after which the response is `504`. Lambda ends the function after 15 s.
const TIME_LIMIT: Duration = Duration::from_secs(14);

/// The operations that wait for other people's name servers. Their duration is a metric of its own, so that it raises no alarm.
const VERIFY: [&str; 2] = [
    "/agency/portal-domains/{domainId}/verify",
    "/portal/setup/{token}/verify",
];

/// The service that answers all requests of a function.
pub type Edge = BoxCloneSyncService<Request, Response, Infallible>;

/// Wraps a router in the layers that every request passes, outermost first.
pub fn service(router: Router<App>, app: App) -> Edge {
    let base_path = app.config.base_path.clone();
    let require_secret =
        app.config.origin_secrets.clone().map(|secrets| {
            from_fn(move |request, next| origin::require_secret(secrets.clone(), request, next))
        });
    let router = router
        .layer(from_fn(remember_route))
        .fallback(async || Problem::from(ProblemCode::NotFound))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app);
    let service = ServiceBuilder::new()
        .layer(from_fn(measure))
        .layer(from_fn(add_default_headers))
        .option_layer(require_secret)
        .layer(from_fn(omit_body))
        .layer(from_fn(render_problem))
        .layer(from_fn(limit_time))
        .layer(from_fn(catch_panic))
        .map_request(move |request| strip_base_path(request, base_path.as_deref()))
        .service(router);
    BoxCloneSyncService::new(service)
}

/// Gives the request an id and a [`Scope`], and writes its log line with the metrics.
async fn measure(mut request: Request, next: Next) -> Response {
    let since = Instant::now();
    let request_id = lambda::request_id(request.extensions())
        .or_else(|| request.extensions().get::<RequestId>().map(|id| id.0.clone()))
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let invocation = lambda::invocation_id(request.extensions()).map(str::to_owned);
    let method = request.method().clone();

    let scope = Scope::new(&*request_id, lambda::trace(request.extensions()));
    let answer = async {
        let mut response = next.run(request).await;
        let status = response.status();
        let route = response.extensions_mut().remove::<MatchedPath>();
        let code = response.extensions_mut().remove::<ProblemCode>();
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        let checks_dns = VERIFY.contains(&route);
        let latency = millis(since.elapsed());
        tracing::info!(
            target: telemetry::METRICS,
            requestId = request_id,
            lambdaRequestId = invocation,
            method = method.as_str(),
            route,
            status = status.as_u16(),
            code = code.map(ProblemCode::text),
            latencyMs = (!checks_dns).then_some(latency),
            verifyMs = checks_dns.then_some(latency),
            resolverFailed = checks_dns.then(|| u8::from(scope.resolver_failed())),
            dynamodbMs = millis(scope.dynamodb_time()),
            dynamodbRequests = scope.dynamodb_requests(),
            coldStart = u8::from(telemetry::is_cold_start()),
            serverErrors = u8::from(status.is_server_error()),
            "answered"
        );
        response
    };
    scope.run(answer).await
}

async fn add_default_headers(request: Request, next: Next) -> Response {
    let request_id = request_id(request.extensions());
    // In front of it may be the base path.
    let has_secret_path = request.uri().path().contains(SECRET_PATHS);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if has_secret_path {
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_ROBOTS_TAG, HeaderValue::from_static("noindex"));
    }
    response
}

/// Answers `304` if the client has the current version (RFC 9110, section 13.1.2), and `HEAD` without a body.
async fn omit_body(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let none_match: Vec<_> = request.headers().get_all(IF_NONE_MATCH).iter().cloned().collect();
    let mut response = next.run(request).await;
    if matches!(method, Method::GET | Method::HEAD) && is_current(response.headers(), &none_match) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Whether one of the tags names the response's version, by weak comparison.
fn is_current(headers: &HeaderMap, none_match: &[HeaderValue]) -> bool {
    let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    none_match
        .iter()
        .flat_map(entity_tags)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The entity tags of a header's list. Our own tags contain no commas, so each comma is a separator.
fn entity_tags(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

/// Gives a [`Problem`] its body, and logs its cause.
async fn render_problem(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let request_id = request_id(request.extensions());
    let response = next.run(request).await;
    let (mut parts, body) = response.into_parts();
    let Some(problem) = parts.extensions.remove::<Problem>() else {
        return Response::from_parts(parts, body);
    };
    problem.log(&request_id);
    let mut rendered = problem.render(&path, &request_id);
    // The router's headers, such as `Allow`, are kept. Those of the empty body are not.
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    rendered.headers_mut().extend(parts.headers);
    *rendered.extensions_mut() = parts.extensions;
    rendered.extensions_mut().insert(problem.code);
    rendered
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("request timed out");
            Problem::from(ProblemCode::Timeout).into_response()
        }
    }
}

/// Answers `500` after a panic. The panic hook has logged it.
async fn catch_panic(request: Request, next: Next) -> Response {
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    response.unwrap_or_else(|_| Problem::from(ProblemCode::Internal).into_response())
}

/// Removes the prefix that the mapping of a custom domain leaves in the path.
fn strip_base_path(mut request: Request, base_path: Option<&str>) -> Request {
    let stripped = base_path.and_then(|base_path| {
        let path = request.uri().path().strip_prefix(base_path)?;
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return None;
        }
        let path_and_query = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query.parse().ok()?);
        Uri::from_parts(parts).ok()
    });
    if let Some(uri) = stripped {
        *request.uri_mut() = uri;
    }
    request
}

/// Passes the pattern of the path to the log.
async fn remember_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

async fn method_not_allowed(method: Method) -> Response {
    // The gateway answers browsers' preflights. Any other `OPTIONS` gets the methods in `Allow`.
    match method {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => Problem::from(ProblemCode::MethodNotAllowed).into_response(),
    }
}

fn request_id(extensions: &Extensions) -> String {
    let id = extensions.get::<RequestId>();
    id.map_or_else(String::new, |id| id.0.clone())
}
