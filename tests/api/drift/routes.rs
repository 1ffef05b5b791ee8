//! Paths, methods and operations: equal in template, code, document and events.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use local::gateway;
use serde_json::Value;
use shared::app::App;
use utoipa_axum::router::OpenApiRouter;

use crate::harness::{
    Api,
    events::{self, routes},
    operations::operations,
    template::{functions, root, template},
};

/// The functions that answer HTTP, each with the routes that its code declares.
async fn routes_in_code() -> BTreeMap<String, Value> {
    let api = Api::start().await;
    let template = template();
    let names = functions(&template)
        .into_keys()
        .filter(|name| !matches!(name.as_str(), "reverify" | "hosts"));
    names
        .map(|name| {
            let routes: OpenApiRouter<App> = routes(&api.app, &name);
            let document = routes.into_openapi();
            let paths = serde_json::to_value(document).unwrap()["paths"].clone();
            (name, paths)
        })
        .collect()
}

#[tokio::test]
async fn paths_are_equal_in_template_code_document_and_events() {
    let template = template();
    let functions = functions(&template);
    let documented: BTreeSet<(String, String, String)> = operations()
        .iter()
        .map(|operation| {
            (
                operation.path.clone(),
                operation.method.to_string(),
                operation.id.clone(),
            )
        })
        .collect();
    let mut in_code = BTreeSet::new();
    for (function, paths) in routes_in_code().await {
        let code: BTreeSet<_> = paths.as_object().unwrap().keys().cloned().collect();
        let events = functions[&function]["Properties"]["Events"].as_object().unwrap();
        let mut routes = BTreeSet::new();
        for event in events.values().filter(|event| event["Type"] == "HttpApi") {
            assert_eq!(event["Properties"]["Method"], "ANY", "the function answers 405");
            routes.insert(event["Properties"]["Path"].as_str().unwrap().to_owned());
        }
        assert_eq!(routes, code, "{function}: template.yaml and the code");
        let mut ids = BTreeSet::new();
        for (path, methods) in paths.as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                in_code.insert((path.clone(), method.to_uppercase(), id.clone()));
                ids.insert(id);
            }
        }
        assert_eq!(event_names(&function), ids, "events/{function} and the code");
        for id in ids {
            let event = events::json(&format!("{function}/{id}.json"));
            let route = event["routeKey"].as_str().unwrap();
            let method = event["requestContext"]["http"]["method"].as_str().unwrap();
            let path = route.strip_prefix("ANY ").unwrap().to_owned();
            assert!(
                in_code.contains(&(path, method.to_owned(), id)),
                "{route} {method}"
            );
        }
    }
    assert_eq!(documented, in_code, "the document and the code");
}

fn event_names(function: &str) -> BTreeSet<String> {
    let folder = fs::read_dir(root().join("events").join(function)).unwrap();
    folder
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// The gateway answers preflights in AWS, the local listener on one machine.
#[test]
fn the_gateway_and_the_local_listener_answer_preflights_alike() {
    let template = template();
    let cors = &template["Resources"]["Api"]["Properties"]["CorsConfiguration"];
    let list = |name: &str| -> Vec<String> {
        let values = cors[name].as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list("AllowMethods").join(", "), gateway::METHODS);
    assert_eq!(list("AllowHeaders").join(", "), gateway::REQUEST_HEADERS);
    assert_eq!(list("ExposeHeaders").join(", "), gateway::EXPOSED_HEADERS);
    assert_eq!(cors["MaxAge"].to_string(), gateway::PREFLIGHT_MAX_AGE);
    assert_eq!(cors["AllowCredentials"], false);
}
