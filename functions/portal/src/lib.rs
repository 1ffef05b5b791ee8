//! The portal: its configuration, its context and the public operations.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::LOCATION};
use serde::Serialize;
use serde_json::Value;
use shared::{
    app::App,
    http::{
        Problem, ProblemCode, Routes,
        body::Update,
        extract::{Admin, IfMatchParams, IfNoneMatchParams, Member, PathId, Query},
        reply::{Json, PUBLIC, Tagged, encode, public},
    },
    models::{
        hostname::Hostname,
        id::ClientOrgKind,
        portal::{ClientPortalConfig, PortalConfig, PortalConfigUpdate, PortalContext, PublicBranding},
    },
    problems, routes,
};
use utoipa::ToSchema;

mod theme;

/// The routes of this function.
pub fn routes<R: Routes>() -> R {
    routes!(
        get_portal_config,
        put_portal_config,
        get_client_portal_config,
        put_client_portal_config,
        get_portal_context,
        get_public_branding,
        get_theme_css,
        redirect_host,
        check_tls,
        get_health,
        get_openapi,
        get_openapi30
    )
}

problems!(GetConfigProblems: USER AGENCY);
problems!(PutConfigProblems: USER ADMIN AGENCY BODY, [Stale]);
problems!(GetClientConfigProblems: USER AGENCY, [NotFound]);
problems!(PutClientConfigProblems: USER ADMIN AGENCY BODY, [NotFound, Stale]);
problems!(ContextProblems: USER, [InvalidParameter, ClientSuspended, WrongPortal, NoPortal]);
problems!(PublicProblems: PUBLIC);

/// Get the portal configuration
///
/// Before the first `PUT`, every setting has its default.
#[utoipa::path(
    get,
    path = "/agency/portal-config",
    operation_id = "getPortalConfig",
    tag = "Portal",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The configuration", body = PortalConfig,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        GetConfigProblems
    )
)]
async fn get_portal_config(
    State(app): State<App>,
    Member(caller): Member,
) -> Result<Tagged<PortalConfig>, Problem> {
    let (config, tag) = app.store.agency(&caller)?.portal_config(None).await?;
    Ok(Tagged::new((config.resolve(&app.config.features), tag)))
}

/// Update the portal configuration
///
/// An absent setting stays unchanged. `null` restores the default.
#[utoipa::path(
    put,
    path = "/agency/portal-config",
    operation_id = "putPortalConfig",
    tag = "Portal",
    params(IfMatchParams),
    request_body(content = PortalConfigUpdate, example = json!({"featureTerminal": true, "infrastructureVisibility": "summary"})),
    responses(
        (status = 200, description = "The updated configuration", body = PortalConfig,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        PutConfigProblems
    )
)]
async fn put_portal_config(
    State(app): State<App>,
    Admin(caller): Admin,
    Update { body, if_match }: Update<PortalConfigUpdate>,
) -> Result<Tagged<PortalConfig>, Problem> {
    let (agency, features) = (app.store.agency(&caller)?, &app.config.features);
    let put = agency.put_portal_config(None, features, body, &if_match);
    let (config, tag) = put.await?;
    Ok(Tagged::new((config.resolve(features), tag)))
}

/// Get a client's own portal configuration
///
/// It contains what differs from the agency's configuration. A setting that is `null` is inherited from the agency.
#[utoipa::path(
    get,
    path = "/agency/clients/{clientOrgId}/portal-config",
    operation_id = "getClientPortalConfig",
    tag = "Portal",
    params(("clientOrgId" = String, Path, description = "The client's id"), IfNoneMatchParams),
    responses(
        (status = 200, description = "The client's configuration", body = ClientPortalConfig,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        GetClientConfigProblems
    )
)]
async fn get_client_portal_config(
    State(app): State<App>,
    Member(caller): Member,
    PathId(client): PathId<ClientOrgKind>,
) -> Result<Tagged<ClientPortalConfig>, Problem> {
    let (config, tag) = app.store.agency(&caller)?.portal_config(Some(client)).await?;
    Ok(Tagged::new((config.own(client, &app.config.features), tag)))
}

/// Update a client's own portal configuration
///
/// An absent setting stays unchanged. `null` inherits the agency's value.
#[utoipa::path(
    put,
    path = "/agency/clients/{clientOrgId}/portal-config",
    operation_id = "putClientPortalConfig",
    tag = "Portal",
    params(("clientOrgId" = String, Path, description = "The client's id"), IfMatchParams),
    request_body(content = PortalConfigUpdate, example = json!({"featureTerminal": true, "featureLogs": null})),
    responses(
        (status = 200, description = "The client's updated configuration", body = ClientPortalConfig,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        PutClientConfigProblems
    )
)]
async fn put_client_portal_config(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(client): PathId<ClientOrgKind>,
    Update { body, if_match }: Update<PortalConfigUpdate>,
) -> Result<Tagged<ClientPortalConfig>, Problem> {
    let (agency, features) = (app.store.agency(&caller)?, &app.config.features);
    let put = agency.put_portal_config(Some(client), features, body, &if_match);
    let (config, tag) = put.await?;
    Ok(Tagged::new((config.own(client, features), tag)))
}

/// Get all data that a portal's front end needs to start
///
/// For the agency's users and for the users of its client organizations.
#[utoipa::path(
    get,
    path = "/portal/context",
    operation_id = "getPortalContext",
    tag = "Portal",
    params(
        IfNoneMatchParams,
        ("host" = Option<String>, Query, min_length = 1, description = "The host name of the page that shows the portal. \
            The branding is that of the client whose domain it is, and `domain` is this host. The response is \
            `wrong-portal` if it is a host of another agency or of another client.")
    ),
    responses(
        (status = 200, description = "The context", body = PortalContext,
            headers(("etag" = String, description = "A hash of the content"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        ContextProblems
    )
)]
async fn get_portal_context(
    State(app): State<App>,
    Member(caller): Member,
    query: Query,
) -> Result<Tagged<PortalContext>, Problem> {
    let host = query.optional("host")?.map(|host| Hostname::parse(host).ok());
    let context = app.store.portal_context(&caller, host, &app.config.features);
    Ok(Tagged::by_content(context.await?))
}

/// Get the branding of the portal at a host name
///
/// For the login page, before the user has logged in.
#[utoipa::path(
    get,
    path = "/portal/branding",
    operation_id = "getPublicBranding",
    tag = "Public",
    params(IfNoneMatchParams, ("host" = String, Query, min_length = 1, description = "The portal's host name")),
    responses(
        (status = 200, description = "The branding", body = PublicBranding,
            headers(("etag" = String, description = "A hash of the content"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        PublicProblems
    ),
    security(())
)]
async fn get_public_branding(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let branding = public_branding(&app, &query).await?;
    Ok(public("application/json", encode(&branding)))
}

/// Get the branding of the portal at a host name as a style sheet
///
/// It contains `@font-face`, custom properties for the colours, fonts and images that are set, their dark values, and the style
/// sheet of the agency or client.
#[utoipa::path(
    get,
    path = "/portal/theme.css",
    operation_id = "getThemeCss",
    tag = "Public",
    params(IfNoneMatchParams, ("host" = String, Query, min_length = 1, description = "The portal's host name")),
    responses(
        (status = 200, description = "The style sheet", body = String, content_type = "text/css",
            headers(("etag" = String, description = "A hash of the content")),
            example = ":root {\n  --portal-primary: #0b5fff;\n  --portal-on-primary: #ffffff;\n}\n"),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        PublicProblems
    ),
    security(())
)]
async fn get_theme_css(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let css = theme::stylesheet(&public_branding(&app, &query).await?);
    Ok(public("text/css; charset=utf-8", css))
}

/// Get the host name that a host name redirects to
///
/// For an edge proxy, which adds the path and the query. A redirect keeps the method (RFC 9110, section 15.4.9). `404` `no-portal`: the
/// host does not redirect, or one of the two hosts is not served.
#[utoipa::path(
    get,
    path = "/portal/redirect",
    operation_id = "redirectHost",
    tag = "Public",
    params(("host" = String, Query, min_length = 1, description = "The host name that the visitor asked for")),
    responses(
        (status = 308, description = "Both host names are served",
            headers(("location" = String, description = "`https://` and the other host name"))),
        PublicProblems
    ),
    security(())
)]
async fn redirect_host(State(app): State<App>, query: Query) -> Result<Response, Problem> {
    let hostname = Hostname::parse(query.required("host")?).map_err(|_| ProblemCode::NoPortal)?;
    let target = app
        .store
        .redirect(&hostname)
        .await?
        .ok_or(ProblemCode::NoPortal)?;
    let location = [(LOCATION, format!("https://{target}"))];
    Ok((StatusCode::PERMANENT_REDIRECT, PUBLIC, location).into_response())
}

/// Check whether a certificate may be issued for a host name
///
/// For an edge proxy that gets certificates on demand. The responses have no body.
#[utoipa::path(
    get,
    path = "/portal/tls-check",
    operation_id = "checkTls",
    tag = "Public",
    params(("domain" = String, Query, min_length = 1, description = "The host name")),
    responses(
        (status = 200, description = "A portal serves this host name"),
        (status = 404, description = "No portal serves this host name"),
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
        true => (PUBLIC, StatusCode::OK).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    })
}

problems!(TlsProblems: , [InvalidParameter, Internal, Unavailable, Timeout]);

/// The response to a probe.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Check whether the function runs
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "Public",
    responses((status = 200, description = "The function runs", body = Health)),
    security(())
)]
async fn get_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// A document in the format of the OpenAPI Specification.
#[derive(ToSchema)]
#[allow(dead_code)] // Only for the documentation.
struct OpenapiDocument(BTreeMap<String, Value>);

/// Get this document
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenapi",
    tag = "Public",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The document", body = OpenapiDocument,
            headers(("etag" = String, description = "A hash of the content")),
            example = json!({"openapi": "3.1.0", "info": {"title": "Agency API", "version": "0.1.0"}, "paths": {}})),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
    ),
    security(())
)]
async fn get_openapi(State(app): State<App>) -> Response {
    document(&app, include_str!(concat!(env!("OUT_DIR"), "/openapi.json")))
}

/// Get this document in OpenAPI 3.0
///
/// For generators that do not read OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi-3.0.json",
    operation_id = "getOpenapi30",
    tag = "Public",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The document", body = OpenapiDocument,
            headers(("etag" = String, description = "A hash of the content")),
            example = json!({"openapi": "3.0.3", "info": {"title": "Agency API", "version": "0.1.0"}, "paths": {}})),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
    ),
    security(())
)]
async fn get_openapi30(State(app): State<App>) -> Response {
    document(&app, include_str!(concat!(env!("OUT_DIR"), "/openapi-3.0.json")))
}

/// A document, with the base path as the URL of its server.
fn document(app: &App, json: &'static str) -> Response {
    const SERVER: &str = r#""url": "/""#;
    match &app.config.base_path {
        Some(path) => public(
            "application/json",
            json.replacen(SERVER, &format!(r#""url": "{path}""#), 1),
        ),
        None => public("application/json", json),
    }
}

/// The branding at `host`. A text that is not a host name is `no-portal`, like an unknown host name.
async fn public_branding(app: &App, query: &Query) -> Result<PublicBranding, Problem> {
    let hostname = Hostname::parse(query.required("host")?).map_err(|_| ProblemCode::NoPortal)?;
    Ok(app.store.public_branding(&hostname).await?)
}
