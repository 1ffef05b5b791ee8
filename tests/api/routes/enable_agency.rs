use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use local::fault::Fault;
use serde_json::{Value, json};

use crate::harness::{
    Api, BRANDING,
    operations::{SampleTenant, operations_where},
};

#[tokio::test]
async fn enabling_creates_an_agency_and_repeating_it_changes_nothing() {
    let api = Api::stopped().await;
    let owner = api.user("org_acme", "owner");
    let refused = owner.get("/agency/overview").await;
    refused.problem(403, "agency-not-enabled");
    let first = owner.post("/agency/enable", Value::Null).await.expect(200);
    let expected =
        json!({"organizationId": "org_acme", "enabled": true, "enabledAt": "2027-01-15T08:00:00Z"});
    assert_eq!(first, expected);
    api.advance(Duration::from_secs(3600));
    let admin = api.user("org_acme", "admin");
    let again = admin.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(again, first);
    assert_eq!(admin.actions().await, ["agency.enabled"]);
    assert_eq!(
        admin.overview().await,
        json!({
            "organizationId": "org_acme",
            "enabledAt": "2027-01-15T08:00:00Z",
            "clientCount": 0,
            "suspendedClientCount": 0,
            "portalDomains": {"total": 0, "verified": 0, "pending": 0, "failing": 0, "failed": 0, "tlsNotReady": 0},
            "primaryDomain": null,
        })
    );
}

#[tokio::test]
async fn repeating_enable_does_not_undo_what_was_done_since() {
    let api = Api::start().await;
    let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
    let state = async || {
        let mut state = Vec::new();
        for operation in operations_where(|operation| operation.reads()) {
            let answer = operation.send(&tenant.owner, &tenant.names).await;
            state.push((answer.header("etag").map(str::to_owned), answer.text));
        }
        state
    };
    let before = state().await;
    tenant.owner.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn enabling_at_once_creates_one_agency_and_gets_equal_responses() {
    let api = Api::counted().await;
    let owner = api.user("org_acme", "owner");
    api.inject(Fault::conflict().on("TransactWriteItems").times(4));
    let answers = join_all((0..20).map(|_| owner.post("/agency/enable", Value::Null))).await;
    let bodies = answers.iter().map(|answer| answer.expect(200).to_string());
    assert_eq!(bodies.collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(owner.audit().await.len(), 1);
    owner.put(BRANDING, json!({})).await.expect(200);
}
