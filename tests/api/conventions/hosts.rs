//! The operations that are asked about a host.

use crate::harness::{
    Answer, Api, BRANDING, id,
    operations::{Names, Operation, operations_where},
    path, property,
};

/// The responses of all such operations for this host.
async fn ask(api: &Api, host: &str) -> Vec<(&'static Operation, Answer)> {
    let by_host = |operation: &Operation| {
        let mut names = operation.parameters("query");
        operation.public && names.any(|(name, required)| required && matches!(name, "host" | "domain"))
    };
    let names = Names {
        host: host.to_owned(),
        old_host: host.to_owned(),
        ..Names::absent()
    };
    let mut answers = Vec::new();
    for operation in operations_where(by_host) {
        answers.push((operation, operation.send(&api.visitor(), &names).await));
    }
    answers
}

#[tokio::test]
async fn a_host_is_read_as_people_and_browsers_write_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner
        .put(BRANDING, property("footerText", "Acme"))
        .await
        .expect(200);
    let target = owner.subdomain("target").await;
    for domain in [
        owner.subdomain("acme").await,
        owner.verified_domain("portal.bücher.de").await,
    ] {
        let redirect = property("redirectTo", id(&target));
        owner.patch(&path(&domain), redirect).await.expect(200);
    }
    for host in [
        "acme.portal.localhost",
        "ACME.Portal.LOCALHOST",
        "acme.portal.localhost.",
        "acme.portal.localhost%E3%80%82",
        "%20acme.portal.localhost%0A",
        "+acme.portal.localhost",
        "PORTAL.B%C3%9CCHER.DE.",
        "portal.xn--bcher-kva.de",
    ] {
        for (operation, answer) in ask(&api, host).await {
            assert_eq!(
                answer.status.as_u16(),
                operation.success,
                "{} {host}",
                operation.id
            );
            if operation.id == "getPublicBranding" {
                assert_eq!(answer.json()["footerText"], "Acme");
            }
        }
    }
}

#[tokio::test]
async fn any_other_host_is_404() {
    let api = Api::start().await;
    api.agency("org_acme").await.subdomain("acme").await;
    for host in [
        "acme.portal.localhost:443",
        "https://acme.portal.localhost",
        "acme.portal.localhost/",
        "acme.portal.localhost..",
        "*.portal.localhost",
        "portal.localhost",
        "acme",
        "other.portal.localhost",
        "x.acme.portal.localhost",
        "acme.portal.localhost%00",
        "acme%2Eportal%2Elocalhost%23",
        "acme.portal.localhost%FF",
        "127.0.0.1",
        "[::1]",
        "%20",
        &"a.".repeat(4000),
        "H%23acme.portal.localhost",
    ] {
        for (operation, answer) in ask(&api, host).await {
            assert_eq!(answer.status, 404, "{} {host}", operation.id);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            match operation.has_problem("no-portal") {
                true => drop(answer.problem(404, "no-portal")),
                false => assert_eq!((&*answer.text, answer.header("content-type")), ("", None)),
            }
        }
    }
}

#[tokio::test]
async fn a_host_is_served_while_its_domain_is_verified() {
    let api = Api::start().await;
    let (acme, other) = (api.agency("org_acme").await, api.agency("org_other").await);
    for (agency, text) in [(&acme, "Acme"), (&other, "Other")] {
        agency
            .put(BRANDING, property("footerText", text))
            .await
            .expect(200);
    }
    acme.custom_domain("pending.acme.com").await;
    assert!(!api.serves("pending.acme.com").await);
    let domain = acme.verified_domain("portal.acme.com").await;
    assert!(api.serves("portal.acme.com").await);
    // A claim of another agency changes nothing.
    other.custom_domain("portal.acme.com").await;
    let visitor = api.visitor();
    let branding = visitor.get("/portal/branding?host=portal.acme.com").await;
    assert_eq!(branding.expect(200)["footerText"], "Acme");
    let subdomain = acme.subdomain("acme").await;
    assert!(api.serves("acme.portal.localhost").await);
    for domain in [&domain, &subdomain] {
        acme.delete(&path(domain)).await.expect(204);
        assert!(!api.serves(domain["hostname"].as_str().unwrap()).await);
    }
}
