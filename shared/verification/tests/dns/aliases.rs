//! Aliases to names that are not the domain's own must not make other zones readable.

use hickory_proto::op::ResponseCode;
use shared::{
    config::DnsMode,
    models::{
        domain::{Domain, FindingCode as Code},
        hostname::HostPolicy,
        time::Timestamp,
    },
};
use verification::dns::{Depth, Operator, Proof, Session};

use crate::world::*;

const SECRETS: &str = "secrets.corp.internal. TXT \"secret-value\"\nsecrets.corp.internal. A 10.1.2.3
secrets. TXT \"secret-value\"\nsecrets. A 10.1.2.3
files.corp.com. TXT \"secret-value\"\nfiles.corp.com. A 10.1.2.3\nfiles.corp.com. A 1.1.1.1
files.corp.com. CAA 0 issue \"letsencrypt.org; accounturi=secret-value\"
alias.corp.com. CNAME secret-value.corp.com.
secret-value.corp.com. CAA 0 issue \"secret-value\"";

/// The server of `com.`.
const COM: u8 = 60;

/// A world with these records of `acme.test.` and of `com.`.
async fn world(records: &str, com: &str) -> World {
    let world = World::new(records).await;
    let delegation = format!("com. NS nic.com.\nnic.com. A {}", address(COM));
    world.resolver(&format!("{com}\n{records}\n{delegation}")).await;
    world.zone("com.", &com.replace("secrets", "x"), &[COM]).await;
    world
}

/// The check of the domain as in production: special-use names are refused.
async fn check(world: &World, mode: DnsMode) -> Seen {
    check_of(world, &portal(), mode).await
}

async fn check_of(world: &World, domain: &Domain, mode: DnsMode) -> Seen {
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
    let evidence = dns.gather(domain, &operator, Depth::Diagnose, &session, Timestamp::now());
    seen(domain, &evidence.await.unwrap())
}

/// The check of a domain whose records lead to this name.
async fn see(target: &str, mode: DnsMode) -> (Seen, World) {
    let records =
        format!("portal.acme.test. CNAME {target}\n_agency-challenge.portal.acme.test. CNAME {target}");
    let world = world(&records, SECRETS).await;
    (check(&world, mode).await, world)
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

#[tokio::test]
async fn where_an_alias_leads_in_another_domain_is_not_shown() {
    let alias = "portal.acme.test. CNAME alias.corp.com.";
    let txt = format!("{alias}\n_agency-challenge.portal.acme.test. TXT \"{VALUE}\"");
    let hidden = "secret-value.corp.com. A 10.1.2.3";
    let elsewhere = "secret-value.corp.com. A 1.1.1.1";
    for mode in MODES {
        let none = "which has no public address";
        for (address, why) in [("", none), (hidden, none), (elsewhere, "not to the portal")] {
            let com = format!("alias.corp.com. CNAME secret-value.corp.com.\n{address}");
            let seen = check(&world(&txt, &com).await, mode).await;
            assert_eq!((seen.proof, codes(&seen)), (Proof::Txt, vec![Code::NotRouted]));
            assert!(seen.findings[0].detail.contains("alias.corp.com"), "{seen:?}");
            assert!(seen.findings[0].detail.contains(why), "{seen:?}");
            assert_hidden(&seen);
        }
        let world = world(alias, SECRETS).await;
        for server in [RESOLVER, COM] {
            let delegations = format!(
                "com. NS nic.com.\nnic.com. A {}\ntest. NS nic.test.\nnic.test. A {}",
                address(COM),
                address(REGISTRY)
            );
            let zone = match server {
                COM => Zone::parse("com.", &SECRETS.replace("secrets", "x")),
                _ => Zone::parse(".", &format!("{SECRETS}\n{alias}\n{delegations}")),
            };
            world
                .serve(server, move |asked| match asked.name().to_string() {
                    name if name.to_lowercase().starts_with("secret-value") => {
                        asked.code(ResponseCode::ServFail)
                    }
                    _ => Reaction::Say(zone.answer(asked)),
                })
                .await;
        }
        let seen = check(&world, mode).await;
        assert_eq!(
            (seen.proof, codes(&seen)),
            (Proof::Unknown, vec![Code::DnsServfail]),
            "{seen:?}"
        );
        assert!(seen.findings[0].detail.contains("alias.corp.com"), "{seen:?}");
        assert_hidden(&seen);
    }
}

#[tokio::test]
async fn servers_of_another_domain_that_disagree_or_fail_are_not_named() {
    let alias = "portal.acme.test. CNAME alias.corp.com.";
    let servers = [70, 71];
    let mut com = "alias.corp.com. CNAME www.secret-value.com.".to_owned();
    for server in servers {
        com += &format!(
            "\nsecret-value.com. NS ns{server}.secret-value.com.\nns{server}.secret-value.com. A {}",
            address(server)
        );
    }
    let world = world(alias, &com).await;
    for server in servers {
        let records = format!("www.secret-value.com. CNAME secret-value{server}.com.");
        world.zone("secret-value.com.", &records, &[server]).await;
    }
    let seen = check(&world, DnsMode::Authoritative).await;
    assert_eq!(codes(&seen), [Code::NotEverywhereYet], "{seen:?}");
    assert_hidden(&seen);
    for (code, expected) in [
        (ResponseCode::ServFail, Code::DnsServfail),
        (ResponseCode::Refused, Code::DnsRefused),
    ] {
        for server in servers {
            world.serve(server, move |asked| asked.code(code)).await;
        }
        let seen = check(&world, DnsMode::Authoritative).await;
        assert_eq!(codes(&seen), [expected], "{seen:?}");
        assert_hidden(&seen);
    }
}

#[tokio::test]
async fn txt_records_on_which_the_servers_of_another_domain_disagree_are_not_shown() {
    const HOSTNAME: &str = "portal.acme.test. CNAME split.corp.com.";
    const CHALLENGE: &str = "_agency-challenge.portal.acme.test. CNAME split.corp.com.";
    let servers = [70, 71];
    let mut com = String::new();
    for server in servers {
        com += &format!(
            "corp.com. NS ns{server}.corp.com.\nns{server}.corp.com. A {}\n",
            address(server)
        );
    }
    for records in [HOSTNAME, CHALLENGE, &format!("{HOSTNAME}\n{CHALLENGE}")] {
        let world = world(records, &com).await;
        for server in servers {
            let records =
                format!("split.corp.com. TXT \"secret-value-{server}\"\nsplit.corp.com. A 10.1.2.3");
            world.zone("corp.com.", &records, &[server]).await;
        }
        let split = "split.corp.com. TXT \"secret-value\"\nsplit.corp.com. A 10.1.2.3";
        world.resolver(&format!("{split}\n{records}")).await;
        for mode in MODES {
            let seen = check(&world, mode).await;
            assert!(!seen.proof.is_given() && !seen.findings.is_empty(), "{seen:?}");
            assert_hidden(&seen);
        }
    }
}

#[tokio::test]
async fn caa_records_behind_a_parents_alias_are_another_domains_whatever_the_hostname_leads_to() {
    let records = format!("portal.sub.acme.test. CNAME {TARGET}\nsub.acme.test. CNAME files.corp.com.");
    for mode in MODES {
        let world = world(&records, SECRETS).await;
        let seen = check_of(&world, &domain("portal.sub.acme.test"), mode).await;
        assert_eq!(
            (seen.proof, codes(&seen)),
            (Proof::Cname, vec![Code::CaaForbids]),
            "{mode:?}: {seen:?}"
        );
        assert!(!seen.findings[0].fix.contains("operator"), "{seen:?}");
        assert_hidden(&seen);
    }
}
