//! Portal domains without DNS: names, records to copy, limits, who may claim what. `verify.rs` has the look at DNS.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use http::Method;
use local::system::System;
use serde_json::{Value, json};

use crate::harness::{Api, User};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3600;

const DOMAINS: &str = "/agency/portal-domains";

async fn create(user: &User<'_>, body: Value) -> crate::harness::Answer {
    user.post(DOMAINS, body).await
}

/// A name's fault: the one code, which must be at `pointer`.
async fn refusal(user: &User<'_>, pointer: &str, text: &str) -> String {
    let property = pointer.trim_start_matches('/');
    let mut faults = create(user, json!({ property: text })).await.faults();
    assert_eq!(faults.len(), 1, "{text:?}: {faults:?}");
    let (found, code) = faults.remove(0);
    assert_eq!(found, pointer, "{text:?}");
    code
}

fn hostnames(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|domain| domain["hostname"].as_str().unwrap())
        .collect()
}

async fn overview(user: &User<'_>) -> Value {
    user.get("/agency/overview").await.expect(200)
}

#[tokio::test]
async fn a_subdomain_is_verified_from_the_start_and_has_no_records() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let answer = create(&acme, json!({"subdomain": " ACME-Portal\u{feff} "})).await;
    let domain = answer.expect(201);
    let path = format!("{DOMAINS}/{}", domain["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(&*path));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(
        domain,
        json!({
            "id": domain["id"],
            "agencyId": "org_acme",
            "type": "subdomain",
            "hostname": "acme-portal.portal.localhost",
            "status": "verified",
            "routing": "routed",
            "records": [],
            "check": null,
            "verifiedAt": "2027-01-15T08:00:00Z",
            "createdAt": "2027-01-15T08:00:00Z",
            "updatedAt": "2027-01-15T08:00:00Z",
        })
    );
    assert_eq!(acme.get(&path).await.expect(200), domain);
    let served = api
        .visitor()
        .get("/portal/tls-check?domain=acme-portal.portal.localhost")
        .await;
    served.expect(200);
}

#[tokio::test]
async fn a_custom_domain_comes_with_its_records_and_nothing_checked() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let domain = acme.custom_domain("Portal.ACME.com.").await;
    let txt = domain["records"][0]["value"].as_str().unwrap();
    let token = txt.strip_prefix("agency-verification=").unwrap();
    assert_eq!(
        domain,
        json!({
            "id": domain["id"],
            "agencyId": "org_acme",
            "type": "custom",
            "hostname": "portal.acme.com",
            "status": "pending",
            "routing": "unknown",
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
    let path = format!("{DOMAINS}/{}", domain["id"].as_str().unwrap());
    assert_eq!(acme.get(&path).await.expect(200), domain);
    assert_eq!(
        acme.get(DOMAINS).await.expect(200),
        json!({"items": [domain], "nextCursor": null})
    );
    let visitor = api.visitor();
    assert_eq!(
        visitor
            .get("/portal/tls-check?domain=portal.acme.com")
            .await
            .status,
        404
    );
    visitor
        .get("/portal/branding?host=portal.acme.com")
        .await
        .problem(404, "no-portal");
}

#[tokio::test]
async fn an_apex_is_routed_by_addresses_or_by_an_alias() {
    let with = Api::build(System::builder().set("PORTAL_ADDRESSES", "192.0.2.1, 2001:db8::1")).await;
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
        let token = txt.strip_prefix("agency-verification=").unwrap();
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
async fn records_are_ready_to_copy_whatever_the_name() {
    let api = Api::build(System::builder().set("PORTAL_DOMAIN_TARGET", "edge.agency.test")).await;
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
        // A zone of one's own below a private suffix.
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
}

#[tokio::test]
async fn each_record_has_a_token_of_its_own_of_128_bits() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let mut tokens = HashSet::new();
    let mut ones = [0_u32; 128];
    for _ in 0..40 {
        // The same name each time: the token belongs to the record, not to the name.
        let domain = acme.custom_domain("portal.acme.com").await;
        let txt = domain["records"][0]["value"].as_str().unwrap();
        let token = txt.strip_prefix("agency-verification=").unwrap().to_owned();
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
        acme.delete(&format!("{DOMAINS}/{}", domain["id"].as_str().unwrap()))
            .await
            .expect(204);
    }
    // A bit that never changes would carry nothing; for a random one that is 2^-39.
    assert!(ones.iter().all(|count| (1..40).contains(count)), "{ones:?}");
}

#[tokio::test]
async fn labels_have_a_form_and_some_are_reserved() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    for (label, code) in [
        ("", "too-short"),
        ("a", "too-short"),
        (" a ", "too-short"),
        (&"a".repeat(64), "too-long"),
        ("-acme", "invalid-format"),
        ("acme-", "invalid-format"),
        ("ac_me", "invalid-format"),
        ("ac me", "invalid-format"),
        ("acme.portal", "invalid-format"),
        ("acme.", "invalid-format"),
        ("bücher", "invalid-format"),
        ("xn--bcher-kva", "invalid-format"),
        ("XN--bcher-kva", "invalid-format"),
        ("*", "too-short"),
        ("**", "invalid-format"),
        ("ac\u{0}me", "invalid-format"),
        // The Kelvin sign folds to k by Unicode's rules, not by DNS's.
        ("\u{212a}elvin", "invalid-format"),
        ("www", "reserved"),
        ("API", "reserved"),
        ("admin", "reserved"),
        ("mail", "reserved"),
        ("ns1", "reserved"),
        ("www2", "reserved"),
        // The target's own label.
        ("cname", "reserved"),
    ] {
        assert_eq!(refusal(&acme, "/subdomain", label).await, code, "{label:?}");
    }
    for label in ["ab", "a-b", "0-9", &"a".repeat(63), "wwwa", "a--b"] {
        acme.subdomain(label).await;
    }
    let other = Api::build(System::builder().set("PORTAL_DOMAIN_TARGET", "go.portal.localhost")).await;
    let acme = other.agency("org_acme").await;
    assert_eq!(refusal(&acme, "/subdomain", "go").await, "reserved");
    let below = Api::build(System::builder().set("PORTAL_DOMAIN_TARGET", "to.hosts.portal.localhost")).await;
    let acme = below.agency("org_acme").await;
    assert_eq!(refusal(&acme, "/subdomain", "hosts").await, "reserved");
    acme.subdomain("to").await;
}

#[tokio::test]
async fn a_custom_name_that_nobody_can_own_is_refused_with_its_own_code() {
    let strict = System::builder()
        .set("ALLOW_SPECIAL_USE_DOMAINS", "false")
        .set("PORTAL_DOMAIN", "portal.agency.dev")
        .set("PORTAL_DOMAIN_TARGET", "cname.agency-edge.dev");
    let api = Api::build(strict).await;
    let acme = api.agency("org_acme").await;
    let long = format!("{}.com", vec!["a".repeat(62); 4].join("."));
    let nearly = format!(
        "{}.com",
        ["a".repeat(62), "a".repeat(62), "a".repeat(62), "a".repeat(44)].join(".")
    );
    assert!(nearly.len() <= 253 && nearly.len() + "_agency-challenge.".len() > 253);
    for (name, code) in [
        ("", "too-short"),
        ("192.0.2.1", "ip-address"),
        ("192.0.2.1.", "ip-address"),
        ("0xc0.0x2", "ip-address"),
        ("3221225985", "ip-address"),
        ("acme.7", "ip-address"),
        ("acme.0x7f", "ip-address"),
        ("2001:db8::1", "ip-address"),
        ("[2001:db8::1]", "ip-address"),
        ("192.0.2.1:443", "ip-address"),
        ("１９２.0.2.1", "ip-address"),
        ("acme", "single-label"),
        ("com", "single-label"),
        ("co.uk", "public-suffix"),
        ("github.io", "public-suffix"),
        ("acme.nosuchtld", "unknown-suffix"),
        ("*.acme.com", "wildcard"),
        ("my_portal.acme.com", "underscore"),
        ("portal.acme.com:443", "port"),
        ("https://portal.acme.com", "scheme"),
        ("HTTPS://portal.acme.com/", "scheme"),
        (&long, "name-too-long"),
        (&nearly, "name-too-long"),
        (&format!("{}.com", "a".repeat(64)), "label-too-long"),
        ("acme.localhost", "special-use"),
        ("acme.test", "special-use"),
        ("acme.invalid", "special-use"),
        ("acme.example", "special-use"),
        ("abc.onion", "special-use"),
        ("printer.local", "special-use"),
        ("db.internal", "special-use"),
        ("1.0.0.127.in-addr.arpa", "special-use"),
        ("portal.agency.dev", "portal-domain"),
        ("acme.portal.agency.dev", "portal-domain"),
        ("ACME.Portal.Agency.Dev.", "portal-domain"),
        ("cname.agency-edge.dev", "portal-domain"),
        ("x.cname.agency-edge.dev", "portal-domain"),
        ("portal..acme.com", "invalid-name"),
        (".acme.com", "invalid-name"),
        ("portal.acme.com..", "invalid-name"),
        ("-portal.acme.com", "invalid-name"),
        ("por tal.acme.com", "invalid-name"),
        ("portal.acme.com/path", "invalid-name"),
        ("me@acme.com", "invalid-name"),
        ("xn--a.com", "invalid-name"),
        ("xn--.com", "invalid-name"),
        ("a\u{0}.acme.com", "invalid-name"),
    ] {
        assert_eq!(refusal(&acme, "/customDomain", name).await, code, "{name:?}");
    }
    // Names beside ours and below a private suffix are somebody's.
    for name in [
        "agency.dev",
        "xportal.agency.dev",
        "agency-edge.dev",
        "acme.github.io",
        "faß.de",
        "❤.tk",
    ] {
        acme.custom_domain(name).await;
    }
    assert_eq!(acme.audit().await.len(), 1 + 6, "a refusal leaves no entry");
}

#[tokio::test]
async fn a_new_domain_is_exactly_one_of_the_two() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let fault = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
    for (body, expected) in [
        (json!({}), fault("", "required")),
        (
            json!({"subdomain": null, "customDomain": null}),
            fault("", "required"),
        ),
        (
            json!({"subdomain": "acme", "customDomain": "portal.acme.com"}),
            fault("", "not-allowed"),
        ),
        (json!({"subdomain": 7}), fault("/subdomain", "wrong-type")),
        (
            json!({"customDomain": ["portal.acme.com"]}),
            fault("/customDomain", "wrong-type"),
        ),
        (json!({"customDomain": {}}), fault("/customDomain", "wrong-type")),
        (json!([]), fault("", "wrong-type")),
        (json!("acme"), fault("", "wrong-type")),
        (
            json!({"subdomain": "a", "status": "verified"}),
            [
                fault("/status", "unknown-property"),
                fault("/subdomain", "too-short"),
            ]
            .concat(),
        ),
        (
            json!({"subdomain": "acme", "id": null}),
            fault("/id", "unknown-property"),
        ),
    ] {
        let mut faults = create(&acme, body.clone()).await.faults();
        faults.sort();
        assert_eq!(faults, expected, "{body}");
    }
    // What is null is absent.
    create(&acme, json!({"subdomain": "acme", "customDomain": null}))
        .await
        .expect(201);
    assert_eq!(
        hostnames(&acme.get(DOMAINS).await.expect(200)),
        ["acme.portal.localhost"]
    );
}

#[tokio::test]
async fn a_label_is_one_agencys_and_a_claim_on_a_custom_name_blocks_nobody() {
    let api = Api::start().await;
    let (acme, globex) = (api.agency("org_acme").await, api.agency("org_globex").await);
    acme.subdomain("shared").await;
    for user in [&acme, &globex] {
        create(user, json!({"subdomain": "Shared"}))
            .await
            .problem(409, "hostname-taken");
    }
    let first = acme.custom_domain("portal.acme.com").await;
    let second = globex.custom_domain("portal.acme.com").await;
    assert_ne!(first["records"], second["records"]);
    for spelling in ["portal.acme.com", "PORTAL.acme.com.", "portal。acme.com"] {
        for user in [&acme, &globex] {
            create(user, json!({"customDomain": spelling}))
                .await
                .problem(409, "hostname-taken");
        }
    }
    // Holding an apex gives no right to the names below it.
    acme.custom_domain("acme.com").await;
    globex.custom_domain("shop.acme.com").await;
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 3);
    assert_eq!(overview(&globex).await["portalDomains"]["total"], 2);
}

#[tokio::test]
async fn twenty_at_once_make_one_subdomain_across_agencies() {
    let api = Api::start().await;
    let mut users = Vec::new();
    for agency in 0..4 {
        users.push(api.agency(&format!("org_{agency}")).await);
    }
    let answers = join_all((0..20).map(|n| create(&users[n % 4], json!({"subdomain": "race"})))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "hostname-taken");
    }
    let mut total = 0;
    for user in &users {
        total += overview(user).await["portalDomains"]["total"].as_u64().unwrap();
    }
    assert_eq!(total, 1);
}

#[tokio::test]
async fn a_deleted_label_stays_its_agencys_for_30_days() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let old = acme.subdomain("acme").await;
    let path = format!("{DOMAINS}/{}", old["id"].as_str().unwrap());
    acme.delete(&path).await.expect(204);
    let served = "/portal/tls-check?domain=acme.portal.localhost";
    assert_eq!(api.visitor().get(served).await.status, 404);
    create(&globex, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");

    // Its agency has it back at once; the 30 days begin with each deletion.
    api.advance(Duration::from_secs(10 * DAY));
    let acme = api.user("org_acme", "owner");
    let new = acme.subdomain("acme").await;
    assert_ne!(new["id"], old["id"]);
    acme.get(&path).await.problem(404, "not-found");
    api.visitor().get(served).await.expect(200);
    acme.delete(&format!("{DOMAINS}/{}", new["id"].as_str().unwrap()))
        .await
        .expect(204);

    api.advance(Duration::from_secs(30 * DAY - 1));
    let globex = api.user("org_globex", "owner");
    create(&globex, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");
    assert_eq!(api.visitor().get(served).await.status, 404);
    // A refused claim does not prolong the wait.
    api.advance(Duration::from_secs(1));
    create(&globex, json!({"subdomain": "acme"})).await.expect(201);
    api.visitor().get(served).await.expect(200);
    let acme = api.user("org_acme", "owner");
    create(&acme, json!({"subdomain": "acme"}))
        .await
        .problem(409, "hostname-taken");
}

#[tokio::test]
async fn a_deleted_custom_domain_is_gone_with_its_token_and_free_at_once() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let first = acme.custom_domain("portal.acme.com").await;
    let path = format!("{DOMAINS}/{}", first["id"].as_str().unwrap());
    acme.delete(&path).await.expect(204);
    for answer in [acme.get(&path).await, acme.delete(&path).await] {
        answer.problem(404, "not-found");
    }
    acme.post(&format!("{path}/verify"), Value::Null)
        .await
        .problem(404, "not-found");
    let second = acme.custom_domain("portal.acme.com").await;
    assert_ne!(first["records"][0]["value"], second["records"][0]["value"]);
    assert_eq!(
        overview(&acme).await["portalDomains"],
        json!({
            "total": 1, "verified": 0, "pending": 1, "failing": 0, "failed": 0,
        })
    );
}

#[tokio::test]
async fn what_is_no_domains_id_is_not_found() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let client = acme.client("Globex").await;
    let domain = acme.subdomain("acme").await;
    let id = domain["id"].as_str().unwrap();
    for wrong in [
        "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".to_owned(),
        "dom_00000000-0000-0000-0000-000000000000".to_owned(),
        id.to_uppercase(),
        id.replace("dom_", "cli_"),
        id.replace("dom_", ""),
        format!("{id}%20"),
        format!("{id}%00"),
        format!("{id}%23"),
        client["id"].as_str().unwrap().to_owned(),
        "%ff%fe".to_owned(),
        "x".repeat(2000),
    ] {
        let path = format!("{DOMAINS}/{wrong}");
        acme.get(&path).await.problem(404, "not-found");
        acme.delete(&path).await.problem(404, "not-found");
        acme.post(&format!("{path}/verify"), Value::Null)
            .await
            .problem(404, "not-found");
    }
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 1);
}

#[tokio::test]
async fn the_limit_is_exact_with_twenty_at_once_and_deleting_makes_room() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    for batch in 0..19 {
        join_all((0..5).map(|n| acme.subdomain_or_custom(batch * 5 + n))).await;
    }
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 95);
    let answers =
        join_all((95..115).map(|n| create(&acme, json!({"customDomain": format!("p{n}.acme.com")})))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 5);
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "limit-reached");
    }
    let list = acme.get(DOMAINS).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 100);
    let counts = overview(&acme).await["portalDomains"].clone();
    assert_eq!(
        counts,
        json!({"total": 100, "verified": 48, "pending": 52, "failing": 0, "failed": 0})
    );
    create(&acme, json!({"subdomain": "one-more"}))
        .await
        .problem(409, "limit-reached");
    // The refused label is nobody's.
    globex.subdomain("one-more").await;
    let first = list["items"][0]["id"].as_str().unwrap();
    acme.delete(&format!("{DOMAINS}/{first}")).await.expect(204);
    create(&acme, json!({"subdomain": "room-again"}))
        .await
        .expect(201);
    create(&acme, json!({"subdomain": "no-room"}))
        .await
        .problem(409, "limit-reached");
    // Each entry is of a write that took effect: one for enable, 100 and 1 creations, 1 deletion.
    assert_eq!(acme.audit().await.len(), 103);
}

impl User<'_> {
    async fn subdomain_or_custom(&self, n: u32) {
        match n % 2 {
            0 => self.subdomain(&format!("sub-{n}")).await,
            _ => self.custom_domain(&format!("p{n}.acme.com")).await,
        };
    }
}

#[tokio::test]
async fn the_limit_is_configuration() {
    let api = Api::build(System::builder().set("MAX_DOMAINS", "1")).await;
    let acme = api.agency("org_acme").await;
    let domain = acme.subdomain("acme").await;
    create(&acme, json!({"customDomain": "portal.acme.com"}))
        .await
        .problem(409, "limit-reached");
    // A replay makes nothing, so it needs no room.
    acme.delete(&format!("{DOMAINS}/{}", domain["id"].as_str().unwrap()))
        .await
        .expect(204);
    let body = json!({"customDomain": "portal.acme.com"});
    let key = [("idempotency-key", "k")];
    let first = acme.call(Method::POST, DOMAINS, &key, Some(body.clone())).await;
    let again = acme.call(Method::POST, DOMAINS, &key, Some(body)).await;
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    api.agency("org_globex").await.subdomain("globex").await;
}

#[tokio::test]
async fn a_replayed_creation_shows_the_same_token_and_another_body_is_refused() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let body = json!({"customDomain": "portal.acme.com"});
    let send = async |body: &Value| {
        let key = [("idempotency-key", "the key")];
        let bad = acme.call(Method::POST, DOMAINS, &key, Some(body.clone())).await;
        bad.problem(400, "invalid-parameter");
        let key = [("idempotency-key", "the-key")];
        acme.call(Method::POST, DOMAINS, &key, Some(body.clone())).await
    };
    let answers = join_all((0..20).map(|_| send(&body))).await;
    let bodies: HashSet<_> = answers
        .iter()
        .map(|answer| (answer.expect(201), &answer.text).1)
        .collect();
    assert_eq!(bodies.len(), 1);
    let replayed = |answer: &&crate::harness::Answer| answer.header("idempotency-replayed") == Some("true");
    assert_eq!(answers.iter().filter(replayed).count(), 19);
    send(&json!({"customDomain": "other.acme.com"}))
        .await
        .problem(422, "idempotency-mismatch");
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 1);
    // Deleted meanwhile: the answer is still the first one, and the domain is not made again.
    let id = answers[0].json()["id"].as_str().unwrap().to_owned();
    acme.delete(&format!("{DOMAINS}/{id}")).await.expect(204);
    assert_eq!(send(&body).await.json()["id"], id);
    acme.get(&format!("{DOMAINS}/{id}"))
        .await
        .problem(404, "not-found");

    api.advance(Duration::from_secs(DAY));
    let acme = api.user("org_acme", "owner");
    let key = [("idempotency-key", "the-key")];
    let later = acme.call(Method::POST, DOMAINS, &key, Some(body)).await;
    assert_ne!(later.expect(201)["id"], id);
    assert_eq!(later.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn the_list_is_oldest_first_page_by_page() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    assert_eq!(
        acme.get(DOMAINS).await.expect(200),
        json!({"items": [], "nextCursor": null})
    );
    let mut expected = Vec::new();
    for n in 0..7 {
        acme.subdomain_or_custom(n).await;
        expected.push(if n % 2 == 0 {
            format!("sub-{n}.portal.localhost")
        } else {
            format!("p{n}.acme.com")
        });
    }
    for limit in [1, 2, 3, 7, 8, 1000] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = acme
                .get(&format!("{DOMAINS}?limit={limit}{cursor}"))
                .await
                .expect(200);
            assert!(page["items"].as_array().unwrap().len() <= limit);
            seen.extend(hostnames(&page).into_iter().map(str::to_owned));
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "limit {limit}");
    }
    // A list that shrinks and grows between pages loses and repeats nothing else.
    let page = acme.get(&format!("{DOMAINS}?limit=3")).await.expect(200);
    let last = page["items"][2]["id"].as_str().unwrap();
    acme.delete(&format!("{DOMAINS}/{last}")).await.expect(204);
    acme.subdomain("late").await;
    let rest = acme
        .get(&format!(
            "{DOMAINS}?cursor={}",
            page["nextCursor"].as_str().unwrap()
        ))
        .await
        .expect(200);
    let mut after: Vec<_> = expected[3..].iter().map(String::as_str).collect();
    after.push("late.portal.localhost");
    assert_eq!(hostnames(&rest), after);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=1.0",
        "limit=",
        "limit=1&limit=1",
        "cursor=",
    ] {
        acme.get(&format!("{DOMAINS}?{query}"))
            .await
            .problem(400, "invalid-parameter");
    }
    let clients = acme.client("A").await;
    assert!(clients.is_object());
    acme.client("B").await;
    let foreign = acme.get("/agency/clients?limit=1").await.expect(200)["nextCursor"].clone();
    for cursor in [foreign.as_str().unwrap(), "x", "%00", "AAAA", &"A".repeat(513)] {
        acme.get(&format!("{DOMAINS}?cursor={cursor}"))
            .await
            .problem(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn the_overview_counts_and_the_oldest_subdomain_is_primary_without_a_custom_one() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    acme.custom_domain("portal.acme.com").await;
    assert_eq!(
        overview(&acme).await["primaryDomain"],
        Value::Null,
        "a pending one gets no links"
    );
    let first = acme.subdomain("zz-first").await;
    let second = acme.subdomain("aa-second").await;
    let seen = overview(&acme).await;
    assert_eq!(
        seen["portalDomains"],
        json!({"total": 3, "verified": 2, "pending": 1, "failing": 0, "failed": 0})
    );
    assert_eq!(seen["primaryDomain"], "zz-first.portal.localhost");
    for (domain, then) in [
        (first, json!("aa-second.portal.localhost")),
        (second, Value::Null),
    ] {
        acme.delete(&format!("{DOMAINS}/{}", domain["id"].as_str().unwrap()))
            .await
            .expect(204);
        assert_eq!(overview(&acme).await["primaryDomain"], then);
        let context = acme.get("/portal/context").await.expect(200);
        assert_eq!(
            context["domain"]["hostname"],
            then.as_str().map_or(Value::Null, Value::from)
        );
    }
    assert_eq!(overview(&acme).await["portalDomains"]["total"], 1);
}

#[tokio::test]
async fn a_base_path_is_in_the_location_too() {
    let api = Api::build(System::builder().set("API_BASE_PATH", "/api")).await;
    let acme = api.agency("org_acme").await;
    let answer = acme
        .post("/api/agency/portal-domains", json!({"subdomain": "acme"}))
        .await;
    let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/api/agency/portal-domains/{id}"));
    acme.get(&location).await.expect(200);
}
