//! Aliases to names that are not the domain's own must not make other zones readable.

use shared::{
    config::DnsMode,
    models::{domain::FindingCode as Code, hostname::HostPolicy},
};
use verification::dns::{Depth, Operator, Proof, Session};

use crate::world::*;

const SECRETS: &str = "secrets.corp.internal. TXT \"secret-value\"\nsecrets.corp.internal. A 10.1.2.3
secrets. TXT \"secret-value\"\nsecrets. A 10.1.2.3
files.corp.com. TXT \"secret-value\"\nfiles.corp.com. A 10.1.2.3\nfiles.corp.com. A 1.1.1.1
files.corp.com. CAA 0 issue \"letsencrypt.org; accounturi=secret-value\"
alias.corp.com. CNAME secret-value.corp.com.
secret-value.corp.com. CAA 0 issue \"secret-value\"";

/// The check of a domain whose records lead to this name, as in production: special-use names are refused.
async fn see(target: &str, mode: DnsMode) -> (Seen, World) {
    let records =
        format!("portal.acme.test. CNAME {target}\n_agency-challenge.portal.acme.test. CNAME {target}");
    let world = World::new(&records).await;
    world
        .resolver(&format!(
            "{SECRETS}\n{records}\ncom. NS nic.com.\nnic.com. A {}",
            address(60)
        ))
        .await;
    world.zone("com.", &SECRETS.replace("secrets", "x"), &[60]).await;
    let names = HostPolicy {
        portal_domain: "portal.example".parse().unwrap(),
        target: "edge.test".parse().unwrap(),
        allow_special_use: false,
    };
    let operator = Operator {
        names: &names,
        addresses: &[],
        certificate_authorities: &["letsencrypt.org".to_owned()],
    };
    let (dns, session) = (world.dns_with(mode, true), Session::default());
    let evidence = dns.gather(&portal(), &operator, Depth::Diagnose, &session).await;
    (seen(&portal(), &evidence.unwrap()), world)
}

const MODES: [DnsMode; 2] = [DnsMode::Authoritative, DnsMode::Recursive];

fn assert_hidden(seen: &Seen) {
    let shown = format!("{:?}", seen.findings);
    for secret in ["secret-value", "10.1.2.3"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn an_alias_that_the_public_dns_cannot_have_is_a_miss_and_is_not_followed() {
    for mode in MODES {
        // A name of 79 octets, of which the presentation format has more than 255 characters.
        let long = format!("{}.host.internal.", "\u{1}".repeat(63));
        for target in ["secrets.corp.internal.", "secrets.", &long] {
            let (seen, world) = see(target, mode).await;
            assert_eq!(seen.proof, Proof::Missing, "{mode:?}: {seen:?}");
            assert_eq!(codes(&seen), [Code::WrongValue, Code::TargetMissing]);
            assert_hidden(&seen);
            let got = world.got();
            let is_followed = |name: &str| name == target || name.ends_with(".internal.");
            assert!(!got.iter().any(|got| is_followed(&got.name)), "{got:?}");
        }
    }
}

#[tokio::test]
async fn the_operators_own_target_may_have_a_special_use_name() {
    for mode in MODES {
        let (seen, _) = see(TARGET, mode).await;
        assert_eq!(seen.proof, Proof::Cname, "{mode:?}: {seen:?}");
    }
}

#[tokio::test]
async fn of_another_domain_only_public_addresses_are_shown() {
    for mode in MODES {
        for target in ["files.corp.com.", "alias.corp.com."] {
            let (seen, _) = see(target, mode).await;
            assert_eq!(seen.proof, Proof::Missing, "{mode:?}: {seen:?}");
            assert!(codes(&seen).contains(&Code::WrongValue));
            assert!(codes(&seen).contains(&Code::CaaForbids), "{seen:?}");
            assert_hidden(&seen);
            let alias = target.trim_end_matches('.');
            assert!(seen.findings[0].detail.contains(alias), "{seen:?}");
        }
    }
}
