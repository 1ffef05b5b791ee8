use serde_json::{Value, json};

use crate::harness::{Api, BRANDING, operations::operation};

#[tokio::test]
async fn before_the_first_put_every_setting_is_null() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut expected = json!({
        "id": null,
        "organizationId": "org_acme",
        "warnings": [],
        "createdAt": null,
        "updatedAt": null,
    });
    for name in operation("putBranding").properties().into_keys() {
        expected[name] = Value::Null;
    }
    assert_eq!(owner.get(BRANDING).await.expect(200), expected);
    let member = api.user("org_acme", "member");
    assert_eq!(member.get(BRANDING).await.expect(200), expected);
}
