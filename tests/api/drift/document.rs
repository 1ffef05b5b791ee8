//! The OpenAPI document: generated from the code, committed, complete.

use std::{collections::BTreeSet, env, fs};

use local::openapi;
use serde_json::{Value, json};
use verification::Network;

use crate::{
    conventions::{Convention, assert_departures},
    harness::{
        Api,
        operations::{DOCUMENT, operation, operations, operations_where, resolve},
        template::root,
    },
};

#[tokio::test]
async fn the_committed_documents_equal_the_code() {
    let api = Api::start().await;
    let documents = openapi::documents(Network::new(&api.app.config).unwrap());
    for (document, name) in documents.iter().zip(["openapi.json", "openapi-3.0.json"]) {
        let path = root().join("functions/portal").join(name);
        let text = serde_json::to_string_pretty(document).unwrap() + "\n";
        if env::var_os("UPDATE_OPENAPI").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap() == text,
            "{name} differs from the code: run UPDATE_OPENAPI=1 cargo test -p api document"
        );
    }
}

/// A reader of OpenAPI 3.0 knows none of these.
#[test]
fn the_document_in_openapi_3_0_has_nothing_of_3_1() {
    fn check(value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(check),
            Value::Object(object) => {
                assert!(!object.get("type").is_some_and(Value::is_array), "{value}");
                assert!(!object.get("examples").is_some_and(Value::is_array), "{value}");
                assert!(object.len() == 1 || !object.contains_key("$ref"), "{value}");
                for name in [
                    "const",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                    "propertyNames",
                    "$defs",
                ] {
                    assert!(!object.contains_key(name), "{value}");
                }
                object.values().for_each(check);
            }
            other => assert_ne!(other, "null"),
        }
    }
    let document = include_str!("../../../functions/portal/openapi-3.0.json");
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["openapi"], "3.0.3");
    check(&document);
    for part in ["paths", "components"] {
        let names = |document: &Value| {
            document[part]
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&document), names(&DOCUMENT));
    }
    let schema = &document["components"]["schemas"]["PortalDomain"]["properties"];
    assert_eq!(schema["verifiedAt"]["type"], "string");
    assert_eq!(schema["verifiedAt"]["nullable"], true);
    assert_eq!(
        schema["check"]["allOf"],
        json!([{"$ref": "#/components/schemas/DomainCheck"}])
    );
    assert_eq!(schema["check"]["nullable"], true);
}

#[test]
fn every_reference_leads_to_something_and_everything_is_used() {
    let text = DOCUMENT.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(DOCUMENT.pointer(pointer).is_some(), "{pointer}");
    }
    for kind in ["schemas", "examples", "headers"] {
        let named = DOCUMENT["components"][kind].as_object().unwrap();
        assert!(!named.is_empty());
        for name in named.keys() {
            let reference = format!("\"#/components/{kind}/{name}\"");
            // Outside an operation: the router answers an unknown path and method.
            let is_routers = matches!(name.as_str(), "method-not-allowed");
            assert!(is_routers || text.contains(&reference), "{name} is used nowhere");
        }
    }
}

fn is_gateways(body: &Value) -> bool {
    body["schema"]["$ref"] == "#/components/schemas/GatewayError"
}

/// The statuses that follow from what an operation is.
#[test]
fn every_operation_documents_its_statuses_with_their_bodies() {
    let mut bodiless = BTreeSet::new();
    let mut never_fails = BTreeSet::new();
    for operation in operations() {
        let id = &operation.id;
        let document = operation.document;
        let responses = document["responses"].as_object().unwrap();
        let successes = responses
            .keys()
            .filter(|status| status.starts_with('2') || *status == "308");
        assert_eq!(successes.count(), 1, "{id}");
        for (status, response) in responses {
            let content = response["content"].as_object();
            let is_gateways = content.is_some_and(|content| content.values().all(is_gateways));
            assert_eq!(
                response["headers"]["x-request-id"].is_null(),
                is_gateways,
                "{id} {status}"
            );
            if content.is_none() && !matches!(status.as_str(), "204" | "303" | "304" | "308") {
                bodiless.insert(id.as_str());
            }
            for (media, body) in content.into_iter().flatten() {
                if media != "application/problem+json" {
                    assert!(!body["example"].is_null(), "{id} {status} {media}");
                    continue;
                }
                assert_eq!(
                    body["schema"]["$ref"], "#/components/schemas/Problem",
                    "{id} {status}"
                );
                let examples = body["examples"].as_object().unwrap();
                assert!(!examples.is_empty(), "{id} {status}");
                for (code, example) in examples {
                    let example = &resolve(example)["value"];
                    assert_eq!(example["code"], *code, "{id} {status}");
                    assert_eq!(example["status"].to_string(), *status, "{id} {code}");
                }
            }
        }
        // What the gateway answers for itself.
        for status in ["429", "500", "503", "504"] {
            assert!(
                responses[status]["content"]["application/json"].is_object(),
                "{id} {status}"
            );
        }
        let has_problem = |status: &str| match responses.get(status) {
            Some(response) => response["content"].get("application/problem+json").is_some(),
            None => false,
        };
        for (status, expected) in [
            ("401", !operation.public),
            ("403", !operation.public),
            ("413", operation.body.is_some()),
            ("415", operation.body.is_some()),
            ("422", operation.body.is_some()),
            ("412", operation.takes("header", "if-match")),
        ] {
            assert_eq!(has_problem(status), expected, "{id} {status}");
        }
        for (status, expected) in [
            (
                "404",
                operation.names_a_resource() || operation.path.starts_with("/portal/"),
            ),
            ("304", operation.takes("header", "if-none-match")),
        ] {
            assert_eq!(responses.contains_key(status), expected, "{id} {status}");
        }
        if !["500", "503", "504"].into_iter().all(has_problem) {
            never_fails.insert(id.as_str());
        }
    }
    assert_departures(Convention::HasBodies, bodiless);
    assert_departures(Convention::ReadsTheTable, never_fails);
}

#[test]
fn every_operation_has_a_summary_and_a_tag_that_is_described() {
    let tags = DOCUMENT["tags"].as_array().unwrap().iter();
    let described: BTreeSet<_> = tags
        .map(|tag| {
            assert!(tag["description"].is_string(), "{tag}");
            tag["name"].as_str().unwrap()
        })
        .collect();
    let mut used = BTreeSet::new();
    for operation in operations() {
        assert!(operation.document["summary"].is_string(), "{}", operation.id);
        let tags = operation.document["tags"].as_array().unwrap();
        assert_eq!(tags.len(), 1, "{}", operation.id);
        used.insert(tags[0].as_str().unwrap());
    }
    assert_eq!(used, described);
}

/// A client learns from it which operations take the id of what it created.
#[test]
fn a_creation_links_to_every_operation_that_takes_its_id() {
    for creation in operations_where(|operation| operation.creates()) {
        let below = format!("{}/{{", creation.path);
        let expected: BTreeSet<_> = operations()
            .iter()
            .filter(|operation| operation.path.starts_with(&below))
            .map(|operation| operation.id.as_str())
            .collect();
        let mut found = BTreeSet::new();
        for link in creation.document["responses"]["201"]["links"]
            .as_object()
            .unwrap()
            .values()
        {
            let target = operation(link["operationId"].as_str().unwrap());
            for (name, value) in link["parameters"].as_object().unwrap() {
                assert!(target.takes("path", name), "{link}");
                assert_eq!(value, "$response.body#/id");
            }
            found.insert(target.id.as_str());
        }
        assert_eq!(found, expected, "{}", creation.id);
    }
}

#[test]
fn every_schema_has_a_description() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    assert!(!schemas.is_empty());
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name} has no description");
    }
}

#[test]
fn every_value_of_an_enumeration_is_described_and_more_may_be_added() {
    let mut count = 0;
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        let description = schema["description"].as_str().unwrap();
        for value in schema["enum"].as_array().into_iter().flatten() {
            let line = format!("\n- `{}`: ", value.as_str().unwrap());
            let (_, after) = description
                .split_once(&line)
                .unwrap_or_else(|| panic!("{name} {value}"));
            let text = after.lines().next().unwrap();
            assert!(text.ends_with('.'), "{name} {value}: {text}");
            count += 1;
        }
        assert_eq!(
            schema["enum"].is_array(),
            description.contains("More values may be added."),
            "{name}"
        );
    }
    assert!(count > 100, "{count}");
}

/// The type of each property's value is a name or a primitive type: generators make up a class and a name for the others.
#[test]
fn no_schema_needs_a_class_without_a_name() {
    fn is_simple(schema: &Value) -> bool {
        let null = json!({"type": "null"});
        match schema {
            Value::Object(schema) if schema.contains_key("$ref") => true,
            Value::Object(schema) if schema.contains_key("oneOf") => {
                let choices = schema["oneOf"].as_array().unwrap();
                matches!(choices.as_slice(), [choice, other] if is_simple(choice) && *other == null)
            }
            _ if schema["type"] == "array" => is_simple(&schema["items"]),
            _ => {
                let kind = match &schema["type"] {
                    Value::Array(kinds) => {
                        assert_eq!((kinds.len(), &kinds[1]), (2, &json!("null")), "{schema}");
                        &kinds[0]
                    }
                    kind => kind,
                };
                let primitive = ["string", "integer", "boolean"].map(Value::from);
                primitive.contains(kind) && schema.get("enum").is_none()
            }
        }
    }
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        let parts = schema["allOf"].as_array().into_iter().flatten();
        for part in parts.chain([schema]) {
            for (property, schema) in part["properties"].as_object().into_iter().flatten() {
                assert!(is_simple(schema), "{name}.{property}: {schema}");
            }
        }
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            assert!(choice["$ref"].is_string(), "{name}: {choice}");
        }
        let is_request = name.ends_with("Create") || name.ends_with("Update");
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"] == false, is_request, "{name}");
        }
    }
    for operation in operations() {
        let parameters = operation.document["parameters"].as_array().into_iter().flatten();
        for parameter in parameters {
            assert!(
                parameter["schema"]["type"].is_string(),
                "{}: {parameter}",
                operation.id
            );
        }
    }
}
