//! The agency's portal domains: subdomains of the operator, and custom domains that the agency proves by DNS.

use std::time::{Duration, Instant};

use axum::extract::State;
use http::StatusCode;
use shared::{
    app::App,
    http::{
        Problem, ProblemCode, Routes,
        body::{Body, Create},
        extract::{Admin, IdempotencyParams, Member, PageParams, PathId, Query},
        reply::{CreatedAt, Json},
    },
    models::{
        domain::{
            Domain, DomainType, FindingCode, PortalDomain, PortalDomainCreate, PortalDomainUpdate, Token,
        },
        id::DomainKind,
    },
    problems, random, routes,
    store::{Arrival, Author, DomainRecord, Page},
    telemetry,
};
use verification::{Checker, Network, Trigger, Turns};

mod setup;
mod setup_page;
mod setup_words;

/// DNS may have used most of the request's time. A write that conflicts is repeated for at least this long after the
/// domain's own check; the holder's check is part of it.
const MIN_WRITE_TIME: Duration = Duration::from_millis(1500);

pub fn routes<R: Routes>(network: Network) -> R {
    let own: R = routes!(
        list_portal_domains,
        create_portal_domain,
        get_portal_domain,
        update_portal_domain,
        delete_portal_domain,
        verify_portal_domain
    );
    own.merge(setup::routes()).with_extension(network)
}

problems!(ListProblems: USER AGENCY PAGED);
problems!(CreateProblems: USER ADMIN AGENCY BODY IDEMPOTENT, [HostnameTaken, LimitReached]);
problems!(GetProblems: USER AGENCY, [NotFound]);
problems!(UpdateProblems: USER ADMIN AGENCY BODY, [NotFound, RedirectTarget]);
problems!(DeleteProblems: USER ADMIN AGENCY, [NotFound, RedirectTarget]);
problems!(VerifyProblems: USER ADMIN AGENCY, [NotFound, TooManyRequests]);

/// List the domains, oldest first
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
    let page = query.page(&caller, &[])?;
    let domains = app.store.agency(&caller)?.domains(&page).await?;
    Ok(Json(domains.map(|domain| app.config.show(domain))))
}

/// Create a domain
///
/// A subdomain is verified from the start. The response for a custom domain has the DNS records that prove it.
#[utoipa::path(
    post,
    path = "/agency/portal-domains",
    operation_id = "createPortalDomain",
    tag = "Portal domains",
    params(IdempotencyParams),
    request_body(content = PortalDomainCreate, example = json!({"customDomain": "portal.acme.com"})),
    responses(
        (status = 201, description = "The domain", body = PortalDomain, headers(
            ("location" = String, description = "The path of the domain"),
            ("idempotency-replayed" = bool, description = "`true` if this is the response to an earlier request")), links(
            ("getPortalDomain" = (operation_id = "getPortalDomain", parameters(("domainId" = "$response.body#/id")))),
            ("updatePortalDomain" = (operation_id = "updatePortalDomain", parameters(("domainId" = "$response.body#/id")))),
            ("verifyPortalDomain" = (operation_id = "verifyPortalDomain", parameters(("domainId" = "$response.body#/id")))),
            ("createSetupLink" = (operation_id = "createSetupLink", parameters(("domainId" = "$response.body#/id")))),
            ("deleteSetupLink" = (operation_id = "deleteSetupLink", parameters(("domainId" = "$response.body#/id")))),
            ("deletePortalDomain" = (operation_id = "deletePortalDomain", parameters(("domainId" = "$response.body#/id")))))),
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
    let key = key.as_ref();
    let created = agency.create_domain(body, token, &app.config, key).await?;
    let path = format!("/agency/portal-domains/{}", created.resource.id);
    let location = app.config.path(&path);
    Ok(CreatedAt { created, location })
}

/// Get a domain
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

/// Update a domain
///
/// A portal has at most one primary domain: setting `primary` clears it on the former one. A domain that others redirect to cannot
/// redirect (`422`), move or be deleted (`409` `redirect-target`). A move to another portal clears `primary` and `redirectTo`, unless
/// the request sets them.
#[utoipa::path(
    patch,
    path = "/agency/portal-domains/{domainId}",
    operation_id = "updatePortalDomain",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    request_body(content = PortalDomainUpdate, example = json!({"primary": true})),
    responses((status = 200, description = "The updated domain", body = PortalDomain), UpdateProblems)
)]
async fn update_portal_domain(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
    Body(update): Body<PortalDomainUpdate>,
) -> Result<Json<PortalDomain>, Problem> {
    let agency = app.store.agency(&caller)?;
    Ok(Json(agency.update_domain(id, &update, &app.config).await?))
}

/// Delete a domain
///
/// The records that remain in DNS prove nothing any more. The label of a subdomain that existed for a day is kept for the
/// agency for 30 days.
#[utoipa::path(
    delete,
    path = "/agency/portal-domains/{domainId}",
    operation_id = "deletePortalDomain",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    responses((status = 204, description = "The domain was deleted"), DeleteProblems)
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
/// If the domain is not ready, the response is `200` too, and `check` says what is missing. Limit: once in 5 s for each
/// domain. The request body is ignored.
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
    axum::Extension(network): axum::Extension<Network>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
) -> Result<Json<PortalDomain>, Problem> {
    let agency = app.store.agency(&caller)?;
    let arrival = caller.arrival();
    let record = app.store.begin_check(agency.org, id, arrival).await?;
    let domain = check(&app, &network, record, Author::User(&caller), arrival).await?;
    Ok(Json(app.config.show(domain)))
}

/// Checks a domain now.
async fn check(
    app: &App,
    network: &Network,
    record: DomainRecord,
    author: Author<'_>,
    arrival: Arrival,
) -> Result<Domain, Problem> {
    if record.domain().kind == DomainType::Subdomain {
        return Ok(record.domain().clone());
    }
    let checker = Checker::new(app, network);
    let observed = checker.observe(Box::new(record), Trigger::Verify).await;
    let observed = observed.map_err(|busy| not_checked(busy.into()))?;
    let deadline = app.store.deadline(arrival.since);
    let deadline = deadline.max(Instant::now() + MIN_WRITE_TIME);
    let settled = checker
        .settle(observed, author, deadline, &Turns::default())
        .await;
    let domain = settled.map_err(not_checked)?.into_domain();
    if domain.has_finding(FindingCode::ResolverFailed) {
        telemetry::resolver_failed();
    }
    Ok(domain)
}

fn not_checked(error: verification::CheckError) -> Problem {
    match error {
        verification::CheckError::Busy(_) => ProblemCode::Unavailable.into(),
        verification::CheckError::Store(error) => error.into(),
    }
}
