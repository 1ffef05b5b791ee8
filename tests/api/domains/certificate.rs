//! The certificate that the edge presents for a domain.

use local::system::Builder;
use serde_json::{Value, json};

use super::system;
use crate::harness::{
    Api, DAY, MINUTE, START, cname,
    edge::{Authority, NO_CERTIFICATE, PROTOCOL_VERSION, Presented, TlsEdge, self_signed},
    path, txt,
};

const NAME: &str = "portal.acme.test";
const NOW: i64 = START / 1000;
const YEAR: i64 = 365 * 24 * 3600;
/// Around the time of the test.
const VALID: (i64, i64) = (NOW - YEAR, NOW + YEAR);
/// The operator's wildcard record.
const TARGETS: &str = "*.cname.portal.localhost. A 127.0.0.1\n";

/// A system that trusts this authority, and whose targets lead to this edge.
fn behind(edge: &TlsEdge, authority: &Authority) -> Builder {
    system()
        .set("PORTAL_ADDRESSES", "127.0.0.1")
        .set("EDGE_ROOTS", authority.pem())
        .set("EDGE_PORT", edge.address.port().to_string())
}

fn serve(api: &Api, records: &[String]) {
    api.dns.set_zone(&(records.concat() + TARGETS)).unwrap();
}

/// A system, its edge and authority, and a verified domain.
async fn verified(presented: Presented, authority: &Authority) -> (Api, TlsEdge, Value) {
    let edge = TlsEdge::start(presented).await;
    let api = Api::build(behind(&edge, authority)).await;
    let domain = api.agency("org_acme").await.custom_domain(NAME).await;
    assert_eq!(domain["tls"], Value::Null);
    serve(&api, &[cname(&domain)]);
    let domain = api.verify(&domain).await;
    assert_eq!(domain["status"], "verified");
    (api, edge, domain)
}

fn tls(domain: &Value) -> (&str, Option<&str>) {
    let tls = &domain["tls"];
    (tls["state"].as_str().unwrap(), tls["problem"].as_str())
}

async fn not_ready(api: &Api) -> Value {
    api.user("org_acme", "owner").overview().await["portalDomains"]["tlsNotReady"].clone()
}

#[tokio::test]
async fn a_valid_certificate_is_ready() {
    for (organization, issuer) in [(Some("Let's Encrypt"), "Let's Encrypt"), (None, "Test Root 1")] {
        let authority = Authority::new(organization);
        let (api, edge, domain) = verified(authority.certificate(NAME, VALID), &authority).await;
        let expected = json!({
            "state": "ready",
            "issuer": issuer,
            "notAfter": "2028-01-15T08:00:00Z",
            "problem": null,
            "checkedAt": domain["check"]["checkedAt"],
        });
        assert_eq!(domain["tls"], expected);
        assert_eq!(api.now(&domain).await, domain);
        assert_eq!(edge.take_asked(), [NAME]);
        assert_eq!(not_ready(&api).await, 0);
    }
}

#[tokio::test]
async fn an_edge_without_a_certificate_for_the_name_has_24_hours_to_obtain_one() {
    let authority = Authority::new(None);
    let other = authority.certificate("other.test", VALID);
    let default = self_signed("edge.test", VALID);
    let alerts = NO_CERTIFICATE.map(|alert| (Presented::Alert(alert), "no-certificate"));
    let others = [(other, "wrong-name"), (default, "wrong-name")];
    for (presented, problem) in alerts.into_iter().chain(others) {
        let (api, edge, domain) = verified(presented, &authority).await;
        assert_eq!(tls(&domain), ("pending", Some(problem)));
        assert_eq!(not_ready(&api).await, 1);
        assert_eq!(api.user("org_acme", "owner").actions().await.len(), 3);

        api.advance(DAY - MINUTE);
        assert_eq!(tls(&api.verify(&domain).await), ("pending", Some(problem)));
        api.advance(MINUTE);
        assert_eq!(tls(&api.verify(&domain).await), ("failing", Some(problem)));
        assert_eq!(not_ready(&api).await, 1);

        edge.present(authority.certificate(NAME, VALID));
        api.advance(MINUTE);
        assert_eq!(tls(&api.verify(&domain).await), ("ready", None));
        assert_eq!(not_ready(&api).await, 0);
    }
}

#[tokio::test]
async fn a_certificate_that_browsers_reject_is_failing_at_once() {
    let authority = Authority::new(None);
    for (presented, problem) in [
        (authority.certificate(NAME, (NOW - YEAR, NOW - 1)), "expired"),
        (
            authority.certificate(NAME, (NOW + 60, NOW + YEAR)),
            "not-yet-valid",
        ),
        (self_signed(NAME, VALID), "untrusted"),
        (Authority::new(None).certificate(NAME, VALID), "untrusted"),
    ] {
        let (api, _, domain) = verified(presented, &authority).await;
        assert_eq!(tls(&domain), ("failing", Some(problem)));
        assert!(domain["tls"]["issuer"].is_string() && domain["tls"]["notAfter"].is_string());
        assert_eq!(
            (&domain["status"], not_ready(&api).await),
            (&json!("verified"), json!(1))
        );
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_complete_says_nothing_of_the_certificate() {
    let authority = Authority::new(None);
    for presented in [Presented::Alert(PROTOCOL_VERSION), Presented::Nothing] {
        let (api, edge, domain) = verified(presented, &authority).await;
        assert_eq!(tls(&domain), ("unknown", Some("handshake-failed")));
        assert_eq!(not_ready(&api).await, 0);
        drop(edge);
        api.advance(MINUTE);
        assert_eq!(tls(&api.verify(&domain).await), ("unknown", Some("unreachable")));
    }
}

#[tokio::test]
async fn the_edge_is_asked_for_domains_that_are_served_and_reach_it() {
    let authority = Authority::new(None);
    let edge = TlsEdge::start(Presented::Alert(NO_CERTIFICATE[0])).await;
    let api = Api::build(behind(&edge, &authority)).await;
    let acme = api.agency("org_acme").await;
    let domain = acme.custom_domain(NAME).await;
    // Not proven.
    serve(&api, &[]);
    assert_eq!(api.verify(&domain).await["tls"], Value::Null);
    // Proven before the switch-over.
    serve(&api, &[txt(&domain)]);
    api.advance(MINUTE);
    let seen = api.verify(&domain).await;
    assert_eq!(
        (&seen["status"], &seen["tls"]),
        (&json!("verified"), &Value::Null)
    );
    assert!(edge.take_asked().is_empty());

    serve(&api, &[txt(&domain), cname(&domain)]);
    api.advance(MINUTE);
    assert_eq!(tls(&api.verify(&domain).await).0, "pending");
    assert_eq!((edge.take_asked().len(), not_ready(&api).await), (1, json!(1)));
    // The traffic goes elsewhere again.
    serve(&api, &[txt(&domain), format!("{NAME}. A 198.51.100.7\n")]);
    api.advance(MINUTE);
    assert_eq!(api.verify(&domain).await["tls"], Value::Null);
    assert_eq!((edge.take_asked().len(), not_ready(&api).await), (0, json!(0)));
}

#[tokio::test]
async fn a_domain_that_ends_is_not_counted() {
    let authority = Authority::new(None);
    let none = || Presented::Alert(NO_CERTIFICATE[0]);
    let (api, _edge, domain) = verified(none(), &authority).await;
    assert_eq!(not_ready(&api).await, 1);
    api.owner_of(&domain).remove(&domain).await;
    assert_eq!(not_ready(&api).await, 0);

    // Another agency takes the name.
    let (api, _edge, domain) = verified(none(), &authority).await;
    let newcomer = api.agency("org_other").await.custom_domain(NAME).await;
    serve(&api, &[cname(&newcomer)]);
    let newcomer = api.verify(&newcomer).await;
    assert_eq!(tls(&newcomer).0, "pending");
    let lost = api.now(&domain).await;
    assert_eq!((&lost["status"], &lost["tls"]), (&json!("failed"), &Value::Null));
    assert_eq!(not_ready(&api).await, 0);
}

#[tokio::test]
async fn a_sweep_asks_the_edge_too() {
    let authority = Authority::new(None);
    let (api, edge, domain) = verified(Presented::Alert(NO_CERTIFICATE[0]), &authority).await;
    edge.take_asked();
    edge.present(authority.certificate(NAME, VALID));
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(tls(&seen), ("ready", None));
    assert_eq!((edge.take_asked().len(), not_ready(&api).await), (1, json!(0)));
    // The last write wins over one of the same version.
    assert_eq!(api.owner_of(&domain).get(&path(&domain)).await.expect(200), seen);
}

#[tokio::test]
async fn an_apex_is_asked_for_at_the_configured_addresses() {
    let authority = Authority::new(None);
    let edge = TlsEdge::start(authority.certificate("acme.test", VALID)).await;
    let api = Api::build(behind(&edge, &authority)).await;
    let domain = api.agency("org_acme").await.custom_domain("acme.test").await;
    let records = txt(&domain) + "acme.test. A 127.0.0.1\n";
    // No target leads to the edge.
    api.dns.set_zone(&records).unwrap();
    assert_eq!(tls(&api.verify(&domain).await), ("ready", None));
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_asked() {
    let authority = Authority::new(None);
    let edge = TlsEdge::start(authority.certificate(NAME, VALID)).await;
    let builder = behind(&edge, &authority);
    let api = Api::build(
        builder
            .set("DNS_MODE", "recursive")
            .set("DNS_ALLOW_PRIVATE", "false"),
    )
    .await;
    let domain = api.agency("org_acme").await.custom_domain(NAME).await;
    serve(&api, &[cname(&domain)]);
    let domain = api.verify(&domain).await;
    assert_eq!(
        (&domain["status"], &domain["tls"]),
        (&json!("verified"), &Value::Null)
    );
    assert!(edge.take_asked().is_empty());
}
