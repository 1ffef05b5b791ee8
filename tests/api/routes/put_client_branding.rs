use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};

use crate::harness::{
    Api, BRANDING, CLIENTS, CONTEXT, branding_of, id, operations::operation, path, property,
};

fn full() -> Value {
    operation("putClientBranding").examples()
}

#[tokio::test]
async fn a_clients_settings_are_stored_beside_those_of_the_agency() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let agency = owner
        .put(BRANDING, json!({"footerText": "Acme"}))
        .await
        .expect(200);
    let (client, other) = (owner.client("Globex").await, owner.client("Other").await);
    let path = branding_of(&client);
    let first = owner.put(&path, full()).await.expect(200);
    for (name, value) in full().as_object().unwrap() {
        assert_eq!(first[name], *value, "{name}");
    }
    assert_eq!(first["clientOrgId"], client["id"]);
    assert_eq!(first["createdAt"], "2027-01-15T08:00:00Z");
    assert!(first["id"].as_str().unwrap().starts_with("brd_"));
    assert_ne!(first["id"], agency["id"]);
    assert_eq!(owner.get(&path).await.expect(200), first);

    api.advance(Duration::from_secs(60));
    // A caller can send back what it received.
    let second = owner.put(&path, first.clone()).await.expect(200);
    let mut expected = first.clone();
    expected["updatedAt"] = json!("2027-01-15T08:01:00Z");
    assert_eq!(second, expected);
    assert_eq!(owner.get(BRANDING).await.expect(200), agency);
    let others = owner.get(&branding_of(&other)).await.expect(200);
    assert_eq!(
        (&others["id"], &others["footerText"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_client_sees_its_own_value_of_each_setting_or_else_the_agencys() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    let agencys = full();
    owner.put(BRANDING, agencys.clone()).await.expect(200);
    let own = json!({
        "primaryColor": "#ffffff", "portalName": "Globex", "customCss": "b {}", "logoUrl": "https://cdn.globex.com/l.svg",
    });
    owner.put(&branding_of(&client), own.clone()).await.expect(200);
    let seen = async || api.user(id(&client), "member").get(CONTEXT).await.expect(200)["branding"].clone();
    let shown = seen().await;
    for (name, value) in agencys.as_object().unwrap() {
        assert_eq!(shown[name], *own.get(name).unwrap_or(value), "{name}");
    }
    assert_eq!(
        shown["onPrimaryColor"], "#000000",
        "the text is for the client's colour"
    );
    assert_eq!(
        owner.get(CONTEXT).await.expect(200)["branding"]["portalName"],
        agencys["portalName"]
    );
    for (name, cleared) in [("portalName", Value::Null), ("primaryColor", json!(""))] {
        let branding = owner
            .put(&branding_of(&client), property(name, cleared))
            .await
            .expect(200);
        assert_eq!(branding[name], Value::Null);
        assert_eq!(seen().await[name], agencys[name], "{name} is inherited");
    }
    owner
        .put(BRANDING, json!({"portalName": "New"}))
        .await
        .expect(200);
    assert_eq!(seen().await["portalName"], "New");
}

#[tokio::test]
async fn warnings_are_those_of_the_resolved_values() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    let path = branding_of(&client);
    let pointers = |branding: &Value| -> Vec<String> {
        let warnings = branding["warnings"].as_array().unwrap().iter();
        warnings
            .map(|warning| warning["pointer"].as_str().unwrap().to_owned())
            .collect()
    };
    owner
        .put(BRANDING, json!({"primaryColor": "#ff0", "fontFamily": "Inter"}))
        .await
        .expect(200);
    assert_eq!(pointers(&owner.get(&path).await.expect(200)), ["/primaryColor"]);
    let body = json!({"primaryColor": "#777", "fontUrl": "https://cdn.globex.com/a.woff2"});
    assert!(
        pointers(&owner.put(&path, body).await.expect(200)).is_empty(),
        "the agency has the family"
    );
    let body = json!({"fontFamily": "serif"});
    assert_eq!(pointers(&owner.put(&path, body).await.expect(200)), ["/fontUrl"]);
    assert_eq!(
        pointers(&owner.get(BRANDING).await.expect(200)),
        ["/primaryColor"]
    );
}

#[tokio::test]
async fn the_values_have_the_rules_of_the_agencys() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Globex").await;
    let body = json!({"primaryColor": "red", "customCss": "@import 'x';", "clientOrg": "x"});
    owner.put(&branding_of(&client), body).await.expect_faults(&[
        ("/clientOrg", "unknown-property"),
        ("/customCss", "not-allowed"),
        ("/primaryColor", "invalid-format"),
    ]);
}

#[tokio::test]
async fn a_deletion_of_the_client_leaves_no_settings_behind() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for _ in 0..4 {
        let client = owner.client("Globex").await;
        let (client_path, own_path) = (path(&client), branding_of(&client));
        let put = owner.put(&own_path, json!({"footerText": "Globex"}));
        let (put, deleted) = join(put, owner.delete(&client_path)).await;
        deleted.expect(204);
        assert!(matches!(put.status.as_u16(), 200 | 404), "{put:?}");
        for operation in [
            "getClientBranding",
            "putClientBranding",
            "getClientPortalConfig",
            "putClientPortalConfig",
        ] {
            let operation = crate::harness::operations::operation(operation);
            let uri = operation.path.replace("{clientOrgId}", id(&client));
            let answer = owner
                .call(operation.method.clone(), &uri, &[], operation.body.clone())
                .await;
            answer.problem(404, "not-found");
        }
        let items = api.client.scan().table_name(api.table()).send().await.unwrap();
        let partition = format!("C#{}", id(&client));
        assert!(
            !format!("{:?}", items.items()).contains(&partition),
            "{partition} has an item"
        );
    }
    assert!(owner.list(CLIENTS).await.is_empty());
}
