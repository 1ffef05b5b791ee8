//! The OpenAPI document: generated from the code, committed, complete.

use std::{env, fs, path::Path};

use serde_json::Value;

use crate::harness::{Api, operations};

#[tokio::test]
async fn the_committed_document_is_the_code_s() {
    let document = document().await;
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        committed == text,
        "tests/api/openapi.json is not what the code says; UPDATE_OPENAPI=1 cargo test -p api document writes it anew"
    );
}

#[tokio::test]
async fn every_reference_leads_to_a_schema() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
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

#[tokio::test]
async fn every_operation_has_every_status_with_its_body() {
    let document = document().await;
    for operation in operations(&document) {
        let what = format!("{} {}", operation.method, operation.path);
        let doc = &document["paths"][&operation.path][operation.method.as_str().to_lowercase()];
        assert!(doc["summary"].is_string() && doc["tags"].is_array(), "{what}");
        if operation.has_body {
            assert!(
                doc["requestBody"]["content"]["application/json"]["example"].is_object(),
                "{what}"
            );
        }
        let responses = doc["responses"].as_object().unwrap();
        let success: Vec<_> = responses
            .keys()
            .filter(|status| status.starts_with('2'))
            .collect();
        assert_eq!(success.len(), 1, "{what}");
        for (status, response) in responses {
            let content = response["content"].as_object();
            let bodiless = matches!(status.as_str(), "204" | "304") || operation.id == "checkTls";
            assert!(response["headers"]["x-request-id"].is_object(), "{what} {status}");
            let empty = operation.id == "checkTls" && status == "404";
            if status.as_str() >= "400" && !empty {
                let problem = &content.unwrap()["application/problem+json"];
                assert_eq!(
                    problem["schema"]["$ref"], "#/components/schemas/Problem",
                    "{what} {status}"
                );
                assert!(
                    !problem["examples"].as_object().unwrap().is_empty(),
                    "{what} {status}"
                );
            } else {
                assert_eq!(content.is_none(), bodiless, "{what} {status}");
            }
        }
        let expect = |status: &str, there: bool| {
            assert_eq!(responses.contains_key(status), there, "{what} {status}");
        };
        expect("401", !operation.public);
        expect("413", operation.has_body);
        expect("415", operation.has_body);
        expect("422", operation.has_body);
        expect("500", operation.id != "getHealth");
        expect("503", operation.id != "getHealth");
        expect("504", operation.id != "getHealth");
        expect("403", operation.path.starts_with("/agency"));
        expect(
            "404",
            operation.path.contains('{')
                || (operation.public && operation.id != "getHealth")
                || operation.path == "/portal/context",
        );
    }
}

#[tokio::test]
async fn every_schema_says_what_its_properties_are() {
    let document = document().await;
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name} has no description");
    }
}

async fn document() -> Value {
    let api = Api::start().await;
    api.visitor().get("/docs/openapi.json").await.expect(200)
}
