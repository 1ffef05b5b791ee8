//! The adapter between the Lambda runtime and the edge.

use std::convert::Infallible;

use axum::Router;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Extensions, HeaderName, header::HOST};
use lambda_http::{
    Adapter, LambdaEvent,
    request::{LambdaRequest, RequestContext},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, value::RawValue};
use tower::{Service, ServiceBuilder};

use crate::app::App;

/// Serves the gateway's requests until the runtime ends the function.
///
/// # Errors
/// An error of the Lambda runtime API.
pub async fn run(router: Router<App>, app: App) -> Result<(), lambda_http::Error> {
    // In the init phase, which has more CPU than a request with a small memory size.
    app.warm().await;
    lambda_runtime::run(handler(router, app)).await
}

/// An event of the gateway. Its headers may have characters that HTTP forbids.
pub struct Event(LambdaRequest);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        let request = serde_json::from_str(event.get()).or_else(|_| with_valid_headers(event.get()));
        request.map(Self).map_err(D::Error::custom)
    }
}

/// Parses an event after replacing each control character in a header's value by U+FFFD. So the header stays, and is invalid: a
/// condition does not hold, and a token is not accepted.
fn with_valid_headers(event: &str) -> serde_json::Result<LambdaRequest> {
    let mut event: Value = serde_json::from_str(event)?;
    if let Some(headers) = event.get_mut("headers").and_then(Value::as_object_mut) {
        headers.retain(|name, _| HeaderName::from_bytes(name.as_bytes()).is_ok());
        for value in headers.values_mut() {
            if let Value::String(text) = value {
                *text = text.replace(|c: char| c.is_ascii_control() && c != '\t', "\u{FFFD}");
            }
        }
    }
    serde_json::from_value(event)
}

/// The service that answers the gateway's events.
pub fn handler(
    router: Router<App>,
    app: App,
) -> impl Service<LambdaEvent<Event>, Response: Serialize, Error = Infallible, Future: Send> + Clone {
    let edge = super::service(router, app);
    let edge = ServiceBuilder::new()
        .map_request(|request: lambda_http::Request| request.map(into_body))
        .service(edge);
    ServiceBuilder::new()
        .map_request(sanitize_event)
        .service(Adapter::from(edge))
}

fn into_body(body: lambda_http::Body) -> axum::body::Body {
    match body {
        lambda_http::Body::Text(text) => text.into(),
        lambda_http::Body::Binary(bytes) => bytes.into(),
        _ => axum::body::Body::empty(),
    }
}

/// The gateway's request id.
pub(super) fn request_id(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => context.request_id.clone(),
        // Unreachable unless another crate enables more event types of `lambda_http`.
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// The gateway's address of this request.
pub fn gateway_url(extensions: &Extensions) -> Option<String> {
    match extensions.get::<RequestContext>()? {
        RequestContext::ApiGatewayV2(context) => Some(format!("https://{}", context.domain_name.as_ref()?)),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// The invocation id in Lambda's own log lines.
pub(super) fn invocation_id(extensions: &Extensions) -> Option<&str> {
    extensions
        .get::<lambda_http::Context>()
        .map(|context| context.request_id.as_str())
}

/// Lambda's X-Ray header.
pub(super) fn trace(extensions: &Extensions) -> Option<&str> {
    extensions.get::<lambda_http::Context>()?.xray_trace_id.as_deref()
}

/// Corrects events that the gateway sends although HTTP does not allow them, because the adapter panics on them.
///
/// Invalid characters of the query are percent-encoded. The host header and the protocol are removed: the adapter
/// builds a URL of them that no code reads. A body that is not valid base64 is passed as text. The path gets its leading slash.
fn sanitize_event(event: LambdaEvent<Event>) -> LambdaEvent<LambdaRequest> {
    let Event(mut payload) = event.payload;
    if let LambdaRequest::ApiGatewayV2(request) = &mut payload {
        if let Some(query) = &mut request.raw_query_string
            && query.bytes().any(needs_encoding)
        {
            let encode = |byte| match needs_encoding(byte) {
                true => format!("%{byte:02X}"),
                false => char::from(byte).to_string(),
            };
            *query = query.bytes().map(encode).collect();
        }
        let undecodable = |body: &String| BASE64_STANDARD.decode(body).is_err();
        if request.is_base64_encoded && request.body.as_ref().is_some_and(undecodable) {
            request.is_base64_encoded = false;
        }
        request.headers.remove(HOST);
        request.headers.remove("x-forwarded-proto");
        // The adapter builds a URL of the name.
        let is_hostname = |name: &String| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            !name.is_empty() && name.bytes().all(is_allowed)
        };
        request.request_context.domain_name = request.request_context.domain_name.take().filter(is_hostname);
        if let Some(path) = &mut request.raw_path
            && !path.starts_with('/')
        {
            path.insert(0, '/');
        }
    }
    LambdaEvent::new(payload, event.context)
}

fn needs_encoding(byte: u8) -> bool {
    !byte.is_ascii_graphic() || br#""<>#\^`{|}"#.contains(&byte)
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;

    use super::*;

    #[test]
    fn the_gateways_address_is_that_of_the_request() {
        let mut extensions = Extensions::new();
        assert_eq!(gateway_url(&extensions), None);
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.domain_name = Some("a1b2.execute-api.eu-central-1.amazonaws.com".to_owned());
        extensions.insert(RequestContext::ApiGatewayV2(context));
        let url = gateway_url(&extensions);
        assert_eq!(
            url.as_deref(),
            Some("https://a1b2.execute-api.eu-central-1.amazonaws.com")
        );
    }
}
