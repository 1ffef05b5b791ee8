//! Who asks, and for what: what a handler's arguments say has been checked before it runs.

use std::{borrow::Cow, fmt, str::FromStr, time::Instant};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::{
    app::App,
    auth::{Principal, Role, Tenant},
    models::id::{Id, Kind},
    store::{Caller, PageRequest},
    telemetry,
};

use super::{Problem, ProblemCode, RequestId};

/// A user of any role.
pub struct Member(pub Caller);

/// An `owner` or `admin`.
pub struct Admin(pub Caller);

impl FromRequestParts<App> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (now, since) = (app.clock.now(), Instant::now());
        let principal: Principal = app.auth.authenticate(&parts.headers, now).await?;
        telemetry::tenant(&principal.tenant);
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map_or_else(String::new, |id| id.0.clone());
        Ok(Self(Caller {
            principal,
            request_id,
            now,
            since,
        }))
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Member(caller) = Member::from_request_parts(parts, app).await?;
        if caller.principal.role < Role::Admin {
            return Err(ProblemCode::RoleTooLow.into());
        }
        Ok(Self(caller))
    }
}

/// The id in a path. What is no id stands for the id that is never issued, and is not found like it.
pub struct PathId<K>(pub Id<K>);

impl<K: Kind + Send> FromRequestParts<App> for PathId<K> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        Ok(Self(id.unwrap_or(Id::NIL)))
    }
}

/// The parameters of a query. Unknown ones are ignored.
pub struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        ))
    }
}

impl Query {
    /// A parameter that may be absent.
    ///
    /// # Errors
    /// `invalid-parameter` where it is repeated or empty.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self
            .0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(""), None) => Err(invalid(format!("The parameter {name} is empty."))),
            (Some(value), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(invalid(format!("The parameter {name} is repeated."))),
        }
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `invalid-parameter` where it is missing, repeated or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, Problem> {
        self.optional(name)?
            .ok_or_else(|| invalid(format!("The parameter {name} is missing.")))
    }

    /// Whether a parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// `limit` and `cursor` of a list.
    ///
    /// # Errors
    /// `invalid-parameter`, `invalid-cursor`
    pub fn page(&self, caller: &Caller) -> Result<PageRequest, Problem> {
        let limit = match self.optional("limit")? {
            None => PageRequest::MAX,
            Some(text) => Some(text)
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| u16::from_str(text).ok())
                .filter(|limit| (1..=PageRequest::MAX).contains(limit))
                .ok_or_else(|| invalid("The parameter limit must be a number from 1 to 1000."))?,
        };
        let cursor = self.optional("cursor")?.map(str::to_owned);
        // A client organization has no lists, so that no cursor was ever made for it.
        if cursor.is_some() && !matches!(caller.principal.tenant, Tenant::Agency(_)) {
            return Err(ProblemCode::InvalidCursor.into());
        }
        Ok(PageRequest { limit, cursor })
    }
}

/// The parameters of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // It documents what `Query::page` reads.
pub struct PageParams {
    /// Entries at most.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u16>,
    /// Where the page before ended: its `nextCursor`.
    #[param(max_length = 512)]
    cursor: Option<String>,
}

/// The header of a request that creates.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // It documents what `body::Create` reads.
pub struct IdempotencyParams {
    /// For 24 hours the same key with the same body answers as the first success did
    #[param(
        rename = "idempotency-key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
}

/// The header of a read that may be known already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // It documents what `reply::Tagged` is compared with.
pub struct IfNoneMatchParams {
    /// An `ETag` that is known already
    #[param(rename = "if-none-match")]
    if_none_match: Option<String>,
}

/// The header of a change to what was read before.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // It documents what `body::Update` reads.
pub struct IfMatchParams {
    /// Change it only if this is still its `ETag`
    #[param(rename = "if-match")]
    if_match: Option<String>,
}

/// A parameter that cannot be used.
pub fn invalid(detail: impl Into<Cow<'static, str>> + fmt::Debug) -> Problem {
    Problem::new(ProblemCode::InvalidParameter, detail)
}
