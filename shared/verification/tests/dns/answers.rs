//! What counts as an answer, and what several servers' answers come to.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::{
    op::ResponseCode,
    rr::{RData, Record, RecordType, rdata::TXT},
};
use proptest::{
    prop_oneof,
    strategy::{Just, Strategy, ValueTree},
    test_runner::TestRunner,
};
use shared::{
    config::DnsMode,
    models::{
        domain::{Domain, FindingCode as Code, History, Level, RecordState, Routing, Status},
        time::Timestamp,
    },
};
use verification::dns::{Depth, Limits, Proof, Session};

use crate::world::*;

fn cname() -> String {
    format!("portal.acme.test. CNAME {TARGET}")
}

fn txt() -> String {
    format!("_agency-challenge.portal.acme.test. TXT \"{VALUE}\"")
}

fn assert_unknown(seen: &Seen, code: Code) {
    assert_eq!(seen.proof, Proof::Unknown, "{seen:?}");
    assert_eq!(seen.findings[0].code, code, "{seen:?}");
    assert!(!seen.flattened && seen.packets <= 64);
}

#[tokio::test]
async fn either_record_proves() {
    let world = World::new(&cname()).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!((seen.proof, seen.routing), (Proof::Cname, Routing::Routed));
    assert_eq!(
        (seen.route, seen.ownership),
        (RecordState::Found, RecordState::Missing)
    );
    assert_eq!(seen.zone.unwrap().as_str(), "acme.test");
    assert_eq!(seen.nameservers, ["ns1.acme.test", "ns2.acme.test"]);
    assert_eq!(seen.findings, []);

    world.zone("acme.test.", &txt(), &[NS1, NS2]).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!((seen.proof, seen.routing), (Proof::Txt, Routing::Elsewhere));
    assert_eq!(
        (seen.route, seen.ownership),
        (RecordState::Missing, RecordState::Found)
    );
    assert_eq!(codes(&seen), [Code::NotRouted]);

    world
        .zone("acme.test.", "acme.test. MX mail.acme.test.", &[NS1, NS2])
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!((seen.proof, seen.routing), (Proof::Missing, Routing::Elsewhere));
    assert_eq!(codes(&seen), [Code::RecordMissing]);
    assert_eq!(seen.findings[0].observed[1].server, "ns2.acme.test");
    assert_eq!(seen.findings[0].observed[1].answer, "NXDOMAIN");
}

#[tokio::test]
async fn authorities_are_asked_without_recursion_and_the_resolver_with_it() {
    let world = World::new(&cname()).await;
    world.see(&portal(), Depth::Diagnose).await;
    let got = world.got();
    assert!(
        got.iter().all(|got| got.recursion == (got.server == RESOLVER)),
        "{got:?}"
    );
    assert!(
        !got.iter()
            .any(|got| got.server == RESOLVER && got.name == "acme.test.")
    );
}

/// Records of `acme.test.`, and whether they prove `portal.acme.test`.
pub fn values() -> Vec<(String, Proof)> {
    let challenge = "_agency-challenge.portal.acme.test. TXT";
    let halves = format!("{challenge} \"agency-verification=\" \"{TOKEN}\"");
    let several = format!("{challenge} \"google-site-verification=x\"\n{challenge} \"{VALUE}\"");
    let forty: String = VALUE.chars().map(|char| format!("\"{char}\" ")).collect();
    let upper = VALUE.to_uppercase();
    vec![
        (halves, Proof::Txt),
        (several, Proof::Txt),
        (format!("{challenge} {forty}"), Proof::Txt),
        (
            format!("PORTAL.Acme.test. CNAME {}", TARGET.to_uppercase()),
            Proof::Cname,
        ),
        (format!("{challenge} \"{VALUE} \""), Proof::Missing),
        (format!("{challenge} \" {VALUE}\""), Proof::Missing),
        (format!("{challenge} \"{VALUE}0\""), Proof::Missing),
        (format!("{challenge} \"{}\"", &VALUE[..51]), Proof::Missing),
        (format!("{challenge} \"{upper}\""), Proof::Missing),
        (format!("portal.acme.test. TXT \"{VALUE}\""), Proof::Missing),
        (format!("portal.acme.test. CNAME a.{TARGET}"), Proof::Missing),
        ("portal.acme.test. CNAME edge.test.".to_owned(), Proof::Missing),
        (format!("acme.test. CNAME {TARGET}"), Proof::Missing),
    ]
}

#[tokio::test]
async fn values_count_whole_and_to_the_byte() {
    for (records, proof) in values() {
        let world = World::new(&records).await;
        let seen = world.see(&portal(), Depth::Scheduled).await;
        assert_eq!(seen.proof, proof, "{records}: {seen:?}");
    }
}

#[tokio::test]
async fn names_in_other_scripts_are_asked_for_in_their_ascii_form() {
    let world = World::new(&format!("xn--bro-hoa.acme.test. CNAME {TARGET}")).await;
    assert_eq!(
        world.see(&domain("büro.acme.test"), Depth::Scheduled).await.proof,
        Proof::Cname
    );
    assert_eq!(
        world
            .see(&domain("BÜRO.ACME.test."), Depth::Scheduled)
            .await
            .proof,
        Proof::Cname
    );
}

#[tokio::test]
async fn a_stale_resolver_is_not_believed() {
    let world = World::new(&cname()).await;
    // Its cache has neither the record nor the zone.
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname);
    // It still has what is gone.
    world.resolver(&format!("{}\n{}", cname(), txt())).await;
    world.zone("acme.test.", "", &[NS1, NS2]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Missing);
}

#[tokio::test]
async fn servers_that_differ_decide_nothing() {
    let world = World::new(&cname()).await;
    world.zone("acme.test.", "", &[NS2]).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    assert_eq!(seen.findings[0].level, Level::Unknown);
    let answers: Vec<_> = seen.findings[0]
        .observed
        .iter()
        .map(|seen| seen.answer.as_str())
        .collect();
    assert!(
        answers.contains(&TARGET) && answers.contains(&"NXDOMAIN"),
        "{answers:?}"
    );

    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    // Other people's records may still be on their way.
    world.zone("acme.test.", &txt(), &[NS1]).await;
    let other = "_agency-challenge.portal.acme.test. TXT \"agency-verification=00\"";
    world
        .zone("acme.test.", &format!("{}\n{other}", txt()), &[NS2])
        .await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Txt);
}

#[tokio::test]
async fn where_one_server_is_dead_the_resolver_must_agree_with_a_proof_and_a_miss_does_not_count() {
    let world = World::new(&cname()).await;
    world.serve(NS2, |_| Reaction::Silence).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    assert_eq!(seen.unconfirmed_proof, None);
    world.resolver(&cname()).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    assert_eq!(seen.unconfirmed_proof, Some(Proof::Cname));
    // Such a proof is enough for a first one only.
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    assert_eq!(seen.unconfirmed_proof, None);

    world.zone("acme.test.", &txt(), &[NS1]).await;
    world.resolver(&txt()).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    // Whether there is a CNAME is not known, but the other record is enough.
    assert_eq!(
        (seen.unconfirmed_proof, seen.route),
        (Some(Proof::Txt), RecordState::Unreachable)
    );

    world.zone("acme.test.", "", &[NS1]).await;
    world.resolver("").await;
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_unknown(&seen, Code::NotEverywhereYet);
    assert_eq!(seen.findings[0].observed.len(), 2);
}

#[tokio::test]
async fn servers_that_disagree_are_a_miss_of_a_domain_that_only_one_server_ever_proved() {
    let world = World::new("").await;
    let history = History {
        only_unconfirmed_proofs: true,
        ..History::default()
    };
    let proven_unconfirmed = Domain {
        history,
        ..verified("portal.acme.test")
    };
    // Its addresses are ours too.
    let flattened = format!("{}\nportal.acme.test. A {EDGE}", txt());
    for records in [cname(), txt(), flattened] {
        world.zone("acme.test.", &records, &[NS1]).await;
        let seen = world.see(&proven_unconfirmed, Depth::Scheduled).await;
        assert_eq!((seen.proof, seen.flattened), (Proof::Missing, false), "{seen:?}");
        assert_eq!(seen.findings[0].code, Code::NotEverywhereYet);
        let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
        assert_unknown(&seen, Code::NotEverywhereYet);
        let pending = Domain {
            status: Status::Pending,
            ..proven_unconfirmed.clone()
        };
        let seen = world.see(&pending, Depth::Scheduled).await;
        assert_unknown(&seen, Code::NotEverywhereYet);
    }
    // Both show the proof.
    world.zone("acme.test.", &cname(), &[NS1, NS2]).await;
    let seen = world.see(&proven_unconfirmed, Depth::Scheduled).await;
    assert_eq!((seen.proof, seen.unconfirmed_proof), (Proof::Cname, None));
}

#[tokio::test]
async fn an_unconfirmed_proof_that_counts_is_diagnosed_as_any_other() {
    let records = format!("*.acme.test. CNAME {TARGET}");
    let world = World::new(&records).await;
    world.resolver(&cname()).await;
    world.serve(NS2, |_| Reaction::Silence).await;
    let since = |minutes: i64| {
        let now = Timestamp::now();
        let history = History {
            unconfirmed_since: Some(Timestamp::from_seconds(now.seconds() - 60 * minutes)),
            ..History::default()
        };
        Domain { history, ..portal() }
    };
    for depth in [Depth::Scheduled, Depth::Diagnose] {
        let seen = world.see(&since(9), depth).await;
        assert_unknown(&seen, Code::NotEverywhereYet);
        let seen = world.see(&since(11), depth).await;
        assert_eq!((seen.proof, seen.routing), (Proof::Cname, Routing::Routed));
        assert_eq!(codes(&seen), [Code::WildcardShadowed]);
    }
}

#[tokio::test]
async fn aliases_that_one_of_several_servers_shows_leave_the_routing_unknown() {
    for records in [
        "portal.acme.test. CNAME other.test.",
        "portal.acme.test. CNAME nobody.test.",
        "portal.acme.test. CNAME portal.acme.test.",
        "portal.acme.test. CNAME d1.cloudfront.net.",
        "portal.acme.test. CNAME 00.edge.test.",
    ] {
        let world = World::new(records).await;
        let server = 60;
        let net = format!("net. NS nic.net.\nnic.net. A {}", address(server));
        world.resolver(&net).await;
        world
            .zone("net.", "d1.cloudfront.net. A 192.0.2.1", &[server])
            .await;
        let delegations = "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.";
        world
            .registry(&format!("{delegations}\nother.test. A 192.0.2.1"))
            .await;
        world.serve(NS2, |_| Reaction::Silence).await;
        let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
        assert_unknown(&seen, Code::NotEverywhereYet);
        assert_eq!(seen.routing, Routing::Unknown, "{records}");
    }
}

/// `acme.test.` at four servers, the last of which does not respond.
async fn three_of_four_servers(records: &str) -> World {
    let world = World::new("").await;
    let mut registry = String::new();
    for server in 80..84 {
        let ns = format!("ns{server}.acme.test.");
        registry += &format!("acme.test. NS {ns}\n{ns} A {}\n", address(server));
    }
    world.registry(&registry).await;
    world.zone("acme.test.", records, &[80, 81, 82]).await;
    world.serve(83, |_| Reaction::Silence).await;
    world
}

#[tokio::test]
async fn a_miss_counts_where_one_of_four_servers_is_dead() {
    for records in [
        // The name does not exist; it has no address; the name that it leads to does not exist.
        "",
        "portal.acme.test. MX mail.acme.test.",
        "portal.acme.test. CNAME gone.acme.test.",
    ] {
        let world = three_of_four_servers(records).await;
        for _ in 0..5 {
            let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
            let found = (seen.proof, seen.routing);
            assert_eq!(found, (Proof::Missing, Routing::Elsewhere), "{records}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn the_failure_of_most_servers_is_told() {
    let world = three_of_four_servers("").await;
    for (server, code) in [
        (80, ResponseCode::ServFail),
        (81, ResponseCode::Refused),
        (82, ResponseCode::Refused),
    ] {
        world.serve(server, move |asked| asked.code(code)).await;
    }
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::DnsRefused);
    world.serve(81, |asked| asked.code(ResponseCode::ServFail)).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::DnsServfail);
}

/// Behaves as if the zone had a name only in the letter case in which it was entered.
fn case_sensitive(records: String, tcp: bool) -> impl Fn(&Asked) -> Reaction + Send + Sync + 'static {
    move |asked| {
        if asked.tcp && !tcp {
            return Reaction::Silence;
        }
        let reply = Zone::parse("acme.test.", &records).answer(asked);
        match asked.name().eq_case(&asked.name().to_lowercase()) {
            true => Reaction::Say(reply),
            false => asked.code(ResponseCode::NXDomain),
        }
    }
}

#[tokio::test]
async fn a_server_that_compares_letter_case_is_asked_in_lower_case_before_a_miss() {
    let world = World::new("").await;
    let serve = async |records: &str, tcp| {
        for server in [NS1, NS2] {
            world.serve(server, case_sensitive(records.to_owned(), tcp)).await;
        }
    };
    for (records, expected) in [
        (cname(), Proof::Cname),
        (txt(), Proof::Txt),
        (String::new(), Proof::Missing),
    ] {
        serve(&records, true).await;
        for domain in [portal(), verified("portal.acme.test")] {
            let seen = world.see(&domain, Depth::Diagnose).await;
            assert_eq!(seen.proof, expected, "{records}: {seen:?}");
            assert!(seen.packets <= 64);
        }
    }
    // The addresses too, which tell a flattened name.
    serve(&format!("portal.acme.test. A {EDGE}"), true).await;
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert!(seen.flattened, "{seen:?}");
    assert!(
        world
            .got()
            .iter()
            .filter(|got| got.tcp)
            .all(|got| got.spelled == got.name)
    );
    // A server without TCP has answered by UDP. Queries for the addresses, which come later, do not try TCP again.
    let records = "portal.acme.test. MX mail.acme.test.";
    for server in [NS1, NS2] {
        let zone = Zone::parse("acme.test.", records);
        world
            .serve(server, move |asked| match asked.tcp {
                true => Reaction::Silence,
                false => Reaction::Say(zone.answer(asked)),
            })
            .await;
    }
    world.got();
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Missing, "{seen:?}");
    let got = world.got();
    assert!(got.iter().any(|got| got.kind == RecordType::AAAA), "{got:?}");
    assert!(got.iter().filter(|got| got.tcp).count() <= 4, "{got:?}");
    // A resolver passes on what it is asked.
    world.serve(RESOLVER, case_sensitive(cname(), true)).await;
    let dns = world.dns_with(DnsMode::Recursive, false);
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
}

#[tokio::test]
async fn a_miss_does_not_count_if_the_query_in_lower_case_fails() {
    let world = World::new("").await;
    let serve = async |by_tcp: fn(&Asked) -> Reaction| {
        for server in [NS1, NS2] {
            let by_udp = case_sensitive(cname(), true);
            let reaction = move |asked: &Asked| if asked.tcp { by_tcp(asked) } else { by_udp(asked) };
            world.serve(server, reaction).await;
        }
    };
    serve(|asked| asked.code(ResponseCode::ServFail)).await;
    for domain in [portal(), verified("portal.acme.test")] {
        let seen = world.see(&domain, Depth::Scheduled).await;
        assert_unknown(&seen, Code::DnsServfail);
    }
    serve(|_| Reaction::Raw(vec![vec![0; 3]])).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::DnsMalformed);
    // The check ends before the server could respond.
    serve(|_| Reaction::Silence).await;
    let check = FAST.query - Duration::from_millis(50);
    let dns = world.dns().with_limits(Limits { check, ..FAST });
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_unknown(&seen, Code::DnsTimeout);
}

#[tokio::test]
async fn all_addresses_of_a_server_are_tried() {
    const DEAD: u8 = 90;
    let world = World::new("").await;
    world.serve(DEAD, |_| Reaction::Silence).await;
    let (mut registry, mut elsewhere) = (String::new(), String::new());
    for server in 80..84 {
        let addresses = |ns: &str| {
            format!(
                "{ns} A {}\n{ns} A {}\n",
                address(server),
                address(DEAD + server - 79)
            )
        };
        let dead = DEAD + server - 79;
        world.serve(dead, |_| Reaction::Silence).await;
        let [acme, other] = [
            format!("ns{server}.acme.test."),
            format!("ns{server}.provider.example."),
        ];
        registry += &format!(
            "acme.test. NS {acme}\nglobex.test. NS {other}\n{}",
            addresses(&acme)
        );
        elsewhere += &addresses(&other);
        let zones = ["acme.test.", "globex.test."]
            .map(|apex| Zone::parse(apex, &format!("portal.{apex} CNAME {TARGET}")));
        world
            .serve(server, move |asked| {
                let zone = usize::from(name("globex.test.").zone_of(asked.name()));
                Reaction::Say(zones[zone].answer(asked))
            })
            .await;
    }
    world.registry(&registry).await;
    world.resolver(&elsewhere).await;
    for _ in 0..12 {
        for hostname in ["portal.acme.test", "portal.globex.test"] {
            let seen = world.see(&domain(hostname), Depth::Scheduled).await;
            assert_eq!(
                (seen.proof, seen.unconfirmed_proof),
                (Proof::Cname, None),
                "{seen:?}"
            );
        }
    }
    // An address that refuses, too.
    for server in 80..84 {
        world
            .serve(DEAD + server - 79, |asked| asked.code(ResponseCode::Refused))
            .await;
    }
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
}

#[tokio::test]
async fn a_server_without_an_ipv4_address_in_the_glue_is_resolved() {
    let world = World::new(&cname()).await;
    let glue = "acme.test. NS ns1.provider.test.\nns1.provider.test. AAAA 100::1";
    world.registry(glue).await;
    world
        .resolver(&format!("ns1.provider.test. A {}", address(NS1)))
        .await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
}

#[tokio::test]
async fn a_zone_with_one_server_needs_but_that() {
    let world = World::new(&cname()).await;
    world.registry("acme.test. NS ns1.acme.test.").await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
    assert_eq!(
        world
            .see(&verified("portal.acme.test"), Depth::Scheduled)
            .await
            .proof,
        Proof::Cname
    );
    world.zone("acme.test.", "", &[NS1]).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Missing);
}

#[tokio::test]
async fn of_many_servers_four_are_asked() {
    let world = World::empty().await;
    world.resolver("").await;
    let mut registry = String::new();
    for server in 20..30 {
        registry += &format!(
            "acme.test. NS ns{server}.acme.test.\nns{server}.acme.test. A {}\n",
            address(server)
        );
        world.zone("acme.test.", &cname(), &[server]).await;
    }
    world.registry(&registry).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
    let asked = world
        .got()
        .iter()
        .filter(|got| got.server >= 20 && got.kind == RecordType::CNAME && got.name == "portal.acme.test.")
        .count();
    assert_eq!(asked, 4);
}

#[tokio::test]
async fn what_decides_nothing() {
    let malformed = |asked: &Asked| {
        let mut bytes = asked.reply().to_vec().unwrap();
        bytes[7] = 1;
        bytes.extend([0xc0, 0xff]);
        Reaction::Raw(vec![bytes])
    };
    let no_aa = |asked: &Asked| {
        let mut reply = Zone::parse("acme.test.", &cname()).answer(asked);
        reply.metadata.authoritative = false;
        Reaction::Say(reply)
    };
    let wrong_id = |asked: &Asked| {
        let mut reply = Zone::parse("acme.test.", &cname()).answer(asked);
        reply.metadata.id ^= 1;
        Reaction::Say(reply)
    };
    let other_question = |asked: &Asked| {
        let mut reply = Zone::parse("acme.test.", &cname()).answer(asked);
        reply.queries[0].set_name(name("other.acme.test."));
        Reaction::Say(reply)
    };
    let other_type = |asked: &Asked| {
        let mut reply = Zone::parse("acme.test.", &cname()).answer(asked);
        reply.queries[0].set_query_type(RecordType::MX);
        Reaction::Say(reply)
    };
    let not_an_answer = |asked: &Asked| Reaction::Raw(vec![asked.message.to_vec().unwrap()]);
    let no_tcp = |asked: &Asked| match asked.tcp {
        false => Reaction::Say(asked.reply().truncate()),
        true => Reaction::Silence,
    };
    let drip = |asked: &Asked| match asked.tcp {
        false => Reaction::Say(asked.reply().truncate()),
        true => Reaction::Drip(
            Zone::parse("acme.test.", &cname())
                .answer(asked)
                .to_vec()
                .unwrap(),
        ),
    };
    let upward = |asked: &Asked| {
        let mut reply = asked.reply();
        reply.metadata.authoritative = false;
        let ns = hickory_proto::rr::rdata::NS(name("a.root."));
        reply.add_authority(Record::from_rdata(name("."), 60, RData::NS(ns)));
        Reaction::Say(reply)
    };
    let too_big = |asked: &Asked| {
        let mut reply = asked.reply();
        for number in 0..500 {
            let text = RData::TXT(TXT::new(vec![format!("{number}")]));
            reply.add_answer(Record::from_rdata(asked.name().clone(), 60, text));
        }
        Reaction::Say(reply)
    };
    let two_cnames = |asked: &Asked| {
        let records = format!("{}\nportal.acme.test. CNAME other.test.", cname());
        Reaction::Say(Zone::parse("acme.test.", &records).answer(asked))
    };
    type Cases = Vec<(Code, Box<dyn Fn(&Asked) -> Reaction + Send + Sync>)>;
    let table: Cases = vec![
        (
            Code::DnsServfail,
            Box::new(|asked| asked.code(ResponseCode::ServFail)),
        ),
        (
            Code::DnsServfail,
            Box::new(|asked| asked.code(ResponseCode::FormErr)),
        ),
        (
            Code::DnsRefused,
            Box::new(|asked| asked.code(ResponseCode::Refused)),
        ),
        (Code::DnsTimeout, Box::new(|_| Reaction::Silence)),
        (Code::DnsMalformed, Box::new(malformed)),
        (Code::DnsMalformed, Box::new(two_cnames)),
        (Code::LameDelegation, Box::new(no_aa)),
        (Code::LameDelegation, Box::new(upward)),
        (Code::DnsTimeout, Box::new(wrong_id)),
        (Code::DnsTimeout, Box::new(other_question)),
        (Code::DnsTimeout, Box::new(other_type)),
        (Code::DnsTimeout, Box::new(not_an_answer)),
        (Code::AnswerTooBig, Box::new(no_tcp)),
        (Code::AnswerTooBig, Box::new(drip)),
        (Code::AnswerTooBig, Box::new(too_big)),
    ];
    for (row, (code, behaviour)) in table.into_iter().enumerate() {
        let world = World::new("").await;
        let behaviour = Arc::new(behaviour);
        for server in [NS1, NS2] {
            let behaviour = Arc::clone(&behaviour);
            world.serve(server, move |asked| behaviour(asked)).await;
        }
        for domain in [portal(), verified("portal.acme.test")] {
            let begun = Instant::now();
            let seen = world.see(&domain, Depth::Scheduled).await;
            assert_eq!((row, seen.proof), (row, Proof::Unknown), "{seen:?}");
            assert!(codes(&seen).contains(&code), "row {row}: {seen:?}");
            assert!(
                begun.elapsed() < Duration::from_millis(1500) && seen.packets <= 64,
                "row {row}"
            );
        }
    }
}

#[tokio::test]
async fn forged_answers_before_the_true_one_do_no_harm() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        world
            .serve(server, |asked| {
                let truth = Zone::parse("acme.test.", &cname()).answer(asked);
                let lie = Zone::parse("acme.test.", "portal.acme.test. CNAME lie.test.").answer(asked);
                let mut forged: Vec<_> = (1..20u16)
                    .map(|guess| {
                        let mut forged = lie.clone();
                        forged.metadata.id = forged.metadata.id.wrapping_add(guess);
                        forged.to_vec().unwrap()
                    })
                    .collect();
                forged.extend([vec![], vec![0; 5], truth.to_vec().unwrap()]);
                Reaction::Raw(forged)
            })
            .await;
    }
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
}

#[tokio::test]
async fn a_server_that_does_not_keep_letter_case_is_asked_by_tcp() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        world
            .serve(server, |asked| {
                let mut reply = Zone::parse("acme.test.", &cname()).answer(asked);
                let lower = asked.name().to_lowercase();
                reply.queries[0].set_name(lower);
                Reaction::Say(reply)
            })
            .await;
    }
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
    let got = world.got();
    assert!(got.iter().any(|got| got.tcp && got.kind == RecordType::CNAME));
}

#[tokio::test]
async fn what_is_cut_short_is_asked_by_tcp() {
    let mut records = txt();
    for number in 0..60 {
        records += &format!("\n_agency-challenge.portal.acme.test. TXT \"{number:060}\"");
    }
    let world = World::new(&records).await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Txt);
    assert!(
        world
            .got()
            .iter()
            .any(|got| got.tcp && got.kind == RecordType::TXT)
    );
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without_it() {
    for (code, questions) in [
        (ResponseCode::FormErr, 1),
        (ResponseCode::NotImp, 1),
        (ResponseCode::BADVERS, 1),
        (ResponseCode::FormErr, 0),
        (ResponseCode::BADVERS, 0),
    ] {
        let world = World::new("").await;
        for server in [NS1, NS2] {
            world
                .serve(server, move |asked| match asked.message.edns {
                    Some(_) => match asked.code(code) {
                        Reaction::Say(mut reply) => {
                            reply.queries.truncate(questions);
                            Reaction::Say(reply)
                        }
                        other => other,
                    },
                    None => Reaction::Say(Zone::parse("acme.test.", &cname()).answer(asked)),
                })
                .await;
        }
        let proof = world.see(&portal(), Depth::Scheduled).await.proof;
        assert_eq!(proof, Proof::Cname, "{code} {questions}");
    }
}

#[tokio::test]
async fn a_record_of_a_name_that_does_not_exist_proves_nothing() {
    for (records, kind) in [(txt(), RecordType::TXT), (cname(), RecordType::CNAME)] {
        let world = World::new("").await;
        for server in [NS1, NS2] {
            let records = records.clone();
            world
                .serve(server, move |asked| {
                    let mut reply = Zone::parse("acme.test.", &records).answer(asked);
                    if asked.kind() == kind {
                        reply.metadata.response_code = ResponseCode::NXDomain;
                    }
                    Reaction::Say(reply)
                })
                .await;
        }
        for domain in [portal(), verified("portal.acme.test")] {
            let seen = world.see(&domain, Depth::Scheduled).await;
            assert_eq!(seen.proof, Proof::Unknown, "{seen:#?}");
            assert!(codes(&seen).contains(&Code::DnsMalformed), "{seen:#?}");
        }
    }
}

#[tokio::test]
async fn a_lost_packet_is_sent_again() {
    let world = World::new("").await;
    let count = Arc::new(AtomicUsize::new(0));
    for server in [NS1, NS2] {
        let count = Arc::clone(&count);
        world
            .serve(server, move |asked| {
                match count.fetch_add(1, Ordering::SeqCst) % 2 {
                    0 => Reaction::Silence,
                    _ => Reaction::Say(Zone::parse("acme.test.", &cname()).answer(asked)),
                }
            })
            .await;
    }
    world.registry("acme.test. NS ns1.acme.test.").await;
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname);
}

#[tokio::test]
async fn aliases_are_followed_across_zones_and_so_is_a_dname() {
    let delegations = "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.
globex.test. NS ns1.acme.test.\nglobex.test. NS ns2.acme.test.";
    for (acme, globex) in [
        (
            "portal.acme.test. CNAME portal.globex.test.",
            format!("portal.globex.test. CNAME {TARGET}"),
        ),
        (
            "portal.acme.test. CNAME a.globex.test.",
            "globex.test. MX a.\nz.globex.test. MX a.".to_owned(),
        ),
        (
            "acme.test. DNAME globex.test.",
            format!("portal.globex.test. CNAME {TARGET}"),
        ),
    ] {
        let world = World::new("").await;
        world.registry(delegations).await;
        for server in [NS1, NS2] {
            let zones = [
                Zone::parse("acme.test.", acme),
                Zone::parse("globex.test.", &globex),
            ];
            world
                .serve(server, move |asked| {
                    let zone = usize::from(name("globex.test.").zone_of(asked.name()));
                    Reaction::Say(zones[zone].answer(asked))
                })
                .await;
        }
        let seen = world.see(&portal(), Depth::Scheduled).await;
        match globex.contains(TARGET) {
            true => assert_eq!(seen.proof, Proof::Cname, "{acme}: {seen:?}"),
            false => assert_eq!(codes(&seen), [Code::WrongValue, Code::TargetMissing], "{seen:?}"),
        }
        assert_eq!(seen.zone.unwrap().as_str(), "acme.test");
    }
    // A challenge's name may be an alias too.
    let world = World::new(&format!(
        "_agency-challenge.portal.acme.test. CNAME c.acme.test.\nc.acme.test. TXT \"{VALUE}\""
    ))
    .await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Txt);
}

#[tokio::test]
async fn eight_aliases_are_followed_and_no_more() {
    let chain = |count: usize| {
        let mut records = String::new();
        let mut at = "portal".to_owned();
        for link in 1..count {
            records += &format!("{at}.acme.test. CNAME c{link}.acme.test.\n");
            at = format!("c{link}");
        }
        format!("{records}{at}.acme.test. CNAME {TARGET}")
    };
    let world = World::new(&chain(8)).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname, "{seen:?}");
    let world = World::new(&chain(9)).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Missing, vec![Code::CnameTooLong]),
        "{seen:?}"
    );
    for circle in [
        "portal.acme.test. CNAME portal.acme.test.",
        "portal.acme.test. CNAME b.acme.test.\nb.acme.test. CNAME portal.acme.test.",
    ] {
        let world = World::new(circle).await;
        let seen = world.see(&portal(), Depth::Scheduled).await;
        assert_eq!(
            (seen.proof, codes(&seen)),
            (Proof::Missing, vec![Code::CnameLoop]),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn a_first_proof_needs_signatures_that_hold() {
    let world = World::new(&cname()).await;
    let bogus = |asked: &Asked| {
        let zone = Zone::parse(
            ".",
            &format!(
                "test. NS nic.test.\nnic.test. A {}\n{}",
                address(REGISTRY),
                cname()
            ),
        );
        match name("acme.test.").zone_of(asked.name()) && !asked.message.metadata.checking_disabled {
            true => asked.code(ResponseCode::ServFail),
            false => Reaction::Say(zone.answer(asked)),
        }
    };
    world.serve(RESOLVER, bogus).await;
    let seen = world.see(&portal(), Depth::Scheduled).await;
    assert_unknown(&seen, Code::DnssecBogus);
    assert_eq!(seen.route, RecordState::Unreachable);
    // A renewal is not seen from there.
    let seen = world.see(&verified("portal.acme.test"), Depth::Scheduled).await;
    assert_eq!(seen.proof, Proof::Cname);
    // A resolver that fails either way says nothing about signatures.
    world
        .serve(RESOLVER, move |asked| {
            match name("acme.test.").zone_of(asked.name()) {
                true => asked.code(ResponseCode::ServFail),
                false => bogus(asked),
            }
        })
        .await;
    assert_eq!(world.see(&portal(), Depth::Scheduled).await.proof, Proof::Cname);
}

#[tokio::test]
async fn by_the_resolver_alone() {
    let world = World::new("").await;
    world
        .resolver(&format!("{}\nacme.test. NS ada.ns.cloudflare.com.", cname()))
        .await;
    let dns = world.dns_with(DnsMode::Recursive, false);
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_eq!((seen.proof, seen.routing), (Proof::Cname, Routing::Routed));
    assert!(
        world
            .got()
            .iter()
            .all(|got| got.server == RESOLVER && got.recursion)
    );
    // The zone where the alias ends may be one above the host name's own.
    world
        .serve(RESOLVER, |asked| {
            let own = Zone::parse("acme.test.", &cname());
            let above = Zone::parse("test.", "nic.test. A 192.0.2.1");
            let soa = asked.kind() == RecordType::SOA;
            let mut reply = own.answer(asked);
            if soa && !reply.answers.is_empty() {
                reply.authorities = above.answer(asked).authorities;
            }
            Reaction::Say(reply)
        })
        .await;
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_eq!(
        (seen.proof, seen.zone.unwrap().as_str()),
        (Proof::Cname, "acme.test")
    );
    world.resolver("acme.test. MX mail.").await;
    let seen = look(&dns, &portal(), Depth::Scheduled, &Session::default()).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Missing, vec![Code::RecordMissing])
    );
    for (checking, code) in [(true, Code::DnsServfail), (false, Code::DnssecBogus)] {
        world
            .serve(RESOLVER, move |asked| {
                match asked.message.metadata.checking_disabled && !checking {
                    true => Reaction::Say(Zone::parse(".", &cname()).answer(asked)),
                    false => asked.code(ResponseCode::ServFail),
                }
            })
            .await;
        assert_unknown(
            &look(&dns, &portal(), Depth::Scheduled, &Session::default()).await,
            code,
        );
    }
    world.serve(RESOLVER, |_| Reaction::Silence).await;
    assert_unknown(
        &look(&dns, &portal(), Depth::Scheduled, &Session::default()).await,
        Code::ResolverFailed,
    );
}

#[tokio::test]
async fn a_check_keeps_its_limits_whatever_servers_do() {
    // Each server talks for ever, and never answers.
    let world = World::new("").await;
    for server in [NS1, NS2] {
        world
            .serve(server, |asked| {
                let mut reply = asked.reply();
                reply.metadata.id ^= 1;
                Reaction::Raw(vec![reply.to_vec().unwrap(); 200])
            })
            .await;
    }
    let begun = Instant::now();
    assert_unknown(&world.see(&portal(), Depth::Diagnose).await, Code::DnsTimeout);
    assert!(begun.elapsed() < Duration::from_millis(1300));

    // An endless way: each name leads to another one, each in a zone of its own.
    let world = World::new("").await;
    let limits = Limits { packets: 20, ..FAST };
    let endless = |asked: &Asked| {
        let target = name("x.acme.test.")
            .prepend_label(format!("n{}", rand(asked)))
            .unwrap();
        let mut reply = asked.reply();
        reply.add_answer(Record::from_rdata(
            asked.name().clone(),
            60,
            RData::CNAME(hickory_proto::rr::rdata::CNAME(target)),
        ));
        Reaction::Say(reply)
    };
    fn rand(asked: &Asked) -> u16 {
        let text = asked.name().to_lowercase().to_string();
        text.bytes()
            .fold(7, |sum: u16, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
    }
    for server in [NS1, NS2] {
        world.serve(server, endless).await;
    }
    let seen = look(
        &world.dns().with_limits(limits),
        &portal(),
        Depth::Diagnose,
        &Session::default(),
    )
    .await;
    assert_eq!((seen.proof, seen.packets), (Proof::Unknown, 20));
    assert_eq!(world.got().len(), 20);
    assert_eq!(seen.findings[0].code, Code::DnsTimeout);
}

#[tokio::test]
async fn ids_ports_and_letters_are_random() {
    let world = World::new(&cname()).await;
    for _ in 0..10 {
        world.see(&portal(), Depth::Scheduled).await;
    }
    let got = world.got();
    let distinct = |mut values: Vec<String>| {
        values.sort();
        values.dedup();
        values.len()
    };
    let most = got.len() * 9 / 10;
    assert!(got.len() > 60);
    assert!(distinct(got.iter().map(|got| got.id.to_string()).collect()) >= most);
    assert!(distinct(got.iter().map(|got| got.from.to_string()).collect()) >= most);
    let asked = got.iter().filter(|got| got.name == "portal.acme.test.");
    let spelled: Vec<_> = asked.map(|got| got.spelled.clone()).collect();
    assert!(distinct(spelled.clone()) >= spelled.len() * 9 / 10, "{spelled:?}");
}

/// Up to four servers, each with one of these ways: what they come to is what the rules say.
#[tokio::test]
async fn random_sets_of_servers_follow_the_rules() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Way {
        Proof,
        None,
        Other,
        Refuses,
        Fails,
        Lame,
    }
    let way = prop_oneof![
        4 => Just(Way::Proof),
        4 => Just(Way::None),
        1 => Just(Way::Other),
        1 => Just(Way::Refuses),
        1 => Just(Way::Fails),
        1 => Just(Way::Lame),
    ];
    let ways = proptest::collection::vec(way, 1..=4);
    let mut runner = TestRunner::default();
    let world = World::new("").await;
    for _ in 0..200 {
        let ways = ways.new_tree(&mut runner).unwrap().current();
        let mut registry = String::new();
        for (way, server) in ways.iter().copied().zip(80..) {
            let ns = format!("ns{server}.acme.test.");
            registry += &format!("acme.test. NS {ns}\n{ns} A {}\n", address(server));
            world
                .serve(server, move |asked| {
                    let records = match way {
                        Way::Proof => cname(),
                        Way::Other => "portal.acme.test. CNAME other.acme.test.".to_owned(),
                        _ => String::new(),
                    };
                    let mut reply = Zone::parse("acme.test.", &records).answer(asked);
                    match way {
                        Way::Refuses => return asked.code(ResponseCode::Refused),
                        Way::Fails => return asked.code(ResponseCode::ServFail),
                        Way::Lame => reply.metadata.authoritative = false,
                        _ => {}
                    }
                    Reaction::Say(reply)
                })
                .await;
        }
        world.zone("test.", &registry, &[REGISTRY]).await;
        let said: Vec<_> = ways
            .iter()
            .filter(|way| matches!(way, Way::Proof | Way::None | Way::Other))
            .collect();
        let enough = said.len() > 1 || ways.len() == 1 && said.len() == 1;
        let all = |way: Way| said.iter().all(|said| **said == way);
        let expected = match enough {
            true if all(Way::Proof) => Proof::Cname,
            true if all(Way::None) || all(Way::Other) => Proof::Missing,
            _ => Proof::Unknown,
        };
        for (domain, depth) in [
            (portal(), Depth::Scheduled),
            (verified("portal.acme.test"), Depth::Scheduled),
        ] {
            let seen = world.see(&domain, depth).await;
            // Two at random may agree where all four do not: that renews, and proves nothing anew.
            let luck = depth == Depth::Scheduled && ways.iter().filter(|way| **way == Way::Proof).count() > 1;
            assert!(
                seen.proof == expected || luck && seen.proof == Proof::Cname,
                "{ways:?} {depth:?}: {seen:?}"
            );
        }
    }
}

/// Answers made of random parts: never a panic, never a proof.
#[tokio::test]
async fn random_garbage_proves_nothing() {
    let world = World::new("").await;
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400);
    let cuts = (0usize..3, bytes, 0usize..200);
    for _ in 0..150 {
        let (way, noise, at) = cuts.new_tree(&mut runner).unwrap().current();
        let garbage = move |asked: &Asked| {
            let mut bytes = asked.reply().to_vec().unwrap();
            match way {
                // Behind a header that fits.
                0 => bytes.extend_from_slice(&noise),
                // In the place of anything but the id.
                1 => {
                    bytes.truncate(2);
                    bytes.extend_from_slice(&noise);
                }
                // A true answer that is cut or changed somewhere, but not in its token.
                _ => {
                    let other = "portal.acme.test. CNAME other.test.";
                    bytes = Zone::parse("acme.test.", other).answer(asked).to_vec().unwrap();
                    for (index, byte) in noise.iter().take(4).enumerate() {
                        let place = 2 + (at + index * 7) % (bytes.len() - 2);
                        bytes[place] ^= byte;
                    }
                }
            }
            if way == 0 && bytes.len() > 12 {
                bytes[7] = noise.first().copied().unwrap_or(1) % 5;
            }
            Reaction::Raw(vec![bytes])
        };
        for server in [NS1, NS2] {
            world.serve(server, garbage.clone()).await;
        }
        let limits = Limits {
            query: Duration::from_millis(15),
            resend: Duration::from_millis(10),
            ..FAST
        };
        let dns = world.dns().with_limits(limits);
        for depth in [Depth::Scheduled, Depth::Diagnose] {
            let seen = look(&dns, &verified("portal.acme.test"), depth, &Session::default()).await;
            assert!(!seen.proof.is_given(), "{seen:?}");
            assert!(seen.findings.len() <= 16);
            for finding in &seen.findings {
                assert!(finding.observed.len() <= 4);
                assert!(
                    finding
                        .observed
                        .iter()
                        .all(|seen| seen.answer.chars().count() <= 255)
                );
            }
        }
    }
}
