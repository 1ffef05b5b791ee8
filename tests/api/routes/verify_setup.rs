use http::Method;
use local::system::System;
use serde_json::json;

use crate::harness::{Api, START, cname, setup_token, token, txt};

#[tokio::test]
async fn the_reader_of_a_link_checks_the_domain_as_the_agency_does() {
    let api = Api::build(System::builder().at(START)).await;
    let owner = api.agency("org_acme").await;
    let domain = owner.custom_domain("portal.acme.test").await;
    let link = owner.setup_link(&domain).await;
    let verify = format!("/portal/setup/{}/verify", setup_token(&link));
    let check = async || api.visitor().post(&verify, json!(null)).await;
    let missing = check().await.expect(200);
    assert_eq!(
        (&missing["status"], &missing["check"]["attempts"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(missing["check"], api.now(&domain).await["check"]);
    // The rate limit is that of the domain, for the reader of the link and for the agency.
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
    let link = owner.setup_link(&domain).await;
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
    // Without the reload that the reader has turned off.
    let verify = format!("{page}/verify?reload=false");
    let answer = api.visitor().raw(Method::POST, &verify, &form, "").await;
    assert_eq!(answer.header("location"), Some(&*format!("{page}?reload=false")));
    let headers = [("accept", "text/html")];
    let html = api
        .visitor()
        .call(Method::GET, &format!("{page}?reload=false"), &headers, None)
        .await;
    assert!(html.text.contains("/verify?reload=false\""), "{}", html.text);
    let unknown = format!("/portal/setup/{}/verify", "A".repeat(43));
    api.visitor()
        .raw(Method::POST, &unknown, &form, "")
        .await
        .problem(404, "not-found");
}

/// The reader chooses the target of the `CNAME`, and must not learn which other portals are the same agency's.
#[tokio::test]
async fn a_link_does_not_tell_whether_another_portal_is_the_same_agencys() {
    let api = Api::build(System::builder().at(START)).await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    let domain = acme.custom_domain("portal.acme.test").await;
    let others = [
        acme.custom_domain("own.acme.test").await,
        globex.custom_domain("foreign.acme.test").await,
    ];
    let link = acme.setup_link(&domain).await;
    let page = format!("/portal/setup/{}", setup_token(&link));
    for proof in [String::new(), txt(&domain)] {
        let (mut seen, mut told) = (Vec::new(), Vec::new());
        for other in &others {
            let target = format!("{}.cname.portal.localhost", token(other));
            let records = format!("portal.acme.test. CNAME {target}.\n{proof}");
            api.dns.set_zone(&records).unwrap();
            api.advance(std::time::Duration::from_secs(6));
            let mut json = api
                .visitor()
                .post(&format!("{page}/verify"), json!(null))
                .await
                .expect(200);
            let mut pages = Vec::new();
            for language in ["en", "de"] {
                let headers = [("accept", "text/html"), ("accept-language", language)];
                let html = api.visitor().call(Method::GET, &page, &headers, None).await;
                pages.push(html.text.replace(token(other), "TOKEN"));
            }
            for time in ["checkedAt", "nextCheckAt", "attempts"] {
                json["check"][time] = json!(null);
            }
            if let Some(tls) = json["tls"].as_object_mut() {
                tls.remove("checkedAt");
            }
            let pages = pages.iter().flat_map(|html| html.lines());
            let html: String = pages.filter(|line| !line.contains("<time")).collect();
            told.push(
                api.now(&domain).await["check"]["findings"]
                    .to_string()
                    .replace(token(other), "TOKEN"),
            );
            seen.push((json.to_string().replace(token(other), "TOKEN"), html));
        }
        assert_eq!(seen[0], seen[1]);
        // The agency itself is told.
        assert_ne!(told[0], told[1]);
    }
}
