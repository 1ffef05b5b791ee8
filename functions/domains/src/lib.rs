//! The agency's portal domains: names of ours, and names that the agency proves by DNS.

use std::time::{Duration, Instant};

use axum::extract::State;
use http::StatusCode;
use shared::{
    app::App,
    http::{
        Problem,
        body::Create,
        extract::{Admin, IdempotencyParams, Member, PageParams, PathId, Query},
        reply::{CreatedAt, Json},
    },
    models::{
        domain::{DomainType, PortalDomain, PortalDomainCreate, Token},
        id::DomainKind,
    },
    problems, random,
    store::{Author, Caller, Checked, Page},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use verification::{check::Checks, dns::Dns, lifecycle::Trigger};

/// A check's last write counts as begun no earlier than this ago: however long DNS took, it may be tried again.
const WRITE_AFTER: Duration = Duration::from_secs(8);

/// The routes of this function. `dns` answers for the names.
pub fn router(dns: Dns) -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_portal_domains, create_portal_domain))
        .routes(routes!(get_portal_domain, delete_portal_domain))
        .routes(routes!(verify_portal_domain))
        .layer(axum::Extension(dns))
}

problems!(ListProblems: USER AGENCY PAGED);
problems!(CreateProblems: USER ADMIN AGENCY BODY IDEMPOTENT, [HostnameTaken, LimitReached]);
problems!(GetProblems: USER AGENCY, [NotFound]);
problems!(DeleteProblems: USER ADMIN AGENCY, [NotFound]);
problems!(VerifyProblems: USER ADMIN AGENCY, [NotFound, TooManyRequests]);

/// The domains, oldest first
#[utoipa::path(
    get,
    path = "/agency/portal-domains",
    operation_id = "listPortalDomains",
    tag = "Portal domains",
    params(PageParams),
    responses((status = 200, description = "A page of domains", body = Page<PortalDomain>), ListProblems)
)]
async fn list_portal_domains(
    State(app): State<App>,
    Member(caller): Member,
    query: Query,
) -> Result<Json<Page<PortalDomain>>, Problem> {
    let page = query.page(&caller)?;
    let domains = app.store.agency(&caller)?.domains(&page).await?;
    Ok(Json(domains.map(|domain| app.config.show(domain))))
}

/// Create a domain
///
/// A subdomain is verified from the start. A custom domain comes with the records that prove it.
#[utoipa::path(
    post,
    path = "/agency/portal-domains",
    operation_id = "createPortalDomain",
    tag = "Portal domains",
    params(IdempotencyParams),
    request_body(content = PortalDomainCreate, example = json!({"customDomain": "portal.acme.com"})),
    responses(
        (status = 201, description = "The domain", body = PortalDomain, headers(
            ("location" = String, description = "Its path"),
            ("idempotency-replayed" = bool, description = "`true` where this is the answer to an earlier request"))),
        CreateProblems
    )
)]
async fn create_portal_domain(
    State(app): State<App>,
    Admin(caller): Admin,
    Create { body, key }: Create<PortalDomainCreate>,
) -> Result<CreatedAt<PortalDomain>, Problem> {
    let agency = app.store.agency(&caller)?;
    let token = Token::new(random::bits());
    let created = agency
        .create_domain(body, token, &app.config, key.as_ref())
        .await?;
    let location = app
        .config
        .path(&format!("/agency/portal-domains/{}", created.resource.id));
    Ok(CreatedAt { created, location })
}

/// A domain
#[utoipa::path(
    get,
    path = "/agency/portal-domains/{domainId}",
    operation_id = "getPortalDomain",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    responses((status = 200, description = "The domain", body = PortalDomain), GetProblems)
)]
async fn get_portal_domain(
    State(app): State<App>,
    Member(caller): Member,
    PathId(id): PathId<DomainKind>,
) -> Result<Json<PortalDomain>, Problem> {
    let domain = app.store.agency(&caller)?.domain(id).await?;
    Ok(Json(app.config.show(domain)))
}

/// Delete a domain
///
/// Its records in DNS prove nothing any more. The label of a subdomain is kept for the agency for 30 days.
#[utoipa::path(
    delete,
    path = "/agency/portal-domains/{domainId}",
    operation_id = "deletePortalDomain",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    responses((status = 204, description = "It is gone"), DeleteProblems)
)]
async fn delete_portal_domain(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
) -> Result<StatusCode, Problem> {
    app.store.agency(&caller)?.delete_domain(id, &app.config).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Check DNS now
///
/// A domain that is not ready is no error: `check` tells what is missing. Once in 5 s for each domain. A body is
/// ignored.
#[utoipa::path(
    post,
    path = "/agency/portal-domains/{domainId}/verify",
    operation_id = "verifyPortalDomain",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    responses((status = 200, description = "The domain after the check", body = PortalDomain), VerifyProblems)
)]
async fn verify_portal_domain(
    State(app): State<App>,
    axum::Extension(dns): axum::Extension<Dns>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
) -> Result<Json<PortalDomain>, Problem> {
    let agency = app.store.agency(&caller)?;
    let record = agency.begin_check(id).await?;
    let domain = record.domain();
    if domain.kind == DomainType::Subdomain {
        return Ok(Json(app.config.show(domain.clone())));
    }
    let checks = Checks::new(&app, &dns);
    let hostname = domain.hostname.clone();
    let (mut check, holder) = tokio::join!(
        checks.look(Box::new(record), Trigger::Verify),
        app.store.holder(&hostname)
    );
    let mut holder = Some(holder?);
    // DNS may have taken most of the request's time: the change is of now, and what is left is for the write.
    let caller = Caller {
        now: app.clock.now(),
        since: Instant::now()
            .checked_sub(WRITE_AFTER)
            .map_or(caller.since, |earliest| earliest.max(caller.since)),
        ..caller.clone()
    };
    let mut retry = app.store.retry_since(caller.since);
    loop {
        let verdict = checks.judge(&mut check, holder.take(), app.clock.now()).await?;
        let rival = verdict.rival();
        let by = Author::User(&caller);
        match app.store.finish_check(by, verdict.change.clone(), rival).await? {
            Checked::Written(domain) | Checked::Lost(domain) => return Ok(Json(app.config.show(*domain))),
            // Between the look at the holder and the write somebody took or left the name, or checked it.
            Checked::HolderChanged => retry.wait().await?,
        }
    }
}
