//! Extractors: a handler's arguments are authenticated, authorized and parsed before it runs.

use std::{borrow::Cow, time::Instant};

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

use super::{Problem, ProblemCode, request_id};

/// An authenticated user of any role.
pub struct Member(pub Caller);

/// An authenticated `owner` or `admin`.
pub struct Admin(pub Caller);

impl FromRequestParts<App> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (now, since) = (app.clock.now(), Instant::now());
        let principal: Principal = app.auth.authenticate(&parts.headers, now).await?;
        telemetry::tenant(&principal.tenant);
        Ok(Self(Caller {
            principal,
            request_id: request_id(&parts.extensions),
            now,
            clock: app.clock.clone(),
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

/// The id in a path. An id that does not parse becomes the nil id, so that it is 404 like an unknown one.
pub struct PathId<K>(pub Id<K>);

impl<K: Kind + Send> FromRequestParts<App> for PathId<K> {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        Ok(Self(id.unwrap_or(Id::NIL)))
    }
}

/// The query parameters. Only lists reject unknown ones, because a mistyped filter must not return everything.
pub struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        Ok(Self(form_urlencoded::parse(query).into_owned().collect()))
    }
}

impl Query {
    /// An optional parameter.
    ///
    /// # Errors
    /// `invalid-parameter` if it is repeated or empty.
    pub fn optional(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) if value.is_empty() => {
                Err(invalid(format!("The parameter {name} is empty.")))
            }
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(invalid(format!("The parameter {name} is repeated."))),
        }
    }

    /// A required parameter.
    ///
    /// # Errors
    /// `invalid-parameter` if it is missing, repeated or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, Problem> {
        self.optional(name)?
            .ok_or_else(|| invalid(format!("The parameter {name} is missing.")))
    }

    /// Whether the query has this parameter.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// `limit` and `cursor` of a list that also has the parameters `others`.
    ///
    /// # Errors
    /// `invalid-parameter`, also for unknown parameters; `invalid-cursor`
    pub fn page(&self, caller: &Caller, others: &[&str]) -> Result<PageRequest, Problem> {
        let is_known = |name: &str| matches!(name, "limit" | "cursor") || others.contains(&name);
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !is_known(name)) {
            let name: String = name.escape_debug().take(64).collect();
            return Err(invalid(format!("Remove the unknown parameter `{name}`.")));
        }
        let limit = match self.optional("limit")? {
            None => PageRequest::MAX,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=PageRequest::MAX) if !text.starts_with('+') => limit,
                _ => return Err(invalid("The parameter limit must be a number from 1 to 1000.")),
            },
        };
        let cursor = self.optional("cursor")?.map(str::to_owned);
        // A client organization has no lists, so no cursor was issued for it.
        if cursor.is_some() && !matches!(caller.principal.tenant, Tenant::Agency(_)) {
            return Err(ProblemCode::InvalidCursor.into());
        }
        Ok(PageRequest { limit, cursor })
    }
}

/// The documentation of the parameters that [`Query::page`] reads.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct PageParams {
    /// The maximum number of items. It is 1000 if this parameter is absent.
    // Not a `default`: generated clients would send it, also beside `slug`, where it is not allowed.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// The `nextCursor` of the previous page.
    #[param(min_length = 1, max_length = 512)]
    cursor: Option<String>,
}

/// The documentation of the header that [`super::body::Create`] reads.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct IdempotencyParams {
    /// A key of your choice. For 24 hours, the same key with the same body gets the response of the first success.
    #[param(
        rename = "idempotency-key",
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
}

/// The documentation of the header of a conditional read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct IfNoneMatchParams {
    /// The `ETag` of an earlier response. If it is current, the response is `304`.
    #[param(rename = "if-none-match")]
    if_none_match: Option<String>,
}

/// The documentation of the header that [`super::body::Update`] reads.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)]
pub struct IfMatchParams {
    /// The `ETag` of an earlier response. If it is not current, the response is `412`.
    #[param(rename = "if-match")]
    if_match: Option<String>,
}

/// An `invalid-parameter` problem.
pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemCode::InvalidParameter, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::{Request, header::AUTHORIZATION};
    use serde_json::json;

    use crate::{app::Clock, config::Config, models::time::Timestamp};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn caller(tenant: Tenant) -> Caller {
        Caller {
            principal: Principal {
                user: "user_1".to_owned(),
                role: Role::Member,
                tenant,
            },
            request_id: String::new(),
            now: Timestamp::from_seconds(1_800_000_000),
            clock: Clock::System,
            since: Instant::now(),
        }
    }

    fn agency() -> Caller {
        caller(Tenant::Agency("org_1".parse().unwrap()))
    }

    async fn query(query: &str) -> Query {
        let request = Request::get(format!("/agency/clients{query}")).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let Ok(query) = Query::from_request_parts(&mut parts, &()).await;
        query
    }

    async fn limit(text: &str) -> Result<u16, ProblemCode> {
        let page = query(text).await.page(&agency(), &[]);
        page.map(|page| page.limit).map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn members_read_and_only_admins_and_owners_pass_as_admins() {
        let config = Config::parse(&|name| match name {
            "TABLE_NAME" | "AUTH_ISSUER" | "AUTH_AUDIENCE" => Some("agency".to_owned()),
            "PORTAL_DOMAIN" => Some("portal.example.com".to_owned()),
            "AUTH_HS256_SECRET" => Some(SECRET.to_owned()),
            _ => None,
        });
        let app = App::new(config.unwrap()).await;
        for (role, is_admin) in [("member", false), ("admin", true), ("owner", true)] {
            let claims = json!({
                "iss": "agency",
                "aud": "agency",
                "sub": "user_1",
                "org_id": "org_1",
                "role": role,
                "exp": app.clock.now().seconds() + 60,
            });
            let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
            let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
            let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {token}"));
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let Member(member) = Member::from_request_parts(&mut parts, &app).await.unwrap();
            assert_eq!(member.principal.role.as_str(), role);
            let admin = Admin::from_request_parts(&mut parts, &app).await;
            let admin = admin.map(|Admin(caller)| caller.principal.user);
            let expected = match is_admin {
                true => Ok("user_1".to_owned()),
                false => Err(ProblemCode::RoleTooLow),
            };
            assert_eq!(admin.map_err(|problem| problem.code), expected, "{role}");
        }
        let (mut parts, ()) = Request::get("/").body(()).unwrap().into_parts();
        let missing = Member::from_request_parts(&mut parts, &app).await.err();
        assert_eq!(missing.unwrap().code, ProblemCode::MissingToken);
    }

    #[tokio::test]
    async fn a_parameter_is_there_once_and_has_a_value() {
        let query = query("?slug=acme&empty=&twice=1&twice=2&encoded=a%26b").await;
        assert_eq!(query.optional("slug").unwrap(), Some("acme"));
        assert_eq!(query.optional("encoded").unwrap(), Some("a&b"));
        assert_eq!(query.optional("none").unwrap(), None);
        assert_eq!(query.required("slug").unwrap(), "acme");
        for name in ["empty", "twice"] {
            let problem = query.optional(name).unwrap_err();
            assert_eq!(problem.code, ProblemCode::InvalidParameter, "{name}");
        }
        for name in ["none", "empty", "twice"] {
            assert_eq!(
                query.required(name).unwrap_err().code,
                ProblemCode::InvalidParameter,
                "{name}"
            );
        }
        assert!(query.has("slug") && query.has("empty") && !query.has("none"));
    }

    #[tokio::test]
    async fn a_list_takes_its_own_parameters_alone_and_a_cursor_only_from_an_agency() {
        let others = ["slug"];
        let page = query("?slug=acme&cursor=abc&limit=2")
            .await
            .page(&agency(), &others)
            .unwrap();
        assert_eq!((page.limit, page.cursor.as_deref()), (2, Some("abc")));
        let problem = query("?name=acme").await.page(&agency(), &others).unwrap_err();
        assert_eq!(problem.code, ProblemCode::InvalidParameter);
        for tenant in [
            Tenant::NoOrganization,
            Tenant::Client("cli_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()),
        ] {
            let caller = caller(tenant);
            let problem = query("?cursor=abc").await.page(&caller, &others).unwrap_err();
            assert_eq!(problem.code, ProblemCode::InvalidCursor);
            assert!(query("").await.page(&caller, &others).is_ok());
        }
    }

    #[tokio::test]
    async fn a_limit_is_an_integer_from_1_to_1000_without_a_sign_or_spaces() {
        for (query, expected) in [
            ("", 1000),
            ("?limit=1", 1),
            ("?limit=5", 5),
            ("?limit=1000", 1000),
        ] {
            assert_eq!(limit(query).await, Ok(expected), "{query}");
        }
        // In a query, + is a space.
        for value in ["0", "1001", "4294967297", "+5", "5+", "%2B5", "null", "true"] {
            let query = format!("?limit={value}");
            assert_eq!(limit(&query).await, Err(ProblemCode::InvalidParameter), "{query}");
        }
    }
}
