use http::Method;
use local::system::System;
use serde_json::json;

use crate::harness::{Api, START, cname, path, setup_token};

#[tokio::test]
async fn the_reader_of_a_link_checks_the_domain_as_the_agency_does() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    let link = owner
        .post(&format!("{}/setup-link", path(&domain)), json!({}))
        .await
        .expect(201);
    let verify = format!("/portal/setup/{}/verify", setup_token(&link));
    let check = async || api.visitor().post(&verify, json!(null)).await;
    let missing = check().await.expect(200);
    assert_eq!(
        (&missing["status"], &missing["check"]["attempts"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(missing["check"], api.now(&domain).await["check"]);
    // The limit is the domain's own, whoever asks.
    let answer = check().await;
    answer.problem(429, "too-many-requests");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    owner.verify(&domain).await.problem(429, "too-many-requests");
    api.advance(std::time::Duration::from_secs(6));
    api.dns.set_zone(&cname(&domain)).unwrap();
    let proven = check().await.expect(200);
    assert_eq!(
        (&proven["status"], &proven["expiresAt"]),
        (&json!("verified"), &link["expiresAt"])
    );
    // The reader has no account.
    let entry = &owner.audit().await[0];
    assert_eq!(
        (&entry["action"], &entry["actor"]),
        (&json!("domain.verified"), &json!({"type": "system", "id": null}))
    );
    assert_eq!(entry["requestId"], json!(null));
}

#[tokio::test]
async fn a_form_gets_back_to_the_page_also_within_the_limit() {
    let api = Api::with(&[("API_BASE_PATH", "/api")]).await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    let link = owner
        .post(&format!("{}/setup-link", path(&domain)), json!({}))
        .await
        .expect(201);
    let page = format!("/api/portal/setup/{}", setup_token(&link));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for _ in 0..2 {
        let answer = api
            .visitor()
            .raw(Method::POST, &format!("{page}/verify"), &form, "")
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (303, Some(page.as_str()))
        );
        assert_eq!(api.now(&domain).await["check"]["attempts"], 1);
    }
    let unknown = format!("/portal/setup/{}/verify", "A".repeat(43));
    api.visitor()
        .raw(Method::POST, &unknown, &form, "")
        .await
        .problem(404, "not-found");
}
