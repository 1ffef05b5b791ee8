//! Problem details (RFC 9457): the table of statuses, codes and sentences.

use std::{borrow::Cow, collections::BTreeMap, iter, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use strum::{EnumIter, IntoEnumIterator};
use utoipa::{
    ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder,
        example::{Example, ExampleBuilder},
        header::Header,
        response::Response as ResponseDoc,
        schema::Type,
    },
};

use crate::{
    auth::AuthError,
    models::{Code, fields::FieldError},
    store,
};

/// The codes of problems: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, EnumIter, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // `ProblemCode::about` explains each.
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
    ClientSuspended,
    WrongPortal,
    NotFound,
    NoPortal,
    MethodNotAllowed,
    SlugTaken,
    ExternalIdTaken,
    HostnameTaken,
    RedirectTarget,
    LimitReached,
    ClientHasDomains,
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
    /// The status and the default detail.
    #[rustfmt::skip]
    pub fn about(self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            P::InvalidJson => (S::BAD_REQUEST, "The body is not valid JSON."),
            P::InvalidCursor => (S::BAD_REQUEST, "The cursor does not belong to this list."),
            P::InvalidParameter => (S::BAD_REQUEST, "A parameter is invalid."),
            P::MissingToken => (S::UNAUTHORIZED, "The request has no bearer token."),
            P::InvalidToken => (S::UNAUTHORIZED, "The token is not valid."),
            P::ExpiredToken => (S::UNAUTHORIZED, "The token has expired."),
            P::RoleTooLow => (S::FORBIDDEN, "This operation needs the role owner or admin."),
            P::AgencyNotEnabled => (S::FORBIDDEN, "The organization has not enabled agency mode."),
            P::ClientOrganization => (S::FORBIDDEN, "A client organization cannot become an agency."),
            P::ClientSuspended => (S::FORBIDDEN, "The client organization is suspended. Ask your agency."),
            P::WrongPortal => (S::FORBIDDEN, "This host belongs to another portal. Open the portal of your organization."),
            P::NotFound => (S::NOT_FOUND, "This resource does not exist."),
            P::NoPortal => (S::NOT_FOUND, "This portal does not exist."),
            P::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "The resource does not support this method."),
            P::SlugTaken => (S::CONFLICT, "Another client of the agency has this slug. Choose another slug."),
            P::ExternalIdTaken => (S::CONFLICT, "Another client of the agency has this external id. Choose another external id."),
            P::HostnameTaken => (S::CONFLICT, "This host name is taken. Choose another host name."),
            P::RedirectTarget => (S::CONFLICT, "Other domains redirect to this domain. Change them first."),
            P::LimitReached => (S::CONFLICT, "The agency has the maximum number of these."),
            P::ClientHasDomains => (S::CONFLICT, "The client has domains. Delete them or move them first."),
            P::Stale => (S::PRECONDITION_FAILED, "The resource has changed since you read it. Read it again."),
            P::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "Send a body of at most 64 KiB."),
            P::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."),
            P::InvalidBody => (S::UNPROCESSABLE_ENTITY, "See `errors` for each invalid value."),
            P::IdempotencyMismatch => (S::UNPROCESSABLE_ENTITY, "This idempotency key was used with another body."),
            P::TooManyRequests => (S::TOO_MANY_REQUESTS, "There were too many checks. Wait, and try again."),
            P::Internal => (S::INTERNAL_SERVER_ERROR, "The server had an internal error."),
            P::Unavailable => (S::SERVICE_UNAVAILABLE, "The service is temporarily unavailable. Try again."),
            P::Timeout => (S::GATEWAY_TIMEOUT, "The request timed out. A write may have taken effect."),
        }
    }

    /// The code as JSON shows it.
    pub fn text(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(code)) => code,
            _ => String::new(),
        }
    }
}

/// An error response. The edge adds the body, because only the edge knows the path and the request's id.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The code.
    pub code: ProblemCode,
    /// One sentence for a person.
    pub detail: Cow<'static, str>,
    /// The errors of a body.
    pub errors: Vec<FieldError>,
    /// The value of `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The message and the cause of a server error, only for the log.
    cause: Option<(&'static str, String)>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemOut<'a> {
    /// Always `about:blank`. Use `code` to distinguish problems.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    title: &'a str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// One sentence for a person.
    detail: &'a str,
    /// The path of the request.
    instance: &'a str,
    /// The stable code, for programs.
    code: ProblemCode,
    /// The request's id, as in `x-request-id`.
    request_id: &'a str,
    /// All errors of a body. Only present with `invalid-body`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with its own detail.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// `invalid-body` with these errors.
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..P::InvalidBody.into()
        }
    }

    /// Rounded up to whole seconds, and at least one.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        Self {
            retry_after: u64::try_from(seconds).ok(),
            ..self
        }
    }

    fn because(self, message: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            cause: Some((message, chain(error))),
            ..self
        }
    }

    /// Logs the cause, if there is one.
    pub fn log(&self, request_id: &str) {
        if let Some((message, error)) = &self.cause {
            tracing::error!(requestId = request_id, error, "{message}");
        }
    }

    fn body<'a>(&'a self, instance: &'a str, request_id: &'a str) -> ProblemOut<'a> {
        let (status, _) = self.code.about();
        ProblemOut {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.detail,
            instance,
            code: self.code,
            request_id,
            errors: &self.errors,
        }
    }

    /// The complete response.
    pub(super) fn render(&self, instance: &str, request_id: &str) -> Response {
        let (status, _) = self.code.about();
        let body = super::reply::encode(&self.body(instance, request_id));
        let mut response = (status, body).into_response();
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

    /// RFC 6750, section 3: the challenge to a request without a token has no error code.
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
            problem.retry_after(Duration::from_secs(1))
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
            AuthError::KeysUnavailable(wait) => Self::from(P::Unavailable)
                .retry_after(wait)
                .because("identity provider keys are unavailable", &error),
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
            E::WrongPortal => P::WrongPortal.into(),
            E::Stale => P::Stale.into(),
            E::Invalid(errors) => Self::invalid_body(errors),
            E::RedirectTarget => P::RedirectTarget.into(),
            E::ClientSuspended => P::ClientSuspended.into(),
            E::SlugTaken => P::SlugTaken.into(),
            E::ExternalIdTaken => P::ExternalIdTaken.into(),
            E::ClientHasDomains => P::ClientHasDomains.into(),
            E::HostnameTaken => P::HostnameTaken.into(),
            E::LimitReached => P::LimitReached.into(),
            E::TooSoon(wait) => Self::from(P::TooManyRequests).retry_after(wait),
            E::IdempotencyMismatch => P::IdempotencyMismatch.into(),
            E::InvalidCursor => P::InvalidCursor.into(),
            E::Conflict => P::Unavailable.into(),
            E::Unanswered(source) => Self {
                detail: "The service is temporarily unavailable. The write may have taken effect.".into(),
                ..E::Unavailable(source).into()
            },
            E::Unavailable(source) => Self::from(P::Unavailable).because("DynamoDB is unavailable", &*source),
            error @ E::Unreadable(_) => Self::from(P::Internal).because("internal error", &error),
            E::Internal(source) => Self::from(P::Internal).because("internal error", &*source),
        }
    }
}

/// An error and its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.about().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The problems of all operations with a token.
pub const USER: &[ProblemCode] = &[
    P::MissingToken,
    P::InvalidToken,
    P::ExpiredToken,
    P::Internal,
    P::Unavailable,
    P::Timeout,
];
/// The problems of public operations that read the table.
pub const PUBLIC: &[ProblemCode] = &[
    P::InvalidParameter,
    P::NoPortal,
    P::Internal,
    P::Unavailable,
    P::Timeout,
];
/// The problems of operations that need the role `owner` or `admin`.
pub const ADMIN: &[ProblemCode] = &[P::RoleTooLow];
/// The problems of operations of an agency.
pub const AGENCY: &[ProblemCode] = &[P::AgencyNotEnabled];
/// The problems of operations with a body.
pub const BODY: &[ProblemCode] = &[
    P::InvalidJson,
    P::BodyTooLarge,
    P::UnsupportedMediaType,
    P::InvalidBody,
];
/// The problems of operations with an `Idempotency-Key`.
pub const IDEMPOTENT: &[ProblemCode] = &[P::InvalidParameter, P::IdempotencyMismatch];
/// The problems of lists.
pub const PAGED: &[ProblemCode] = &[P::InvalidCursor, P::InvalidParameter];

/// OpenAPI responses by their status.
pub type Responses = BTreeMap<String, RefOr<ResponseDoc>>;

/// The OpenAPI responses of these problems: one for each status, with an example for each code.
pub fn responses(groups: &[&[ProblemCode]]) -> Responses {
    let mut by_status = BTreeMap::<StatusCode, Vec<ProblemCode>>::new();
    for code in groups.concat() {
        by_status.entry(code.about().0).or_default().push(code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.as_u16().to_string(), RefOr::T(response(status, &codes))))
        .collect()
}

fn response(status: StatusCode, codes: &[ProblemCode]) -> ResponseDoc {
    let examples = codes.iter().map(|code| {
        let name = code.text();
        let example = Ref::new(format!("#/components/examples/{name}"));
        (name, RefOr::<Example>::Ref(example))
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples.collect::<Vec<_>>())
        .build();
    let names: Vec<_> = codes.iter().map(|code| format!("`{}`", code.text())).collect();
    let response = ResponseBuilder::new()
        .description(names.join(", "))
        .content("application/problem+json", content);
    let response = match status {
        StatusCode::UNAUTHORIZED => response.header(WWW_AUTHENTICATE.as_str(), header(Type::String)),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            response.header(RETRY_AFTER.as_str(), header(Type::Integer))
        }
        _ => response,
    };
    response.build()
}

/// The OpenAPI examples of all problems, by code.
pub fn examples() -> BTreeMap<String, Example> {
    ProblemCode::iter()
        .map(|code| (code.text(), example(code)))
        .collect()
}

fn example(code: ProblemCode) -> Example {
    let mut problem = Problem::from(code);
    if code == P::InvalidBody {
        problem.errors.push(FieldError {
            pointer: "/name".to_owned(),
            code: Code::UnknownProperty,
            detail: "Remove this unknown property.".into(),
        });
    }
    let body = serde_json::to_value(problem.body("/agency/clients", "JKJaXmPLvHcESHA="));
    ExampleBuilder::new().value(body.ok()).build()
}

fn header(kind: Type) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    HeaderBuilder::new().schema(Some(schema)).build()
}

/// Declares the problems of an operation for its documentation: `problems!(GetBranding: USER AGENCY, [Stale])`.
#[macro_export]
macro_rules! problems {
    ($name:ident: $($group:ident)* $(, [$($code:ident),*])?) => {
        struct $name;
        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::http::problem::Responses {
                use $crate::http::problem;
                problem::responses(&[$(problem::$group,)* $(&[$(problem::ProblemCode::$code),*])?])
            }
        }
    };
}
