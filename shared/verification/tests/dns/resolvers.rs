//! Several resolvers, some of which fail.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::op::ResponseCode;
use shared::{
    config::{DnsConfig, DnsMode},
    models::domain::{FindingCode as Code, Level},
};
use verification::dns::{Depth, Dns, Limits, Proof, Session};

use crate::world::*;

/// Resolvers that fail.
const FAILING: [u8; 2] = [4, 5];

/// Asks the failing resolvers first, then the good one.
fn dns(world: &World, mode: DnsMode) -> Dns {
    let resolvers = FAILING.into_iter().chain([RESOLVER]);
    let resolvers = resolvers.map(|resolver| SocketAddr::new(address(resolver).into(), world.port));
    let config = DnsConfig {
        resolvers: resolvers.collect(),
        mode,
        authority_port: world.port,
        allow_private: true,
    };
    Dns::new(&config).unwrap().with_limits(FAST)
}

async fn fail(world: &World, resolvers: &[u8], code: Option<ResponseCode>) {
    for resolver in resolvers {
        world
            .serve(*resolver, move |asked| match code {
                Some(code) => asked.code(code),
                None => Reaction::Silence,
            })
            .await;
    }
}

const MODES: [DnsMode; 2] = [DnsMode::Authoritative, DnsMode::Recursive];

#[tokio::test]
async fn after_a_resolver_that_fails_the_next_one_is_asked_and_a_session_asks_it_last() {
    let record = format!("portal.acme.test. CNAME {TARGET}");
    for code in [
        None,
        Some(ResponseCode::Refused),
        Some(ResponseCode::NotImp),
        Some(ResponseCode::FormErr),
        Some(ResponseCode::YXDomain),
    ] {
        for mode in MODES {
            let world = World::new(&record).await;
            world.resolver(&record).await;
            fail(&world, &FAILING, code).await;
            let (dns, session) = (dns(&world, mode), Session::default());
            let seen = look(&dns, &portal(), Depth::Scheduled, &session).await;
            assert_eq!(seen.proof, Proof::Cname, "{code:?} {mode:?}: {seen:?}");
            world.got();
            let seen = look(&dns, &portal(), Depth::Scheduled, &session).await;
            assert_eq!(seen.proof, Proof::Cname);
            let got = world.got();
            assert!(got.iter().any(|got| got.server == RESOLVER));
            assert!(!got.iter().any(|got| FAILING.contains(&got.server)), "{got:?}");
        }
    }
}

#[tokio::test]
async fn resolvers_that_all_fail_are_the_operators_problem() {
    let all = [FAILING[0], FAILING[1], RESOLVER];
    // The time of the check may end with the last one.
    let short = Limits {
        check: Duration::from_millis(600),
        ..FAST
    };
    for code in [None, Some(ResponseCode::Refused)] {
        for mode in MODES {
            for limits in [FAST, short] {
                let world = World::new("").await;
                fail(&world, &all, code).await;
                let dns = dns(&world, mode).with_limits(limits);
                let seen = look(&dns, &portal(), Depth::Diagnose, &Session::default()).await;
                assert_eq!(
                    (seen.proof, codes(&seen)),
                    (Proof::Unknown, vec![Code::ResolverFailed]),
                    "{code:?} {mode:?}"
                );
                let finding = &seen.findings[0];
                assert_eq!(finding.level, Level::Unknown);
                assert!(finding.fix.contains("operator"), "{finding:?}");
                assert!(!finding.detail.contains("name servers"), "{finding:?}");
            }
        }
    }
}

#[tokio::test]
async fn servfail_of_a_resolver_is_about_the_name() {
    let world = World::new("").await;
    fail(&world, &FAILING, Some(ResponseCode::ServFail)).await;
    let dns = dns(&world, DnsMode::Recursive);
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_eq!(codes(&seen), [Code::DnsServfail]);
    assert!(!world.got().iter().any(|got| got.server == RESOLVER));
}

#[tokio::test]
async fn name_servers_whose_addresses_the_resolvers_do_not_find_are_not_blamed() {
    let world = World::new("").await;
    world
        .registry("acme.test. NS ns1.provider.example.\nacme.test. NS ns2.provider.example.")
        .await;
    let zone = Zone::parse(
        ".",
        &format!("test. NS nic.test.\nnic.test. A {}", address(REGISTRY)),
    );
    world
        .serve(RESOLVER, move |asked| {
            match name("provider.example.").zone_of(asked.name()) {
                true => asked.code(ResponseCode::Refused),
                false => Reaction::Say(zone.answer(asked)),
            }
        })
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(codes(&seen), [Code::ResolverFailed], "{seen:?}");
}

#[tokio::test]
async fn a_first_proof_does_not_count_if_the_check_ends_before_the_resolver_is_asked() {
    let record = format!("portal.acme.test. CNAME {TARGET}");
    let world = World::new(&record).await;
    let mut proven = Vec::new();
    for packets in 4..16 {
        let limits = Limits { packets, ..FAST };
        let dns = world.dns().with_limits(limits);
        world.got();
        let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
        let is_asked = |got: &Got| got.server == RESOLVER && got.name == "portal.acme.test.";
        let is_asked = world.got().iter().any(is_asked);
        proven.push(seen.proof == Proof::Cname);
        let expected = match is_asked {
            true => Proof::Cname,
            false => Proof::Unknown,
        };
        assert_eq!(seen.proof, expected, "{packets}: {seen:?}");
        assert!(
            is_asked || codes(&seen).contains(&Code::DnsTimeout),
            "{packets}: {seen:?}"
        );
    }
    assert!(proven.contains(&false) && proven.contains(&true));
}

#[tokio::test]
async fn resolvers_without_tcp_do_not_fail_and_do_not_keep_a_miss_from_counting() {
    let world = World::new("").await;
    for resolver in FAILING {
        world
            .serve(resolver, |asked| match asked.tcp {
                true => Reaction::Silence,
                false => {
                    Reaction::Say(Zone::parse(".", "portal.acme.test. MX mail.acme.test.").answer(asked))
                }
            })
            .await;
    }
    let (dns, session) = (dns(&world, DnsMode::Recursive), Session::default());
    for _ in 0..2 {
        let seen = look(&dns, &verified("portal.acme.test"), Depth::Scheduled, &session).await;
        assert_eq!(seen.proof, Proof::Missing, "{seen:?}");
        let got = world.got();
        assert!(got.iter().all(|got| got.server == FAILING[0]), "{got:?}");
        // For both records at the same time, and not again for the addresses.
        assert!(got.iter().filter(|got| got.tcp).count() <= 2, "{got:?}");
    }
}
