use serde_json::{Value, json};

use super::put_portal_config::defaults;
use crate::harness::{Api, CONFIG};

#[tokio::test]
async fn before_the_first_put_every_setting_has_its_default() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut expected = defaults();
    expected["organizationId"] = json!("org_acme");
    expected["createdAt"] = Value::Null;
    expected["updatedAt"] = Value::Null;
    assert_eq!(owner.get(CONFIG).await.expect(200), expected);
    let member = api.user("org_acme", "member");
    assert_eq!(member.get(CONFIG).await.expect(200), expected);
}
