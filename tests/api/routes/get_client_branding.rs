use serde_json::{Value, json};

use crate::harness::{Api, BRANDING, branding_of, operations::operation};

#[tokio::test]
async fn before_the_first_put_a_client_inherits_everything() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner
        .put(BRANDING, json!({"footerText": "Acme"}))
        .await
        .expect(200);
    let client = owner.client("Globex").await;
    let mut expected = json!({
        "id": null,
        "organizationId": "org_acme",
        "clientOrgId": client["id"],
        "warnings": [],
        "createdAt": null,
        "updatedAt": null,
    });
    for name in operation("putClientBranding").properties().into_keys() {
        expected[name] = Value::Null;
    }
    let member = api.user("org_acme", "member");
    for user in [owner, member] {
        assert_eq!(user.get(&branding_of(&client)).await.expect(200), expected);
    }
}
