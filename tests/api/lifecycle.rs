//! A custom domain's life: through the API, the schedule's function and a zone that changes.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use local::system::System;
use serde_json::{Value, json};
use shared::models::time::Timestamp;

use crate::harness::{Api, User};

/// When the systems of these tests begin.
pub const START: i64 = 1_800_000_000_000;
pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// The address of the edge.
pub const EDGE: &str = "192.0.2.80";

/// A registered domain without our records.
const REGISTERED: &str = "acme.test. NS ns1.acme.test.\n";

/// A system whose clock stands still, and whose edge has an address.
pub fn system() -> local::system::Builder {
    System::builder().at(START).set("PORTAL_ADDRESSES", EDGE)
}

/// The domain's `TXT` record, as a line of a zone file.
pub fn txt(domain: &Value) -> String {
    let record = &domain["records"][0];
    assert_eq!(record["type"], "TXT");
    let text = |name: &str| record[name].as_str().unwrap();
    format!("{}. TXT \"{}\"\n", text("name"), text("value"))
}

/// Its `CNAME` record.
pub fn cname(domain: &Value) -> String {
    let record = &domain["records"][1];
    assert_eq!(record["type"], "CNAME");
    let text = |name: &str| record[name].as_str().unwrap();
    format!("{}. CNAME {}.\n", text("name"), text("value"))
}

pub fn path(domain: &Value) -> String {
    format!("/agency/portal-domains/{}", domain["id"].as_str().unwrap())
}

pub fn code(domain: &Value) -> &str {
    domain["check"]["problem"]["code"].as_str().unwrap_or("none")
}

/// The codes of all findings.
pub fn codes(domain: &Value) -> Vec<&str> {
    let findings = domain["check"]["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

/// The owner of the domain's agency, with a token of now.
pub fn owner<'a>(api: &'a Api, domain: &Value) -> User<'a> {
    api.user(domain["agencyId"].as_str().unwrap(), "owner")
}

/// The domain as it is now.
pub async fn now(api: &Api, domain: &Value) -> Value {
    owner(api, domain).get(&path(domain)).await.expect(200)
}

pub async fn verify(api: &Api, domain: &Value) -> Value {
    // One check of a domain in five seconds.
    api.advance(Duration::from_secs(6));
    let path = format!("{}/verify", path(domain));
    owner(api, domain).post(&path, Value::Null).await.expect(200)
}

/// Lets time pass until the domain is due, and sweeps.
pub async fn when_due(api: &Api, domain: &Value) -> Value {
    let next = now(api, domain).await["check"]["nextCheckAt"].clone();
    let next: Timestamp = next.as_str().unwrap().parse().unwrap();
    api.advance(next.since(api.app.clock.now()) + Duration::from_secs(1));
    api.reverify().await;
    now(api, domain).await
}

/// Whether the portal is served there.
pub async fn is_served(api: &Api, hostname: &str) -> bool {
    let path = format!("/portal/tls-check?domain={hostname}");
    api.visitor().get(&path).await.status == 200
}

#[tokio::test]
async fn a_domain_goes_from_pending_to_verified_to_failing_to_failed_and_back() {
    let api = Api::build(system().zone(REGISTERED)).await;
    let agency = api.agency("org_acme").await;
    let domain = agency.custom_domain("portal.acme.test").await;

    let seen = verify(&api, &domain).await;
    assert_eq!(
        (seen["status"].as_str(), code(&seen)),
        (Some("pending"), "record-missing")
    );
    let seen = when_due(&api, &domain).await;
    assert_eq!(
        (&seen["status"], &seen["check"]["attempts"]),
        (&json!("pending"), &json!(2))
    );

    api.dns.set_zone(&cname(&domain)).unwrap();
    let seen = when_due(&api, &domain).await;
    assert_eq!(
        (&seen["status"], &seen["routing"]),
        (&json!("verified"), &json!("routed"))
    );
    assert_eq!(seen["check"]["problem"], Value::Null);
    assert!(is_served(&api, "portal.acme.test").await);

    // DNS that does not answer changes nothing, however long.
    // (The zone's text has no way to be silent; that is tested with the servers of the look-ups.)
    let renewed = when_due(&api, &domain).await;
    assert_eq!(renewed["updatedAt"], seen["updatedAt"]);
    assert_ne!(renewed["check"]["nextCheckAt"], seen["check"]["nextCheckAt"]);

    api.dns.set_zone(REGISTERED).unwrap();
    let seen = when_due(&api, &domain).await;
    assert_eq!(
        (seen["status"].as_str(), code(&seen)),
        (Some("failing"), "record-missing")
    );
    assert!(is_served(&api, "portal.acme.test").await);
    api.dns.set_zone(&cname(&domain)).unwrap();
    assert_eq!(when_due(&api, &domain).await["status"], "verified");

    api.dns.set_zone(REGISTERED).unwrap();
    let mut seen = when_due(&api, &domain).await;
    let mut checks = 1;
    while seen["status"] == "failing" {
        seen = when_due(&api, &domain).await;
        checks += 1;
    }
    assert_eq!((seen["status"].as_str(), code(&seen)), (Some("failed"), "lost"));
    // Hourly for 72 hours.
    assert!((65..=81).contains(&checks), "{checks}");
    assert!(!is_served(&api, "portal.acme.test").await);

    let mut days = 0;
    while seen["check"]["nextCheckAt"] != Value::Null {
        seen = when_due(&api, &domain).await;
        assert_eq!((seen["status"].as_str(), code(&seen)), (Some("failed"), "lost"));
        days += 1;
    }
    assert!((27..=33).contains(&days), "{days}");
    api.advance(100 * DAY);
    assert_eq!(api.reverify().await.due, 0);

    let seen = verify(&api, &domain).await;
    assert_eq!(
        (seen["status"].as_str(), code(&seen)),
        (Some("pending"), "record-missing")
    );
    api.dns.set_zone(&txt(&domain)).unwrap();
    let seen = when_due(&api, &domain).await;
    assert_eq!(
        (&seen["status"], &seen["routing"]),
        (&json!("verified"), &json!("elsewhere"))
    );

    let audit = owner(&api, &domain).audit().await;
    let actions: Vec<_> = audit
        .iter()
        .rev()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "agency.enabled",
            "domain.created",
            "domain.verified",
            "domain.failing",
            "domain.verified",
            "domain.failing",
            "domain.failed",
            "domain.pending",
            "domain.verified",
        ]
    );
    let lost = &audit[2];
    assert_eq!(lost["actor"], json!({"type": "system", "id": null}));
    assert_eq!(lost["requestId"], Value::Null);
    assert_eq!(lost["before"]["status"], "failing");
    assert_eq!(lost["after"]["problem"]["code"], "lost");
    assert_eq!(audit[1]["actor"], json!({"type": "user", "id": "user_1"}));
}

#[tokio::test]
async fn the_audit_item_of_a_change_can_be_filtered_without_code() {
    let api = Api::build(system()).await;
    let agency = api.agency("org_acme").await;
    let domain = agency.custom_domain("portal.acme.test").await;
    api.dns.set_zone(&cname(&domain)).unwrap();
    verify(&api, &domain).await;
    let items = api
        .client
        .scan()
        .table_name(api.table())
        .send()
        .await
        .unwrap()
        .items
        .unwrap();
    let text = |item: &HashMap<String, AttributeValue>, name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) => text.clone(),
        _ => String::new(),
    };
    let change = items
        .iter()
        .find(|item| text(item, "action") == "domain.verified")
        .unwrap();
    for (name, value) in [
        ("entity", "audit"),
        ("hostname", "portal.acme.test"),
        ("from", "pending"),
        ("to", "verified"),
    ] {
        assert_eq!(text(change, name), value, "{name}");
    }
}

#[tokio::test]
async fn a_pending_domain_without_records_expires_and_is_forgotten() {
    let api = Api::build(system()).await;
    let domain = api
        .agency("org_acme")
        .await
        .custom_domain("portal.acme.test")
        .await;
    let mut seen = domain.clone();
    while seen["check"]["nextCheckAt"] != Value::Null {
        seen = when_due(&api, &domain).await;
    }
    assert_eq!(
        (seen["status"].as_str(), code(&seen)),
        (Some("failed"), "expired")
    );
    let passed = api.app.clock.now().since(Timestamp::from_millis(START));
    assert!(passed > 36 * DAY && passed < 39 * DAY, "{passed:?}");
}

#[tokio::test]
async fn verify_looks_up_the_holder_only_if_the_domain_is_proven() {
    let api = Api::build(system().counted()).await;
    let holder = api
        .agency("org_holder")
        .await
        .custom_domain("portal.acme.test")
        .await;
    let count = async |domain: &Value| {
        api.proxy().take_counts();
        verify(&api, domain).await;
        api.proxy().take_counts().values().sum::<usize>()
    };
    assert_eq!(count(&holder).await, 2, "a miss");
    api.dns.set_zone(&cname(&holder)).unwrap();
    assert_eq!(count(&holder).await, 3, "a first proof");
    assert_eq!(count(&holder).await, 2, "a renewal");
    let newcomer = api
        .agency("org_newcomer")
        .await
        .custom_domain("portal.acme.test")
        .await;
    let both = [txt(&holder), txt(&newcomer)].concat();
    api.dns.set_zone(&both).unwrap();
    assert_eq!(count(&newcomer).await, 4, "a claim that is kept out");
    // The CNAME has a token that might be another one of the newcomer's own.
    let both = [cname(&holder), txt(&newcomer)].concat();
    api.dns.set_zone(&both).unwrap();
    assert_eq!(count(&newcomer).await, 5, "and one more for the token");
    api.dns.set_zone(&cname(&newcomer)).unwrap();
    assert_eq!(count(&newcomer).await, 4, "a move");
}
