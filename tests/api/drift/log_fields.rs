//! The fields of a request's log line are those on the operator's page.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use shared::telemetry;

use crate::harness::{Api, logs::Lines, template::root};

/// Fields of every line, which the page does not repeat.
const COMMON: [&str; 6] = [
    "timestamp",
    "level",
    "target",
    "message",
    "_aws",
    telemetry::DIMENSION,
];
/// Fields that only Lambda adds.
const LAMBDA: [&str; 3] = ["lambdaRequestId", "traceId", "version"];

/// The names in backticks in the first column of the page's table of fields.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("OPERATIONS.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| `requestId`"));
    let cells = rows
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').nth(1).unwrap().to_owned());
    let names = cells.flat_map(|cell| {
        let names = cell.split('`').skip(1).step_by(2).map(str::to_owned);
        names.collect::<Vec<_>>()
    });
    names.collect()
}

#[tokio::test]
async fn the_operators_page_has_the_fields_of_a_requests_line() {
    let api = Api::start().await;
    let owner = api.agency("org_a").await;
    let lines = Lines::collect();
    owner.get("/agency/overview").await.expect(200);
    owner.get("/nowhere").await.problem(404, "not-found");
    let domain = owner.custom_domain("portal.acme.test").await;
    owner.verify(&domain).await.expect(200);
    let mut logged = BTreeSet::new();
    for line in lines.end().iter().filter_map(Value::as_object) {
        logged.extend(line.keys().cloned());
    }
    for name in COMMON {
        assert!(logged.remove(name), "no line has {name}");
    }
    logged.extend(LAMBDA.map(str::to_owned));
    assert_eq!(logged, documented(), "in the log, and in OPERATIONS.md");
}
