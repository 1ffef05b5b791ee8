//! What a check concludes from the records of a domain, apart from its findings.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use shared::{
    config::DnsMode,
    models::domain::{Check, Domain, FindingCode as Code, RecordState, Routing, Status},
};
use verification::dns::{Depth, Proof, Session};

use crate::world::*;

/// The answers that the setup page shows for the address records of an apex: for `A`, then for `AAAA`.
fn answers(seen: &Seen) -> [Vec<&str>; 2] {
    let apex = seen.apex.as_ref().unwrap();
    [&apex.a_answers, &apex.aaaa_answers].map(|answers| {
        let mut answers: Vec<_> = answers.iter().map(|answer| &*answer.answer).collect();
        answers.dedup();
        answers
    })
}

#[tokio::test]
async fn an_apex_without_addresses_lacks_its_record_and_shows_no_answer() {
    let seen = World::new("")
        .await
        .see(&domain("acme.test"), Depth::Scheduled)
        .await;
    assert_eq!(
        (seen.route, seen.routing),
        (RecordState::Missing, Routing::Elsewhere)
    );
    assert_eq!(answers(&seen), [Vec::<&str>::new(), Vec::new()]);
}

#[tokio::test]
async fn an_apex_shows_the_answers_to_the_type_that_is_wrong() {
    let none = Vec::new();
    let alias = vec!["x.acme.test."];
    for (records, expected) in [
        ("acme.test. A 192.0.2.9", [vec!["192.0.2.9"], none.clone()]),
        ("acme.test. AAAA 2001:db8::9", [none.clone(), vec!["2001:db8::9"]]),
        (
            "acme.test. CNAME x.acme.test.\nx.acme.test. A 192.0.2.9",
            [alias.clone(), alias],
        ),
    ] {
        let seen = World::new(records)
            .await
            .see(&domain("acme.test"), Depth::Scheduled)
            .await;
        assert_eq!(answers(&seen), expected, "{records}");
    }
}

#[tokio::test]
async fn an_apex_whose_alias_or_addresses_are_unknown_is_unreachable_and_not_missing() {
    use RecordState::{Missing, Unreachable};
    for (failing, states, shown) in [
        (RecordType::CNAME, [Unreachable; 3], [0, 0]),
        (RecordType::AAAA, [Unreachable, Missing, Unreachable], [0, 1]),
    ] {
        let world = World::new("").await;
        for server in [NS1, NS2] {
            let zone = Zone::parse("acme.test.", "");
            world
                .serve(server, move |asked| match asked.kind() {
                    kind if kind == failing => asked.code(ResponseCode::ServFail),
                    _ => Reaction::Say(zone.answer(asked)),
                })
                .await;
        }
        let seen = world.see(&domain("acme.test"), Depth::Scheduled).await;
        let apex = seen.apex.as_ref().unwrap();
        assert_eq!([seen.route, apex.a, apex.aaaa], states, "{failing}");
        assert_eq!(seen.routing, Routing::Unknown, "{failing}");
        assert_eq!(answers(&seen).map(|answers| answers.len()), shown, "{failing}");
    }
}

#[tokio::test]
async fn the_traffic_is_unknown_while_the_edge_has_no_address() {
    let target = format!("*.edge.test. A {EDGE}");
    // The operator's wildcard record leads every name below the target to the edge.
    let alias = "portal.acme.test. CNAME 00000000000000000000000000000007.edge.test.";
    let address_record = "portal.acme.test. A 192.0.2.9";
    for (record, target, routing) in [
        (address_record, &*target, Routing::Elsewhere),
        (address_record, "", Routing::Unknown),
        (alias, &*target, Routing::Routed),
        (alias, "", Routing::Routed),
    ] {
        let world = World::new(record).await;
        let [registry, ns1, ns2] = [REGISTRY, NS1, NS2].map(address);
        let records = format!(
            "{target}\nacme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nns1.acme.test. A {ns1}\nns2.acme.test. A {ns2}"
        );
        world.zone("test.", &records, &[REGISTRY]).await;
        let resolver = Zone::parse(
            ".",
            &format!("test. NS nic.test.\nnic.test. A {registry}\n{target}"),
        );
        world
            .serve(RESOLVER, move |asked| Reaction::Say(resolver.answer(asked)))
            .await;
        let seen = world.see(&portal(), Depth::Scheduled).await;
        assert_eq!(seen.routing, routing, "{record} {target}");
    }
}

/// A check that changes a domain's status also looks for the cause.
#[tokio::test]
async fn a_flattened_cname_is_explained_when_it_ends_a_failure() {
    let records = format!("portal.acme.test. A {EDGE}\n_agency-challenge.acme.test. TXT \"{VALUE}\"");
    for (status, expected) in [
        (Status::Failing, vec![Code::WrongName, Code::CnameFlattened]),
        (Status::Verified, vec![Code::CnameFlattened]),
    ] {
        let domain = Domain { status, ..portal() };
        let seen = World::new(&records).await.see(&domain, Depth::Scheduled).await;
        assert_eq!((seen.flattened, codes(&seen)), (true, expected), "{status:?}");
    }
}

#[tokio::test]
async fn only_a_first_proof_needs_a_validating_resolver() {
    for (status, expected) in [(Status::Pending, true), (Status::Failing, false)] {
        let world = World::new(&format!("portal.acme.test. CNAME {TARGET}")).await;
        let domain = Domain { status, ..portal() };
        let seen = world.see(&domain, Depth::Scheduled).await;
        assert_eq!(seen.proof, Proof::Cname, "{status:?}");
        let is_validation = |got: &Got| got.server == RESOLVER && got.name == "portal.acme.test.";
        assert_eq!(world.got().iter().any(is_validation), expected, "{status:?}");
    }
}

#[tokio::test]
async fn a_proven_cname_has_no_other_token() {
    let world = World::new(&format!("portal.acme.test. CNAME {TARGET}")).await;
    let domain = verified("portal.acme.test");
    let session = Session::default();
    let evidence = gather(&world.dns(), &domain, Depth::Scheduled, &session, &[], &[]).await;
    let evidence = evidence.unwrap();
    assert_eq!((evidence.proof(), evidence.other_token), (Proof::Cname, None));
}

#[tokio::test]
async fn a_renewal_by_a_resolver_does_not_look_for_the_zone() {
    let world = World::empty().await;
    world.resolver(&format!("portal.acme.test. CNAME {TARGET}")).await;
    let dns = world.dns_with(DnsMode::Recursive, true);
    let seen = look(
        &dns,
        &verified("portal.acme.test"),
        Depth::Scheduled,
        &Session::default(),
    )
    .await;
    assert_eq!(seen.proof, Proof::Cname);
    let kinds: Vec<_> = world.got().iter().map(|got| got.kind).collect();
    assert!(kinds.iter().all(|kind| *kind == RecordType::CNAME), "{kinds:?}");
}

#[tokio::test]
async fn the_zone_of_the_last_check_ends_with_a_negative_answer_of_the_zone_above() {
    let mut domain = domain("portal.sub.acme.test");
    domain.check = Some(Check {
        zone: Some("sub.acme.test".parse().unwrap()),
        nameservers: vec!["ns1.sub.acme.test".to_owned()],
        ..Check::default()
    });
    let seen = World::new("").await.see(&domain, Depth::Scheduled).await;
    assert_eq!(seen.zone.unwrap().as_str(), "acme.test");
    // Servers that host both zones answer from the lower one.
    let records =
        format!("portal.sub.acme.test. CNAME {TARGET}\n_agency-challenge.portal.sub.acme.test. TXT \"x\"");
    let seen = World::new(&records).await.see(&domain, Depth::Scheduled).await;
    assert_eq!(seen.zone.unwrap().as_str(), "sub.acme.test");
    // It is not between the queried zone and the hostname.
    domain.hostname = "portal.acme.test".parse().unwrap();
    let records = format!("portal.acme.test. CNAME {TARGET}\n_agency-challenge.portal.acme.test. TXT \"x\"");
    let seen = World::new(&records).await.see(&domain, Depth::Scheduled).await;
    assert_eq!(seen.zone.unwrap().as_str(), "acme.test");
}

/// In recursive mode the resolver says which zone has the hostname.
#[tokio::test]
async fn the_zone_is_that_of_the_resolvers_soa_record() {
    let zone = "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\n";
    let both = vec!["ns1.acme.test", "ns2.acme.test"];
    for (records, zone, servers) in [
        (zone.to_owned(), Some("acme.test"), both.clone()),
        // The response to the hostname is from the zone of the alias's target.
        (
            format!("{zone}portal.acme.test. CNAME www.other.test."),
            Some("acme.test"),
            both.clone(),
        ),
        // A delegation without an SOA record.
        (
            format!("{zone}portal.acme.test. NS ns.other.test."),
            Some("acme.test"),
            both,
        ),
        // Only the root's SOA record.
        (String::new(), None, Vec::new()),
    ] {
        let world = World::empty().await;
        let knows_zone = !records.is_empty();
        let acme = Zone::parse("acme.test.", &records);
        let other = Zone::parse("other.test.", "www.other.test. A 192.0.2.9");
        let root = Zone::parse(".", &format!(". NS root.nic.test.\n*.edge.test. A {EDGE}"));
        world
            .serve(RESOLVER, move |asked| {
                let name = asked.name().to_lowercase().to_string();
                let is_alias = |message: &Message| {
                    message
                        .answers
                        .iter()
                        .any(|record| record.record_type() == RecordType::CNAME)
                };
                let mut message = match &name {
                    _ if knows_zone && name.ends_with("acme.test.") => acme.answer(asked),
                    _ => root.answer(asked),
                };
                if asked.kind() == RecordType::SOA && is_alias(&message) {
                    message.authorities = other.answer(asked).authorities;
                }
                if asked.kind() == RecordType::SOA && name == "acme.test." {
                    message.answers = std::mem::take(&mut message.authorities);
                }
                Reaction::Say(message)
            })
            .await;
        let dns = world.dns_with(DnsMode::Recursive, true);
        let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
        assert_eq!(seen.zone.as_ref().map(|zone| zone.as_str()), zone, "{records}");
        assert_eq!(seen.nameservers, servers, "{records}");
    }
}

/// Only a `CNAME` that is not at an apex can have another record beside it.
#[tokio::test]
async fn without_a_cname_and_at_an_apex_no_record_is_looked_for_beside_it() {
    for (hostname, records, expected) in [
        ("portal.acme.test", "portal.acme.test. CNAME x.acme.test.", true),
        ("portal.acme.test", "portal.acme.test. A 192.0.2.9", false),
        ("acme.test", "acme.test. CNAME x.acme.test.", false),
    ] {
        let world = World::new(records).await;
        world.see(&domain(hostname), Depth::Diagnose).await;
        let has_mx = world.got().iter().any(|got| got.kind == RecordType::MX);
        assert_eq!(has_mx, expected, "{hostname}: {records}");
    }
}

/// Load balancers answer with different addresses.
#[tokio::test]
async fn the_traffic_is_known_although_the_servers_differ_in_the_addresses() {
    let world = World::new("").await;
    for (server, address) in [(NS1, "192.0.2.8"), (NS2, "192.0.2.9")] {
        let records = format!("portal.acme.test. A {address}");
        world.zone("acme.test.", &records, &[server]).await;
    }
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.routing, Routing::Elsewhere);
}

#[tokio::test]
async fn an_alias_of_a_proxy_is_proxied_at_any_address() {
    let world = World::new("portal.acme.test. CNAME x.cdn.cloudflare.net.").await;
    let cloudflare = 70;
    world
        .resolver(&format!("net. NS nic.net.\nnic.net. A {}", address(cloudflare)))
        .await;
    world
        .zone("net.", "x.cdn.cloudflare.net. A 192.0.2.9", &[cloudflare])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!((seen.proof, seen.routing), (Proof::Missing, Routing::Proxied));
}

#[tokio::test]
async fn the_traffic_is_unknown_while_only_one_of_two_servers_answers() {
    let records = format!("portal.acme.test. CNAME {TARGET}");
    for (records, unconfirmed_proof) in [(&*records, Some(Proof::Cname)), ("", None)] {
        let world = World::new(records).await;
        world.serve(NS2, |asked| asked.code(ResponseCode::ServFail)).await;
        world.resolver(records).await;
        let seen = world.see(&portal(), Depth::Scheduled).await;
        assert_eq!(
            (seen.proof, seen.unconfirmed_proof, seen.routing),
            (Proof::Unknown, unconfirmed_proof, Routing::Unknown),
            "{records}"
        );
    }
}
