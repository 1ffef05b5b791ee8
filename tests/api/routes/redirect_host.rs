use local::system::System;
use serde_json::{Value, json};

use crate::harness::{Api, DAY, DOMAINS, START, cname, id, path};

#[tokio::test]
async fn a_host_redirects_while_both_hosts_are_served() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let new = owner.verified_domain("portal.acme.com").await;
    let old = owner.subdomain("acme").await;
    let redirect = async |host: &str| api.visitor().get(&format!("/portal/redirect?host={host}")).await;
    let host = "ACME.portal.localhost.";
    redirect(host).await.problem(404, "no-portal");
    let update = json!({"redirectTo": id(&new)});
    owner.patch(&path(&old), update).await.expect(200);
    let answer = redirect(host).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (308, ""));
    assert_eq!(answer.header("location"), Some("https://portal.acme.com"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(answer.header("vary"), Some("origin"));
    redirect("portal.acme.com").await.problem(404, "no-portal");
    redirect("unused.acme.com").await.problem(404, "no-portal");
    // The target is lost.
    api.dns.set_zone("").unwrap();
    for _ in 0..8 {
        api.advance(DAY);
        api.reverify().await;
    }
    assert_eq!(api.now(&new).await["status"], "failed");
    redirect(host).await.problem(404, "no-portal");
    api.dns.set_zone(&cname(&new)).unwrap();
    api.verify(&new).await;
    assert_eq!(redirect(host).await.status, 308);
    let end = json!({"redirectTo": null});
    let owner = api.owner_of(&old);
    owner.patch(&path(&old), end).await.expect(200);
    redirect(host).await.problem(404, "no-portal");
}

/// The holder of a hostname names its redirect from the check on that proves it.
#[tokio::test]
async fn a_pending_domain_redirects_when_it_is_proven() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let target = owner.subdomain("acme").await;
    let body = json!({"customDomain": "old.acme.com"});
    let old: Value = owner.post(DOMAINS, body).await.expect(201);
    owner
        .patch(&path(&old), json!({"redirectTo": id(&target)}))
        .await
        .expect(200);
    let redirect = async || api.visitor().get("/portal/redirect?host=old.acme.com").await;
    redirect().await.problem(404, "no-portal");
    api.dns.set_zone(&cname(&old)).unwrap();
    assert_eq!(api.verify(&old).await["status"], "verified");
    assert_eq!(
        redirect().await.header("location"),
        Some("https://acme.portal.localhost")
    );
}

#[tokio::test]
async fn a_redirect_ends_when_its_source_moves_or_another_agency_has_the_target() {
    let api = Api::build(System::builder().at(START)).await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    let client = acme.client("Client").await;
    let target = acme.verified_domain("portal.acme.test").await;
    let old = acme.subdomain("old").await;
    let redirect = async || {
        let answer = api
            .visitor()
            .get("/portal/redirect?host=old.portal.localhost")
            .await;
        answer.status.as_u16()
    };
    acme.patch(&path(&old), json!({"redirectTo": id(&target)}))
        .await
        .expect(200);
    assert_eq!(redirect().await, 308);
    // The name moves to another agency, which serves it.
    let theirs = globex.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&theirs)).unwrap();
    api.verify(&theirs).await;
    assert_eq!(api.now(&target).await["status"], "failed");
    assert!(api.serves("portal.acme.test").await);
    assert_eq!(redirect().await, 404);
    api.dns.set_zone(&cname(&target)).unwrap();
    api.verify(&target).await;
    assert_eq!(redirect().await, 308);
    acme.patch(&path(&old), json!({"clientOrgId": id(&client)}))
        .await
        .expect(200);
    assert_eq!(redirect().await, 404);
    acme.patch(&path(&old), json!({"clientOrgId": null}))
        .await
        .expect(200);
    assert_eq!(redirect().await, 404);
}
