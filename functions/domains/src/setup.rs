//! Setup links and the setup page, for the person who runs the DNS of a custom domain.

use std::{convert::Infallible, sync::LazyLock, time::Instant};

use axum::{
    Extension,
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFRESH},
    request::Parts,
};
use shared::{
    app::App,
    hash::sha256_base64,
    http::{
        Problem, ProblemCode, Routes,
        body::Body,
        extract::{Admin, PathId, Query, invalid},
        gateway_url,
        problem::Responses,
        reply::Json,
    },
    models::{
        domain::{DnsRecord, Domain, PortalDomain, RecordType, Status},
        id::DomainKind,
        language::Locale,
        setup::{Setup, SetupLink, SetupLinkCreate, SetupToken},
    },
    problems, random, routes,
    store::{Arrival, Author, SetupDomain},
};
use strum::EnumString;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{ContentBuilder, RefOr},
};
use verification::{Network, findings};

use crate::setup_page::{self, SetupView};

/// The page has no script and no inline style. Its images are the agency's.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src https:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn routes<R: Routes>() -> R {
    routes!(
        create_setup_link,
        delete_setup_link,
        get_setup,
        verify_setup,
        get_setup_records,
        get_setup_style
    )
}

problems!(CreateProblems: USER ADMIN AGENCY BODY, [NotFound]);
problems!(DeleteProblems: USER ADMIN AGENCY, [NotFound]);
problems!(SetupProblems: , [NotFound, Internal, Unavailable, Timeout]);
problems!(RecordsProblems: , [InvalidParameter, NotFound, Internal, Unavailable, Timeout]);
problems!(VerifyProblems: , [NotFound, TooManyRequests, Internal, Unavailable, Timeout]);

/// The problems of the page. That of a link that is not valid is a page too.
struct PageProblems;

impl IntoResponses for PageProblems {
    fn responses() -> Responses {
        let page = ContentBuilder::new()
            .schema(Some(String::schema()))
            .example(Some("<!doctype html>…".into()))
            .build();
        let mut responses = RecordsProblems::responses();
        if let Some(RefOr::T(response)) = responses.get_mut(StatusCode::NOT_FOUND.as_str()) {
            response.content.insert("text/html".to_owned(), RefOr::T(page));
        }
        responses
    }
}

/// Create the setup link of a custom domain
///
/// The link is for the person who runs the DNS of the domain. It shows the records and checks them, and nothing else. The API shows
/// it once. A new link replaces the old one.
#[utoipa::path(
    post,
    path = "/agency/portal-domains/{domainId}/setup-link",
    operation_id = "createSetupLink",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    request_body(content = SetupLinkCreate, example = json!({"days": 14})),
    responses((status = 201, description = "The link", body = SetupLink), CreateProblems)
)]
async fn create_setup_link(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
    extensions: Extensions,
    Body(new): Body<SetupLinkCreate>,
) -> Result<(StatusCode, Json<SetupLink>), Problem> {
    let origin = app.config.public_url.clone().or_else(|| gateway_url(&extensions));
    let origin = origin.ok_or(ProblemCode::Internal)?;
    let token = SetupToken::new(random::secret());
    let agency = app.store.agency(&caller)?;
    let expires_at = agency.create_setup_link(id, &new, &token).await?;
    let url = origin + &Link(Some(token)).path(&app);
    Ok((StatusCode::CREATED, Json(SetupLink { url, expires_at })))
}

/// Delete the setup link of a custom domain
///
/// The response is the same if there is no link.
#[utoipa::path(
    delete,
    path = "/agency/portal-domains/{domainId}/setup-link",
    operation_id = "deleteSetupLink",
    tag = "Portal domains",
    params(("domainId" = String, Path, description = "The domain's id")),
    responses((status = 204, description = "There is no link any more"), DeleteProblems)
)]
async fn delete_setup_link(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<DomainKind>,
) -> Result<StatusCode, Problem> {
    app.store.agency(&caller)?.delete_setup_link(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token of a setup link in a path. `None`: the text is not a token, so it is 404 without a request.
struct Link(Option<SetupToken>);

impl FromRequestParts<App> for Link {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(path.ok().and_then(|Path(token)| SetupToken::parse(&token))))
    }
}

impl Link {
    /// What the link shows.
    async fn open(&self, app: &App) -> Result<SetupDomain, Problem> {
        let token = self.0.as_ref().ok_or(ProblemCode::NotFound)?;
        Ok(app.store.setup(token, app.clock.now()).await?)
    }

    /// The path of the page.
    fn path(&self, app: &App) -> String {
        let token = self.0.as_ref().map_or("", SetupToken::as_str);
        app.config.path(&format!("/portal/setup/{token}"))
    }
}

/// Show what to enter into DNS
///
/// For the person who runs the DNS of a custom domain. `Accept` selects the form: a page in German or English, by `Accept-Language`,
/// or JSON. The page reloads itself each minute while the domain is pending, unless the query has `reload=false`.
#[utoipa::path(
    get,
    path = "/portal/setup/{token}",
    operation_id = "getSetup",
    tag = "Public",
    params(
        ("token" = String, Path, description = "The token of a setup link"),
        ("reload" = Option<bool>, Query, description = "Whether the page reloads itself")
    ),
    responses(
        (status = 200, description = "The records and what the last check found", content(
            (Setup = "application/json"),
            (String = "text/html", example = "<!doctype html>…"))),
        PageProblems
    ),
    security(())
)]
async fn get_setup(
    State(app): State<App>,
    link: Link,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let reload = query.optional("reload")?.map_or(Ok(true), str::parse);
    let reload = reload.map_err(|_| invalid("The parameter reload must be true or false."))?;
    let locale = Locale::from_accept(text(&headers, ACCEPT_LANGUAGE));
    let html = prefers_html(&headers);
    let setup = match link.open(&app).await {
        Err(problem) if problem.code == ProblemCode::NotFound && html => {
            let html = setup_page::render_ended(locale);
            return Ok((StatusCode::NOT_FOUND, page(html, &ENDED_POLICY)?).into_response());
        }
        setup => setup?,
    };
    let mut domain = setup.record.domain().clone();
    if !html {
        return Ok(as_json(&app, setup, domain));
    }
    findings::redact_ownership(&mut domain);
    let view = SetupView {
        domain: &domain,
        records: &domain.records(&app.config.names, &app.config.addresses),
        branding: &setup.branding,
        expires_at: setup.expires_at,
        path: &link.path(&app),
        reload,
    };
    let mut response = page(setup_page::render(&view, locale), POLICY)?.into_response();
    if reload && domain.status == Status::Pending {
        response
            .headers_mut()
            .insert(REFRESH, HeaderValue::from_static("60"));
    }
    Ok(response)
}

/// What the link shows of the domain, which a check may have changed since the link was opened.
fn as_json(app: &App, setup: SetupDomain, mut domain: Domain) -> Response {
    findings::redact_ownership(&mut domain);
    let shown = app.config.show(domain);
    Json(Setup::new(shown, setup.branding, setup.expires_at)).into_response()
}

/// The page of a link that is not valid has one inline style, and nothing else.
static ENDED_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = sha256_base64(setup_page::ENDED_STYLE);
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// A rendered page with its policy.
fn page(html: Result<String, askama::Error>, policy: &str) -> Result<impl IntoResponse + use<>, Problem> {
    let html = html.map_err(|_| ProblemCode::Internal)?;
    let policy = HeaderValue::from_str(policy).map_err(|_| ProblemCode::Internal)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    Ok((headers, html))
}

/// Whether the header has `text/html` before `application/json`, as browsers send it. Without either, the response is JSON.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = text(headers, ACCEPT).unwrap_or_default().to_ascii_lowercase();
    let mut types = accept
        .split(',')
        .filter_map(|range| range.split(';').next())
        .map(str::trim);
    types.find(|name| matches!(*name, "text/html" | "application/json")) == Some("text/html")
}

/// A header's value, if it is text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Check DNS now
///
/// Limit: once in 5 s for each domain. A form gets `303` to the page. The request body is ignored.
#[utoipa::path(
    post,
    path = "/portal/setup/{token}/verify",
    operation_id = "verifySetup",
    tag = "Public",
    params(("token" = String, Path, description = "The token of a setup link")),
    responses(
        (status = 200, description = "The records and what the check found", body = Setup),
        (status = 303, description = "The page, after a form", headers(("location" = String, description = "The path of the page"))),
        VerifyProblems
    ),
    security(())
)]
async fn verify_setup(
    State(app): State<App>,
    Extension(network): Extension<Network>,
    link: Link,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let arrival = Arrival {
        now: app.clock.now(),
        since: Instant::now(),
    };
    let setup = link.open(&app).await?;
    let (agency, id) = (setup.record.domain().agency_id.clone(), setup.record.domain().id);
    let checked = match app.store.begin_check_of_domain(&agency, id, arrival).await {
        Ok(record) => super::check(&app, &network, record, Author::System, arrival).await,
        Err(error) => Err(error.into()),
    };
    let content_type = text(&headers, CONTENT_TYPE)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        // If the rate limit applies, the page shows the last check.
        if let Err(problem) = checked
            && problem.code != ProblemCode::TooManyRequests
        {
            return Err(problem);
        }
        let reload = if query.has("reload") { "?reload=false" } else { "" };
        let location = link.path(&app) + reload;
        return Ok((StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response());
    }
    Ok(as_json(&app, setup, checked?))
}

/// Get the style sheet of the setup page
#[utoipa::path(
    get,
    path = "/portal/setup/{token}/style.css",
    operation_id = "getSetupStyle",
    tag = "Public",
    params(("token" = String, Path, description = "The token of a setup link")),
    responses(
        (status = 200, description = "The style sheet", body = String, content_type = "text/css",
            example = ":root { --primary: #0b5fff; }\n"),
        SetupProblems
    ),
    security(())
)]
async fn get_setup_style(State(app): State<App>, link: Link) -> Result<Response, Problem> {
    let setup = link.open(&app).await?;
    let css = HeaderValue::from_static("text/css; charset=utf-8");
    Ok(([(CONTENT_TYPE, css)], setup_page::stylesheet(&setup.branding)).into_response())
}

/// Get the records as a text
#[utoipa::path(
    get,
    path = "/portal/setup/{token}/records",
    operation_id = "getSetupRecords",
    tag = "Public",
    params(
        ("token" = String, Path, description = "The token of a setup link"),
        ("format" = inline(RecordsFormat), Query, description = "The form of the text")
    ),
    responses(
        (status = 200, description = "The records", body = String, content_type = "text/plain",
            example = "portal.acme.com. 300 IN CNAME 5f0c7a1e9b2d4c6f8a3e1d7b9c5f2a40.cname.portal.example.com.\n"),
        RecordsProblems
    ),
    security(())
)]
async fn get_setup_records(State(app): State<App>, link: Link, query: Query) -> Result<Response, Problem> {
    let format = query.required("format")?.parse();
    let format = format.map_err(|_| invalid("The parameter format must be text or zone."))?;
    let setup = link.open(&app).await?;
    let domain = app.config.show(setup.record.domain().clone());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let text = match format {
        RecordsFormat::Text => as_table(&domain),
        RecordsFormat::Zone => as_zone(&domain),
    };
    Ok(([(CONTENT_TYPE, plain)], text).into_response())
}

/// `text` is a table to paste into an email or a ticket. `zone` is lines of a zone file (RFC 1035, section 5).
#[derive(EnumString, ToSchema)]
#[strum(serialize_all = "lowercase")]
#[schema(rename_all = "lowercase")]
enum RecordsFormat {
    Text,
    Zone,
}

/// The records as a table with aligned columns.
fn as_table(domain: &PortalDomain) -> String {
    let rows = domain.records.iter().map(|record| {
        let kind = record.kind.as_str();
        [kind, &*record.name, &*record.host, &*record.value]
    });
    let rows: Vec<_> = std::iter::once(["Type", "Name", "Host", "Value"])
        .chain(rows)
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (kind, name, host) = (width(0), width(1), width(2));
    let line = |row: &[&str; 4]| {
        let [a, b, c, d] = row;
        format!("{a:kind$}  {b:name$}  {c:host$}  {d}\n")
    };
    rows.iter().map(line).collect()
}

/// The records as lines of a zone file. `ALIAS` is not a type of the DNS, so such a record is a comment.
fn as_zone(domain: &PortalDomain) -> String {
    let line = |record: &DnsRecord| {
        let (name, value, kind) = (&record.name, &record.value, record.kind.as_str());
        match record.kind {
            RecordType::Txt => format!("{name}. 300 IN TXT \"{value}\"\n"),
            RecordType::Cname => format!("{name}. 300 IN CNAME {value}.\n"),
            RecordType::A | RecordType::Aaaa => format!("{name}. 300 IN {kind} {value}\n"),
            RecordType::Alias => {
                format!(
                    "; Zone files have no ALIAS record. Add it at your DNS provider: {name}. ALIAS {value}.\n"
                )
            }
        }
    };
    domain.records.iter().map(line).collect()
}
