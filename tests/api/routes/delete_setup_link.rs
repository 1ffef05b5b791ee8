use serde_json::json;

use crate::harness::{Api, path, setup_token};

#[tokio::test]
async fn a_deleted_link_is_404_and_a_second_deletion_changes_nothing() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link_path = format!("{}/setup-link", path(&domain));
    let link = owner.post(&link_path, json!({})).await.expect(201);
    let page = format!("/portal/setup/{}", setup_token(&link));
    api.visitor().get(&page).await.expect(200);
    for _ in 0..2 {
        owner.delete(&link_path).await.expect(204);
        api.visitor().get(&page).await.problem(404, "not-found");
    }
    let actions = owner.actions().await;
    assert_eq!(actions[0], "domain.setup-link-deleted");
    assert_eq!(actions.len(), 4);
    let subdomain = owner.subdomain("acme").await;
    owner
        .delete(&format!("{}/setup-link", path(&subdomain)))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_link_ends_with_its_domain() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link = owner.setup_link(&domain).await;
    let stored = async || {
        let items = api.all_items().await;
        items
            .iter()
            .filter(|item| item["PK"].as_s().unwrap().starts_with("S#"))
            .count()
    };
    assert_eq!(stored().await, 1);
    owner.remove(&domain).await;
    let page = format!("/portal/setup/{}", setup_token(&link));
    api.visitor().get(&page).await.problem(404, "not-found");
    assert_eq!(stored().await, 0);
}
