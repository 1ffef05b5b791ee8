use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Api, DOMAINS, User, path, token};

#[tokio::test]
async fn a_subdomain_is_verified_from_the_start_and_has_no_records() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let answer = acme
        .post(DOMAINS, json!({"subdomain": " ACME-Portal\u{feff} "}))
        .await;
    let domain = answer.expect(201);
    let path = path(&domain);
    assert_eq!(answer.header("location"), Some(&*path));
    assert_eq!(
        domain,
        json!({
            "id": domain["id"],
            "agencyId": "org_acme",
            "clientOrgId": null,
            "type": "subdomain",
            "hostname": "acme-portal.portal.localhost",
            "status": "verified",
            "routing": "routed",
            "primary": false,
            "redirectTo": null,
            "tls": null,
            "records": [],
            "check": null,
            "verifiedAt": "2027-01-15T08:00:00Z",
            "createdAt": "2027-01-15T08:00:00Z",
            "updatedAt": "2027-01-15T08:00:00Z",
        })
    );
    assert_eq!(acme.get(&path).await.expect(200), domain);
    assert!(api.serves("acme-portal.portal.localhost").await);
}

#[tokio::test]
async fn a_custom_domain_has_its_records_unchecked() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let domain = acme.custom_domain("Portal.ACME.com.").await;
    let token = token(&domain);
    assert_eq!(
        domain,
        json!({
            "id": domain["id"],
            "agencyId": "org_acme",
            "clientOrgId": null,
            "type": "custom",
            "hostname": "portal.acme.com",
            "status": "pending",
            "routing": "unknown",
            "primary": false,
            "redirectTo": null,
            "tls": null,
            "records": [
                {
                    "type": "TXT",
                    "name": "_agency-challenge.portal.acme.com",
                    "host": "_agency-challenge.portal",
                    "value": format!("agency-verification={token}"),
                    "purpose": "ownership",
                    "state": "unchecked",
                },
                {
                    "type": "CNAME",
                    "name": "portal.acme.com",
                    "host": "portal",
                    "value": format!("{token}.cname.portal.localhost"),
                    "purpose": "routing",
                    "state": "unchecked",
                },
            ],
            "check": {
                "checkedAt": null,
                "nextCheckAt": domain["check"]["nextCheckAt"],
                "attempts": 0,
                "zone": null,
                "nameservers": [],
                "provider": null,
                "providerUrl": null,
                "problem": null,
                "findings": [],
            },
            "verifiedAt": null,
            "createdAt": "2027-01-15T08:00:00Z",
            "updatedAt": "2027-01-15T08:00:00Z",
        })
    );
    let next = domain["check"]["nextCheckAt"].as_str().unwrap();
    assert!(
        ("2027-01-15T08:00:54Z"..="2027-01-15T08:01:06Z").contains(&next),
        "{next}"
    );
    assert_eq!(api.now(&domain).await, domain);
    assert_eq!(acme.list(DOMAINS).await, [domain]);
    assert!(!api.serves("portal.acme.com").await);
}

#[tokio::test]
async fn an_apex_is_routed_by_addresses_or_by_an_alias() {
    let with = Api::with(&[("PORTAL_ADDRESSES", "192.0.2.1, 2001:db8::1")]).await;
    let without = Api::start().await;
    for name in ["acme.com", "acme.co.uk"] {
        let domain = with.agency("org_acme").await.custom_domain(name).await;
        let record = |kind: &str, name: String, host: &str, value: &str, purpose: &str| json!({"type": kind, "name": name, "host": host, "value": value, "purpose": purpose, "state": "unchecked"});
        let txt = domain["records"][0]["value"].as_str().unwrap();
        let challenge = record(
            "TXT",
            format!("_agency-challenge.{name}"),
            "_agency-challenge",
            txt,
            "ownership",
        );
        assert_eq!(
            domain["records"],
            json!([
                challenge,
                record("A", name.to_owned(), "@", "192.0.2.1", "routing"),
                record("AAAA", name.to_owned(), "@", "2001:db8::1", "routing"),
            ])
        );

        let domain = without.agency("org_acme").await.custom_domain(name).await;
        let txt = domain["records"][0]["value"].as_str().unwrap();
        let token = token(&domain);
        let challenge = record(
            "TXT",
            format!("_agency-challenge.{name}"),
            "_agency-challenge",
            txt,
            "ownership",
        );
        let target = format!("{token}.cname.portal.localhost");
        let alias = record("ALIAS", name.to_owned(), "@", &target, "routing");
        assert_eq!(domain["records"], json!([challenge, alias]));
    }
}

#[tokio::test]
async fn records_are_ready_to_copy() {
    let api = Api::with(&[("PORTAL_DOMAIN_TARGET", "edge.agency.test")]).await;
    let acme = api.agency("org_acme").await;
    for (name, hostname, host) in [
        ("a.b.acme.com", "a.b.acme.com", "a.b"),
        ("shop.acme.co.uk.", "shop.acme.co.uk", "shop"),
        (
            "Bücher.münchen.de",
            "xn--bcher-kva.xn--mnchen-3ya.de",
            "xn--bcher-kva",
        ),
        ("portal。acme。com。", "portal.acme.com", "portal"),
        // A zone below a private suffix.
        ("www.acme.github.io", "www.acme.github.io", "www"),
    ] {
        let domain = acme.custom_domain(name).await;
        assert_eq!(domain["hostname"], hostname, "{name}");
        let [txt, cname] = domain["records"].as_array().unwrap().as_slice() else {
            panic!("{domain}")
        };
        assert_eq!(txt["host"], format!("_agency-challenge.{host}"));
        assert_eq!(txt["name"], format!("_agency-challenge.{hostname}"));
        assert_eq!((&cname["host"], &cname["name"]), (&json!(host), &json!(hostname)));
        assert!(cname["value"].as_str().unwrap().ends_with(".edge.agency.test"));
        for record in [txt, cname] {
            for property in ["name", "host", "value"] {
                let text = record[property].as_str().unwrap();
                assert!(!text.ends_with('.') && !text.contains(['"', ' ']), "{text}");
            }
        }
    }
    // The target is the operator's, wherever it is.
    let body = json!({"customDomain": "x.edge.agency.test"});
    let answer = acme.post(DOMAINS, body).await;
    answer.expect_faults(&[("/customDomain", "portal-domain")]);
    acme.custom_domain("agency.test").await;
}

#[tokio::test]
async fn each_domain_has_a_token_of_128_bits() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let mut tokens = HashSet::new();
    let mut ones = [0_u32; 128];
    for _ in 0..40 {
        // The same name each time: the token belongs to the domain, not to the name.
        let domain = acme.custom_domain("portal.acme.com").await;
        let token = token(&domain).to_owned();
        // A label of DNS in the form in which DNS compares it.
        assert!(
            token
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "{token}"
        );
        assert_eq!(token.len(), 32);
        let bits = u128::from_str_radix(&token, 16).unwrap();
        ones.iter_mut()
            .enumerate()
            .for_each(|(bit, count)| *count += (bits >> bit & 1) as u32);
        assert!(tokens.insert(token));
        acme.remove(&domain).await;
    }
    // A bit that never changes would carry nothing; for a random one that is 2^-39.
    assert!(ones.iter().all(|count| (1..40).contains(count)), "{ones:?}");
}

/// With a good and some bad values of each form. The others are those of the unit tests of `models`.
#[tokio::test]
async fn a_name_that_an_agency_cannot_have_is_rejected_with_its_code() {
    let api = Api::with(&[
        ("ALLOW_SPECIAL_USE_DOMAINS", "false"),
        ("PORTAL_DOMAIN", "portal.agency.dev"),
        ("PORTAL_DOMAIN_TARGET", "to.hosts.portal.agency.dev"),
    ])
    .await;
    let acme = api.agency("org_acme").await;
    for (property, name, code) in [
        ("subdomain", " a ", "too-short"),
        ("subdomain", "acme.portal", "invalid-format"),
        ("subdomain", "API", "reserved"),
        // The label of the target of custom domains.
        ("subdomain", "hosts", "reserved"),
        ("customDomain", "", "too-short"),
        ("customDomain", "192.0.2.1:443", "ip-address"),
        ("customDomain", "com", "single-label"),
        ("customDomain", "co.uk", "public-suffix"),
        ("customDomain", "*.acme.com", "wildcard"),
        ("customDomain", "my_portal.acme.com", "underscore"),
        ("customDomain", "portal.acme.com:443", "port"),
        ("customDomain", "https://portal.acme.com", "scheme"),
        (
            "customDomain",
            &format!("{}com", "a.".repeat(126)),
            "name-too-long",
        ),
        (
            "customDomain",
            &format!("{}.com", "a".repeat(64)),
            "label-too-long",
        ),
        ("customDomain", "acme.test", "special-use"),
        ("customDomain", "ACME.Portal.Agency.Dev.", "portal-domain"),
        ("customDomain", "x.to.hosts.portal.agency.dev", "portal-domain"),
        ("customDomain", "portal..acme.com", "invalid-name"),
    ] {
        let answer = acme.post(DOMAINS, json!({ property: name })).await;
        assert_eq!(answer.status, 422, "{name:?}");
        answer.expect_faults(&[(&format!("/{property}"), code)]);
    }
    assert_eq!(acme.audit().await.len(), 1, "a rejection leaves no entry");
    // Names beside the portal's domain, below a private suffix, and below a TLD that the Public Suffix List does not have.
    for name in [
        "agency.dev",
        "xportal.agency.dev",
        "acme.github.io",
        "faß.de",
        "acme.nosuchtld",
    ] {
        acme.custom_domain(name).await;
    }
    for label in ["to", "a--b", &"a".repeat(63)] {
        acme.subdomain(label).await;
    }
}

#[tokio::test]
async fn a_body_has_exactly_one_of_subdomain_and_custom_domain() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    for (body, expected) in [
        (json!({}), vec![("", "required")]),
        (
            json!({"subdomain": null, "customDomain": null}),
            vec![("", "required")],
        ),
        (
            json!({"subdomain": "acme", "customDomain": "portal.acme.com"}),
            vec![("", "not-allowed")],
        ),
        (json!({"subdomain": 7}), vec![("/subdomain", "wrong-type")]),
        (
            json!({"customDomain": ["portal.acme.com"]}),
            vec![("/customDomain", "wrong-type")],
        ),
        (
            json!({"subdomain": "a", "status": "verified"}),
            vec![("/status", "unknown-property"), ("/subdomain", "too-short")],
        ),
    ] {
        acme.post(DOMAINS, body).await.expect_faults(&expected);
    }
    // `null` counts as absent.
    let body = json!({"subdomain": "acme", "customDomain": null});
    acme.post(DOMAINS, body).await.expect(201);
    let list = acme.list(DOMAINS).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["hostname"], "acme.portal.localhost");
}

#[tokio::test]
async fn a_subdomain_is_unique_and_a_custom_domain_is_unique_within_its_agency() {
    let api = Api::start().await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    acme.subdomain("shared").await;
    for user in [&acme, &globex] {
        user.post(DOMAINS, json!({"subdomain": "Shared"}))
            .await
            .problem(409, "hostname-taken");
    }
    let first = acme.custom_domain("portal.acme.com").await;
    let second = globex.custom_domain("portal.acme.com").await;
    assert_ne!(first["records"], second["records"]);
    for spelling in ["portal.acme.com", "PORTAL.acme.com.", "portal。acme.com"] {
        for user in [&acme, &globex] {
            user.post(DOMAINS, json!({"customDomain": spelling}))
                .await
                .problem(409, "hostname-taken");
        }
    }
    // An apex gives no right to the names below it.
    acme.custom_domain("acme.com").await;
    globex.custom_domain("shop.acme.com").await;
    assert_eq!(acme.overview().await["portalDomains"]["total"], 3);
    assert_eq!(globex.overview().await["portalDomains"]["total"], 2);
}

#[tokio::test]
async fn of_twenty_equal_subdomains_at_once_one_is_created() {
    let api = Api::start().await;
    let mut users = Vec::new();
    for agency in 0..4 {
        users.push(api.agency(&format!("org_{agency}")).await);
    }
    let answers = join_all((0..20).map(|n| users[n % 4].post(DOMAINS, json!({"subdomain": "race"})))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "hostname-taken");
    }
    let mut total = 0;
    for user in &users {
        total += user.overview().await["portalDomains"]["total"].as_u64().unwrap();
    }
    assert_eq!(total, 1);
}

#[tokio::test]
async fn the_limit_is_exact_with_twenty_at_once_and_a_deletion_makes_room() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    for batch in 0..19 {
        join_all((0..5).map(|n| create_nth(&acme, batch * 5 + n))).await;
    }
    assert_eq!(acme.overview().await["portalDomains"]["total"], 95);
    let answers =
        join_all((95..115).map(|n| acme.post(DOMAINS, json!({"customDomain": format!("p{n}.acme.com")}))))
            .await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 5);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "limit-reached");
    }
    let list = acme.list(DOMAINS).await;
    assert_eq!(list.len(), 100);
    assert_eq!(
        acme.overview().await["portalDomains"],
        json!({"total": 100, "verified": 48, "pending": 52, "failing": 0, "failed": 0, "tlsNotReady": 0})
    );
    acme.post(DOMAINS, json!({"subdomain": "one-more"}))
        .await
        .problem(409, "limit-reached");
    // The rejected label is free.
    globex.subdomain("one-more").await;
    acme.remove(&list[0]).await;
    acme.subdomain("room-again").await;
    acme.post(DOMAINS, json!({"subdomain": "no-room"}))
        .await
        .problem(409, "limit-reached");
    // Enable, 101 creations and a deletion.
    assert_eq!(acme.audit().await.len(), 103);
}

/// A subdomain if `n` is even, otherwise a custom domain.
pub async fn create_nth(user: &User<'_>, n: u32) -> Value {
    match n % 2 {
        0 => user.subdomain(&format!("sub-{n}")).await,
        _ => user.custom_domain(&format!("p{n}.acme.com")).await,
    }
}

#[tokio::test]
async fn the_limit_is_that_of_the_configuration() {
    let api = Api::with(&[("MAX_DOMAINS", "1")]).await;
    let acme = api.agency("org_acme").await;
    let domain = acme.subdomain("acme").await;
    acme.post(DOMAINS, json!({"customDomain": "portal.acme.com"}))
        .await
        .problem(409, "limit-reached");
    acme.remove(&domain).await;
    acme.custom_domain("portal.acme.com").await;
    api.agency("org_globex").await.subdomain("globex").await;
}
