use std::time::Duration;

use serde_json::json;

use crate::harness::{Api, DAY, DOMAINS, path};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_deleted_label_stays_its_agencys_for_30_days() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    api.agency("org_globex").await;
    let old = acme.subdomain("acme").await;
    api.advance(DAY);
    let (acme, globex) = (api.user("org_acme", "owner"), api.user("org_globex", "owner"));
    acme.remove(&old).await;
    let host = "acme.portal.localhost";
    assert!(!api.serves(host).await);
    globex
        .post(DOMAINS, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");

    // Its agency can have it again at once. The 30 days begin with each deletion.
    api.advance(10 * DAY);
    let acme = api.user("org_acme", "owner");
    let new = acme.subdomain("acme").await;
    assert_ne!(new["id"], old["id"]);
    acme.get(&path(&old)).await.problem(404, "not-found");
    assert!(api.serves(host).await);
    api.advance(DAY);
    let acme = api.user("org_acme", "owner");
    acme.remove(&new).await;

    api.advance(30 * DAY - SECOND);
    let globex = api.user("org_globex", "owner");
    globex
        .post(DOMAINS, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");
    assert!(!api.serves(host).await);
    // A rejected creation does not prolong the wait.
    api.advance(SECOND);
    globex.subdomain("acme").await;
    assert!(api.serves(host).await);
    let acme = api.user("org_acme", "owner");
    acme.post(DOMAINS, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");
}

#[tokio::test]
async fn labels_are_not_collected_by_creating_and_deleting() {
    let api = Api::stopped().await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    for label in ["one", "two", "three"] {
        let created = acme.subdomain(label).await;
        acme.remove(&created).await;
        assert!(!api.serves(&format!("{label}.portal.localhost")).await);
        globex.subdomain(label).await;
    }
    let young = acme.subdomain("young").await;
    api.advance(DAY - SECOND);
    api.user("org_acme", "owner").remove(&young).await;
    api.user("org_globex", "owner").subdomain("young").await;
}

#[tokio::test]
async fn a_deleted_custom_domain_is_gone_with_its_token_and_free_at_once() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let first = acme.custom_domain("portal.acme.com").await;
    acme.remove(&first).await;
    for answer in [
        acme.get(&path(&first)).await,
        acme.delete(&path(&first)).await,
        acme.verify(&first).await,
    ] {
        answer.problem(404, "not-found");
    }
    let second = acme.custom_domain("portal.acme.com").await;
    assert_ne!(first["records"][0]["value"], second["records"][0]["value"]);
    assert_eq!(
        acme.overview().await["portalDomains"],
        json!({"total": 1, "verified": 0, "pending": 1, "failing": 0, "failed": 0, "tlsNotReady": 0})
    );
}
