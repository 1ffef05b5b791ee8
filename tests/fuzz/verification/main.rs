//! Checks of a domain, by real packets, against name servers whose answers an input changes.

mod internet;
mod oracle;
mod scenario;
#[allow(dead_code)] // The zones, and the domain, of the tests of DNS.
#[path = "../../../shared/verification/tests/dns/world.rs"]
mod world;

use std::{net::SocketAddr, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use fuzz::figures::Figures;
use shared::{
    config::{DnsConfig, DnsMode},
    models::{
        domain::{Domain, Status},
        time::Timestamp,
    },
};
use tokio::{
    runtime,
    task::{JoinSet, LocalSet, yield_now},
    time::{Instant, sleep},
};
use verification::dns::{Depth, Dns, Evidence, Operator, Session};

use internet::Internet;
use scenario::{RESOLVER, Scenario};

fn main() {
    internet::enter();
    prove_unchanged();
    let figures = std::sync::Mutex::new(Figures::default());
    bolero::check!().for_each(|input: &[u8]| {
        let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(input)) else {
            return;
        };
        let (evidence, needs_two) = run(scenario);
        let mut figures = figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        figures.input();
        figures.accepted.count(evidence.proof().is_given());
        figures.count("proof", format!("{:?}", evidence.proof()));
        let quorum = if needs_two { "two servers" } else { "not needed" };
        figures.count("quorum", quorum);
        figures.count("routing", format!("{:?}", evidence.routing()));
        figures.count(
            "packets",
            format!("{}0 to {}9", evidence.packets / 10, evidence.packets / 10),
        );
    });
}

/// Without a change of the answers, the domain is proven, so that the trial says something.
fn prove_unchanged() {
    let scenario = Scenario::arbitrary(&mut Unstructured::new(&[0; 64])).unwrap();
    let (evidence, needs_two) = run(scenario);
    assert!(evidence.proof().is_given() && needs_two, "{evidence:?}");
}

/// The evidence, and whether two servers had to send it.
fn run(scenario: Scenario) -> (Evidence, bool) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .event_interval(1)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        let internet = Internet::start(scenario, &mut tasks).await;
        let domain = domain(internet.scenario());
        let begun = Instant::now();
        let evidence = tokio::select! {
            evidence = gather(internet.scenario(), &domain) => evidence,
            () = pass_time(&internet) => unreachable!(),
        };
        let needs_two = oracle::check(&internet, &domain, &evidence, begun.elapsed());
        (evidence, needs_two)
    })
}

fn domain(scenario: &Scenario) -> Domain {
    match scenario.verified {
        true => Domain {
            status: Status::Verified,
            ..world::domain(scenario.hostname())
        },
        false => world::domain(scenario.hostname()),
    }
}

/// The same as [`verification::Checker::observe`], which needs a table that gives the domain.
async fn gather(scenario: &Scenario, domain: &Domain) -> Evidence {
    let config = DnsConfig {
        resolvers: vec![SocketAddr::new(RESOLVER.into(), 53)],
        mode: if scenario.is_recursive() {
            DnsMode::Recursive
        } else {
            DnsMode::Authoritative
        },
        authority_port: 53,
        allow_private: scenario.allows_private(),
    };
    let authorities = ["letsencrypt.org".to_owned()];
    let operator = Operator {
        names: &world::names(),
        addresses: &[],
        certificate_authorities: &authorities,
    };
    let depth = [Depth::Diagnose, Depth::Scheduled, Depth::Holder][usize::from(scenario.depth % 3)];
    let dns = Dns::new(&config).unwrap();
    let session = Session::default();
    // No other check has permits that this one could wait for.
    dns.gather(domain, &operator, depth, &session, Timestamp::now())
        .await
        .unwrap()
}

/// Lets the paused clock move on, but only while no packet is on its way: the runtime alone would move it whenever no task is ready,
/// also if a socket is.
async fn pass_time(internet: &Internet) {
    loop {
        let (mut count, mut quiet) = (internet.count(), 0);
        while quiet < 8 {
            // The runtime looks at the sockets after each yield.
            yield_now().await;
            let now = internet.count();
            quiet = if now == count { quiet + 1 } else { 0 };
            count = now;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
