use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use local::fault::Fault;
use serde_json::{Map, Value, json};

use crate::harness::{Api, CONFIG, CONTEXT, config_of, operations::operation, property};

/// The cautious values. Their names must be those of the document.
pub fn defaults() -> Value {
    let defaults = json!({
        "featureBackups": true,
        "featureDatabases": true,
        "featureDomains": true,
        "featureFileEditor": false,
        "featureLogs": true,
        "featureMonitoring": true,
        "featureOdooShell": false,
        "featureTerminal": false,
        "infrastructureVisibility": "hidden",
        "teamManagementEnabled": false,
    });
    let mut names = operation("putPortalConfig").properties();
    names.remove("features");
    assert!(names.into_keys().eq(defaults.as_object().unwrap().keys()));
    defaults
}

/// The opposite of every default.
pub fn opposites() -> Value {
    let mut all = defaults();
    for value in all.as_object_mut().unwrap().values_mut() {
        *value = value.as_bool().map_or(json!("full"), |on| json!(!on));
    }
    all
}

/// The settings of a portal config.
fn settings(config: &Value) -> Value {
    let defaults = defaults();
    let names = defaults.as_object().unwrap().keys();
    names
        .map(|name| (name.clone(), config[name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

#[tokio::test]
async fn settings_are_merged_and_null_sets_the_default() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let mut expected = defaults();
    for (name, value) in opposites().as_object().unwrap() {
        expected[name] = value.clone();
        let config = owner.put(CONFIG, property(name, value.clone())).await.expect(200);
        assert_eq!(settings(&config), expected, "{name}");
        assert_eq!(owner.get(CONFIG).await.expect(200), config);
    }
    api.advance(Duration::from_secs(1));
    let config = owner.put(CONFIG, json!({})).await.expect(200);
    assert_eq!(settings(&config), opposites());
    assert_eq!(config["createdAt"], "2027-01-15T08:00:00Z");
    assert_eq!(config["updatedAt"], "2027-01-15T08:00:01Z");
    for (name, value) in defaults().as_object().unwrap() {
        expected[name] = value.clone();
        let config = owner.put(CONFIG, property(name, Value::Null)).await.expect(200);
        assert_eq!(settings(&config), expected, "{name}");
    }
    for word in ["summary", "full", "hidden"] {
        let config = owner
            .put(CONFIG, property("infrastructureVisibility", word))
            .await
            .expect(200);
        assert_eq!(config["infrastructureVisibility"], word);
    }
}

#[tokio::test]
async fn every_error_is_listed_at_once_and_nothing_is_written() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for word in ["", "none", "Hidden", "summary,full"] {
        let answer = owner
            .put(CONFIG, property("infrastructureVisibility", word))
            .await;
        answer.expect_faults(&[("/infrastructureVisibility", "invalid-format")]);
    }
    let body = json!({
        "featureBackups": "yes", "infrastructureVisibility": "all", "featureBackup": true, "id": "x", "featureLogs": false,
    });
    owner.put(CONFIG, body).await.expect_faults(&[
        ("/featureBackup", "unknown-property"),
        ("/featureBackups", "wrong-type"),
        ("/id", "unknown-property"),
        ("/infrastructureVisibility", "invalid-format"),
    ]);
    assert_eq!(settings(&owner.get(CONFIG).await.expect(200)), defaults());
    assert_eq!(owner.audit().await.len(), 1);
}

#[tokio::test]
async fn settings_that_are_put_at_once_are_all_kept() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on("TransactWriteItems").times(4));
    let wanted = opposites();
    let wanted = wanted.as_object().unwrap();
    let puts = wanted
        .iter()
        .map(|(name, value)| owner.put(CONFIG, property(name, value.clone())));
    let answers = join_all(puts).await;
    let tags: BTreeSet<_> = answers.iter().map(|answer| answer.etag()).collect();
    assert_eq!(tags.len(), wanted.len());
    let after = owner.get(CONFIG).await.expect(200);
    assert_eq!(settings(&after), opposites());
    assert_eq!(owner.audit().await.len(), 1 + wanted.len());
}

pub const FEATURES: (&str, &str) = ("PORTAL_FEATURES", "invoices=true, reports=false");

#[tokio::test]
async fn features_are_merged_by_name_and_null_sets_the_default() {
    let api = Api::with(&[FEATURES]).await;
    let owner = api.agency("org_acme").await;
    let defaults = json!({"invoices": true, "reports": false});
    assert_eq!(owner.get(CONFIG).await.expect(200)["features"], defaults);
    for (sent, shown) in [
        (
            json!({"reports": true}),
            json!({"invoices": true, "reports": true}),
        ),
        (
            json!({"invoices": false}),
            json!({"invoices": false, "reports": true}),
        ),
        (json!({}), json!({"invoices": false, "reports": true})),
        (json!({"invoices": null, "reports": false}), defaults.clone()),
        (
            json!({"invoices": false, "reports": true}),
            json!({"invoices": false, "reports": true}),
        ),
        (json!({"invoices": null, "reports": null}), defaults.clone()),
    ] {
        let config = owner
            .put(CONFIG, json!({"features": sent, "featureLogs": false}))
            .await
            .expect(200);
        assert_eq!(
            (&config["features"], &config["featureLogs"]),
            (&shown, &json!(false)),
            "{sent}"
        );
        assert_eq!(owner.get(CONFIG).await.expect(200), config);
        assert_eq!(owner.get(CONTEXT).await.expect(200)["config"]["features"], shown);
    }
    owner
        .put(CONFIG, json!({"features": {"reports": true}}))
        .await
        .expect(200);
    let config = owner.put(CONFIG, json!({"featureLogs": true})).await.expect(200);
    assert_eq!(config["features"]["reports"], true, "absent features stay");
    let entry = owner.audit().await.swap_remove(1);
    assert_eq!(entry["before"], json!({"features": defaults}));
    assert_eq!(
        entry["after"],
        json!({"features": {"invoices": true, "reports": true}})
    );
}

#[tokio::test]
async fn a_feature_that_is_unknown_or_no_boolean_is_rejected_at_its_pointer() {
    let api = Api::with(&[FEATURES]).await;
    let owner = api.agency("org_acme").await;
    let features = json!({"invoices": "yes", "reports": 1, "Invoices": true, "a/b~c": null, "": false});
    owner
        .put(CONFIG, json!({"features": features}))
        .await
        .expect_faults(&[
            ("/features/", "unknown-property"),
            ("/features/Invoices", "unknown-property"),
            ("/features/a~1b~0c", "unknown-property"),
            ("/features/invoices", "wrong-type"),
            ("/features/reports", "wrong-type"),
        ]);
    for features in [json!(["invoices"]), Value::Null] {
        let answer = owner.put(CONFIG, json!({"features": features})).await;
        answer.expect_faults(&[("/features", "wrong-type")]);
    }
    let many: Map<_, _> = (0..1000).map(|n| (format!("f{n}"), json!(true))).collect();
    assert_eq!(
        owner.put(CONFIG, json!({"features": many})).await.faults().len(),
        100
    );
}

#[tokio::test]
async fn without_features_of_the_operator_the_property_does_not_exist() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    for path in [CONFIG.to_owned(), config_of(&client)] {
        let answer = owner.put(&path, json!({"features": {}})).await;
        answer.expect_faults(&[("/features", "unknown-property")]);
        assert_eq!(owner.get(&path).await.expect(200).get("features"), None);
    }
    let context = owner.get(CONTEXT).await.expect(200);
    assert_eq!(context["config"].get("features"), None);
}
