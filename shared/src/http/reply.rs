//! Responses.

use aws_lc_rs::digest;
use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, VARY},
};
use serde::Serialize;

use crate::store::Created;

/// The header of a response to an earlier request with the same idempotency key.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The headers of a public response, which caches may store. With `vary: origin`, a cache does not give a response without CORS
/// headers to a page of another origin.
pub const PUBLIC: [(HeaderName, HeaderValue); 2] = [
    (CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")),
    (VARY, HeaderValue::from_static("origin")),
];

/// A public response with a hash of its content as the entity tag. For 10 minutes a cache may serve it while it asks for a
/// newer one (RFC 5861), and for a day while the API fails.
pub fn public(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    const CACHING: &str = "public, max-age=60, stale-while-revalidate=600, stale-if-error=86400";
    let body = body.into();
    let tag = content_tag(&body);
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(CACHING)),
        (VARY, HeaderValue::from_static("origin")),
    ];
    let mut response = (headers, body).into_response();
    insert_etag(response.headers_mut(), &tag);
    response
}

/// Inserts a strong entity tag (RFC 9110, section 8.8.3).
fn insert_etag(headers: &mut HeaderMap, tag: &str) {
    if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) {
        headers.insert(ETAG, tag);
    }
}

/// The content of an entity tag that follows the content of a body.
fn content_tag(body: &[u8]) -> String {
    let sha256 = digest::digest(&digest::SHA256, body);
    BASE64_URL_SAFE_NO_PAD.encode(&sha256.as_ref()[..18])
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, json)], encode(&self.0)).into_response()
    }
}

/// The value as JSON with a line break, so that a terminal shows its prompt on a line of its own. Serialization of our own types
/// does not fail.
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec(value).unwrap_or_default();
    json.push(b'\n');
    json
}

/// A private resource with its entity tag.
pub struct Tagged<T> {
    body: T,
    tag: String,
}

impl<T: Serialize> Tagged<T> {
    /// A resource and the tag of its last write. The entity tag also has a hash of the content, because the content can change
    /// without a write: a client's warnings depend on the agency's settings.
    pub fn new((body, write): (T, String)) -> Self {
        let content = content_tag(&encode(&body));
        let tag = format!("{write}.{content}");
        Self { body, tag }
    }

    /// A resource with a hash of its content as the tag.
    pub fn by_content(body: T) -> Self {
        let tag = content_tag(&encode(&body));
        Self { body, tag }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        let headers = response.headers_mut();
        insert_etag(headers, &self.tag);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(VARY, HeaderValue::from_static("authorization"));
        response
    }
}

/// A created resource and its path.
pub struct CreatedAt<T> {
    /// The resource.
    pub created: Created<T>,
    /// The path.
    pub location: String,
}

impl<T: Serialize> IntoResponse for CreatedAt<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.created.resource)).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::try_from(self.location) {
            headers.insert(LOCATION, location);
        }
        if self.created.replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
