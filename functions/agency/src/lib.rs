//! The functions of an agency: `enable`, the overview and the audit log.

use axum::extract::State;
use shared::{
    app::App,
    auth::Tenant,
    http::{
        Problem, ProblemCode, Routes,
        extract::{Admin, Member, PageParams, Query},
        reply::Json,
    },
    models::{
        agency::{AgencyResource, Overview},
        audit::AuditEntry,
    },
    problems, routes,
    store::Page,
};

/// The routes of this function.
pub fn routes<R: Routes>() -> R {
    routes!(enable_agency, get_agency_overview, list_audit_entries)
}

problems!(EnableProblems: USER ADMIN, [ClientOrganization]);
problems!(OverviewProblems: USER AGENCY);
problems!(AuditProblems: USER ADMIN AGENCY PAGED);

/// Enable agency mode
///
/// Enables agency mode for the caller's organization. A repeated call changes nothing. A body is ignored.
#[utoipa::path(
    post,
    path = "/agency/enable",
    operation_id = "enableAgency",
    tag = "Agency",
    responses((status = 200, description = "The agency", body = AgencyResource), EnableProblems)
)]
async fn enable_agency(
    State(app): State<App>,
    Admin(caller): Admin,
) -> Result<Json<AgencyResource>, Problem> {
    if !matches!(caller.principal.tenant, Tenant::Agency(_)) {
        return Err(ProblemCode::ClientOrganization.into());
    }
    Ok(Json(app.store.agency(&caller)?.enable().await?))
}

/// Get a summary of the agency
#[utoipa::path(
    get,
    path = "/agency/overview",
    operation_id = "getAgencyOverview",
    tag = "Agency",
    responses((status = 200, description = "Exact counts and the primary domain", body = Overview), OverviewProblems)
)]
async fn get_agency_overview(
    State(app): State<App>,
    Member(caller): Member,
) -> Result<Json<Overview>, Problem> {
    Ok(Json(app.store.agency(&caller)?.overview().await?))
}

/// List the audit log, newest first
#[utoipa::path(
    get,
    path = "/agency/audit",
    operation_id = "listAuditEntries",
    tag = "Agency",
    params(PageParams),
    responses((status = 200, description = "A page of entries", body = Page<AuditEntry>), AuditProblems)
)]
async fn list_audit_entries(
    State(app): State<App>,
    Admin(caller): Admin,
    query: Query,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let page = query.page(&caller, &[])?;
    Ok(Json(app.store.agency(&caller)?.audit_entries(&page).await?))
}
