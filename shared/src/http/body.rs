//! Request bodies. The checks come in this order: media type, size, JSON, headers, values.

use axum::{
    body::Body as RawBody,
    extract::{FromRequest, Request},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::{
    app::App,
    json,
    models::fields::{Fields, Input, Policy},
    store::{IdempotencyKey, IfMatch},
};

use super::{Problem, ProblemCode, extract::invalid};

/// The largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request body.
pub struct Body<T>(pub T);

/// An update with the precondition of `If-Match`.
pub struct Update<T> {
    /// The request body.
    pub body: T,
    /// The precondition.
    pub if_match: IfMatch,
}

/// A creation with its `Idempotency-Key`.
pub struct Create<T> {
    /// The request body.
    pub body: T,
    /// The key, if the request has one.
    pub key: Option<IdempotencyKey>,
}

impl<T: Input> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (value, _) = read(request).await?;
        Ok(Self(parse(value, app)?))
    }
}

impl<T: Input> FromRequest<App> for Update<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (value, headers) = read(request).await?;
        Ok(Self {
            body: parse(value, app)?,
            if_match: if_match(&headers),
        })
    }
}

impl<T: Input> FromRequest<App> for Create<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (value, headers) = read(request).await?;
        let key = idempotency_key(&headers, &value)?;
        Ok(Self {
            body: parse(value, app)?,
            key,
        })
    }
}

fn parse<T: Input>(value: Value, app: &App) -> Result<T, Problem> {
    let policy = Policy {
        names: &app.config.names,
        features: &app.config.features,
    };
    Fields::parse(value, policy).map_err(Problem::invalid_body)
}

async fn read(request: Request) -> Result<(Value, HeaderMap), Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    if !parts.headers.get_all(CONTENT_ENCODING).iter().all(is_identity) {
        let detail = "The body must not be encoded: send it without Content-Encoding.";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    let bytes = collect(body).await?;
    let value = json::parse(&bytes).map_err(|error| {
        // The parser's message without its position, which the detail shows first.
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default();
        let (line, column) = (error.line(), error.column());
        Problem::new(
            ProblemCode::InvalidJson,
            format!("The body is not valid JSON: line {line}, column {column}: {reason}."),
        )
    })?;
    Ok((value, parts.headers))
}

async fn collect(body: RawBody) -> Result<Vec<u8>, Problem> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(ProblemCode::BodyTooLarge.into()),
        Err(_) => Err(Problem::new(ProblemCode::InvalidJson, "The body is incomplete.")),
    }
}

/// RFC 9110, section 8.4.1.
fn is_identity(encoding: &HeaderValue) -> bool {
    encoding.as_bytes().eq_ignore_ascii_case(b"identity")
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(value)), None) = (values.next().map(|value| value.to_str()), values.next()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    // JSON is UTF-8 (RFC 8259, section 8.1). A body in another charset would be misread.
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

fn idempotency_key(headers: &HeaderMap, body: &Value) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(IdempotencyKey::new(key, body))),
        _ => Err(invalid(
            "Send one Idempotency-Key of 1 to 255 visible ASCII characters.",
        )),
    }
}

/// The writes in the tags of all `If-Match` headers. Malformed tags, and a `*` beside other tags, never match.
///
/// Unlike RFC 9110, section 13.1.1, a weak tag matches: proxies that compress weaken the API's tags, and each tag is that of one
/// write.
fn if_match(headers: &HeaderMap) -> IfMatch {
    let tags = headers.get_all(IF_MATCH).iter().flat_map(super::entity_tags);
    match tags.collect::<Vec<_>>()[..] {
        [] | ["*"] => IfMatch::Any,
        ref tags => IfMatch::Tags(tags.iter().copied().filter_map(write).collect()),
    }
}

/// The write in an entity tag of [`Tagged::new`](super::reply::Tagged::new).
fn write(tag: &str) -> Option<String> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let (write, _content) = tag.strip_prefix('"')?.strip_suffix('"')?.split_once('.')?;
    Some(write.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_only_media_type_is_json_in_utf_8() {
        for (value, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json; charset=iso-8859-1", false),
            ("application/json5", false),
            ("application/problem+json", false),
            ("text/plain", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
    }
}
