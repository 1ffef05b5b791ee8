//! The Lambda runtime around the edge.

use std::convert::Infallible;

use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Extensions, header::HOST};
use lambda_http::{
    Adapter, LambdaEvent,
    request::{LambdaRequest, RequestContext},
};
use serde::Serialize;
use tower::{Service, ServiceBuilder};

use crate::app::App;

/// Serves requests that the gateway sends, until the runtime ends the function.
///
/// # Errors
/// What the runtime's own API answers.
pub async fn run(router: Router<App>, app: App) -> Result<(), lambda_http::Error> {
    lambda_runtime::run(handler(router, app)).await
}

/// What answers the gateway's events.
pub fn handler(
    router: Router<App>,
    app: App,
) -> impl Service<LambdaEvent<LambdaRequest>, Response: Serialize, Error = Infallible, Future: Send> + Clone {
    let edge = super::service(router, app);
    let edge = ServiceBuilder::new()
        .map_request(|request: lambda_http::Request| request.map(into_body))
        .service(edge);
    ServiceBuilder::new()
        .map_request(mend)
        .service(Adapter::from(edge))
}

fn into_body(body: lambda_http::Body) -> axum::body::Body {
    match body {
        lambda_http::Body::Text(text) => text.into(),
        lambda_http::Body::Binary(bytes) => bytes.into(),
        _ => axum::body::Body::empty(),
    }
}

/// The id that the gateway gave the request.
pub(super) fn request_id(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => context.request_id.clone(),
        #[allow(unreachable_patterns)]
        // Only the HTTP API's form is compiled in, unless another crate wants more.
        _ => None,
    }
}

/// The id that Lambda's own lines have for the invocation.
pub(super) fn invocation_id(extensions: &Extensions) -> Option<&str> {
    extensions
        .get::<lambda_http::Context>()
        .map(|context| context.request_id.as_str())
}

/// The gateway passes what HTTP does not allow, and the adapter would panic on it. Characters of the query are encoded,
/// so that the request is answered like any other. The names of host and protocol, of which the adapter makes a URL that
/// nothing here reads, are dropped. A body that is not in base64 is read as it is.
fn mend(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(request) = &mut event.payload {
        if let Some(query) = &mut request.raw_query_string
            && query.bytes().any(needs_encoding)
        {
            *query = query
                .bytes()
                .fold(String::with_capacity(query.len() + 16), |mut encoded, byte| {
                    if needs_encoding(byte) {
                        encoded.push_str(&format!("%{byte:02X}"));
                    } else {
                        encoded.push(char::from(byte));
                    }
                    encoded
                });
        }
        let undecodable = |body: &String| BASE64_STANDARD.decode(body).is_err();
        if request.is_base64_encoded && request.body.as_ref().is_some_and(undecodable) {
            request.is_base64_encoded = false;
        }
        request.headers.remove(HOST);
        request.headers.remove("x-forwarded-proto");
        request.request_context.domain_name = None;
        if let Some(path) = &mut request.raw_path
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
    }
    event
}

fn needs_encoding(byte: u8) -> bool {
    !(0x21..0x7F).contains(&byte)
        || matches!(
            byte,
            b'"' | b'<' | b'>' | b'#' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}
