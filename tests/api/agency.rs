//! `enable`, the overview and the audit log.

use serde_json::{Value, json};

use crate::harness::Api;

#[tokio::test]
async fn enabling_makes_an_agency_and_repeating_it_changes_nothing() {
    let api = Api::start().await;
    let owner = api.user("org_acme", "owner");
    owner
        .get("/agency/overview")
        .await
        .problem(403, "agency-not-enabled");
    let first = owner.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(first["organizationId"], "org_acme");
    assert_eq!(first["enabled"], true);
    let again = owner.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(again, first);
    assert_eq!(owner.audit().await.len(), 1);
    let overview = owner.get("/agency/overview").await.expect(200);
    assert_eq!(
        overview,
        json!({
            "organizationId": "org_acme",
            "enabledAt": first["enabledAt"],
            "clientCount": 0,
            "portalDomains": {"total": 0, "verified": 0, "pending": 0, "failing": 0, "failed": 0},
            "primaryDomain": null,
        })
    );
}
