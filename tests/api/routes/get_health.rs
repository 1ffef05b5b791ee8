use serde_json::json;

use crate::harness::Api;

#[tokio::test]
async fn health_is_ok_for_everybody() {
    let api = Api::start().await;
    for user in [api.visitor(), api.with_token("x")] {
        assert_eq!(user.get("/health").await.expect(200), json!({"status": "ok"}));
    }
}
