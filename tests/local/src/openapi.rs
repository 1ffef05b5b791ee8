//! The OpenAPI document: the operations that the functions declare, and the parts that are the same for all.

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

/// The routes of all functions, and their OpenAPI document.
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
    complete(&mut document);
    (router, document)
}

/// Adds what is the same for all operations.
fn complete(document: &mut OpenApi) {
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
    // The default. A public operation overrides it.
    document.security = Some(vec![SecurityRequirement::new::<_, _, &str>("bearer", [])]);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    // Every operation refers to the schema of problem details, but no operation declares it.
    let mut schemas = vec![(ProblemOut::name().into_owned(), ProblemOut::schema())];
    ProblemOut::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (name, schema) in &mut components.schemas {
        let RefOr::T(schema) = schema else { continue };
        // utoipa inlines the schema of a page's items: refer to the named schema instead.
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

/// Adds the headers that every operation's response has.
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

/// Marks every property as required, because responses have all of them. Only `errors` of a problem may be absent.
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

/// Allows the empty string, which clears a setting, beside the setting's own format.
fn accept_empty(schema: &mut Schema) {
    let Schema::Object(object) = schema else { return };
    for property in object.properties.values_mut() {
        if let RefOr::T(Schema::OneOf(choices)) = property {
            let empty = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
            choices.items.push(empty.into());
        }
    }
}
