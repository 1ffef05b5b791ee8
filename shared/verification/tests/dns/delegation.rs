//! Which servers are asked: those that the parent zone names now, at public addresses.

use hickory_proto::{op::ResponseCode, rr::RecordType};
use shared::{
    config::DnsMode,
    models::domain::{Check, Domain, FindingCode as Code},
};
use verification::dns::{Depth, Proof, Session};

use crate::world::*;

/// A provider's server that still answers for a domain that has left.
const OLD: u8 = 31;
const CHILD: u8 = 41;

fn cname() -> String {
    format!("portal.acme.test. CNAME {TARGET}")
}

#[tokio::test]
async fn a_domain_that_left_its_provider_is_not_proven_there() {
    let world = World::new("").await;
    world.zone("acme.test.", &cname(), &[OLD]).await;
    // The resolver still has the old delegation, and the old provider's record.
    let stale = format!(
        "{}\nacme.test. NS old.test.\nold.test. A {}",
        cname(),
        address(OLD)
    );
    world.resolver(&stale).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Missing, "{seen:?}");
    assert_eq!(seen.nameservers, ["ns1.acme.test", "ns2.acme.test"]);
    assert!(!world.got().iter().any(|got| got.server == OLD));
    assert_eq!(
        world
            .see(&verified("portal.acme.test"), Depth::Scheduled)
            .await
            .proof,
        Proof::Missing
    );
}

#[tokio::test]
async fn a_new_delegation_is_seen_at_once() {
    let world = World::new(&cname()).await;
    world
        .zone("test.", "other.test. NS ns.other.test.", &[REGISTRY])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Missing, vec![Code::DomainUnregistered])
    );
    assert_eq!(seen.zone, None);
    world
        .registry("acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.")
        .await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
}

#[tokio::test]
async fn a_zone_below_the_domain_is_found_by_referral() {
    let world = World::new(&format!(
        "portal.acme.test. NS ns.portal.acme.test.\nns.portal.acme.test. A {}\n{}",
        address(CHILD),
        cname()
    ))
    .await;
    world
        .zone("portal.acme.test.", "portal.acme.test. MX a.", &[CHILD])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Missing);
    assert_eq!(seen.zone.unwrap().as_str(), "portal.acme.test");
    world
        .zone(
            "portal.acme.test.",
            &format!("_agency-challenge.portal.acme.test. TXT \"{VALUE}\""),
            &[CHILD],
        )
        .await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Txt);
}

#[tokio::test]
async fn one_server_alone_cannot_delegate_the_name_to_its_own() {
    let world = World::new("portal.acme.test. A 192.0.2.1").await;
    let delegation = format!(
        "portal.acme.test. NS ns.portal.acme.test.\nns.portal.acme.test. A {}",
        address(CHILD)
    );
    world.zone("acme.test.", &delegation, &[NS2]).await;
    world.zone("portal.acme.test.", &cname(), &[CHILD]).await;
    for _ in 0..10 {
        for depth in [Depth::Scheduled, Depth::Diagnose] {
            let seen = world.see(&portal(), depth).await;
            assert_eq!(seen.proof, Proof::Unknown, "{seen:?}");
        }
        let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
        assert_eq!(seen.proof, Proof::Unknown, "{seen:?}");
    }
    // Once all of them delegate it, its owner has.
    world.zone("acme.test.", &delegation, &[NS1]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
}

#[tokio::test]
async fn one_server_alone_cannot_change_the_addresses_of_a_zones_servers() {
    const ROGUE: u8 = 51;
    let world = World::new("").await;
    let names = "sub.acme.test. NS a.sub.acme.test.\nsub.acme.test. NS b.sub.acme.test.\n";
    let glue = |server| {
        let [a, b] = [address(server), address(server + 1)];
        format!("a.sub.acme.test. A {a}\nb.sub.acme.test. A {b}\n")
    };
    let proof = format!("portal.sub.acme.test. CNAME {TARGET}");
    world.zone("sub.acme.test.", "", &[CHILD, CHILD + 1]).await;
    world.zone("sub.acme.test.", &proof, &[ROGUE, ROGUE + 1]).await;
    // The resolver asks the rogue server.
    world.resolver(&glue(ROGUE)).await;
    let honest = format!("{names}{}", glue(CHILD));
    world.zone("acme.test.", &honest, &[NS2]).await;
    for (rogue, expected) in [
        (glue(ROGUE), Proof::Unknown),
        (String::new(), Proof::Unknown),
        (glue(ROGUE) + &glue(CHILD), Proof::Missing),
    ] {
        let rogue = format!("{names}{rogue}");
        let answers = |asked: &Asked, rogue: &str, hosts_both: bool| {
            let mut reply = Zone::parse("acme.test.", rogue).answer(asked);
            if hosts_both && asked.kind() == RecordType::NS {
                reply.answers = std::mem::take(&mut reply.authorities);
                reply.metadata.authoritative = true;
            } else if hosts_both {
                reply = Zone::parse("sub.acme.test.", "").answer(asked);
            }
            reply
        };
        for hosts_both in [false, true] {
            let rogue = rogue.clone();
            world
                .serve(NS1, move |asked| {
                    Reaction::Say(answers(asked, &rogue, hosts_both))
                })
                .await;
            for _ in 0..6 {
                let seen = world.see(&domain("portal.sub.acme.test"), Depth::Scheduled).await;
                assert_eq!((seen.proof, seen.unconfirmed_proof), (expected, None), "{seen:?}");
            }
        }
    }
    // Once both have the addresses, the owner has moved the zone.
    let moved = format!("{names}{}", glue(ROGUE));
    world.zone("acme.test.", &moved, &[NS1, NS2]).await;
    let seen = world.see(&domain("portal.sub.acme.test"), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
}

/// A delegation of the name to a server of its own, with the server's address.
fn delegation(name: &str, server: &str) -> String {
    format!("{name} NS {server}\n{server} A {}", address(CHILD))
}

#[tokio::test]
async fn servers_that_refer_to_different_ones_prove_nothing() {
    let challenge = "_agency-challenge.portal.acme.test.";
    let world = World::new("portal.acme.test. A 192.0.2.1").await;
    world
        .zone(challenge, &format!("{challenge} TXT \"{VALUE}\""), &[CHILD])
        .await;
    for (server, below) in [(NS1, "ns1.portal.acme.test."), (NS2, "ns2.portal.acme.test.")] {
        let zone = delegation(challenge, below);
        world.zone("acme.test.", &zone, &[server]).await;
    }
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Unknown);
    // Nor does one that has the record where the others say that it is not theirs to have.
    let record = format!("{challenge} TXT \"{VALUE}\"");
    world.zone("acme.test.", &record, &[NS2]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Unknown);
}

#[tokio::test]
async fn a_referral_by_one_server_alone_needs_the_resolver() {
    let world = World::new("").await;
    let below = delegation("portal.acme.test.", "ns.portal.acme.test.");
    world.zone("acme.test.", &below, &[NS1]).await;
    world.serve(NS2, |_| Reaction::Silence).await;
    world.zone("portal.acme.test.", "", &[CHILD]).await;
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Unknown, "a miss: {seen:?}");

    world.zone("portal.acme.test.", &cname(), &[CHILD]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Unknown);
    world.resolver(&cname()).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.unconfirmed_proof, Some(Proof::Cname), "{seen:?}");

    // Nor do two servers below that differ make it another's.
    world.resolver("").await;
    let challenge = "_agency-challenge.portal.acme.test.";
    let two = format!(
        "{}\n{challenge} NS ns2.portal.acme.test.\nns2.portal.acme.test. A {}",
        delegation(challenge, "ns1.portal.acme.test."),
        address(CHILD + 1)
    );
    world.zone("acme.test.", &two, &[NS1]).await;
    let record = format!("{challenge} TXT \"{VALUE}\"\n");
    world.zone(challenge, &record, &[CHILD]).await;
    let more = format!("{record}{challenge} TXT \"more\"");
    world.zone(challenge, &more, &[CHILD + 1]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Unknown);
    world.zone("acme.test.", &below, &[NS1]).await;
    world.resolver(&cname()).await;

    // Others of the session ask the zone's servers again.
    let session = Session::default();
    look(&world.dns(), &portal(), Depth::Scheduled, &session).await;
    world.resolver("").await;
    world
        .zone("acme.test.", "portal.acme.test. A 192.0.2.1", &[NS1, NS2])
        .await;
    let seen = look(&world.dns(), &portal(), Depth::Scheduled, &session).await;
    assert_eq!(seen.proof, Proof::Missing);
}

#[tokio::test]
async fn one_server_may_have_the_zone_below_itself_where_others_refer_to_it() {
    let world = World::new("").await;
    let below = format!(
        "portal.acme.test. NS ns1.acme.test.\nns1.acme.test. A {}",
        address(NS1)
    );
    world
        .resolver(&format!("ns1.acme.test. A {}", address(NS1)))
        .await;
    world.zone("acme.test.", &below, &[NS2]).await;
    let both = [
        Zone::parse("acme.test.", &below),
        Zone::parse("portal.acme.test.", &format!("{}\n{below}", cname())),
    ];
    world
        .serve(NS1, move |asked| {
            let zone = usize::from(name("portal.acme.test.").zone_of(asked.name()));
            Reaction::Say(both[zone].answer(asked))
        })
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
    assert_eq!(seen.zone.unwrap().as_str(), "portal.acme.test");
}

#[tokio::test]
async fn a_zone_that_the_parents_server_has_too_is_found() {
    // One server has both zones, and answers for the lower one without a referral; its other server differs.
    let world = World::empty().await;
    world
        .resolver(&format!("ns1.acme.test. A {}", address(NS1)))
        .await;
    let records = format!(
        "acme.test. NS nic.test.\nacme.test. NS ns1.acme.test.\nns1.acme.test. A {}",
        address(NS1)
    );
    let both = [
        Zone::parse("test.", &format!("nic.test. A {}", address(REGISTRY))),
        Zone::parse("acme.test.", &records),
    ];
    world
        .serve(REGISTRY, move |asked| {
            let zone = usize::from(name("acme.test.").zone_of(asked.name()));
            Reaction::Say(both[zone].answer(asked))
        })
        .await;
    world
        .zone("acme.test.", &format!("{records}\n{}", cname()), &[NS1])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Unknown, "{seen:?}");
    assert_eq!(codes(&seen), [Code::NotEverywhereYet]);
    assert_eq!(seen.nameservers, ["ns1.acme.test", "nic.test"]);
}

#[tokio::test]
async fn a_zone_that_the_same_servers_have_is_shown_where_they_let_it_be_seen() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        let zones = [
            Zone::parse("acme.test.", "acme.test. MX mail.acme.test."),
            Zone::parse(
                "eu.acme.test.",
                &format!("eu.acme.test. NS ns1.acme.test.\nportal.eu.acme.test. CNAME {TARGET}"),
            ),
        ];
        world
            .serve(server, move |asked| {
                let zone = usize::from(name("eu.acme.test.").zone_of(asked.name()));
                Reaction::Say(zones[zone].answer(asked))
            })
            .await;
    }
    let hostname = "portal.eu.acme.test";
    let seen = world.see(&domain(hostname), Depth::Scheduled).await;
    // The alias tells of no zone; that there is no TXT record does.
    let zone = seen.zone.clone();
    assert_eq!(
        (seen.proof, zone.unwrap().as_str()),
        (Proof::Cname, "eu.acme.test")
    );
    assert_eq!(seen.nameservers, ["ns1.acme.test"]);
    // Nor is a negative response repeated that leads to the zone.
    assert!(!world.got().iter().any(|got| got.tcp));
    // A renewal does not ask for it, and keeps what was seen.
    let check = Check {
        checked_at: None,
        next_check_at: None,
        attempts: 1,
        zone: seen.zone.clone(),
        nameservers: seen.nameservers.clone(),
        provider: None,
        provider_url: None,
        problem: None,
        findings: Vec::new(),
    };
    let domain = Domain {
        check: Some(check),
        ..verified(hostname)
    };
    let renewed = world.see(&domain, Depth::Scheduled).await;
    assert_eq!(renewed.proof, Proof::Cname);
    assert_eq!((renewed.zone, renewed.nameservers), (seen.zone, seen.nameservers));
}

#[tokio::test]
async fn name_servers_elsewhere_are_found_by_the_resolver_and_others_glue_is_not_believed() {
    let world = World::new("").await;
    world
        .registry(&format!(
            "acme.test. NS ns.provider.example.\nns.provider.example. A {}",
            address(OLD)
        ))
        .await;
    world.zone("acme.test.", &cname(), &[CHILD]).await;
    world.zone("acme.test.", "", &[OLD]).await;
    world
        .resolver(&format!("ns.provider.example. A {}", address(CHILD)))
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
    assert!(!world.got().iter().any(|got| got.server == OLD));
}

#[tokio::test]
async fn lame_servers_are_no_answer() {
    let world = World::new("").await;
    for code in [ResponseCode::Refused, ResponseCode::ServFail] {
        for server in [NS1, NS2] {
            world.serve(server, move |asked| asked.code(code)).await;
        }
        assert_eq!(world.see(&portal(), Depth::Diagnose).await.proof, Proof::Unknown);
    }
    // The names of the servers lead nowhere.
    world.registry("acme.test. NS ns.gone.test.").await;
    let seen = world.see(&portal(), Depth::Diagnose).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Unknown, vec![Code::LameDelegation])
    );
    assert_eq!(seen.findings[0].observed[0].answer, "no address");
    // The registry itself says nothing.
    world.serve(REGISTRY, |_| Reaction::Silence).await;
    let seen = world.see(&portal(), Depth::Diagnose).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Unknown, vec![Code::DnsTimeout])
    );
    // The registry sends us round in circles.
    world
        .serve(REGISTRY, |asked| {
            let mut reply = Zone::parse("test.", "acme.test. NS nic.test.").answer(asked);
            reply.metadata.authoritative = false;
            Reaction::Say(reply)
        })
        .await;
    world.resolver("").await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Unknown, vec![Code::LameDelegation])
    );
}

#[tokio::test]
async fn no_packet_goes_to_an_address_that_is_not_public() {
    for (kind, private) in [
        ("A", "127.0.53.11"),
        ("A", "169.254.169.254"),
        ("A", "10.0.0.1"),
        ("AAAA", "::ffff:10.0.0.1"),
        ("AAAA", "::1"),
        ("AAAA", "fd00:ec2::254"),
    ] {
        let world = World::new(&cname()).await;
        // The registry here has a private address as well, so that is the one under test.
        let zone = Zone::parse(
            ".",
            &format!("test. NS ns.private.test.\nns.private.test. {kind} {private}"),
        );
        world
            .serve(RESOLVER, move |asked| Reaction::Say(zone.answer(asked)))
            .await;
        let dns = world.dns_with(DnsMode::Authoritative, false);
        let seen = look(&dns, &portal(), Depth::Diagnose, &Session::default()).await;
        assert_eq!(
            (seen.proof, codes(&seen)),
            (Proof::Unknown, vec![Code::PrivateAddress]),
            "{private}"
        );
        assert!(world.got().iter().all(|got| got.server == RESOLVER), "{private}");
        assert!(seen.packets < 10);
    }
}

#[tokio::test]
async fn the_challenge_may_be_a_zone_of_its_own() {
    let world = World::new(&format!(
        "_agency-challenge.portal.acme.test. NS ns.child.acme.test.\nns.child.acme.test. A {}",
        address(CHILD)
    ))
    .await;
    let challenge = "_agency-challenge.portal.acme.test.";
    world
        .zone(challenge, &format!("{challenge} TXT \"{VALUE}\""), &[CHILD])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(
        (seen.proof, seen.zone.unwrap().as_str()),
        (Proof::Txt, "acme.test")
    );
    assert!(
        world
            .got()
            .iter()
            .any(|got| got.server == CHILD && got.kind == RecordType::TXT)
    );
}

#[tokio::test]
async fn a_registrys_second_level_is_asked_for_once_in_a_session() {
    let world = World::empty().await;
    world
        .resolver(&format!("uk. NS nic.uk.\nnic.uk. A {}", address(OLD)))
        .await;
    world
        .zone(
            "uk.",
            &format!("co.uk. NS ns.co.uk.\nns.co.uk. A {}", address(REGISTRY)),
            &[OLD],
        )
        .await;
    let delegations = ["acme", "globex"].map(|zone| {
        format!(
            "{zone}.co.uk. NS ns.{zone}.co.uk.\nns.{zone}.co.uk. A {}",
            address(NS1)
        )
    });
    world.zone("co.uk.", &delegations.join("\n"), &[REGISTRY]).await;
    world
        .serve(NS1, |asked| {
            let records = format!("{} CNAME {TARGET}", asked.name().to_lowercase());
            let zone = asked.name().trim_to(3).to_string();
            Reaction::Say(Zone::parse(&zone, &records).answer(asked))
        })
        .await;
    let (dns, session) = (world.dns(), Session::default());
    for (hostname, packets) in [
        ("portal.acme.co.uk", 3 + 2),
        ("portal.globex.co.uk", 2),
        ("acme.co.uk", 1),
    ] {
        let seen = look(&dns, &verified(hostname), Depth::Scheduled, &session).await;
        assert_eq!(
            (hostname, seen.proof, seen.packets),
            (hostname, Proof::Cname, packets)
        );
    }
}
