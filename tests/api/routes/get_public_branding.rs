use serde_json::{Value, json};

use crate::harness::{Api, BRANDING, DOMAINS, cname, id, operations::operation, path, property};

/// All settings.
pub fn branding() -> Value {
    let mut all = operation("putBranding").examples();
    all["primaryColor"] = json!("#123456");
    all["accentColor"] = json!("#ffee00");
    all["primaryColorDark"] = json!("#abcdef");
    all["accentColorDark"] = json!("#111111");
    all
}

/// All settings as a portal shows them.
pub fn shown_branding() -> Value {
    let mut shown = branding();
    shown["onPrimaryColor"] = json!("#ffffff");
    shown["onAccentColor"] = json!("#000000");
    shown["onPrimaryColorDark"] = json!("#000000");
    shown["onAccentColorDark"] = json!("#ffffff");
    shown
}

#[tokio::test]
async fn a_login_page_sees_the_branding_without_from_email() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.subdomain("acme").await;
    let path = "/portal/branding?host=acme.portal.localhost";
    let mut expected = shown_branding();
    expected.as_object_mut().unwrap().remove("fromEmail");
    expected["organizationId"] = json!("org_acme");
    let mut empty = api.visitor().get(path).await.expect(200);
    let empty = empty.as_object_mut().unwrap();
    assert!(empty.keys().eq(expected.as_object().unwrap().keys()), "{empty:?}");
    assert_eq!(empty.remove("organizationId"), Some(json!("org_acme")));
    assert!(empty.values().all(Value::is_null), "{empty:?}");
    owner.put(BRANDING, branding()).await.expect(200);
    // A token makes no difference, not even an invalid one.
    for user in [api.visitor(), api.with_token("x"), api.user("org_other", "owner")] {
        assert_eq!(user.get(path).await.expect(200), expected);
    }
}

/// The hosts of two clients do not tell that they share an agency.
#[tokio::test]
async fn the_host_of_a_client_names_the_client_and_not_the_agency() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Client").await;
    let body = json!({"subdomain": "shop", "clientOrgId": id(&client)});
    let domain = owner.post(DOMAINS, body).await.expect(201);
    assert_eq!(domain["clientOrgId"], id(&client));
    let organization = async || {
        let answer = api
            .visitor()
            .get("/portal/branding?host=shop.portal.localhost")
            .await;
        let branding = answer.expect(200);
        let shown = branding["organizationId"].as_str().unwrap().to_owned();
        assert!(
            shown == "org_acme" || !answer.text.contains("org_acme"),
            "{answer:?}"
        );
        shown
    };
    assert_eq!(organization().await, id(&client));
    owner
        .patch(&path(&domain), property("clientOrgId", Value::Null))
        .await
        .expect(200);
    assert_eq!(organization().await, "org_acme");
    owner
        .patch(&path(&domain), property("clientOrgId", id(&client)))
        .await
        .expect(200);
    assert_eq!(organization().await, id(&client));
    // A domain that a check proves names its client, too.
    let body = json!({"customDomain": "portal.acme.test", "clientOrgId": id(&client)});
    let custom = owner.post(DOMAINS, body).await.expect(201);
    api.dns.set_zone(&cname(&custom)).unwrap();
    owner.verify(&custom).await.expect(200);
    let branding = api.visitor().get("/portal/branding?host=portal.acme.test").await;
    assert_eq!(branding.expect(200)["organizationId"], id(&client));
}
