//! Name servers that do not respond must not delay the checks of other domains.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use futures::future::try_join_all;
use shared::{
    models::{
        domain::{Check, Domain, Status, Token},
        id::DomainId,
    },
    store::DomainRecord,
};
use tokio::{net::UdpSocket, task::JoinSet};

use super::system;
use crate::harness::{Api, DAY, MINUTE};

/// Addresses that do not respond.
const SILENT: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 53, 71), Ipv4Addr::new(127, 0, 53, 72)];

/// Sockets at the silent addresses, and the number of packets that they received.
struct Silence {
    got: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Silence {
    async fn begin(api: &Api) -> Self {
        let got = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for address in SILENT {
            let socket = UdpSocket::bind((address, api.dns.address().port()))
                .await
                .unwrap();
            let got = Arc::clone(&got);
            tasks.spawn(async move {
                while socket.recv(&mut [0; 512]).await.is_ok() {
                    got.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { got, _tasks: tasks }
    }

    fn packets(&self) -> usize {
        self.got.swap(0, Ordering::SeqCst)
    }
}

/// Domains named `portal.<prefix><number>.test` that have been due for `since`, as the store writes them.
async fn due(
    api: &Api,
    prefix: &str,
    count: u32,
    status: Status,
    since: Duration,
    servers: &[&str],
) -> Vec<Domain> {
    let now = api.app.clock.now();
    let domains: Vec<_> = (0..count)
        .map(|number| {
            let agency = format!("org_{}", number % 16).parse().unwrap();
            let hostname = format!("portal.{prefix}{number}.test").parse().unwrap();
            let token = Token::new(u128::from(number).to_be_bytes());
            let mut domain = Domain::custom(DomainId::new(now), agency, hostname, token, now - DAY);
            domain.status = status;
            domain.check = Some(Check {
                checked_at: Some(now - DAY),
                next_check_at: Some(now - since),
                attempts: 1,
                zone: None,
                nameservers: servers.iter().map(ToString::to_string).collect(),
                provider: None,
                problem: None,
                findings: Vec::new(),
            });
            domain
        })
        .collect();
    let writes = domains.chunks(25).map(|domains| {
        let puts = domains.iter().map(|domain| {
            let put = PutRequest::builder()
                .set_item(Some(DomainRecord::new(domain.clone()).item().unwrap()))
                .build()
                .unwrap();
            WriteRequest::builder().put_request(put).build()
        });
        let write = api.client.batch_write_item();
        write.request_items(api.table(), puts.collect()).send()
    });
    try_join_all(writes).await.unwrap();
    domains
}

/// Serves the records that prove the first domains, and delegates the zones of the others to silent servers.
fn serve(api: &Api, proven: &[Domain], silent: &[Domain]) {
    let target = &api.app.config.names;
    let mut zone = String::new();
    for domain in proven {
        let target = domain.token.as_ref().unwrap().cname_target(target);
        zone += &format!("{}. CNAME {target}.\n", domain.hostname);
    }
    for (server, address) in ["ns1", "ns2"].iter().zip(SILENT) {
        zone += &format!("{server}.silent.test. A {address}\n");
        for domain in silent {
            let apex = domain.hostname.as_str().trim_start_matches("portal.");
            zone += &format!("{apex}. NS {server}.silent.test.\n");
        }
    }
    api.dns.set_zone(&zone).unwrap();
}

/// Sweeps `count` domains of a silent provider, and 300 other domains that are due after them.
async fn sweep_past(count: u32, status: Status, names: &[&str]) {
    let api = Api::build(system()).await;
    let silence = Silence::begin(&api).await;
    let silent = due(&api, "silent", count, status, 10 * MINUTE, names).await;
    let healthy = due(&api, "healthy", 300, Status::Verified, MINUTE, &[]).await;
    serve(&api, &healthy, &silent);
    let report = api.reverify().await;
    assert_eq!(
        (report.verified, report.unknown, report.left),
        (300, count.into(), 0)
    );
    // Ten checks at a time query each of the two servers until both are known to be silent: a few waves, no more.
    let packets = silence.packets();
    assert!((6..200).contains(&packets), "{packets}");
    eprintln!("{count} {status:?}: {packets} packets, {} ms", report.ms);
}

const PROVIDER: [&str; 2] = ["ns1.silent.test", "ns2.silent.test"];

#[tokio::test]
async fn a_silent_provider_delays_no_other_domain() {
    sweep_past(1_500, Status::Verified, &PROVIDER).await;
}

#[tokio::test]
#[ignore = "takes a minute or two: .ci/full runs it"]
async fn a_silent_provider_of_ten_thousand_domains_delays_no_other() {
    sweep_past(10_000, Status::Verified, &PROVIDER).await;
}

#[tokio::test]
async fn a_silent_provider_that_is_not_known_yet_delays_no_other() {
    sweep_past(500, Status::Pending, &[]).await;
}

#[tokio::test]
async fn a_silent_server_among_a_thousand_zones_adds_only_its_own_check() {
    let api = Api::build(system()).await;
    let _silence = Silence::begin(&api).await;
    let healthy = due(&api, "healthy", 1_000, Status::Verified, MINUTE, &[]).await;
    serve(&api, &healthy, &[]);
    let without = api.reverify().await;
    assert_eq!((without.verified, without.left), (1_000, 0));

    api.advance(2 * DAY);
    let silent = due(&api, "silent", 1, Status::Verified, 3 * DAY, &[]).await;
    serve(&api, &healthy, &silent);
    let with = api.reverify().await;
    assert_eq!((with.verified, with.unknown, with.left), (1_000, 1, 0));
    let added = with.ms.saturating_sub(without.ms);
    eprintln!("{} ms without it, {} ms with it", without.ms, with.ms);
    assert!(added < 6_000 + without.ms, "{added} ms");
}
