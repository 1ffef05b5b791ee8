//! What is written twice is held equal: paths, methods, variables, the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use local::gateway;
use serde_json::Value;
use shared::{config::Config, store::keys};

use crate::harness::{Api, operations};

pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The template; a tag such as `!Ref X` is read as `{"Ref": X}`.
pub fn template() -> Value {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    json(serde_norway::from_str(&text).unwrap())
}

fn json(yaml: serde_norway::Value) -> Value {
    use serde_norway::Value as Yaml;
    match yaml {
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            Value::Object(
                [(tag.trim_start_matches('!').to_owned(), json(tagged.value))]
                    .into_iter()
                    .collect(),
            )
        }
        Yaml::Sequence(items) => items.into_iter().map(json).collect(),
        Yaml::Mapping(entries) => entries
            .into_iter()
            .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => serde_json::to_value(other).unwrap(),
    }
}

pub fn functions(template: &Value) -> BTreeMap<String, &Value> {
    let resources = template["Resources"].as_object().unwrap();
    resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::Serverless::Function")
        .map(|function| {
            let binary = function["Metadata"]["BuildProperties"]["Binary"]
                .as_str()
                .unwrap();
            (binary.to_owned(), function)
        })
        .collect()
}

async fn document() -> Value {
    Api::start()
        .await
        .visitor()
        .get("/docs/openapi.json")
        .await
        .expect(200)
}

/// The functions that answer HTTP, each with the routes that its code declares.
fn routers() -> BTreeMap<&'static str, Value> {
    let dns = verification::Dns::new(&config(&[]).dns).unwrap();
    let paths = |router: utoipa_axum::router::OpenApiRouter<shared::app::App>| {
        serde_json::to_value(router.into_openapi()).unwrap()["paths"].clone()
    };
    BTreeMap::from([
        ("agency", paths(agency::router())),
        ("branding", paths(branding::router())),
        ("clients", paths(clients::router())),
        ("domains", paths(domains::router(dns))),
        ("portal", paths(portal::router())),
    ])
}

fn config(variables: &[(&str, &str)]) -> Config {
    let least = [
        ("TABLE_NAME", "agency"),
        ("AUTH_ISSUER", "https://id.example.com/"),
        ("AUTH_AUDIENCE", "agency-api"),
        ("AUTH_HS256_SECRET", "0123456789abcdef0123456789abcdef"),
        ("PORTAL_DOMAIN", "portal.example.com"),
        ("DNS_RESOLVERS", "192.0.2.53:53"),
    ];
    let lookup = |name: &str| {
        let all = variables.iter().chain(&least);
        all.clone()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Config::parse(&lookup).unwrap()
}

#[tokio::test]
async fn paths_are_the_same_in_template_code_document_and_events() {
    let template = template();
    let functions = functions(&template);
    let documented: BTreeSet<(String, String, String)> = operations(&document().await)
        .into_iter()
        .map(|operation| (operation.path, operation.method.to_string(), operation.id))
        .collect();
    let mut in_code = BTreeSet::new();
    for (function, paths) in routers() {
        let code: BTreeSet<_> = paths.as_object().unwrap().keys().cloned().collect();
        let events = functions[function]["Properties"]["Events"].as_object().unwrap();
        let mut routes = BTreeSet::new();
        for event in events.values().filter(|event| event["Type"] == "HttpApi") {
            assert_eq!(event["Properties"]["Method"], "ANY", "405 is ours to answer");
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
        assert_eq!(event_names(function), ids, "events/{function} and the code");
        for id in ids {
            let event = fs::read_to_string(root().join(format!("events/{function}/{id}.json"))).unwrap();
            let event: Value = serde_json::from_str(&event).unwrap();
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

#[test]
fn every_variable_of_the_code_is_in_the_template_and_back() {
    let template = template();
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        match name {
            "AUTH_JWKS" | "AUTH_JWKS_URL" => None,
            "TABLE_NAME" | "AUTH_ISSUER" | "AUTH_AUDIENCE" => Some("x".to_owned()),
            "AUTH_HS256_SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            "PORTAL_DOMAIN" => Some("portal.example.com".to_owned()),
            _ => None,
        }
    };
    Config::parse(&lookup).unwrap();
    let mut asked = asked.into_inner();
    // The runtime sets its own region, and the secret is for local work alone.
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"] {
        asked.remove(name);
    }
    asked.remove("AUTH_HS256_SECRET");
    let set: BTreeSet<String> = template["Globals"]["Function"]["Environment"]["Variables"]
        .as_object()
        .unwrap()
        .keys()
        // Only the log reads it.
        .filter(|name| *name != "RUST_LOG")
        .cloned()
        .collect();
    assert_eq!(set, asked);
}

/// The gateway answers preflights in AWS, the local listener on one machine.
#[test]
fn browsers_are_told_the_same_in_both_places() {
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

#[test]
fn the_template_s_table_is_the_one_that_keys_rs_writes_to() {
    let template = template();
    let tables: Vec<_> = template["Resources"]
        .as_object()
        .unwrap()
        .values()
        .filter(|resource| resource["Type"] == "AWS::DynamoDB::Table")
        .collect();
    let [table] = tables[..] else { panic!("one table") };
    let table = &table["Properties"];
    let schema = |keys: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let keys = keys.as_array().unwrap().iter();
        keys.map(|key| (text(&key["AttributeName"]), text(&key["KeyType"])))
            .collect()
    };
    let pair = |hash: &str, range: &str| {
        vec![
            (hash.to_owned(), "HASH".to_owned()),
            (range.to_owned(), "RANGE".to_owned()),
        ]
    };
    assert_eq!(schema(&table["KeySchema"]), pair(keys::PK, keys::SK));
    let indexes = table["GlobalSecondaryIndexes"].as_array().unwrap();
    let [index] = &indexes[..] else {
        panic!("one index")
    };
    assert_eq!(index["IndexName"], keys::DUE_INDEX);
    assert_eq!(schema(&index["KeySchema"]), pair(keys::DUE, keys::DUE_AT));
    assert_eq!(index["Projection"]["ProjectionType"], "KEYS_ONLY");
    assert_eq!(table["TimeToLiveSpecification"]["AttributeName"], keys::TTL);
    assert!(table.get("TableName").is_none(), "nothing has a fixed name");
}

/// Crates that must stay where they are: the emulator in no function, DNS only where domains are checked.
#[test]
fn the_emulator_is_in_no_function() {
    let forbidden = |manifest: &str, crates: &[&str]| {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let normal = text.split("[dev-dependencies]").next().unwrap();
        for name in crates {
            assert!(!normal.contains(name), "{manifest} has {name}");
        }
    };
    forbidden("shared/Cargo.toml", &["dynoxide", "hickory"]);
    for function in fs::read_dir(root().join("functions")).unwrap() {
        let function = function.unwrap().file_name().into_string().unwrap();
        let manifest = format!("functions/{function}/Cargo.toml");
        forbidden(&manifest, &["dynoxide", "hickory-server"]);
        if !matches!(function.as_str(), "domains" | "reverify") {
            forbidden(&manifest, &["hickory"]);
        }
    }
}

/// No module but `config.rs` reads the environment.
#[test]
fn only_the_configuration_reads_the_environment() {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    files(&root().join("shared/src"), &mut found);
    files(&root().join("functions"), &mut found);
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let reads = text.contains("env::var");
        let may = path.ends_with("shared/src/config.rs") || path.ends_with("shared/src/telemetry.rs");
        assert!(!reads || may, "{} reads the environment", path.display());
    }
}
