use serde_json::{Map, Value, json};

use super::put_portal_config::{FEATURES, defaults, opposites};
use crate::harness::{Api, CONFIG, CONTEXT, config_of, id, property};

/// The settings of a portal config.
fn settings(config: &Value) -> Value {
    let names = defaults();
    let names = names.as_object().unwrap().keys();
    let settings = names.map(|name| (name.clone(), config[name].clone()));
    settings.collect::<Map<_, _>>().into()
}

#[tokio::test]
async fn each_setting_is_the_clients_or_else_the_agencys_or_else_the_default() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let (client, other) = (owner.client("Globex").await, owner.client("Other").await);
    let path = config_of(&client);
    let seen = async |client: &Value| {
        api.user(id(client), "member").get(CONTEXT).await.expect(200)["config"].clone()
    };
    let mut own = defaults();
    own.as_object_mut()
        .unwrap()
        .values_mut()
        .for_each(|value| *value = Value::Null);
    assert_eq!(seen(&client).await, defaults());
    for (name, opposite) in opposites().as_object().unwrap() {
        // A value that equals the agency's is the client's own, too.
        let same = defaults()[name].clone();
        for (value, agencys) in [(opposite.clone(), Value::Null), (same, opposite.clone())] {
            own[name] = value.clone();
            let config = owner.put(&path, property(name, value.clone())).await.expect(200);
            assert_eq!(settings(&config), own, "{name}");
            assert_eq!(owner.get(&path).await.expect(200), config);
            owner
                .put(CONFIG, property(name, agencys.clone()))
                .await
                .expect(200);
            assert_eq!(seen(&client).await[name], value);
            assert_eq!(owner.get(&path).await.expect(200), config);
        }
        assert_eq!(seen(&other).await[name], *opposite);
        own[name] = Value::Null;
        let config = owner.put(&path, property(name, Value::Null)).await.expect(200);
        assert_eq!(settings(&config), own, "{name}");
        assert_eq!(seen(&client).await[name], *opposite, "null inherits");
        owner.put(CONFIG, property(name, Value::Null)).await.expect(200);
        assert_eq!(seen(&client).await, defaults());
    }
}

#[tokio::test]
async fn a_caller_can_send_back_what_it_received() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    let path = config_of(&client);
    let sent = owner
        .put(&path, json!({"featureTerminal": true}))
        .await
        .expect(200);
    let mut back = owner.put(&path, sent.clone()).await.expect(200);
    back["updatedAt"] = sent["updatedAt"].clone();
    assert_eq!(back, sent);
    let body = json!({"featureTerminal": "yes", "feature": true});
    owner.put(&path, body).await.expect_faults(&[
        ("/feature", "unknown-property"),
        ("/featureTerminal", "wrong-type"),
    ]);
}

#[tokio::test]
async fn each_feature_is_the_clients_or_else_the_agencys_or_else_the_default() {
    let api = Api::with(&[FEATURES]).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    let path = config_of(&client);
    let seen = async || {
        let context = api.user(id(&client), "member").get(CONTEXT).await.expect(200);
        context["config"]["features"].clone()
    };
    let none = json!({"invoices": null, "reports": null});
    assert_eq!(owner.get(&path).await.expect(200)["features"], none);
    assert_eq!(seen().await, json!({"invoices": true, "reports": false}));
    owner
        .put(CONFIG, json!({"features": {"reports": true}}))
        .await
        .expect(200);
    assert_eq!(seen().await, json!({"invoices": true, "reports": true}));
    let own = json!({"reports": false});
    let config = owner.put(&path, json!({"features": own})).await.expect(200);
    assert_eq!(config["features"], json!({"invoices": null, "reports": false}));
    let back = owner.put(&path, config.clone()).await.expect(200);
    assert_eq!(back["features"], config["features"], "a caller can send it back");
    assert_eq!(seen().await, json!({"invoices": true, "reports": false}));
    let entry = owner.audit().await.swap_remove(1);
    assert_eq!(entry["after"], json!({"features": config["features"]}));
    owner
        .put(&path, json!({"features": {"reports": null}}))
        .await
        .expect(200);
    assert_eq!(owner.get(&path).await.expect(200)["features"], none);
    assert_eq!(
        seen().await,
        json!({"invoices": true, "reports": true}),
        "null inherits"
    );
    let answer = owner.put(&path, json!({"features": {"gone": null}})).await;
    answer.expect_faults(&[("/features/gone", "unknown-property")]);
}
