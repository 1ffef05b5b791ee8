//! The API's document: what each function declares, and the frame around it.

use axum::Router;
use domains::dns::Dns;
use shared::app::App;
use utoipa::openapi::{
    InfoBuilder, OpenApi, SecurityRequirement, ServerBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

const DESCRIPTION: &str = "Agencies, their branding, client organizations, portals and portal domains.

Send `Authorization: Bearer <JWT>` with every operation that is not marked as public. Times are RFC 3339 in UTC, ids are \
opaque, properties are camelCase; every response has every property of its schema, `null` where it is not set. \
Errors are `application/problem+json` with a stable `code`.";

/// Every function's routes, and the document of them all.
pub fn routes(dns: Dns) -> (Router<App>, OpenApi) {
    let routers = [
        agency::router(),
        branding::router(),
        clients::router(),
        portal::router(),
        domains::router(dns),
    ];
    let merged = routers
        .into_iter()
        .fold(OpenApiRouter::new(), OpenApiRouter::merge);
    let (router, mut document) = merged.split_for_parts();
    frame(&mut document);
    (router, document)
}

fn frame(document: &mut OpenApi) {
    document.info = InfoBuilder::new()
        .title("Agency API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    // Each operation says for itself whether it is public; this is what holds where it says nothing.
    document.security = Some(vec![SecurityRequirement::new::<_, _, &str>("bearer", [])]);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", SecurityScheme::Http(bearer));
}
