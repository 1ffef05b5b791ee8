//! The OpenAPI documents: the operations that the functions declare, and what is the same for all of them.

use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::{
    app::App,
    http::{
        ProblemCode, Routes,
        problem::{self, ProblemOut},
    },
    models::{
        Code, audit,
        branding::BrandingWarningCode,
        domain,
        portal::{InfrastructureVisibility, PortalRole},
    },
};
use strum::{EnumMessage, IntoEnumIterator};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use verification::Network;

mod example;
mod v3_0;

const DESCRIPTION: &str = "Agencies, their branding, client organizations, portals and portal domains.

Send `Authorization: Bearer <JWT>` with every operation that is not marked as public. Times are RFC 3339 in UTC, ids are \
opaque, properties are camelCase. Every response has every property of its schema, `null` where it is not set. \
Errors are `application/problem+json` with a stable `code`.

The API may add properties and values of enumerations to its responses. Ignore properties that you do not know, and treat a \
value that you do not know as some other value.";

const TAGS: [(&str, &str); 6] = [
    (
        "Agency",
        "Agency mode of an organization, its overview and its audit log.",
    ),
    ("Branding", "What an agency's portal looks like."),
    ("Clients", "The client organizations of an agency."),
    (
        "Portal",
        "What a portal shows: its configuration, and the data that its front end loads.",
    ),
    (
        "Portal domains",
        "The host names of an agency's portal, and their DNS checks.",
    ),
    (
        "Public",
        "Operations without a token: the login page, the edge, probes and this document.",
    ),
];

/// The statuses that the gateway in front of the functions also answers with, and its messages.
const GATEWAY: [(&str, &str); 4] = [
    ("429", "Too Many Requests"),
    ("500", "Internal Server Error"),
    ("503", "Service Unavailable"),
    ("504", "Gateway Timeout"),
];

type Schemas = Map<String, Value>;

/// The routes of all functions.
pub fn routes<R: Routes>(network: Network) -> R {
    let functions = [
        agency::routes(),
        branding::routes(),
        clients::routes(),
        portal::routes(),
        domains::routes(network),
    ];
    functions.into_iter().fold(R::default(), R::merge)
}

/// The document in OpenAPI 3.1 and in OpenAPI 3.0.
pub fn documents(network: Network) -> [Value; 2] {
    let mut document = json!(routes::<OpenApiRouter<App>>(network).into_openapi());
    walk(&mut document, &mut rename_pages);
    walk(&mut document, &mut join_lines);
    let schemas = schemas(document["components"]["schemas"].take());
    for operation in operations(&mut document) {
        complete(operation, &schemas);
    }
    document["info"] =
        json!({"title": "Agency API", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION});
    document["servers"] = json!([{"url": "/"}]);
    document["tags"] =
        json!(TAGS.map(|(name, description)| json!({"name": name, "description": description})));
    // The default. A public operation overrides it.
    document["security"] = json!([{"bearer": []}]);
    document["components"] = json!({
        "examples": problem::examples(),
        "headers": {"x-request-id": {
            "description": "The request, as the log and the audit log have it",
            "schema": {"type": "string"},
        }},
        "schemas": schemas,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    });
    remove_unused(&mut document);
    walk(&mut document, &mut example::list);
    let converted = v3_0::convert(document.clone());
    [document, converted]
}

/// Calls `change` for each object of the document, the innermost first. It does not look into examples.
fn walk(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                if !matches!(name.as_str(), "example" | "examples") {
                    walk(value, change);
                }
            }
            change(object);
        }
        _ => {}
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document["paths"].as_object_mut().into_iter();
    let methods = paths.flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    methods.flat_map(Map::values_mut)
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// `ClientOrgPage` for utoipa's `Page_ClientOrg`, in which utoipa also inlines the schema of the items.
fn rename_pages(object: &mut Map<String, Value>) {
    let pages = object
        .keys()
        .filter_map(|name| Some(name.strip_prefix("Page_")?.to_owned()));
    for item in pages.collect::<Vec<_>>() {
        if let Some(mut page) = object.remove(&format!("Page_{item}")) {
            page["properties"]["items"]["items"] = reference(&item);
            object.insert(format!("{item}Page"), page);
        }
    }
    if let Some(Value::String(target)) = object.get_mut("$ref")
        && let Some(item) = target.strip_prefix("#/components/schemas/Page_")
    {
        *target = format!("#/components/schemas/{item}Page");
    }
}

/// A doc comment breaks its lines where the code's lines end.
fn join_lines(object: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = object.get_mut("description") {
        let paragraphs: Vec<_> = description
            .split("\n\n")
            .map(|text| text.replace('\n', " "))
            .collect();
        *description = paragraphs.join("\n\n");
    }
}

/// The schemas, with what utoipa cannot express.
fn schemas(declared: Value) -> Schemas {
    let Value::Object(mut schemas) = declared else {
        return Schemas::new();
    };
    // Every operation refers to problem details, but no operation declares their schema.
    let mut problems = vec![(ProblemOut::name().into_owned(), ProblemOut::schema())];
    ProblemOut::schemas(&mut problems);
    schemas.extend(problems.into_iter().map(|(name, schema)| (name, json!(schema))));
    schemas.insert(
        "GatewayError".to_owned(),
        json!({
            "description": "An error of the gateway in front of the API: too many requests, or no response of the API.",
            "type": "object",
            "properties": {"message": {"description": "The name of the error.", "type": "string"}},
            "required": ["message"],
        }),
    );
    schemas.insert(
        "ErrorBody".to_owned(),
        json!({
            "description": "An error of the gateway, or a problem of the API.",
            "oneOf": [reference("GatewayError"), reference("Problem")],
        }),
    );
    name_choices(&mut schemas);
    let named = schemas.clone();
    for (name, schema) in &mut schemas {
        walk(schema, &mut |object| {
            simplify_nullable(object, &named, name == "BrandingUpdate")
        });
        if name.ends_with("Create") || name.ends_with("Update") {
            close(schema);
        } else {
            require_all(schema);
        }
    }
    describe_values(&mut schemas);
    schemas
}

/// Gives a choice of `oneOf` that has a title its own schema of this name, so that generated clients have a name for it.
fn name_choices(schemas: &mut Schemas) {
    let choices = schemas
        .values_mut()
        .filter_map(|schema| schema.get_mut("oneOf")?.as_array_mut());
    let mut found = Schemas::new();
    for choice in choices.flatten() {
        let title = choice.as_object_mut().and_then(|choice| choice.remove("title"));
        if let Some(Value::String(name)) = title {
            let schema = std::mem::replace(choice, reference(&name));
            found.insert(name, schema);
        }
    }
    schemas.extend(found);
}

/// Writes utoipa's `oneOf` of a named schema and `null` so that generators make no class for it: a string becomes a
/// string that may be `null`. With `accepts_empty` it may also be empty.
fn simplify_nullable(object: &mut Map<String, Value>, named: &Schemas, accepts_empty: bool) {
    let null = json!({"type": "null"});
    let Some(Value::Array(choices)) = object.get("oneOf") else {
        return;
    };
    let [choice, other] = choices.as_slice() else {
        return;
    };
    let (choice, other) = if *choice == null {
        (other, choice)
    } else {
        (choice, other)
    };
    let Some(name) = choice["$ref"]
        .as_str()
        .and_then(|target| target.rsplit('/').next())
    else {
        return;
    };
    if *other != null {
        return;
    }
    let (schema, about) = (&named[name], &choice["description"]);
    let simple = if schema["type"] == "string" && schema.get("enum").is_none() {
        let mut simple = schema.clone();
        simple["type"] = json!(["string", "null"]);
        // What the property is, and the first paragraph on its format.
        let texts = [about, &schema["description"]].map(Value::as_str);
        let texts = texts
            .into_iter()
            .flatten()
            .filter_map(|text| text.split("\n\n").next());
        simple["description"] = texts.collect::<Vec<_>>().join(" ").into();
        if accepts_empty {
            simple["minLength"] = 0.into();
            if let Some(pattern) = schema["pattern"].as_str() {
                simple["pattern"] = format!("^$|{pattern}").into();
            }
        }
        simple
    } else {
        json!({"description": about, "oneOf": [reference(name), {"type": "null"}]})
    };
    if let Value::Object(simple) = simple {
        *object = simple;
    }
}

/// Rejects unknown properties, as the API does.
fn close(schema: &mut Value) {
    if schema["type"] == "object" {
        schema["additionalProperties"] = false.into();
    }
}

/// Marks every property as required, because responses have all of them. Only `errors` of a problem, and the `features` of an
/// operator that has none, may be absent.
fn require_all(schema: &mut Value) {
    if let Some(Value::Array(parts)) = schema.get_mut("allOf") {
        parts.iter_mut().for_each(require_all);
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let names: Vec<_> = properties
            .keys()
            .filter(|name| !matches!(name.as_str(), "errors" | "features"))
            .collect();
        // OpenAPI 3.0 has no empty list of required properties.
        if !names.is_empty() {
            schema["required"] = json!(names);
        }
    }
}

/// Adds a line for each value to the descriptions of enumerations.
fn describe_values(schemas: &mut Schemas) {
    fn documented<T: EnumMessage>(value: &T) -> String {
        value.get_documentation().unwrap_or_default().replace('\n', " ")
    }
    fn status_and_detail(code: &ProblemCode) -> String {
        let (status, detail) = code.about();
        format!("{}. {detail}", status.as_u16())
    }
    describe(schemas, status_and_detail);
    describe(schemas, documented::<Code>);
    describe(schemas, documented::<audit::Action>);
    describe(schemas, documented::<audit::ActorType>);
    describe(schemas, documented::<audit::TargetType>);
    describe(schemas, documented::<BrandingWarningCode>);
    describe(schemas, documented::<domain::CertificateProblem>);
    describe(schemas, documented::<domain::CertificateState>);
    describe(schemas, documented::<domain::DomainType>);
    describe(schemas, documented::<domain::FindingCode>);
    describe(schemas, documented::<domain::Level>);
    describe(schemas, documented::<domain::Purpose>);
    describe(schemas, documented::<domain::RecordState>);
    describe(schemas, documented::<domain::RecordType>);
    describe(schemas, documented::<domain::Routing>);
    describe(schemas, documented::<domain::Status>);
    describe(schemas, documented::<InfrastructureVisibility>);
    describe(schemas, documented::<PortalRole>);
}

fn describe<T: Serialize + ToSchema + IntoEnumIterator>(schemas: &mut Schemas, about: fn(&T) -> String) {
    let schema = &mut schemas[&*T::name()];
    let lines = T::iter().map(|value| {
        format!(
            "- `{}`: {}",
            json!(value).as_str().unwrap_or_default(),
            about(&value)
        )
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    let description = schema["description"].as_str().unwrap_or_default();
    schema["description"] = format!("{description} More values may be added.\n\n{lines}").into();
}

/// Adds what all operations have: headers, the gateway's errors and examples.
fn complete(operation: &mut Value, schemas: &Schemas) {
    // utoipa's form of “no token”. Some generators send one anyway.
    if operation["security"] == json!([{}]) {
        operation["security"] = json!([]);
    }
    if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
        for parameter in parameters {
            // A parameter that may be absent is never `null`.
            if let [kind, _] = parameter["schema"]["type"]
                .as_array()
                .map_or(&[][..], Vec::as_slice)
            {
                parameter["schema"]["type"] = kind.clone();
            }
        }
    }
    let Some(Value::Object(responses)) = operation.get_mut("responses") else {
        return;
    };
    for (status, response) in responses.iter_mut() {
        response["headers"]["x-request-id"] = json!({"$ref": "#/components/headers/x-request-id"});
        if status == "304" {
            response["headers"]["etag"] =
                json!({"description": "The current tag", "schema": {"type": "string"}});
        }
        if let Some(Value::Object(content)) = response.get_mut("content")
            && status.starts_with('2')
        {
            for body in content.values_mut().filter(|body| body.get("example").is_none()) {
                body["example"] = example::of(&body["schema"], schemas);
            }
        }
    }
    for (status, message) in GATEWAY {
        let response = responses
            .entry(status)
            .or_insert_with(|| json!({"description": "The gateway's own error"}));
        // Some generators read one media type alone: the first one has both forms.
        let schema = match response["content"]["application/problem+json"].is_object() {
            true => reference("ErrorBody"),
            false => reference("GatewayError"),
        };
        response["content"]["application/json"] = json!({"schema": schema, "example": {"message": message}});
    }
}

/// Removes the schemas that nothing refers to.
fn remove_unused(document: &mut Value) {
    loop {
        let text = document.to_string();
        let Some(Value::Object(schemas)) = document["components"].get_mut("schemas") else {
            return;
        };
        let before = schemas.len();
        schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
        if schemas.len() == before {
            return;
        }
    }
}
