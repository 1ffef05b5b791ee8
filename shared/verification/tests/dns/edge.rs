//! The addresses of the operator's edge, and what they say about a hostname's.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::rr::{RData, Record, RecordType, rdata::A};
use shared::models::domain::{FindingCode as Code, Routing};
use verification::dns::{Depth, Proof};

use crate::world::*;

/// The registry, with an edge that answers with eight of twelve addresses, each time with others.
async fn changing_edge(world: &World, delegations: &str) {
    let rest = format!(
        "ns1.acme.test. A {}\nns2.acme.test. A {}\n{delegations}",
        address(NS1),
        address(NS2)
    );
    let zone = Zone::parse("test.", &rest);
    let count = AtomicUsize::new(0);
    world
        .serve(REGISTRY, move |asked| {
            let is_edge = name("edge.test.").zone_of(asked.name()) && asked.kind() == RecordType::A;
            if !is_edge {
                return Reaction::Say(zone.answer(asked));
            }
            let mut reply = asked.reply();
            let first = 5 * count.fetch_add(1, Ordering::SeqCst);
            for number in first..first + 8 {
                let edge = A::new(203, 0, 113, (number % 12) as u8);
                reply.add_answer(Record::from_rdata(asked.name().clone(), 60, RData::A(edge)));
            }
            Reaction::Say(reply)
        })
        .await;
}

#[tokio::test]
async fn an_edge_with_changing_addresses_makes_no_miss() {
    let delegations = "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.";
    let apex = verified("acme.test");
    for (records, routing) in [
        // One of the twelve, beside another one that may be one.
        (
            "acme.test. A 203.0.113.3\nacme.test. A 203.0.113.99",
            Routing::Routed,
        ),
        ("acme.test. A 203.0.113.99", Routing::Unknown),
        ("acme.test. A 104.16.0.1", Routing::Unknown),
        ("acme.test. MX mail.acme.test.", Routing::Elsewhere),
    ] {
        let world = World::new(records).await;
        changing_edge(&world, delegations).await;
        let seen = world.see(&apex, Depth::Diagnose).await;
        assert_eq!((seen.proof, seen.routing), (Proof::Missing, routing), "{seen:?}");
        assert!(!codes(&seen).contains(&Code::LeftoverAddress));
    }
}

#[tokio::test]
async fn the_target_may_lead_to_another_name_below_it() {
    let world = World::new(&format!("acme.test. A {EDGE}")).await;
    let records = format!(
        "{TARGET} CNAME all.edge.test.\nall.edge.test. CNAME lb.provider.test.\nlb.provider.test. A {EDGE}"
    );
    world
        .registry(&format!(
            "acme.test. NS ns1.acme.test.\nacme.test. NS ns2.acme.test.\n{records}"
        ))
        .await;
    let seen = world.see(&verified("acme.test"), Depth::Scheduled).await;
    assert_eq!(
        (seen.routing, seen.flattened),
        (Routing::Routed, true),
        "{seen:?}"
    );
}
