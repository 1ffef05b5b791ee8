//! What a portal shows: its configuration, its context, and what a visitor may see without a token.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::Serialize;
use shared::{
    app::App,
    http::{
        Problem, ProblemCode,
        body::Update,
        extract::{Admin, IfMatchParams, IfNoneMatchParams, Member, Query},
        reply::{Json, PUBLIC, Tagged},
    },
    models::{
        hostname::Hostname,
        portal::{PortalConfig, PortalConfigUpdate, PortalContext, PublicBranding},
    },
    problems,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

mod theme;

/// The routes of this function.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_portal_config, put_portal_config))
        .routes(routes!(get_portal_context))
        .routes(routes!(get_public_branding))
        .routes(routes!(get_theme_css))
        .routes(routes!(check_tls))
        .routes(routes!(get_health))
}

problems!(GetConfigProblems: USER AGENCY);
problems!(PutConfigProblems: USER ADMIN AGENCY BODY, [Stale]);
problems!(ContextProblems: USER, [NoPortal]);
problems!(PublicProblems: PUBLIC);

/// The portal configuration
///
/// Before the first `PUT` every setting has its default.
#[utoipa::path(
    get,
    path = "/agency/portal-config",
    operation_id = "getPortalConfig",
    tag = "Portal",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The configuration", body = PortalConfig,
            headers(("etag" = String, description = "New with every accepted `PUT`"))),
        (status = 304, description = "The known `ETag` is still right"),
        GetConfigProblems
    )
)]
async fn get_portal_config(
    State(app): State<App>,
    Member(caller): Member,
) -> Result<Tagged<PortalConfig>, Problem> {
    Ok(Tagged::new(app.store.agency(&caller)?.portal_config().await?))
}

/// Change the portal configuration
///
/// Settings that are absent stay as they are; `null` brings the default back.
#[utoipa::path(
    put,
    path = "/agency/portal-config",
    operation_id = "putPortalConfig",
    tag = "Portal",
    params(IfMatchParams),
    request_body(content = PortalConfigUpdate, example = json!({"featureTerminal": true, "infrastructureVisibility": "summary"})),
    responses(
        (status = 200, description = "The configuration as it is now", body = PortalConfig,
            headers(("etag" = String, description = "New with every accepted `PUT`"))),
        PutConfigProblems
    )
)]
async fn put_portal_config(
    State(app): State<App>,
    Admin(caller): Admin,
    Update { body, if_match }: Update<PortalConfigUpdate>,
) -> Result<Tagged<PortalConfig>, Problem> {
    let agency = app.store.agency(&caller)?;
    Ok(Tagged::new(agency.put_portal_config(body, &if_match).await?))
}

/// All that a portal's front end needs to start
///
/// For the agency's users and for the users of its client organizations.
#[utoipa::path(
    get,
    path = "/portal/context",
    operation_id = "getPortalContext",
    tag = "Portal",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The context", body = PortalContext,
            headers(("etag" = String, description = "It follows the content"))),
        (status = 304, description = "The known `ETag` is still right"),
        ContextProblems
    )
)]
async fn get_portal_context(
    State(app): State<App>,
    Member(caller): Member,
) -> Result<Tagged<PortalContext>, Problem> {
    Ok(Tagged::by_content(app.store.portal_context(&caller).await?))
}

/// The branding of the portal at a host name
///
/// For the login page, before anyone has logged in.
#[utoipa::path(
    get,
    path = "/portal/branding",
    operation_id = "getPublicBranding",
    tag = "Public",
    params(("host" = String, Query, description = "The portal's host name")),
    responses((status = 200, description = "The branding", body = PublicBranding), PublicProblems),
    security(())
)]
async fn get_public_branding(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let host = host(query.required("host")?)?;
    let branding: PublicBranding = app.store.public_branding(&host).await?.into();
    Ok(([(CACHE_CONTROL, PUBLIC)], Json(branding)).into_response())
}

/// The branding of the portal at a host name, as a stylesheet
///
/// Custom properties for what is set, then the agency's own stylesheet.
#[utoipa::path(
    get,
    path = "/portal/theme.css",
    operation_id = "getThemeCss",
    tag = "Public",
    params(("host" = String, Query, description = "The portal's host name")),
    responses(
        (status = 200, description = "The stylesheet", body = String, content_type = "text/css"),
        PublicProblems
    ),
    security(())
)]
async fn get_theme_css(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let host = host(query.required("host")?)?;
    let css = theme::stylesheet(&app.store.public_branding(&host).await?.into());
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    Ok(([(CACHE_CONTROL, PUBLIC), (CONTENT_TYPE, kind)], css).into_response())
}

/// Whether a certificate may be issued for a host name
///
/// For an edge proxy that gets certificates on demand. Neither answer has a body.
#[utoipa::path(
    get,
    path = "/portal/tls-check",
    operation_id = "checkTls",
    tag = "Public",
    params(("domain" = String, Query, description = "The host name")),
    responses(
        (status = 200, description = "It is a portal's"),
        (status = 404, description = "It is not"),
        TlsProblems
    ),
    security(())
)]
async fn check_tls(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let domain = query.required("domain")?;
    let served = match Hostname::parse(domain) {
        Ok(hostname) => app.store.holder(&hostname).await?.is_some(),
        Err(_) => false,
    };
    Ok(match served {
        true => ([(CACHE_CONTROL, PUBLIC)], StatusCode::OK).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    })
}

problems!(TlsProblems: , [InvalidParameter, Internal, Unavailable, Timeout]);

/// The answer to a probe.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether the function runs
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "Public",
    responses((status = 200, description = "It does", body = Health)),
    security(())
)]
async fn get_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// A host name of a look-up; what is none has no portal.
fn host(text: &str) -> Result<Hostname, Problem> {
    Hostname::parse(text).map_err(|_| ProblemCode::NoPortal.into())
}
