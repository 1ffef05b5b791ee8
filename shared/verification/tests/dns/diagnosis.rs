//! Each finding that DNS can tell, from the records that lead to it.

use std::net::IpAddr;

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RecordType},
};
use shared::{
    config::DnsMode,
    models::domain::{Domain, FindingCode as Code, Level, Purpose, RecordState, Routing, Token},
};
use verification::dns::{Depth, Proof, Session};

use crate::world::*;

const OTHER: &str = "00000000000000000000000000000007";

async fn diagnose(records: &str) -> Seen {
    diagnose_for(&portal(), records).await
}

async fn diagnose_for(domain: &Domain, records: &str) -> Seen {
    let world = World::new(records).await;
    let seen = world.see(domain, Depth::Diagnose).await;
    assert_eq!(world.got().len() as u32, seen.packets);
    for finding in &seen.findings {
        assert!(
            finding.detail.ends_with('.') && finding.fix.ends_with('.'),
            "{finding:?}"
        );
        assert!(!finding.observed.is_empty(), "{finding:?}");
    }
    seen
}

/// Records of `acme.test.`, and what they are to `portal.acme.test`.
pub fn mistakes() -> Vec<(String, Vec<Code>)> {
    let target = TARGET.trim_end_matches('.');
    let challenge = "_agency-challenge.portal.acme.test.";
    vec![
        (String::new(), vec![Code::RecordMissing]),
        (
            "portal.acme.test. CNAME other.acme.test.\nother.acme.test. A 192.0.2.1".to_owned(),
            vec![Code::WrongValue],
        ),
        (
            "portal.acme.test. CNAME gone.acme.test.".to_owned(),
            vec![Code::WrongValue, Code::TargetMissing],
        ),
        (format!("{challenge} TXT \"hello\""), vec![Code::WrongValue]),
        (
            format!("{challenge} TXT \"agency-verification={OTHER}\""),
            vec![Code::StaleToken],
        ),
        (
            format!("portal.acme.test. CNAME {OTHER}.edge.test."),
            vec![Code::StaleToken],
        ),
        (
            format!("{challenge} TXT \" 'Agency-Verification={TOKEN}' \""),
            vec![Code::ValueAltered],
        ),
        (
            format!("{challenge} TXT \"https://{VALUE}/\""),
            vec![Code::ValueAltered],
        ),
        (
            format!("{challenge}acme.test. TXT \"{VALUE}\""),
            vec![Code::NameDoubled],
        ),
        (
            format!("portal.acme.test.acme.test. CNAME {TARGET}"),
            vec![Code::NameDoubled],
        ),
        (
            format!("portal.acme.test. CNAME {TARGET}acme.test."),
            vec![Code::ValueDoubled],
        ),
        (
            format!("portal.acme.test. TXT \"{VALUE}\""),
            vec![Code::WrongName],
        ),
        (format!("acme.test. TXT \"{VALUE}\""), vec![Code::WrongName]),
        (
            format!("_agency-challenge.acme.test. TXT \"{VALUE}\""),
            vec![Code::WrongName],
        ),
        (
            format!("portal.acme.test. TXT \"{target}\""),
            vec![Code::WrongType],
        ),
        (format!("acme.test. TXT \"{TOKEN}\""), vec![Code::WrongName]),
        (
            format!("portal.acme.test. CNAME {VALUE}.acme.test."),
            vec![Code::WrongType],
        ),
        (
            format!("{challenge} CNAME {VALUE}.acme.test."),
            vec![Code::WrongType],
        ),
        (
            format!("portal.acme.test. CNAME https://{TARGET}"),
            vec![Code::ValueAltered],
        ),
        (
            format!("{challenge} TXT \"v=spf1\"\n*.portal.acme.test. TXT \"v=spf1\""),
            vec![Code::WildcardAnswer, Code::WrongValue],
        ),
        (
            "*.acme.test. TXT \"v=spf1\"".to_owned(),
            vec![Code::WildcardAnswer, Code::WrongValue],
        ),
        (format!("{challenge} TXT \"{TARGET}\""), vec![Code::WrongType]),
        (format!("{challenge} CNAME {TARGET}"), vec![Code::WrongType]),
        ("portal.acme.test. A 104.16.0.1".to_owned(), vec![Code::Proxied]),
        (
            "portal.acme.test. CNAME portal.acme.test.cdn.cloudflare.net.".to_owned(),
            vec![Code::Proxied],
        ),
        (
            "*.acme.test. A 192.0.2.9".to_owned(),
            vec![Code::WildcardAnswer, Code::WildcardShadowed],
        ),
        (
            "*.acme.test. AAAA 2001:db8::9".to_owned(),
            vec![Code::WildcardAnswer, Code::WildcardShadowed],
        ),
        (
            "*.acme.test. CNAME other.acme.test.\nother.acme.test. A 192.0.2.1".to_owned(),
            vec![Code::WildcardAnswer, Code::WrongValue, Code::WildcardShadowed],
        ),
        (
            "portal.acme.test. CNAME portal.acme.test.".to_owned(),
            vec![Code::CnameLoop],
        ),
        (
            format!("portal.acme.test. A {EDGE}"),
            vec![Code::RecordMissing, Code::CnameFlattened],
        ),
        (
            format!("portal.acme.test. A {EDGE}\nportal.acme.test. A 192.0.2.1"),
            vec![Code::RecordMissing, Code::CnameFlattened, Code::LeftoverAddress],
        ),
    ]
}

#[tokio::test]
async fn each_mistake_has_its_code() {
    let mut wrong = Vec::new();
    for (records, expected) in mistakes() {
        let world = World::new(&records).await;
        // What Cloudflare has.
        let cloudflare = 70;
        world
            .resolver(&format!("net. NS nic.net.\nnic.net. A {}", address(cloudflare)))
            .await;
        world
            .zone(
                "net.",
                "portal.acme.test.cdn.cloudflare.net. A 104.16.0.1",
                &[cloudflare],
            )
            .await;
        let seen = world.see(&portal(), Depth::Diagnose).await;
        if (seen.proof, codes(&seen)) != (Proof::Missing, expected) {
            wrong.push((records.to_owned(), seen.proof, codes(&seen)));
        }
        assert!(seen.packets <= 64);
        for finding in &seen.findings {
            assert!(
                finding.detail.ends_with('.') && finding.fix.ends_with('.'),
                "{finding:?}"
            );
            assert!(!finding.observed.is_empty(), "{records}: {finding:?}");
        }
    }
    assert_eq!(wrong, []);
}

#[tokio::test]
async fn the_sentence_says_what_to_enter_where() {
    let seen = diagnose("").await;
    let finding = &seen.findings[0];
    assert_eq!(finding.level, Level::Error);
    assert_eq!(finding.expected.as_deref(), Some(TARGET.trim_end_matches('.')));
    let target = TARGET.trim_end_matches('.');
    assert_eq!(
        finding.fix,
        format!(
            "Add to the zone acme.test at your DNS provider a CNAME record named portal with the value {target}. \
             Or add a TXT record named _agency-challenge.portal with the value {VALUE}."
        )
    );

    let seen = diagnose_for(&domain("acme.test"), "acme.test. A 192.0.2.7").await;
    assert_eq!(codes(&seen), [Code::RecordMissing]);
    assert_eq!(
        (seen.route, seen.routing),
        (RecordState::Wrong, Routing::Elsewhere)
    );
    assert!(seen.findings[0].fix.starts_with(
        "Add to the zone acme.test at your DNS provider a TXT record named _agency-challenge with"
    ));

    let seen = diagnose("portal.acme.test. CNAME ghs.other.test.").await;
    assert_eq!(seen.findings[0].observed[0].answer, "ghs.other.test.");
    assert!(seen.findings[0].observed[0].server.ends_with(".acme.test"));
}

#[tokio::test]
async fn the_provider_is_named() {
    let world = World::new("").await;
    world
        .registry("acme.test. NS ada.ns.cloudflare.com.\nacme.test. NS bob.ns.cloudflare.com.")
        .await;
    world
        .resolver(&format!(
            "ada.ns.cloudflare.com. A {}\nbob.ns.cloudflare.com. A {}",
            address(NS1),
            address(NS2)
        ))
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.provider, Some("Cloudflare"));
    assert!(
        seen.findings[0].fix.contains("at Cloudflare"),
        "{}",
        seen.findings[0].fix
    );
}

#[tokio::test]
async fn a_token_of_the_same_agency_is_not_stale() {
    let records = format!("portal.acme.test. CNAME {OTHER}.edge.test.");
    let evidence = async |records: &str, known| {
        let world = World::new(records).await;
        let session = Session::default();
        let evidence = gather(&world.dns(), &portal(), Depth::Diagnose, &session, &[], &[]).await;
        let mut evidence = evidence.unwrap();
        assert_eq!(
            evidence.other_token.as_ref(),
            Some(&Token::new(7u128.to_be_bytes()))
        );
        evidence.token_of_same_agency = known;
        seen(&portal(), &evidence)
    };
    let foreign = evidence(&records, false).await;
    assert_eq!((foreign.routing, foreign.flattened), (Routing::Routed, false));
    assert_eq!(codes(&foreign), [Code::StaleToken]);
    let own = evidence(&records, true).await;
    assert_eq!(
        (own.proof, own.routing, own.flattened),
        (Proof::Missing, Routing::Routed, false)
    );
    assert_eq!(codes(&own), [Code::WrongValue]);
    assert!(own.findings[0].detail.contains("another of your domains"));

    let proven = format!("{records}\n_agency-challenge.portal.acme.test. TXT \"{VALUE}\"");
    let foreign = evidence(&proven, false).await;
    assert_eq!(
        (foreign.routing, codes(&foreign)),
        (Routing::Routed, vec![Code::StaleToken])
    );
    let own = evidence(&proven, true).await;
    assert_eq!(
        (own.proof, own.routing, codes(&own)),
        (Proof::Txt, Routing::Routed, vec![])
    );
}

#[tokio::test]
async fn a_dangling_token_is_never_a_flattened_cname() {
    // The record of a deleted domain: it leads to our own addresses.
    let seen = diagnose(&format!(
        "portal.acme.test. CNAME x.acme.test.\nx.acme.test. CNAME {OTHER}.edge.test."
    ))
    .await;
    assert_eq!(
        (seen.proof, seen.flattened, seen.routing),
        (Proof::Missing, false, Routing::Routed)
    );
}

#[tokio::test]
async fn a_foreign_cname_that_ends_at_the_edge_is_neither_flattened_nor_the_record() {
    let seen = diagnose(&format!(
        "portal.acme.test. CNAME x.acme.test.\nx.acme.test. A {EDGE}"
    ))
    .await;
    assert_eq!(codes(&seen), [Code::WrongValue]);
    assert_eq!(
        (seen.flattened, seen.routing, seen.route),
        (false, Routing::Routed, RecordState::Wrong)
    );
    // A flattened CNAME is not in DNS.
    let seen = diagnose(&format!("portal.acme.test. A {EDGE}")).await;
    assert_eq!(
        (seen.flattened, seen.routing, seen.route),
        (true, Routing::Routed, RecordState::Missing)
    );
}

#[tokio::test]
async fn each_address_record_of_an_apex_is_evaluated_by_itself() {
    use RecordState::{Found, Missing, Unreachable, Wrong};
    let (v4, other_v4, v6) = ("203.0.113.5", "203.0.113.6", "2001:db8::5");
    let addresses = [v4, other_v4, v6].map(|address| address.parse::<IpAddr>().unwrap());
    let acme = domain("acme.test");
    let states = |seen: &Seen| {
        let domain = Domain {
            apex: seen.apex.clone(),
            route: seen.route,
            ..acme.clone()
        };
        let records = domain.show(&names(), &addresses).records;
        let routing = records.iter().filter(|record| record.purpose == Purpose::Routing);
        routing.map(|record| record.state).collect::<Vec<_>>()
    };
    for (records, expected) in [
        (String::new(), [Missing, Missing, Missing]),
        (format!("acme.test. A {v4}"), [Found, Missing, Missing]),
        (format!("acme.test. AAAA {v6}"), [Missing, Missing, Found]),
        ("acme.test. A 192.0.2.9".to_owned(), [Wrong, Wrong, Missing]),
        (
            format!("acme.test. A {v4}\nacme.test. A 192.0.2.9\nacme.test. AAAA 2001:db8::9"),
            [Found, Wrong, Wrong],
        ),
        (
            format!("acme.test. A {v4}\nacme.test. A {other_v4}\nacme.test. AAAA {v6}"),
            [Found; 3],
        ),
        (
            format!("acme.test. CNAME x.acme.test.\nx.acme.test. A {v4}"),
            [Wrong; 3],
        ),
    ] {
        let world = World::new(&records).await;
        let (dns, session) = (world.dns(), Session::default());
        let seen = look_with(&dns, &acme, Depth::Scheduled, &session, &addresses, &[]).await;
        assert_eq!(states(&seen), expected, "{records}");
    }
    // The servers do not answer for AAAA records.
    let world = World::new("").await;
    for server in [NS1, NS2] {
        let zone = Zone::parse("acme.test.", &format!("acme.test. A {v4}"));
        world
            .serve(server, move |asked| match asked.kind() {
                RecordType::AAAA => asked.code(ResponseCode::ServFail),
                _ => Reaction::Say(zone.answer(asked)),
            })
            .await;
    }
    let (dns, session) = (world.dns(), Session::default());
    let seen = look_with(&dns, &acme, Depth::Scheduled, &session, &addresses, &[]).await;
    assert_eq!(states(&seen), [Found, Missing, Unreachable]);
}

#[tokio::test]
async fn the_sentence_names_the_mistake_in_a_txt_record() {
    let challenge = "_agency-challenge.portal.acme.test.";
    for (text, code, what) in [
        (TOKEN, Code::WrongValue, "only the token"),
        (&format!("{VALUE}."), Code::WrongValue, "with a dot at the end"),
        (
            &format!("{VALUE};"),
            Code::WrongValue,
            "other characters after it",
        ),
        (
            &format!("TXT {VALUE}"),
            Code::WrongValue,
            "a record type in front of",
        ),
        (
            &format!("3600 IN TXT '{VALUE}'"),
            Code::WrongValue,
            "a record type in front of",
        ),
        (
            &format!("_agency-challenge={VALUE}"),
            Code::WrongValue,
            "a key in front of the right value",
        ),
        (
            &format!("_agency-challenge={TOKEN}"),
            Code::WrongValue,
            "another key than agency-verification",
        ),
        (
            &format!("_agency-challenge.portal {VALUE}"),
            Code::WrongValue,
            "other text in front of",
        ),
        (
            &format!("agency-verification: {TOKEN}"),
            Code::WrongValue,
            "another separator than =",
        ),
        (
            &format!("Agency-Verification {TOKEN}"),
            Code::WrongValue,
            "another separator than =",
        ),
        (
            &format!("agency-verification;{TOKEN}"),
            Code::WrongValue,
            "another separator than =",
        ),
        (
            &format!("\u{200B}{VALUE}"),
            Code::ValueAltered,
            "zero-width space (U+200B)",
        ),
        (
            &format!("agency-verification=\u{FEFF}{TOKEN}"),
            Code::ValueAltered,
            "an invisible character",
        ),
        (
            &format!(" {VALUE}"),
            Code::ValueAltered,
            "except for quotes, spaces",
        ),
        (
            &format!("'agency-verification={OTHER}'"),
            Code::StaleToken,
            "the token of another domain",
        ),
        (OTHER, Code::WrongValue, "another value"),
    ] {
        // The mistake is found among other records.
        let seen = diagnose(&format!("{challenge} TXT \"{text}\"\n{challenge} TXT \"v=spf1\"")).await;
        assert_eq!(codes(&seen), [code], "{text}");
        assert!(
            seen.findings[0].detail.contains(what),
            "{text}: {:?}",
            seen.findings[0]
        );
        assert!(seen.findings[0].fix.contains(VALUE));
    }
    let seen = diagnose("*.acme.test. TXT \"v=spf1\"").await;
    for finding in &seen.findings {
        assert!(finding.detail.contains("a wildcard record"), "{finding:?}");
        assert!(
            finding.fix.starts_with("Add to the zone acme.test"),
            "{finding:?}"
        );
    }
}

#[tokio::test]
async fn the_sentence_names_the_zone_that_has_the_hostname() {
    let hostname = "portal.sub.acme.test";
    // The zone has servers of its own, or those of the zone above.
    for is_apart in [true, false] {
        for (records, codes_of_it) in [
            (String::new(), vec![Code::RecordMissing]),
            (
                format!("{hostname}. CNAME other.test.\n_agency-challenge.{hostname}. TXT \"x\""),
                vec![Code::WrongValue, Code::TargetMissing, Code::WrongValue],
            ),
        ] {
            let own = 71;
            let zone = format!("sub.acme.test. NS ns-9.awsdns-09.com.\n{records}");
            let cut = "sub.acme.test. NS ns-9.awsdns-09.com.";
            let world = World::new(cut).await;
            world
                .resolver(&format!("ns-9.awsdns-09.com. A {}", address(own)))
                .await;
            world.zone("sub.acme.test.", &zone, &[own]).await;
            if !is_apart {
                world
                    .registry(&format!(
                        "acme.test. NS ns-9.awsdns-09.com.\nns-9.awsdns-09.com. A {}",
                        address(own)
                    ))
                    .await;
                let zones = [
                    Zone::parse("acme.test.", "acme.test. MX mail.acme.test."),
                    Zone::parse("sub.acme.test.", &zone),
                ];
                world
                    .serve(own, move |asked| {
                        let zone = usize::from(name("sub.acme.test.").zone_of(asked.name()));
                        Reaction::Say(zones[zone].answer(asked))
                    })
                    .await;
            }
            let seen = world.see(&domain(hostname), Depth::Diagnose).await;
            assert_eq!(codes(&seen), codes_of_it, "{is_apart} {records}");
            for finding in &seen.findings {
                let zone = "the zone sub.acme.test at Route 53";
                assert!(finding.fix.contains(zone), "{is_apart} {finding:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_proven_domain_without_traffic_is_told_where_its_traffic_goes() {
    let txt = format!("_agency-challenge.portal.acme.test. TXT \"{VALUE}\"");
    for (records, what, fix) in [
        ("", "it has no address.", "Add to the zone acme.test"),
        (
            "portal.acme.test. A 192.0.2.9",
            "its addresses are not those of the portal.",
            "and remove its A and AAAA records.",
        ),
        (
            "portal.acme.test. CNAME x.acme.test.\nx.acme.test. A 192.0.2.9",
            "leads to x.acme.test, not to the portal.",
            "Change the value of the CNAME record portal in the zone acme.test",
        ),
        (
            "portal.acme.test. CNAME x.acme.test.",
            "leads to x.acme.test, which has no public address.",
            "Change the value of the CNAME record portal in the zone acme.test",
        ),
        (
            "portal.acme.test. CNAME portal.acme.test.",
            "its CNAME records lead to no address.",
            "Change the value of the CNAME record portal in the zone acme.test",
        ),
    ] {
        let seen = diagnose(&format!("{txt}\n{records}")).await;
        assert_eq!(codes(&seen), [Code::NotRouted], "{records}");
        let finding = &seen.findings[0];
        assert!(finding.detail.ends_with(what), "{finding:?}");
        assert!(finding.fix.contains(fix), "{finding:?}");
    }
}

#[tokio::test]
async fn names_are_shown_as_a_zone_file_has_them() {
    let seen = diagnose(&format!("portal.acme.test. CNAME https://{TARGET}")).await;
    assert_eq!(codes(&seen), [Code::ValueAltered]);
    assert_eq!(seen.findings[0].observed[0].answer, format!("https://{TARGET}"));
}

#[tokio::test]
async fn without_a_top_level_domain_the_domain_is_unregistered() {
    let root = 72;
    let world = World::new("").await;
    world
        .resolver(&format!(
            ". NS root.nic.test.\nroot.nic.test. A {}",
            address(root)
        ))
        .await;
    world.zone(".", "test. NS nic.test.", &[root]).await;
    let nothing = domain("portal.acme.nosuchtld");
    for (mode, detail) in [
        (DnsMode::Authoritative, "There is no top-level domain nosuchtld."),
        (
            DnsMode::Recursive,
            "The registry answers that the domain acme.nosuchtld does not exist.",
        ),
    ] {
        let dns = world.dns_with(mode, true);
        let seen = look(&dns, &nothing, Depth::Scheduled, &Session::default()).await;
        assert_eq!(
            (seen.proof, seen.routing, codes(&seen)),
            (Proof::Missing, Routing::Elsewhere, vec![Code::DomainUnregistered])
        );
        assert_eq!(seen.findings[0].detail, detail);
    }
}

#[tokio::test]
async fn addresses_route() {
    let seen = diagnose_for(&domain("acme.test"), &format!("acme.test. A {EDGE}")).await;
    assert_eq!((seen.proof, seen.flattened), (Proof::Missing, true));
    assert_eq!((seen.routing, seen.route), (Routing::Routed, RecordState::Found));

    let world = World::new("acme.test. A 203.0.113.5\nacme.test. AAAA 2001:db8::5").await;
    for (ours, routing) in [
        ("203.0.113.5", Routing::Routed),
        ("2001:db8::5", Routing::Routed),
        ("203.0.113.6", Routing::Elsewhere),
    ] {
        let addresses = [ours.parse().unwrap()];
        let (dns, session) = (world.dns(), Session::default());
        let seen = look_with(
            &dns,
            &domain("acme.test"),
            Depth::Scheduled,
            &session,
            &addresses,
            &[],
        )
        .await;
        assert_eq!(seen.routing, routing);
    }
}

#[tokio::test]
async fn without_all_addresses_of_the_edge_the_routing_is_unknown_even_in_a_proxys_network() {
    for (address_of_name, code) in [
        ("203.0.113.5", Code::RecordMissing),
        ("104.16.0.1", Code::Proxied),
    ] {
        for failing in [&[RecordType::A, RecordType::AAAA][..], &[RecordType::AAAA]] {
            let world = World::new(&format!("acme.test. A {address_of_name}")).await;
            let edge = 60;
            world
                .registry(&format!(
                    "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nedge.test. NS ns.edge.test.\nns.edge.test. A {}",
                    address(edge)
                ))
                .await;
            let zone = Zone::parse("edge.test.", &format!("{TARGET} A {EDGE}"));
            world
                .serve(edge, move |asked| match failing.contains(&asked.kind()) {
                    true => asked.code(ResponseCode::ServFail),
                    false => Reaction::Say(zone.answer(asked)),
                })
                .await;
            let seen = world.see(&domain("acme.test"), Depth::Diagnose).await;
            assert_eq!((seen.proof, seen.routing), (Proof::Missing, Routing::Unknown));
            assert_eq!(codes(&seen), [code], "{address_of_name} {failing:?}");
        }
    }
}

#[tokio::test]
async fn a_cname_beside_other_records_is_told_even_where_it_proves() {
    let records = format!("portal.acme.test. CNAME {TARGET}\nportal.acme.test. MX mail.acme.test.");
    let seen = diagnose(&records).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Cname, vec![Code::CnameConflict])
    );
    let seen = diagnose_for(&domain("acme.test"), &format!("acme.test. CNAME {TARGET}")).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Cname, vec![Code::CnameConflict])
    );
}

#[tokio::test]
async fn a_wildcard_that_proves_would_be_shadowed() {
    let seen = diagnose(&format!("*.acme.test. CNAME {TARGET}")).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Cname, vec![Code::WildcardShadowed])
    );
}

#[tokio::test]
async fn caa_records_are_found_where_a_certificate_authority_looks() {
    let cname = format!("portal.acme.test. CNAME {TARGET}");
    for (records, edge, expected) in [
        (String::new(), "", vec![]),
        (
            "acme.test. CAA 0 issue \"other.example\"".to_owned(),
            "",
            vec![Code::CaaForbids],
        ),
        (
            "acme.test. CAA 0 issue \"letsencrypt.org\"".to_owned(),
            "",
            vec![],
        ),
        (
            "acme.test. CAA 0 issue \"letsencrypt.org\"".to_owned(),
            "CAA 0 issue \"other.example\"",
            vec![Code::CaaForbids],
        ),
        (
            "acme.test. CAA 0 issue \"other.example\"".to_owned(),
            "CAA 0 issue \"letsencrypt.org\"",
            vec![],
        ),
    ] {
        let world = World::new(&format!("{cname}\n{records}")).await;
        let edge_server = 60;
        world
            .registry(&format!(
                "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\nedge.test. NS ns.edge.test.\nns.edge.test. A {}",
                address(edge_server)
            ))
            .await;
        let text = if edge.is_empty() {
            String::new()
        } else {
            format!("*.edge.test. {edge}")
        };
        world
            .zone(
                "edge.test.",
                &format!("*.edge.test. A {EDGE}\n{text}"),
                &[edge_server],
            )
            .await;
        let (dns, session) = (world.dns(), Session::default());
        let seen = look_with(
            &dns,
            &portal(),
            Depth::Diagnose,
            &session,
            &[],
            &["letsencrypt.org"],
        )
        .await;
        assert_eq!(
            (seen.proof, codes(&seen)),
            (Proof::Cname, expected),
            "{records} {edge}"
        );
        // Our own zone does not answer.
        world
            .serve(edge_server, |asked| asked.code(ResponseCode::ServFail))
            .await;
        let seen = look_with(
            &dns,
            &portal(),
            Depth::Diagnose,
            &Session::default(),
            &[],
            &["letsencrypt.org"],
        )
        .await;
        assert_eq!(codes(&seen), [Code::CaaUnanswered]);
        assert_eq!(seen.findings[0].level, Level::Warning);
    }
}

#[tokio::test]
async fn one_server_that_fails_does_not_speak_for_the_others_about_caa_records() {
    for code in [ResponseCode::Refused, ResponseCode::ServFail] {
        let mut findings = Vec::new();
        for caa in ["letsencrypt.org", "other.example"] {
            let records = format!("portal.acme.test. CNAME {TARGET}\nacme.test. CAA 0 issue \"{caa}\"");
            let world = World::new(&records).await;
            let zone = Zone::parse("acme.test.", &records);
            world
                .serve(NS2, move |asked| match asked.kind() {
                    RecordType::CAA => asked.code(code),
                    _ => Reaction::Say(zone.answer(asked)),
                })
                .await;
            // Which of the two is asked first is random.
            for _ in 0..6 {
                let (dns, session) = (world.dns(), Session::default());
                let authorities = &["letsencrypt.org"];
                let seen = look_with(&dns, &portal(), Depth::Diagnose, &session, &[], authorities).await;
                findings.push(codes(&seen));
            }
        }
        let expected = [vec![vec![]; 6], vec![vec![Code::CaaForbids]; 6]].concat();
        assert_eq!(findings, expected, "{code}");
    }
}

#[tokio::test]
async fn the_reason_why_caa_records_forbid_is_told() {
    let ours = "0 issue \"letsencrypt.org\"";
    for (set, what, fix) in [
        (
            &["0 issue \"letsencrypt.org; validationmethods=dns-01\""][..],
            "validationmethods=dns-01",
            "Change the CAA record of acme.test in the zone acme.test",
        ),
        (
            &["0 issue \"letsencrypt.org; accounturi=https://ca.test/acct/1\""],
            "accounturi=https://ca.test/acct/1",
            "Change the CAA record of",
        ),
        (
            &["0 issue \"letsencrypt.org; %%%%%\""],
            "is malformed",
            "Change the CAA record of",
        ),
        (
            &[ours, "128 tbs \"x\""],
            "the critical property tbs",
            "Remove the CAA record tbs of acme.test",
        ),
        (
            &["0 issue \"other.example\""],
            "do not allow our certificate authorities",
            "Add the CAA record 0 issue \"letsencrypt.org\" to acme.test in the zone acme.test",
        ),
    ] {
        let records: String = set.iter().map(|caa| format!("\nacme.test. CAA {caa}")).collect();
        let caa = async |records: &str| {
            let world = World::new(&format!("portal.acme.test. CNAME {TARGET}{records}")).await;
            let (dns, session) = (world.dns(), Session::default());
            let authorities = &["letsencrypt.org"];
            look_with(&dns, &portal(), Depth::Diagnose, &session, &[], authorities).await
        };
        let seen = caa(&records).await;
        assert_eq!(codes(&seen), [Code::CaaForbids], "{set:?}");
        let finding = &seen.findings[0];
        assert!(finding.detail.contains(what), "{finding:?}");
        assert!(finding.fix.contains(fix), "{finding:?}");
        assert!(
            finding.observed[0].answer.contains(set[set.len() - 1]),
            "{finding:?}"
        );
        // Another record permits; not so beside a critical property.
        let seen = caa(&format!("{records}\nacme.test. CAA {ours}")).await;
        assert_eq!(codes(&seen).is_empty(), set.len() == 1, "{set:?}");
    }
}

#[tokio::test]
async fn an_alias_loop_is_not_told_again_as_an_unanswered_caa_lookup() {
    let world =
        World::new("portal.acme.test. CNAME x.acme.test.\nx.acme.test. CNAME portal.acme.test.").await;
    let (dns, session) = (world.dns(), Session::default());
    let authorities = &["letsencrypt.org"];
    let seen = look_with(&dns, &portal(), Depth::Diagnose, &session, &[], authorities).await;
    assert_eq!(codes(&seen), [Code::CnameLoop]);
}

#[tokio::test]
async fn the_finer_look_is_left_out_of_a_sweep() {
    let world = World::new(&format!(
        "acme.test. TXT \"{VALUE}\"\nacme.test. CAA 0 issue \"other.example\""
    ))
    .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(codes(&seen), [Code::RecordMissing]);
    let own = |name: &str| name == "portal.acme.test." || name == "_agency-challenge.portal.acme.test.";
    let asked: Vec<_> = world.got().into_iter().filter(|got| got.server == NS1).collect();
    assert!(
        asked
            .iter()
            .all(|got| own(&got.name) && got.kind != RecordType::CAA),
        "{asked:?}"
    );
}

#[tokio::test]
async fn findings_and_answers_have_their_caps() {
    let challenge = "_agency-challenge.portal.acme.test.";
    let long: String = (0..20)
        .map(|number| format!("{challenge} TXT \"{number:0100}\"\n"))
        .collect();
    let seen = diagnose(&long).await;
    assert_eq!(seen.findings[0].code, Code::WrongValue);
    assert_eq!(seen.findings[0].observed[0].answer.chars().count(), 255);
    let seen = diagnose(&format!("{challenge} TXT \"a\"\"\u{1}é\"")).await;
    assert_eq!(seen.findings[0].observed[0].answer, r#""a" "\001\195\169""#);
    let longest = Name::from_ascii(format!(
        "{}.acme.test.",
        ["a".repeat(60), "b".repeat(60), "c".repeat(60)].join(".")
    ))
    .unwrap();
    let hostname = longest.to_ascii();
    let seen = diagnose_for(&domain(hostname.trim_end_matches('.')), "").await;
    assert_eq!(codes(&seen), [Code::RecordMissing]);
}
