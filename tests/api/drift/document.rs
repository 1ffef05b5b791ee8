//! The OpenAPI document: generated from the code, committed, complete.

use std::{collections::BTreeSet, env, fs, path::Path};

use crate::{
    conventions::{Convention, assert_departures},
    harness::{
        Api,
        operations::{DOCUMENT, operations},
    },
};

#[tokio::test]
async fn the_committed_document_equals_the_served_one() {
    let api = Api::start().await;
    let document = api.visitor().get("/docs/openapi.json").await.expect(200);
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == text,
        "tests/api/openapi.json differs from the code: run UPDATE_OPENAPI=1 cargo test -p api document"
    );
}

#[test]
fn every_reference_has_a_schema_and_every_schema_is_used() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    let text = DOCUMENT.to_string();
    assert!(!schemas.is_empty());
    for reference in text.split("\"$ref\":\"").skip(1) {
        let name = reference.split('"').next().unwrap();
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    for name in schemas.keys() {
        assert!(
            text.contains(&format!("#/components/schemas/{name}\"")),
            "{name} is used nowhere"
        );
    }
}

/// The statuses that follow from what an operation is.
#[test]
fn every_operation_documents_its_statuses_with_their_bodies() {
    let mut bodiless = BTreeSet::new();
    let mut never_fails = BTreeSet::new();
    for operation in operations() {
        let id = &operation.id;
        let document = operation.document;
        assert!(
            document["summary"].is_string() && document["tags"].is_array(),
            "{id}"
        );
        let responses = document["responses"].as_object().unwrap();
        let successes = responses.keys().filter(|status| status.starts_with('2'));
        assert_eq!(successes.count(), 1, "{id}");
        for (status, response) in responses {
            assert!(response["headers"]["x-request-id"].is_object(), "{id} {status}");
            let content = response["content"].as_object();
            if content.is_none() && !matches!(status.as_str(), "204" | "304") {
                bodiless.insert(id.as_str());
            } else if status.as_str() >= "400" {
                let problem = &content.unwrap()["application/problem+json"];
                assert_eq!(
                    problem["schema"]["$ref"], "#/components/schemas/Problem",
                    "{id} {status}"
                );
                let examples = problem["examples"].as_object().unwrap();
                assert!(!examples.is_empty(), "{id} {status}");
                for (code, example) in examples {
                    assert_eq!(example["value"]["code"], *code, "{id} {status}");
                    assert_eq!(example["value"]["status"].to_string(), *status, "{id} {code}");
                }
            }
        }
        for (status, expected) in [
            ("401", !operation.public),
            ("403", operation.in_agency()),
            (
                "404",
                operation.names_a_resource() || operation.path.starts_with("/portal/"),
            ),
            ("413", operation.body.is_some()),
            ("415", operation.body.is_some()),
            ("422", operation.body.is_some()),
            ("412", operation.takes("header", "if-match")),
            ("304", operation.takes("header", "if-none-match")),
        ] {
            assert_eq!(responses.contains_key(status), expected, "{id} {status}");
        }
        if !["500", "503", "504"]
            .iter()
            .all(|status| responses.contains_key(*status))
        {
            never_fails.insert(id.as_str());
        }
    }
    assert_departures(Convention::HasBodies, bodiless);
    assert_departures(Convention::ReadsTheTable, never_fails);
}

#[test]
fn every_schema_has_a_description() {
    let schemas = DOCUMENT["components"]["schemas"].as_object().unwrap();
    assert!(!schemas.is_empty());
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name} has no description");
    }
}
