//! What API Gateway does in AWS: one listener for all functions, request ids and CORS. The local gateway also serves the API's
//! documentation as a page, and a portal to look at.

use std::convert::Infallible;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use shared::http::RequestId;
use tower::Service;
use utoipa_swagger_ui::{Config, SwaggerUi};
use uuid::Uuid;

use crate::preview;

/// The methods that a page may use.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// The headers that a page may send.
pub const REQUEST_HEADERS: &str = "authorization, content-type, if-match, if-none-match, idempotency-key";
/// The headers that a page may read.
pub const EXPOSED_HEADERS: &str = "etag, location, retry-after, x-request-id, idempotency-replayed";
/// How long a browser caches the response to a preflight, in seconds.
pub const PREFLIGHT_MAX_AGE: &str = "7200";

/// Serves `service`, a page at `/docs` that shows its document, and a portal at `/preview`.
pub fn router<S>(service: S) -> Router
where
    S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    // Swagger UI's validator is a service of another host. This page contacts no other host.
    let config = Config::new(["/openapi.json"])
        .persist_authorization(true)
        .validator_url("none");
    Router::new()
        .merge(SwaggerUi::new("/docs").config(config))
        .merge(preview::router())
        .fallback_service(service)
        .layer(middleware::from_fn(handle))
}

async fn handle(mut request: Request, next: Next) -> Response {
    let from_browser = request.headers().contains_key(header::ORIGIN);
    if from_browser && is_preflight(&request) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        allow(
            response.headers_mut(),
            &[
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
            ],
        );
        return response;
    }
    request
        .extensions_mut()
        .insert(RequestId(Uuid::new_v4().to_string()));
    let mut response = next.run(request).await;
    if from_browser {
        allow(
            response.headers_mut(),
            &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS)],
        );
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Allows every origin. Credentials are not allowed with it.
fn allow(headers: &mut HeaderMap, more: &[(HeaderName, &'static str)]) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use axum::{Extension, body::Body, routing::any};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn send(method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let echo = Router::new().route(
            "/agency/overview",
            any(|Extension(RequestId(id)): Extension<RequestId>| async { id }),
        );
        let request = headers.iter().fold(
            Request::builder().method(method).uri(path),
            |request, (name, value)| request.header(*name, *value),
        );
        router(echo)
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn each_request_gets_its_own_id() {
        let first = text(send(Method::GET, "/agency/overview", &[]).await).await;
        let second = text(send(Method::GET, "/agency/overview", &[]).await).await;
        assert_eq!(first.len(), 36);
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn pages_of_every_origin_may_send_requests() {
        let origin = ("origin", "https://app.example.com");
        let preflight = [
            origin,
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "if-match"),
        ];
        let response = send(Method::OPTIONS, "/agency/overview", &preflight).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(
            response.headers()["access-control-allow-headers"]
                .to_str()
                .unwrap()
                .contains("if-match")
        );
        assert!(
            response.headers()["access-control-allow-methods"]
                .to_str()
                .unwrap()
                .contains("PUT")
        );
        assert!(
            !response
                .headers()
                .contains_key("access-control-allow-credentials")
        );

        let response = send(Method::GET, "/agency/overview", &[origin]).await;
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(
            response.headers()["access-control-expose-headers"]
                .to_str()
                .unwrap()
                .contains("etag")
        );

        let response = send(Method::GET, "/agency/overview", &[]).await;
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        let response = send(Method::OPTIONS, "/agency/overview", &[origin]).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "OPTIONS without a preflight header goes to the function"
        );
    }

    #[tokio::test]
    async fn the_documentation_loads_nothing_from_another_host() {
        assert_eq!(
            send(Method::GET, "/docs", &[]).await.headers()["location"],
            "/docs/"
        );
        let page = text(send(Method::GET, "/docs/", &[]).await).await;
        assert!(!page.contains("//"), "{page}");
        let script = text(send(Method::GET, "/docs/swagger-initializer.js", &[]).await).await;
        assert!(
            script.contains("\"/openapi.json\"") && !script.contains("https://"),
            "{script}"
        );
        assert_eq!(
            send(Method::GET, "/docs/swagger-ui-bundle.js", &[])
                .await
                .status(),
            StatusCode::OK
        );
        assert_eq!(
            send(Method::GET, "/elsewhere", &[]).await.status(),
            StatusCode::NOT_FOUND
        );
    }
}
