//! The table: equal in the template and in `store/keys.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::store::{ServingHost, keys};

use crate::harness::template::template;

#[test]
fn the_template_has_the_table_that_keys_rs_writes_to() {
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
    let [due, hosts] = &indexes[..] else {
        panic!("two indexes")
    };
    assert_eq!(due["IndexName"], keys::DUE_INDEX);
    assert_eq!(schema(&due["KeySchema"]), pair(keys::DUE, keys::DUE_AT));
    assert_eq!(due["Projection"], json!({"ProjectionType": "KEYS_ONLY"}));
    assert_eq!(hosts["IndexName"], keys::HOSTS_INDEX);
    assert_eq!(schema(&hosts["KeySchema"]), pair(keys::HOSTS, keys::HOST));
    let host = json!(ServingHost {
        hostname: "portal.acme.test".parse().unwrap(),
        client_org_id: None,
        status: String::new(),
        routing: String::new(),
    });
    let shown = host
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "hostname");
    let mut projected = hosts["Projection"]["NonKeyAttributes"]
        .as_array()
        .unwrap()
        .clone();
    projected.sort_by_key(Value::to_string);
    assert_eq!(json!(shown.collect::<BTreeSet<_>>()), json!(projected));
    assert_eq!(hosts["Projection"]["ProjectionType"], "INCLUDE");
    assert_eq!(table["TimeToLiveSpecification"]["AttributeName"], keys::TTL);
    assert!(table.get("TableName").is_none(), "nothing has a fixed name");
}
