use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Api, DAY, DOMAINS, NO_DOMAIN, id, path, setup_token};

#[tokio::test]
async fn a_link_leads_to_the_page_and_is_shown_once() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link_path = format!("{}/setup-link", path(&domain));
    let answer = owner.post(&link_path, json!({})).await;
    let link = answer.expect(201);
    assert_eq!(link["expiresAt"], "2027-01-29T08:00:00Z");
    let token = setup_token(&link);
    assert_eq!(token.len(), 43);
    assert_eq!(link["url"], format!("http://127.0.0.1:3000/portal/setup/{token}"));
    // Neither the table nor any other response has the token.
    let items = format!("{:?}", api.all_items().await);
    assert!(!items.contains(token));
    for path in [DOMAINS, "/agency/audit"] {
        assert!(!owner.get(path).await.text.contains(token));
    }
    let entry = &owner.audit().await[0];
    assert_eq!(entry["action"], "domain.setup-link-created");
    assert_eq!(entry["target"], json!({"type": "domain", "id": id(&domain)}));
    assert_eq!(
        (&entry["before"], &entry["after"]),
        (&Value::Null, &json!({"expiresAt": link["expiresAt"]}))
    );
}

#[tokio::test]
async fn a_new_link_replaces_the_old_one_and_each_ends_in_time() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link_path = format!("{}/setup-link", path(&domain));
    let open = async |link: &Value| {
        let answer = api
            .visitor()
            .get(&format!("/portal/setup/{}", setup_token(link)))
            .await;
        answer.status.as_u16()
    };
    let first = owner.post(&link_path, json!({"days": 1})).await.expect(201);
    assert_eq!(
        (first["expiresAt"].as_str(), open(&first).await),
        (Some("2027-01-16T08:00:00Z"), 200)
    );
    let second = owner.post(&link_path, json!({"days": 30})).await.expect(201);
    assert_eq!((open(&first).await, open(&second).await), (404, 200));
    api.advance(30 * DAY - Duration::from_secs(1));
    assert_eq!(open(&second).await, 200);
    api.advance(Duration::from_secs(1));
    assert_eq!(open(&second).await, 404);
}

#[tokio::test]
async fn days_are_a_whole_number_from_1_to_30() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.com").await;
    let link_path = format!("{}/setup-link", path(&domain));
    for (days, code) in [
        (json!(0), "not-allowed"),
        (json!(31), "not-allowed"),
        (json!(-1), "not-allowed"),
        (json!(1.5), "wrong-type"),
        (json!(1e30), "not-allowed"),
        (json!("14"), "wrong-type"),
        (json!([]), "wrong-type"),
    ] {
        let answer = owner.post(&link_path, json!({"days": days, "color": 1})).await;
        answer.expect_faults(&[("/days", code), ("/color", "unknown-property")]);
    }
    owner.post(&link_path, json!({"days": null})).await.expect(201);
    owner.post(&link_path, json!({"days": 3.0})).await.expect(201);
    assert_eq!(owner.actions().await.len(), 4);
}

#[tokio::test]
async fn a_subdomain_has_no_link() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let label = owner.subdomain("acme").await;
    let unknown = owner
        .post(&format!("{DOMAINS}/{NO_DOMAIN}/setup-link"), json!({}))
        .await;
    unknown.problem(404, "not-found");
    let subdomain = owner
        .post(&format!("{}/setup-link", path(&label)), json!({}))
        .await;
    assert_eq!(subdomain.fingerprint(), unknown.fingerprint());
}
