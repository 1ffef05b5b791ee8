//! What checks share in a sweep, and what each costs.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_proto::rr::RecordType;
use shared::models::domain::{FindingCode as Code, RecordState};
use verification::dns::{Depth, Limits, Proof, Session};

use crate::world::*;

#[tokio::test]
async fn a_renewal_is_two_packets_and_the_zone_cut_is_found_once() {
    let names = 25;
    let records: String = (0..names)
        .map(|number| format!("p{number}.acme.test. CNAME {TARGET}\n"))
        .collect();
    let world = World::new(&records).await;
    let (dns, session) = (world.dns(), Session::default());
    let domains: Vec<_> = (0..names)
        .map(|number| verified(&format!("p{number}.acme.test")))
        .collect();
    let seen = join_all(
        domains
            .iter()
            .map(|domain| look(&dns, domain, Depth::Scheduled, &session)),
    )
    .await;
    assert!(seen.iter().all(|seen| seen.proof == Proof::Cname));
    // The registry's servers, the address of the one that is asked, and the delegation.
    let sent: u32 = seen.iter().map(|seen| seen.packets).sum();
    assert_eq!(sent, 3 + 2 * names);
    let got = world.got();
    assert_eq!(got.len() as u32, sent);
    assert_eq!(got.iter().filter(|got| got.kind == RecordType::NS).count(), 2);

    let seen = look(&dns, &domains[0], Depth::Scheduled, &session).await;
    assert_eq!((seen.packets, seen.ownership), (2, RecordState::Unchecked));
    assert_eq!(seen.zone.unwrap().as_str(), "acme.test");
    // Not beyond it.
    assert_eq!(
        look(&dns, &domains[0], Depth::Scheduled, &Session::default())
            .await
            .packets,
        5
    );
}

#[tokio::test]
async fn a_zone_that_was_silent_to_three_checks_is_left_alone() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        world.serve(server, |_| Reaction::Silence).await;
    }
    let (dns, session) = (world.dns(), Session::default());
    for number in 0..3 {
        let seen = look(
            &dns,
            &verified(&format!("p{number}.acme.test")),
            Depth::Scheduled,
            &session,
        )
        .await;
        assert_eq!((seen.proof, seen.packets > 0), (Proof::Unknown, true));
    }
    let seen = look(&dns, &portal(), Depth::Diagnose, &session).await;
    assert_eq!(
        (seen.proof, codes(&seen), seen.packets),
        (Proof::Unknown, vec![Code::DnsTimeout], 0)
    );
    assert!(
        look(&dns, &portal(), Depth::Scheduled, &Session::default())
            .await
            .packets
            > 0
    );
}

#[tokio::test]
async fn name_servers_that_were_silent_for_three_zones_are_not_asked_for_a_fourth() {
    let world = World::new("").await;
    let names = ["a", "b", "c", "d"].map(|zone| format!("{zone}.test"));
    let delegations: String = names
        .iter()
        .map(|zone| format!("{zone}. NS ns1.acme.test.\n{zone}. NS ns2.acme.test.\n"))
        .collect();
    world.registry(&delegations).await;
    for server in [NS1, NS2] {
        world.serve(server, |_| Reaction::Silence).await;
    }
    let (dns, session) = (world.dns(), Session::default());
    for zone in &names[..3] {
        look(&dns, &verified(zone), Depth::Scheduled, &session).await;
    }
    world.got();
    let seen = look(&dns, &verified(&names[3]), Depth::Scheduled, &session).await;
    assert_eq!(
        (seen.proof, codes(&seen)),
        (Proof::Unknown, vec![Code::DnsTimeout])
    );
    assert!(
        world
            .got()
            .iter()
            .all(|got| got.server == REGISTRY || got.server == RESOLVER)
    );
}

#[tokio::test]
async fn a_check_that_has_no_time_left_tells_nothing_of_a_server() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        world.serve(server, |_| Reaction::Silence).await;
    }
    let limits = Limits {
        query: Duration::from_secs(1),
        check: Duration::from_millis(150),
        ..FAST
    };
    let (dns, session) = (world.dns().with_limits(limits), Session::default());
    for _ in 0..4 {
        let seen = look(&dns, &portal(), Depth::Scheduled, &session).await;
        assert_eq!(codes(&seen), vec![Code::DnsTimeout]);
        let of_theirs = |got: &Got| [NS1, NS2].contains(&got.server);
        assert!(world.got().iter().any(of_theirs), "they are asked each time");
    }
}

#[tokio::test]
async fn a_server_that_does_not_respond_is_asked_no_further_question_by_the_check() {
    const DEAD: u8 = 13;
    let world = World::new("").await;
    let servers = ["ns1", "ns2", "ns3"].map(|server| format!("acme.test. NS {server}.acme.test.\n"));
    let glue = format!("ns3.acme.test. A {}", address(DEAD));
    world.registry(&format!("{}{glue}", servers.concat())).await;
    world.serve(DEAD, |_| Reaction::Silence).await;
    let seen = world.see(&portal(), Depth::Diagnose).await;
    assert_eq!(seen.proof, Proof::Missing);
    let got = world.got().into_iter().filter(|got| got.server == DEAD);
    let mut questions: Vec<_> = got.map(|got| (got.name, got.kind.to_string())).collect();
    questions.sort();
    questions.dedup();
    // The first two, which are asked at once.
    assert_eq!(questions.len(), 2, "{questions:?}");
}

#[tokio::test]
async fn a_silent_zone_delays_nobody_else() {
    let world = World::new("").await;
    let mut registry = String::new();
    for zone in 0..40 {
        registry += &format!("z{zone}.test. NS ns1.acme.test.\nz{zone}.test. NS ns2.acme.test.\n");
    }
    registry += &format!(
        "silent.test. NS ns.silent.test.\nns.silent.test. A {}",
        address(50)
    );
    world.registry(&registry).await;
    world.serve(50, |_| Reaction::Silence).await;
    for server in [NS1, NS2] {
        world
            .serve(server, |asked| {
                let owner = asked.name().trim_to(2);
                let records = format!("portal.{owner} CNAME {TARGET}");
                Reaction::Say(Zone::parse(&owner.to_string(), &records).answer(asked))
            })
            .await;
    }
    let (dns, session) = (world.dns(), Session::default());
    let timed = async |hostname: String| {
        let begun = Instant::now();
        let seen = look(&dns, &verified(&hostname), Depth::Scheduled, &session).await;
        (seen.proof, begun.elapsed())
    };
    let others = join_all((0..40).map(|zone| timed(format!("portal.z{zone}.test"))));
    let (silent, others) = tokio::join!(timed("portal.silent.test".to_owned()), others);
    assert_eq!(silent.0, Proof::Unknown);
    assert!(silent.1 < FAST.check + Duration::from_millis(300));
    for (proof, took) in others {
        assert_eq!(proof, Proof::Cname);
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test]
async fn ten_checks_of_a_zone_at_a_time_and_those_who_wait_lose_none_of_their_time() {
    let world = World::new("").await;
    for server in [NS1, NS2] {
        // Slow, but within a query's time.
        world
            .serve(server, |asked| {
                std::thread::sleep(Duration::from_millis(20));
                let records = format!("{} CNAME {TARGET}", asked.name().to_lowercase());
                Reaction::Say(Zone::parse("acme.test.", &records).answer(asked))
            })
            .await;
    }
    let limits = Limits {
        query: Duration::from_millis(1500),
        resend: Duration::from_millis(1400),
        check: Duration::from_millis(400),
        packets: 64,
    };
    let (dns, session) = (world.dns().with_limits(limits), Session::default());
    let domains: Vec<_> = (0..20)
        .map(|number| verified(&format!("p{number}.acme.test")))
        .collect();
    let begun = Instant::now();
    let seen = join_all(
        domains
            .iter()
            .map(|domain| look(&dns, domain, Depth::Scheduled, &session)),
    )
    .await;
    assert!(begun.elapsed() > limits.check);
    assert!(seen.iter().all(|seen| seen.proof == Proof::Cname));
}

#[tokio::test]
async fn a_check_that_waits_2_s_for_other_checks_is_busy() {
    let world = World::new("").await;
    let zones = 40;
    let delegations: String = (0..zones)
        .map(|zone| format!("z{zone}.test. NS ns1.acme.test.\nz{zone}.test. NS ns2.acme.test.\n"))
        .collect();
    world.registry(&delegations).await;
    for server in [NS1, NS2] {
        world.serve(server, |_| Reaction::Silence).await;
    }
    let limits = Limits {
        query: Duration::from_secs(3),
        ..Limits::default()
    };
    let (dns, session) = (world.dns().with_limits(limits), Session::default());
    let domains: Vec<_> = (0..zones)
        .map(|zone| verified(&format!("z{zone}.test")))
        .collect();
    let looks = domains
        .iter()
        .map(|domain| gather(&dns, domain, Depth::Scheduled, &session, &[], &[]));
    let (busy, finished): (Vec<_>, Vec<_>) = join_all(looks).await.into_iter().partition(Result::is_err);
    // Six queries at a time to each of the two servers, because they have not responded yet.
    assert!((6..=12).contains(&finished.len()), "{}", finished.len());
    assert!(!busy.is_empty());
    // The session knows that the servers do not respond.
    let again = look(&dns, &domains[0], Depth::Scheduled, &session).await;
    assert_eq!(codes(&again), [Code::DnsTimeout]);
}
