use serde_json::json;

use crate::harness::{Api, BRANDING, CONFIG, id, path};

#[tokio::test]
async fn the_newest_entry_is_first() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    api.agency("org_other").await.client("Elsewhere").await;
    // All in one millisecond: the order is that of the writes nevertheless.
    let client = owner.client("Acme").await;
    let name = json!({"name": "Acme 2"});
    owner.patch(&path(&client), name).await.expect(200);
    owner.put(BRANDING, json!({"footerText": "x"})).await.expect(200);
    owner.put(CONFIG, json!({"featureLogs": false})).await.expect(200);
    let domain = owner.subdomain("acme").await;
    owner.remove(&domain).await;
    owner.remove(&client).await;
    let expected = [
        "client.deleted",
        "domain.deleted",
        "domain.created",
        "portal-config.updated",
        "branding.updated",
        "client.updated",
        "client.created",
        "agency.enabled",
    ];
    assert_eq!(owner.actions().await, expected);
    let audit = owner.audit().await;
    assert!(audit.is_sorted_by(|newer, older| id(newer) > id(older)));
    assert_eq!(api.user("org_acme", "admin").audit().await, audit);
}

#[tokio::test]
async fn pages_go_back_in_time_while_the_log_grows() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let put = async |text: &str| {
        owner.put(BRANDING, json!({"footerText": text})).await.expect(200);
    };
    for text in ["1", "2", "3", "4"] {
        put(text).await;
    }
    let all = owner.audit().await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for expected in [&all[..2], &all[2..4], &all[4..]] {
        let page = owner
            .get(&format!("/agency/audit?limit=2{cursor}"))
            .await
            .expect(200);
        assert_eq!(page["items"], json!(expected));
        seen.push(page["nextCursor"].is_null());
        put("later").await;
        cursor = format!("&cursor={}", page["nextCursor"].as_str().unwrap_or_default());
    }
    assert_eq!(seen, [false, false, true]);
}
