//! The branding of an agency and of its clients.

use axum::extract::State;
use shared::{
    app::App,
    http::{
        Problem, Routes,
        body::Update,
        extract::{Admin, IfMatchParams, IfNoneMatchParams, Member, PathId},
        reply::Tagged,
    },
    models::{
        branding::{Branding, BrandingUpdate, ClientBranding},
        id::{ClientOrgId, ClientOrgKind},
    },
    problems, routes,
};

/// The routes of this function.
pub fn routes<R: Routes>() -> R {
    routes!(
        get_branding,
        put_branding,
        get_client_branding,
        put_client_branding
    )
}

problems!(GetProblems: USER AGENCY);
problems!(PutProblems: USER ADMIN AGENCY BODY, [Stale]);
problems!(GetClientProblems: USER AGENCY, [NotFound]);
problems!(PutClientProblems: USER ADMIN AGENCY BODY, [NotFound, Stale]);

/// Get the branding
///
/// Before the first `PUT`, every setting is `null`.
#[utoipa::path(
    get,
    path = "/agency/branding",
    operation_id = "getBranding",
    tag = "Branding",
    params(IfNoneMatchParams),
    responses(
        (status = 200, description = "The branding", body = Branding,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        GetProblems
    )
)]
async fn get_branding(State(app): State<App>, Member(caller): Member) -> Result<Tagged<Branding>, Problem> {
    Ok(Tagged::new(app.store.agency(&caller)?.branding(None).await?))
}

/// Update the branding
///
/// An absent setting stays unchanged. `null` or `""` clears a setting.
#[utoipa::path(
    put,
    path = "/agency/branding",
    operation_id = "putBranding",
    tag = "Branding",
    params(IfMatchParams),
    request_body(content = BrandingUpdate, example = json!({
        "primaryColor": "#0b5fff",
        "logoUrl": "https://cdn.acme.com/logo.svg",
        "footerText": null,
    })),
    responses(
        (status = 200, description = "The updated branding", body = Branding,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        PutProblems
    )
)]
async fn put_branding(
    State(app): State<App>,
    Admin(caller): Admin,
    Update { body, if_match }: Update<BrandingUpdate>,
) -> Result<Tagged<Branding>, Problem> {
    let agency = app.store.agency(&caller)?;
    Ok(Tagged::new(agency.put_branding(None, body, &if_match).await?))
}

/// Get a client's own branding
///
/// It contains what differs from the agency's branding. A setting that is `null` is inherited from the agency.
#[utoipa::path(
    get,
    path = "/agency/clients/{clientOrgId}/branding",
    operation_id = "getClientBranding",
    tag = "Branding",
    params(("clientOrgId" = String, Path, description = "The client's id"), IfNoneMatchParams),
    responses(
        (status = 200, description = "The client's branding", body = ClientBranding,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        (status = 304, description = "The `ETag` in `if-none-match` is current"),
        GetClientProblems
    )
)]
async fn get_client_branding(
    State(app): State<App>,
    Member(caller): Member,
    PathId(client): PathId<ClientOrgKind>,
) -> Result<Tagged<ClientBranding>, Problem> {
    let branding = app.store.agency(&caller)?.branding(Some(client)).await?;
    Ok(tagged(client, branding))
}

/// Update a client's own branding
///
/// An absent setting stays unchanged. `null` or `""` inherits the agency's value. Set the dark colours and the dark logo too:
/// otherwise those of the agency show in dark mode.
#[utoipa::path(
    put,
    path = "/agency/clients/{clientOrgId}/branding",
    operation_id = "putClientBranding",
    tag = "Branding",
    params(("clientOrgId" = String, Path, description = "The client's id"), IfMatchParams),
    request_body(content = BrandingUpdate, example = json!({
        "primaryColor": "#0a5d3a",
        "logoUrl": "https://cdn.mueller.com/logo.svg",
        "footerText": null,
    })),
    responses(
        (status = 200, description = "The client's updated branding", body = ClientBranding,
            headers(("etag" = String, description = "Every accepted `PUT` creates a new tag"))),
        PutClientProblems
    )
)]
async fn put_client_branding(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(client): PathId<ClientOrgKind>,
    Update { body, if_match }: Update<BrandingUpdate>,
) -> Result<Tagged<ClientBranding>, Problem> {
    let agency = app.store.agency(&caller)?;
    let branding = agency.put_branding(Some(client), body, &if_match).await?;
    Ok(tagged(client, branding))
}

fn tagged(client_org_id: ClientOrgId, (branding, tag): (Branding, String)) -> Tagged<ClientBranding> {
    let branding = ClientBranding {
        client_org_id,
        branding,
    };
    Tagged::new((branding, tag))
}
