//! Problem details (RFC 9457): the one table that gives each error its status, its code and its words.

use std::{borrow::Cow, collections::BTreeMap};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, Ref, RefOr, ResponseBuilder, example::ExampleBuilder,
        response::Response as ResponseDoc, schema::Type,
    },
};

use crate::{
    auth::AuthError,
    models::{Code, fields::FieldError},
    store,
};

/// The codes of problems: stable and machine-readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // `ProblemCode::about` tells of each.
pub enum ProblemCode {
    InvalidJson,
    InvalidCursor,
    InvalidParameter,
    MissingToken,
    InvalidToken,
    ExpiredToken,
    RoleTooLow,
    AgencyNotEnabled,
    ClientOrganization,
    NotFound,
    NoPortal,
    MethodNotAllowed,
    SlugTaken,
    HostnameTaken,
    LimitReached,
    Stale,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidBody,
    IdempotencyMismatch,
    TooManyRequests,
    Internal,
    Unavailable,
    Timeout,
}

use ProblemCode as P;

impl ProblemCode {
    /// The status, and what the code means where nothing more is known.
    pub fn about(self) -> (StatusCode, &'static str) {
        match self {
            P::InvalidJson => (StatusCode::BAD_REQUEST, "The body is not valid JSON."),
            P::InvalidCursor => (StatusCode::BAD_REQUEST, "The cursor is none of this list."),
            P::InvalidParameter => (StatusCode::BAD_REQUEST, "A parameter cannot be used."),
            P::MissingToken => (StatusCode::UNAUTHORIZED, "The request has no bearer token."),
            P::InvalidToken => (StatusCode::UNAUTHORIZED, "The token is not valid."),
            P::ExpiredToken => (StatusCode::UNAUTHORIZED, "The token has expired."),
            P::RoleTooLow => (StatusCode::FORBIDDEN, "This needs the role owner or admin."),
            P::AgencyNotEnabled => (
                StatusCode::FORBIDDEN,
                "The organization has not enabled agency mode.",
            ),
            P::ClientOrganization => (
                StatusCode::FORBIDDEN,
                "A client organization cannot become an agency.",
            ),
            P::NotFound => (StatusCode::NOT_FOUND, "There is no such resource."),
            P::NoPortal => (StatusCode::NOT_FOUND, "There is no portal here."),
            P::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The resource does not have this method.",
            ),
            P::SlugTaken => (
                StatusCode::CONFLICT,
                "Another client of the agency has this slug.",
            ),
            P::HostnameTaken => (StatusCode::CONFLICT, "This host name is taken."),
            P::LimitReached => (
                StatusCode::CONFLICT,
                "The agency has as many portal domains as it may have.",
            ),
            P::Stale => (
                StatusCode::PRECONDITION_FAILED,
                "The resource has changed since it was read.",
            ),
            P::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "A body may have 64 KiB at most."),
            P::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be sent as application/json.",
            ),
            P::InvalidBody => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The body does not fit; errors lists what to mend.",
            ),
            P::IdempotencyMismatch => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "This idempotency key was used with another body.",
            ),
            P::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "This domain was checked just now."),
            P::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong on our side.",
            ),
            P::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The service cannot answer right now.",
            ),
            P::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "The request took too long; a write may have taken effect.",
            ),
        }
    }

    /// As clients see it.
    pub(super) fn text(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(code)) => code,
            _ => String::new(),
        }
    }
}

/// An answer that is no success. It becomes a body at the edge, where request and path are known.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What.
    pub code: ProblemCode,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
    /// Every fault of a body.
    pub errors: Vec<FieldError>,
    /// After how many seconds to try again.
    pub retry_after: Option<u64>,
    /// What lies behind a fault of ours: for the log alone.
    cause: Option<Cause>,
}

#[derive(Debug, Clone)]
struct Cause {
    message: &'static str,
    error: String,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemOut<'a> {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong: one sentence for a person.
    detail: &'a str,
    /// The path of the request.
    instance: &'a str,
    /// Stable and machine-readable.
    code: ProblemCode,
    /// The request, as in `x-request-id`.
    request_id: &'a str,
    /// Every fault of a body; with `invalid-body` alone.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with other words than its usual ones.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// A body that does not fit.
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..P::InvalidBody.into()
        }
    }

    fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    fn because(self, message: &'static str, error: &dyn std::error::Error) -> Self {
        let error = chain(error);
        Self {
            cause: Some(Cause { message, error }),
            ..self
        }
    }

    /// Logs a fault of ours, here where its request is known.
    pub(super) fn log(&self, request_id: &str) {
        if let Some(Cause { message, error }) = &self.cause {
            tracing::error!(requestId = request_id, error, "{message}");
        }
    }

    /// The whole answer.
    pub(super) fn render(&self, instance: &str, request_id: &str) -> Response {
        let (status, _) = self.code.about();
        let out = ProblemOut {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.detail,
            instance,
            code: self.code,
            request_id,
            errors: &self.errors,
        };
        let mut response = (status, super::reply::encode(&out)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, self.challenge());
        }
        response
    }

    /// RFC 6750, section 3: a request without a token is told no error code.
    fn challenge(&self) -> HeaderValue {
        if self.code == P::MissingToken {
            return HeaderValue::from_static("Bearer");
        }
        let text = self.detail.replace(['"', '\\'], "'");
        let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{text}\"");
        HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        let problem = Self::new(code, code.about().1);
        if code == P::Unavailable {
            problem.retry_after(1)
        } else {
            problem
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::MissingToken => P::MissingToken.into(),
            AuthError::InvalidToken(reason) => Self::new(P::InvalidToken, reason),
            AuthError::ExpiredToken => P::ExpiredToken.into(),
            AuthError::KeysUnavailable => {
                Self::from(P::Unavailable).because("no token can be checked", &error)
            }
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        match error {
            E::NotEnabled => P::AgencyNotEnabled.into(),
            E::NotFound => P::NotFound.into(),
            E::NoPortal => P::NoPortal.into(),
            E::Stale => P::Stale.into(),
            E::SlugTaken => P::SlugTaken.into(),
            E::HostnameTaken => P::HostnameTaken.into(),
            E::LimitReached => P::LimitReached.into(),
            E::TooSoon(wait) => {
                Self::from(P::TooManyRequests).retry_after(wait.as_millis().div_ceil(1000).max(1) as u64)
            }
            E::IdempotencyMismatch => P::IdempotencyMismatch.into(),
            E::InvalidCursor => P::InvalidCursor.into(),
            E::Conflict => P::Unavailable.into(),
            E::Unavailable(source) => Self::from(P::Unavailable).because("DynamoDB is unavailable", &*source),
            E::Internal(source) => Self::from(P::Internal).because("internal error", &*source),
        }
    }
}

/// An error and what lies behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.about().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Every operation but the public ones.
pub const USER: &[ProblemCode] = &[
    P::MissingToken,
    P::InvalidToken,
    P::ExpiredToken,
    P::Internal,
    P::Unavailable,
    P::Timeout,
];
/// Public operations that read the table.
pub const PUBLIC: &[ProblemCode] = &[
    P::InvalidParameter,
    P::NoPortal,
    P::Internal,
    P::Unavailable,
    P::Timeout,
];
/// Operations that need the role `owner` or `admin`.
pub const ADMIN: &[ProblemCode] = &[P::RoleTooLow];
/// Operations of an agency.
pub const AGENCY: &[ProblemCode] = &[P::AgencyNotEnabled];
/// Operations with a body.
pub const BODY: &[ProblemCode] = &[
    P::InvalidJson,
    P::BodyTooLarge,
    P::UnsupportedMediaType,
    P::InvalidBody,
];
/// Operations that honour `Idempotency-Key`.
pub const IDEMPOTENT: &[ProblemCode] = &[P::InvalidParameter, P::IdempotencyMismatch];
/// Lists.
pub const PAGED: &[ProblemCode] = &[P::InvalidCursor, P::InvalidParameter];

/// The documentation of these problems: a response for each status, an example for each code.
pub fn responses(groups: &[&[ProblemCode]]) -> BTreeMap<String, RefOr<ResponseDoc>> {
    let mut by_status = BTreeMap::<StatusCode, Vec<ProblemCode>>::new();
    for code in groups.iter().flat_map(|group| group.iter()) {
        by_status.entry(code.about().0).or_default().push(*code);
    }
    let response = |(status, codes): (StatusCode, Vec<ProblemCode>)| {
        let examples = codes.iter().map(|code| {
            let errors = match code {
                P::InvalidBody => vec![FieldError {
                    pointer: "/name".to_owned(),
                    code: Code::UnknownProperty,
                    detail: "There is no such property.".into(),
                }],
                _ => Vec::new(),
            };
            let example = ProblemOut {
                kind: "about:blank",
                title: status.canonical_reason().unwrap_or("Error"),
                status: status.as_u16(),
                detail: code.about().1,
                instance: "/agency/overview",
                code: *code,
                request_id: "JKJaXmPLvHcESHA=",
                errors: &errors,
            };
            let example = serde_json::to_value(example).ok();
            (
                code.text(),
                RefOr::T(ExampleBuilder::new().value(example).build()),
            )
        });
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .examples_from_iter(examples.collect::<Vec<_>>())
            .build();
        let names: Vec<_> = codes.iter().map(|code| format!("`{}`", code.text())).collect();
        let mut response = ResponseBuilder::new()
            .description(names.join(", "))
            .content("application/problem+json", content);
        let header = |name: &HeaderName, kind, response: ResponseBuilder| {
            let header = HeaderBuilder::new()
                .schema(Some(
                    utoipa::openapi::ObjectBuilder::new().schema_type(kind).build(),
                ))
                .build();
            response.header(name.as_str(), header)
        };
        if status == StatusCode::UNAUTHORIZED {
            response = header(&WWW_AUTHENTICATE, Type::String, response);
        }
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            response = header(&RETRY_AFTER, Type::Integer, response);
        }
        (status.as_u16().to_string(), RefOr::T(response.build()))
    };
    by_status.into_iter().map(response).collect()
}

/// Declares the problems of an operation for its documentation: `problems!(GetBranding: USER AGENCY, [Stale])`.
#[macro_export]
macro_rules! problems {
    ($name:ident: $($group:ident)* $(, [$($code:ident),*])?) => {
        struct $name;
        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::response::Response>,
            > {
                use $crate::http::problem;
                problem::responses(&[$(problem::$group,)* $(&[$(problem::ProblemCode::$code),*])?])
            }
        }
    };
}
