//! Items of each released form: the present code reads them, and writes the newest form.
//!
//! `items/<n>.json` has all items of a small agency in DynamoDB's JSON. A new form gets a new file, written with
//! `UPDATE_ITEMS=1 cargo test -p api items`. Files of released forms never change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    path::PathBuf,
};

use aws_sdk_dynamodb::types::AttributeValue;
use local::system::System;
use serde_json::{Map, Value, json};

use crate::harness::{Api, BRANDING, CLIENTS, CONFIG, DAY, DOMAINS, MINUTE, START, cname, id};

type Item = HashMap<String, AttributeValue>;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/drift/items"))
}

/// The files, oldest first.
fn forms() -> Vec<PathBuf> {
    let mut forms: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let number = |path: &PathBuf| {
        path.file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    forms.sort_by_key(number);
    forms
}

/// DynamoDB's JSON of a value, of the types that the table has.
fn to_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(value) => json!({"BOOL": value}),
        AttributeValue::Null(_) => json!({"NULL": true}),
        AttributeValue::L(list) => json!({"L": list.iter().map(to_json).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": map_to_json(map)}),
        other => panic!("{other:?}"),
    }
}

fn map_to_json(map: &Item) -> Value {
    let sorted: BTreeMap<_, _> = map
        .iter()
        .map(|(name, value)| (name.clone(), to_json(value)))
        .collect();
    json!(sorted)
}

fn from_json(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => AttributeValue::S(value.as_str().unwrap().to_owned()),
        "N" => AttributeValue::N(value.as_str().unwrap().to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(from_json).collect()),
        "M" => AttributeValue::M(map_from_json(value.as_object().unwrap())),
        other => panic!("{other}"),
    }
}

fn map_from_json(map: &Map<String, Value>) -> Item {
    map.iter()
        .map(|(name, value)| (name.clone(), from_json(value)))
        .collect()
}

fn client() -> Value {
    json!({"name": "Globex", "externalId": "CRM-1", "metadata": {"plan": "gold"}})
}

/// All items of an agency that has one of everything.
async fn written() -> Vec<Value> {
    let api = Api::build(System::builder().at(START)).await;
    let deleted = api.agency("org_acme").await.subdomain("initech").await;
    api.advance(DAY);
    let owner = api.user("org_acme", "owner");
    owner.remove(&deleted).await;
    let branding = json!({"primaryColor": "#0a5d3a", "customCss": ".portal { color: red }"});
    owner.put(BRANDING, branding).await.expect(200);
    let config = json!({"featureTerminal": true, "infrastructureVisibility": "full"});
    owner.put(CONFIG, config).await.expect(200);
    let key = [("idempotency-key", "one")];
    let client = client();
    owner
        .call(http::Method::POST, CLIENTS, &key, Some(client))
        .await
        .expect(201);
    owner.subdomain("globex").await;
    owner.custom_domain("pending.acme.test").await;
    let failing = owner.verified_domain("failing.acme.test").await;
    api.advance(MINUTE);
    api.dns.set_zone("").unwrap();
    owner.verify(&failing).await.expect(200);
    let verified = owner.verified_domain("verified.acme.test").await;
    assert_eq!(api.now(&verified).await["status"], "verified");
    let scan = api.client.scan().table_name(api.table()).send().await.unwrap();
    let mut items: Vec<_> = scan.items().iter().map(map_to_json).collect();
    items.sort_by_key(|item| item["PK"].to_string() + &item["SK"].to_string());
    items
}

/// The paths and types of the attributes of each kind of item, without what tells one item from another.
fn shape(items: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    fn paths(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
        let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
        into.insert(format!("{prefix}: {kind}"));
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(name, value)| paths(&format!("{prefix}.{name}"), value, into)),
            Value::Array(list) => list
                .iter()
                .for_each(|value| paths(&format!("{prefix}[]"), value, into)),
            _ => {}
        }
    }
    let mut shape = BTreeMap::<_, BTreeSet<_>>::new();
    for item in items {
        let of_entity = shape
            .entry(item["entity"]["S"].as_str().unwrap().to_owned())
            .or_default();
        for (name, value) in item.as_object().unwrap() {
            paths(name, value, of_entity);
        }
    }
    shape
}

fn read(path: &PathBuf) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_code_writes_the_newest_form() {
    let items = written().await;
    if env::var_os("UPDATE_ITEMS").is_some() {
        let path = folder().join(format!("{}.json", forms().len() + 1));
        fs::write(path, serde_json::to_string_pretty(&items).unwrap() + "\n").unwrap();
    }
    let newest = read(forms().last().unwrap());
    assert_eq!(
        shape(&items),
        shape(&newest),
        "if this change is right, run UPDATE_ITEMS=1 cargo test -p api items (see the chapter Upgrading of OPERATIONS.md)"
    );
}

#[tokio::test]
async fn the_code_reads_every_form() {
    assert!(!forms().is_empty());
    for form in forms() {
        let api = Api::build(System::builder().at(START)).await;
        for item in read(&form) {
            let item = map_from_json(item.as_object().unwrap());
            let put = api.client.put_item().table_name(api.table()).set_item(Some(item));
            put.send().await.unwrap();
        }
        let owner = api.user("org_acme", "owner");
        for path in ["/agency/overview", BRANDING, CONFIG, "/portal/context"] {
            owner.get(path).await.expect(200);
        }
        let clients = owner.list(CLIENTS).await;
        assert_eq!(clients.len(), 1);
        let user = api.user(id(&clients[0]), "member");
        user.get("/portal/context").await.expect(200);
        let key = [("idempotency-key", "one")];
        let client = client();
        let replay = owner.call(http::Method::POST, CLIENTS, &key, Some(client)).await;
        assert!(replay.is_replay(), "{replay:?}");
        assert!(!owner.audit().await.is_empty());
        let domains = owner.list(DOMAINS).await;
        let zone: String = domains
            .iter()
            .filter(|domain| domain["type"] == "custom")
            .map(cname)
            .collect();
        api.dns.set_zone(&zone).unwrap();
        api.advance(3 * DAY);
        let report = api.reverify().await;
        assert_eq!(
            (report.checked, report.verified, report.unreadable),
            (3, 3, 0),
            "{report:?}"
        );
        let owner = api.user("org_acme", "owner"); // the first token has expired
        for domain in &domains {
            assert!(api.serves(domain["hostname"].as_str().unwrap()).await);
            owner.remove(domain).await;
        }
    }
}

#[tokio::test]
async fn an_item_of_a_newer_schema_is_refused() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    owner.get(BRANDING).await.expect(200);
    let newer = AttributeValue::N("2".to_owned());
    api.set_attribute("org_acme", "#2BRANDING", "schema", newer).await;
    let lines = crate::harness::logs::Lines::collect();
    owner.get(BRANDING).await.problem(500, "internal");
    owner.put(BRANDING, json!({})).await.problem(500, "internal");
    let logged = json!(lines.end()).to_string();
    assert!(
        logged.contains("item has schema 2, but this version reads up to 1"),
        "{logged}"
    );
}
