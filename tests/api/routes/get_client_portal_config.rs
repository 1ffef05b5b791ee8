use serde_json::{Value, json};

use super::put_portal_config::{defaults, opposites};
use crate::harness::{Api, CONFIG, config_of};

#[tokio::test]
async fn before_the_first_put_a_client_inherits_everything() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner.put(CONFIG, opposites()).await.expect(200);
    let client = owner.client("Globex").await;
    let mut expected = defaults();
    expected
        .as_object_mut()
        .unwrap()
        .values_mut()
        .for_each(|value| *value = Value::Null);
    expected["organizationId"] = json!("org_acme");
    expected["clientOrgId"] = client["id"].clone();
    expected["createdAt"] = Value::Null;
    expected["updatedAt"] = Value::Null;
    let member = api.user("org_acme", "member");
    for user in [owner, member] {
        assert_eq!(user.get(&config_of(&client)).await.expect(200), expected);
    }
}
