//! The certificate that the edge presents for a domain.

use std::sync::Arc;

use futures::{future::join_all, join};
use local::system::Builder;
use serde_json::{Value, json};
use tokio::{sync::Notify, task::yield_now};

use super::system;
use crate::harness::{
    Api, DAY, MINUTE, START, cname,
    edge::{Authority, HandshakeResponse, NO_CERTIFICATE, PROTOCOL_VERSION, TlsEdge, self_signed},
    txt,
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
async fn verified(presented: HandshakeResponse, authority: &Authority) -> (Api, TlsEdge, Value) {
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
    let alerts = NO_CERTIFICATE.map(|alert| (HandshakeResponse::Alert(alert), "no-certificate"));
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
    for presented in [
        HandshakeResponse::Alert(PROTOCOL_VERSION),
        HandshakeResponse::Nothing,
    ] {
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
    let edge = TlsEdge::start(HandshakeResponse::Alert(NO_CERTIFICATE[0])).await;
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
    let none = || HandshakeResponse::Alert(NO_CERTIFICATE[0]);
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
    let (api, edge, domain) = verified(HandshakeResponse::Alert(NO_CERTIFICATE[0]), &authority).await;
    edge.take_asked();
    edge.present(authority.certificate(NAME, VALID));
    let seen = api.sweep_when_due(&domain).await;
    assert_eq!(tls(&seen), ("ready", None));
    assert_eq!((edge.take_asked().len(), not_ready(&api).await), (1, json!(0)));
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
async fn a_host_is_served_before_its_first_handshake() {
    let authority = Authority::new(None);
    let end = Arc::new(Notify::new());
    let edge = TlsEdge::start(HandshakeResponse::NothingUntil(Arc::clone(&end))).await;
    let api = Api::build(behind(&edge, &authority)).await;
    let domain = api.agency("org_acme").await.custom_domain(NAME).await;
    serve(&api, &[cname(&domain)]);
    let handshake = async {
        while edge.take_asked().is_empty() {
            yield_now().await;
        }
        // An edge that gets certificates on demand asks this.
        assert!(api.serves(NAME).await);
        end.notify_one();
    };
    let (domain, ()) = join!(api.verify(&domain), handshake);
    assert_eq!(tls(&domain), ("unknown", Some("handshake-failed")));
    assert_eq!(api.now(&domain).await, domain);
}

#[tokio::test]
async fn the_count_is_exact_with_checks_at_once() {
    let authority = Authority::new(None);
    let edge = TlsEdge::start(HandshakeResponse::Alert(NO_CERTIFICATE[0])).await;
    let api = Api::build(behind(&edge, &authority)).await;
    let acme = api.agency("org_acme").await;
    let mut domains = Vec::new();
    for label in ["a", "b", "c", "d", "e", "f"] {
        domains.push(acme.custom_domain(&format!("{label}.acme.test")).await);
    }
    let records: Vec<_> = domains.iter().map(cname).collect();
    serve(&api, &records);
    api.advance(MINUTE + MINUTE);
    join!(api.reverify(), api.reverify());
    assert_eq!(not_ready(&api).await, 6);

    edge.present(HandshakeResponse::Nothing);
    api.advance(DAY + DAY);
    let acme = api.user("org_acme", "owner");
    let verify = join_all(domains[..3].iter().map(|domain| acme.verify(domain)));
    join!(api.reverify(), api.reverify(), verify);
    assert_eq!(not_ready(&api).await, 0);
    for domain in &domains {
        assert_eq!(tls(&api.now(domain).await).0, "unknown");
    }
}

#[tokio::test]
async fn an_address_that_is_not_public_is_asked_only_if_it_is_configured() {
    for (addresses, expected) in [
        ("127.0.0.1", ("ready", None)),
        ("127.0.0.80", ("unknown", Some("unreachable"))),
    ] {
        check_without_private_addresses(addresses, expected).await;
    }
}

async fn check_without_private_addresses(addresses: &str, expected: (&str, Option<&str>)) {
    let authority = Authority::new(None);
    let edge = TlsEdge::start(authority.certificate(NAME, VALID)).await;
    let builder = behind(&edge, &authority);
    let api = Api::build(
        builder
            .set("PORTAL_ADDRESSES", addresses)
            .set("DNS_MODE", "recursive")
            .set("DNS_ALLOW_PRIVATE", "false"),
    )
    .await;
    let domain = api.agency("org_acme").await.custom_domain(NAME).await;
    serve(&api, &[cname(&domain)]);
    assert_eq!(tls(&api.verify(&domain).await), expected);
    assert_eq!(edge.take_asked().len(), usize::from(addresses == "127.0.0.1"));
}
