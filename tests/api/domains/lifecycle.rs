//! The statuses of a custom domain, through the API, sweeps and a zone that changes.

use std::time::Duration;

use serde_json::{Value, json};
use shared::models::time::Timestamp;

use super::system;
use crate::harness::{Api, CONTEXT, DAY, START, cname, problem_code, standing, txt};

/// A registered domain without our records.
const REGISTERED: &str = "acme.test. NS ns1.acme.test.\n";

#[tokio::test]
async fn a_domain_goes_from_pending_to_verified_to_failing_to_failed_and_back() {
    let api = Api::build(system().zone(REGISTERED)).await;
    let agency = api.agency("org_acme").await;
    let domain = agency.custom_domain("portal.acme.test").await;

    let seen = api.verify(&domain).await;
    assert_eq!(standing(&seen), ("pending", "record-missing"));
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(
        (problem_code(&seen), &seen["check"]["attempts"]),
        ("record-missing", &json!(2))
    );

    api.dns.set_zone(&cname(&domain)).unwrap();
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(
        (&seen["status"], &seen["routing"]),
        (&json!("verified"), &json!("routed"))
    );
    assert_eq!(seen["check"]["problem"], Value::Null);
    assert!(api.serves("portal.acme.test").await);

    let renewed = api.sweep_when_due(&domain).await;
    assert_eq!(renewed["updatedAt"], seen["updatedAt"]);
    assert_ne!(renewed["check"]["nextCheckAt"], seen["check"]["nextCheckAt"]);

    api.dns.set_zone(REGISTERED).unwrap();
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(standing(&seen), ("failing", "record-missing"));
    assert!(api.serves("portal.acme.test").await);
    api.dns.set_zone(&cname(&domain)).unwrap();
    assert_eq!(api.sweep_when_due(&domain).await["status"], "verified");

    api.dns.set_zone(REGISTERED).unwrap();
    let mut seen = api.sweep_when_due(&domain).await;
    let mut checks = 1;
    while seen["status"] == "failing" {
        seen = api.sweep_when_due(&domain).await;
        checks += 1;
    }
    assert_eq!(standing(&seen), ("failed", "lost"));
    // Hourly for 72 hours.
    assert!((65..=81).contains(&checks), "{checks}");
    assert!(!api.serves("portal.acme.test").await);

    let mut days = 0;
    while seen["check"]["nextCheckAt"] != Value::Null {
        seen = api.sweep_when_due(&domain).await;
        assert_eq!(standing(&seen), ("failed", "lost"));
        days += 1;
    }
    assert!((27..=33).contains(&days), "{days}");
    api.advance(100 * DAY);
    assert_eq!(api.reverify().await.due, 0);

    let seen = api.verify(&domain).await;
    assert_eq!(standing(&seen), ("pending", "record-missing"));
    api.dns.set_zone(&txt(&domain)).unwrap();
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(
        (&seen["status"], &seen["routing"]),
        (&json!("verified"), &json!("elsewhere"))
    );

    let owner = api.owner_of(&domain);
    let audit = owner.audit().await;
    let mut actions = owner.actions().await;
    actions.reverse();
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
async fn a_pending_domain_without_records_expires_and_is_not_checked_again() {
    let api = Api::build(system()).await;
    let domain = api
        .agency("org_acme")
        .await
        .custom_domain("portal.acme.test")
        .await;
    let mut seen = domain.clone();
    while seen["check"]["nextCheckAt"] != Value::Null {
        seen = api.sweep_when_due(&domain).await;
    }
    assert_eq!(standing(&seen), ("failed", "expired"));
    let passed = api.app.clock.now().since(Timestamp::from_millis(START));
    assert!(passed > 35 * DAY && passed < 39 * DAY, "{passed:?}");
}

#[tokio::test]
async fn a_domain_that_loses_its_proof_is_failing_and_still_served() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    acme.subdomain("acme").await;
    let claim = acme.custom_domain("portal.acme.test").await;
    let counts = async || {
        let seen = acme.overview().await;
        let counts = ["verified", "pending", "failing", "failed"];
        let counts = counts.map(|status| seen["portalDomains"][status].as_u64().unwrap());
        (counts, seen["primaryDomain"].as_str().unwrap().to_owned())
    };
    let expected = |counts: [u64; 4], primary: &str| (counts, primary.to_owned());
    assert_eq!(counts().await, expected([1, 1, 0, 0], "acme.portal.localhost"));
    let check = async |zone: &str| {
        api.dns.set_zone(zone).unwrap();
        api.advance(Duration::from_secs(5));
        acme.verify(&claim).await.expect(200)
    };
    // Its traffic still goes elsewhere, so it is not primary.
    check(&txt(&claim)).await;
    assert_eq!(counts().await, expected([2, 0, 0, 0], "acme.portal.localhost"));
    check(&(txt(&claim) + &cname(&claim))).await;
    assert_eq!(counts().await, expected([2, 0, 0, 0], "portal.acme.test"));
    let context = acme.get(CONTEXT).await.expect(200);
    assert_eq!(
        context["domain"],
        json!({"hostname": "portal.acme.test", "type": "custom", "status": "verified"})
    );

    let failing = check("").await;
    assert_eq!(failing["status"], "failing");
    assert_eq!(failing["check"]["problem"]["level"], "error");
    assert_eq!(counts().await, expected([1, 0, 1, 0], "acme.portal.localhost"));
    assert!(api.serves("portal.acme.test").await);
    assert_eq!(acme.actions().await[0], "domain.failing");

    assert_eq!(check(&cname(&claim)).await["status"], "verified");
    assert_eq!(counts().await, expected([2, 0, 0, 0], "portal.acme.test"));
    assert_eq!(
        acme.actions().await[..3],
        ["domain.verified", "domain.failing", "domain.verified"]
    );

    acme.remove(&claim).await;
    assert_eq!(counts().await, expected([1, 0, 0, 0], "acme.portal.localhost"));
    assert!(!api.serves("portal.acme.test").await);
}
