//! The agency's branding.

use axum::extract::State;
use shared::{
    app::App,
    http::{
        Problem,
        body::Update,
        extract::{Admin, IfMatchParams, IfNoneMatchParams, Member},
        reply::Tagged,
    },
    models::branding::{Branding, BrandingUpdate},
    problems,
};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of this function.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_branding, put_branding))
}

problems!(GetProblems: USER AGENCY);
problems!(PutProblems: USER ADMIN AGENCY BODY, [Stale]);

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
    Ok(Tagged::new(app.store.agency(&caller)?.branding().await?))
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
    request_body(content = BrandingUpdate, example = json!({"primaryColor": "#0b5fff", "logoUrl": "https://cdn.acme.com/logo.svg", "footerText": null})),
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
    Ok(Tagged::new(agency.put_branding(body, &if_match).await?))
}
