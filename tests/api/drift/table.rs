//! The table: equal in the template and in `store/keys.rs`.

use serde_json::Value;
use shared::store::keys;

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
    let [index] = &indexes[..] else {
        panic!("one index")
    };
    assert_eq!(index["IndexName"], keys::DUE_INDEX);
    assert_eq!(schema(&index["KeySchema"]), pair(keys::DUE, keys::DUE_AT));
    assert_eq!(index["Projection"]["ProjectionType"], "KEYS_ONLY");
    assert_eq!(table["TimeToLiveSpecification"]["AttributeName"], keys::TTL);
    assert!(table.get("TableName").is_none(), "nothing has a fixed name");
}
