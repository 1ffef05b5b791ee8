//! The API's document: what each function declares, and the frame around it.

use axum::Router;
use shared::{app::App, http::problem::ProblemOut};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, HeaderBuilder, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Schema,
        SecurityRequirement, ServerBuilder,
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;
use verification::Dns;

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
    for path in document.paths.paths.values_mut() {
        let operations = [
            &mut path.get,
            &mut path.put,
            &mut path.post,
            &mut path.patch,
            &mut path.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    describe(status, response);
                }
            }
        }
    }
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
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    // Every operation refers to the problem's schema, but none declares it.
    let mut schemas = vec![(ProblemOut::name().into_owned(), ProblemOut::schema())];
    ProblemOut::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (name, schema) in &mut components.schemas {
        let RefOr::T(schema) = schema else { continue };
        // A page's entries are of a schema that has a name of its own.
        if let (Some(entry), Schema::Object(page)) = (name.strip_prefix("Page_"), &mut *schema) {
            let entries = ArrayBuilder::new()
                .items(Ref::from_schema_name(entry))
                .description(Some("The entries."));
            page.properties.insert("items".to_owned(), entries.into());
        }
        if name == "BrandingUpdate" {
            accept_empty(schema);
        }
        if !name.ends_with("Create") && !name.ends_with("Update") {
            require_all(schema);
        }
    }
}

/// The headers that responses have whatever their operation.
fn describe(status: &str, response: &mut utoipa::openapi::Response) {
    let mut header = |name: &str, description: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let header = HeaderBuilder::new()
            .schema(Some(text))
            .description(Some(description));
        response.headers.insert(name.to_owned(), RefOr::T(header.build()));
    };
    header(
        "x-request-id",
        "The request, as the log and the audit log have it",
    );
    if status == "304" {
        header("etag", "The tag that is still right");
    }
}

/// Responses carry every property of their schema; only a problem's `errors` may be absent.
fn require_all(schema: &mut Schema) {
    match schema {
        Schema::Object(object) => {
            let names = object.properties.keys().filter(|name| *name != "errors");
            object.required = names.cloned().collect();
        }
        Schema::AllOf(parts) => {
            for part in &mut parts.items {
                if let RefOr::T(part) = part {
                    require_all(part);
                }
            }
        }
        _ => {}
    }
}

/// An empty string clears a setting, whatever form its values have.
fn accept_empty(schema: &mut Schema) {
    let Schema::Object(object) = schema else { return };
    for property in object.properties.values_mut() {
        if let RefOr::T(Schema::OneOf(choices)) = property {
            let empty = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
            choices.items.push(empty.into());
        }
    }
}
