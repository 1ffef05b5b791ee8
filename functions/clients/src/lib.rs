//! The agency's client organizations.

use axum::extract::State;
use http::StatusCode;
use shared::{
    app::App,
    http::{
        Problem, Routes,
        body::{Body, Create},
        extract::{Admin, IdempotencyParams, Member, PageParams, PathId, Query, invalid},
        reply::{CreatedAt, Json},
    },
    models::{
        client::{ClientOrg, ClientOrgCreate, ClientOrgUpdate},
        folded::FoldedName,
        id::ClientOrgKind,
        slug::Slug,
        text::ExternalId,
    },
    problems, routes,
    store::Page,
};

/// The routes of this function.
pub fn routes<R: Routes>() -> R {
    routes!(
        list_client_orgs,
        create_client_org,
        get_client_org,
        update_client_org,
        delete_client_org
    )
}

problems!(ListProblems: USER AGENCY PAGED);
problems!(CreateProblems: USER ADMIN AGENCY BODY IDEMPOTENT, [SlugTaken, ExternalIdTaken, LimitReached]);
problems!(GetProblems: USER AGENCY, [NotFound]);
problems!(UpdateProblems: USER ADMIN AGENCY BODY, [NotFound, SlugTaken, ExternalIdTaken]);
problems!(DeleteProblems: USER ADMIN AGENCY, [NotFound, ClientHasDomains]);

/// List the clients
///
/// The list is in the order of creation, oldest first. With `slug` or `externalId`, it contains only the client with this slug
/// or external id, if there is one. With `name`, it contains the clients whose name begins with `name`, in the order of the
/// names. Case, width and invisible characters do not matter.
///
/// Send at most one of `slug`, `externalId` and `name`. Do not combine `slug` or `externalId` with `limit` or `cursor`.
#[utoipa::path(
    get,
    path = "/agency/clients",
    operation_id = "listClientOrgs",
    tag = "Clients",
    params(
        PageParams,
        ("slug" = Option<String>, Query, min_length = 1, description = "The slug of a client"),
        ("externalId" = Option<String>, Query, min_length = 1, description = "The external id of a client"),
        ("name" = Option<String>, Query, min_length = 1,
            description = "The beginning of the names of clients, compared in Unicode's NFKC_Casefold")
    ),
    responses((status = 200, description = "A page of clients", body = Page<ClientOrg>), ListProblems)
)]
async fn list_client_orgs(
    State(app): State<App>,
    Member(caller): Member,
    query: Query,
) -> Result<Json<Page<ClientOrg>>, Problem> {
    let page = query.page(&caller, &ClientFilter::PARAMETERS)?;
    let filter = ClientFilter::parse(&query)?;
    let agency = app.store.agency(&caller)?;
    let client = match filter {
        ClientFilter::All => return Ok(Json(agency.clients(&page).await?)),
        ClientFilter::Name(name) => return Ok(Json(agency.clients_named(&name, &page).await?)),
        ClientFilter::Slug(slug) => agency.client_by_slug(slug.as_ref()).await?,
        ClientFilter::ExternalId(id) => agency.client_by_external_id(id.as_ref()).await?,
    };
    Ok(Json(Page {
        items: client.into_iter().collect(),
        next_cursor: None,
    }))
}

/// The clients that a list contains. `None` is a slug or an external id that does not parse, which no client has.
enum ClientFilter {
    All,
    Slug(Option<Slug>),
    ExternalId(Option<ExternalId>),
    Name(FoldedName),
}

impl ClientFilter {
    const PARAMETERS: [&str; 3] = ["slug", "externalId", "name"];

    fn parse(query: &Query) -> Result<Self, Problem> {
        let [slug, external_id, name] = Self::PARAMETERS.map(|name| query.optional(name));
        let filter = match (slug?, external_id?, name?) {
            (None, None, None) => return Ok(Self::All),
            (None, None, Some(name)) => {
                let name = FoldedName::new(name);
                if name.as_str().is_empty() {
                    return Err(invalid("The parameter name has no visible character."));
                }
                return Ok(Self::Name(name));
            }
            (Some(slug), None, None) => Self::Slug(slug.parse().ok()),
            (None, Some(id), None) => Self::ExternalId(id.parse().ok()),
            _ => return Err(invalid("Send only one of slug, externalId and name.")),
        };
        if query.has("limit") || query.has("cursor") {
            return Err(invalid("Remove limit and cursor, or remove slug and externalId."));
        }
        Ok(filter)
    }
}

/// Create a client
#[utoipa::path(
    post,
    path = "/agency/clients",
    operation_id = "createClientOrg",
    tag = "Clients",
    params(IdempotencyParams),
    request_body(content = ClientOrgCreate, example = json!({"name": "Bäckerei Müller", "metadata": {"plan": "gold"}})),
    responses(
        (status = 201, description = "The client", body = ClientOrg, headers(
            ("location" = String, description = "The path of the client"),
            ("idempotency-replayed" = bool, description = "`true` if this is the response of an earlier request")), links(
            ("getClientOrg" = (operation_id = "getClientOrg", parameters(("clientOrgId" = "$response.body#/id")))),
            ("updateClientOrg" = (operation_id = "updateClientOrg", parameters(("clientOrgId" = "$response.body#/id")))),
            ("deleteClientOrg" = (operation_id = "deleteClientOrg", parameters(("clientOrgId" = "$response.body#/id")))),
            ("getClientBranding" = (operation_id = "getClientBranding", parameters(("clientOrgId" = "$response.body#/id")))),
            ("putClientBranding" = (operation_id = "putClientBranding", parameters(("clientOrgId" = "$response.body#/id")))),
            ("getClientPortalConfig" =
                (operation_id = "getClientPortalConfig", parameters(("clientOrgId" = "$response.body#/id")))),
            ("putClientPortalConfig" =
                (operation_id = "putClientPortalConfig", parameters(("clientOrgId" = "$response.body#/id")))))),
        CreateProblems
    )
)]
async fn create_client_org(
    State(app): State<App>,
    Admin(caller): Admin,
    Create { body, key }: Create<ClientOrgCreate>,
) -> Result<CreatedAt<ClientOrg>, Problem> {
    let agency = app.store.agency(&caller)?;
    let created = agency
        .create_client(&body, app.config.max_clients, key.as_ref())
        .await?;
    let path = format!("/agency/clients/{}", created.resource.id);
    let location = app.config.path(&path);
    Ok(CreatedAt { created, location })
}

/// Get a client
#[utoipa::path(
    get,
    path = "/agency/clients/{clientOrgId}",
    operation_id = "getClientOrg",
    tag = "Clients",
    params(("clientOrgId" = String, Path, description = "The client's id")),
    responses((status = 200, description = "The client", body = ClientOrg), GetProblems)
)]
async fn get_client_org(
    State(app): State<App>,
    Member(caller): Member,
    PathId(id): PathId<ClientOrgKind>,
) -> Result<Json<ClientOrg>, Problem> {
    Ok(Json(app.store.agency(&caller)?.client(id).await?))
}

/// Update a client
///
/// Each pair of `metadata` is set or, with the value `null`, removed. While a client is suspended, its users cannot load the
/// portal. Its host names still serve the public operations.
#[utoipa::path(
    patch,
    path = "/agency/clients/{clientOrgId}",
    operation_id = "updateClientOrg",
    tag = "Clients",
    params(("clientOrgId" = String, Path, description = "The client's id")),
    request_body(content = ClientOrgUpdate, example = json!({
        "name": "Bäckerei Müller GmbH",
        "slug": "mueller",
        "metadata": {"plan": null},
    })),
    responses((status = 200, description = "The updated client", body = ClientOrg), UpdateProblems)
)]
async fn update_client_org(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<ClientOrgKind>,
    Body(update): Body<ClientOrgUpdate>,
) -> Result<Json<ClientOrg>, Problem> {
    Ok(Json(app.store.agency(&caller)?.update_client(id, &update).await?))
}

/// Delete a client permanently
///
/// Its users lose access to the portal at once. Another client can use its slug and its external id at once. A client that has
/// domains is not deleted.
#[utoipa::path(
    delete,
    path = "/agency/clients/{clientOrgId}",
    operation_id = "deleteClientOrg",
    tag = "Clients",
    params(("clientOrgId" = String, Path, description = "The client's id")),
    responses((status = 204, description = "The client is deleted"), DeleteProblems)
)]
async fn delete_client_org(
    State(app): State<App>,
    Admin(caller): Admin,
    PathId(id): PathId<ClientOrgKind>,
) -> Result<StatusCode, Problem> {
    app.store.agency(&caller)?.delete_client(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
