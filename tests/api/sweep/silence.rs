//! Name servers that do not respond must not delay the checks of other domains.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use futures::future::try_join_all;
use reverify::{Selection, sweep};
use shared::{
    models::{
        domain::{Check, Domain, Status, Token},
        id::DomainId,
    },
    store::DomainRecord,
};
use tokio::{net::UdpSocket, task::JoinSet};
use verification::dns::Limits;

use super::{LONG, network, system};
use crate::harness::{Api, DAY, MINUTE};

/// Addresses of a provider that does not respond for zones that it does not have.
const SILENT: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 53, 71), Ipv4Addr::new(127, 0, 53, 72)];

/// Sockets at the provider's addresses, and the names that they were asked for.
struct Silence {
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Silence {
    async fn begin(api: &Api) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let upstream = api.dns.address();
        for address in SILENT {
            let socket = Arc::new(UdpSocket::bind((address, upstream.port())).await.unwrap());
            let asked = Arc::clone(&asked);
            tasks.spawn(async move {
                let mut query = [0; 512];
                while let Ok((length, from)) = socket.recv_from(&mut query).await {
                    let (query, socket) = (query[..length].to_vec(), Arc::clone(&socket));
                    let name = queried_name(&query);
                    let is_known = name.contains("healthy");
                    asked.lock().unwrap().push(name);
                    if is_known {
                        tokio::spawn(async move {
                            let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                            relay.send_to(&query, upstream).await.unwrap();
                            let mut answer = [0; 4096];
                            let length = relay.recv(&mut answer).await.unwrap();
                            let _ = socket.send_to(&answer[..length], from).await;
                        });
                    }
                }
            });
        }
        Self { asked, _tasks: tasks }
    }

    /// The names of the packets since the last call.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn packets(&self) -> usize {
        self.asked().len()
    }
}

/// The name of a query in lower case (RFC 1035, section 4.1.2).
fn queried_name(query: &[u8]) -> String {
    let mut name = String::new();
    let mut rest = &query[12..];
    while let [length @ 1..=63, tail @ ..] = rest {
        let (label, tail) = tail.split_at((*length).into());
        name += &String::from_utf8_lossy(label).to_lowercase();
        name.push('.');
        rest = tail;
    }
    name
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
                provider_url: None,
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

/// 120 zones that are delegated to a provider, each with server names of its own, but that the provider does not have.
#[tokio::test]
#[ignore = "depends on the machine's load: .ci/full runs it"]
async fn zones_that_a_provider_does_not_have_do_not_delay_its_own() {
    let api = Api::build(system()).await;
    let silence = Silence::begin(&api).await;
    let unknown = due(&api, "unknown", 120, Status::Verified, 10 * MINUTE, &[]).await;
    let healthy = due(&api, "healthy", 30, Status::Verified, MINUTE, &PROVIDER).await;
    let names = &api.app.config.names;
    let mut zone = String::new();
    for domain in &healthy {
        let target = domain.token.as_ref().unwrap().cname_target(names);
        zone += &format!("{}. CNAME {target}.\n", domain.hostname);
    }
    for (server, address) in ["ns1", "ns2"].iter().zip(SILENT) {
        zone += &format!("{server}.silent.test. A {address}\n");
        for domain in unknown.iter().chain(&healthy) {
            let apex = domain.hostname.as_str().trim_start_matches("portal.");
            let provider = match apex.starts_with("healthy") {
                true => "silent.test",
                false => apex,
            };
            zone += &format!("{apex}. NS {server}.{provider}.\n{server}.{apex}. A {address}\n");
        }
    }
    api.dns.set_zone(&zone).unwrap();
    let mut network = network(&api);
    network.dns = network.dns.with_limits(Limits {
        query: Duration::from_millis(400),
        resend: Duration::from_millis(200),
        ..Limits::default()
    });
    let report = sweep(&api.app, &network, &Selection::default(), LONG)
        .await
        .unwrap();
    assert_eq!((report.checked, report.left), (150, 0));
    // On a busy machine a query may take longer than these limits allow.
    assert!(report.verified > 20, "{report:?}");
    let asked = silence.asked();
    let last = asked.iter().rposition(|name| name.contains("healthy")).unwrap();
    let before: BTreeSet<_> = asked[..last]
        .iter()
        .filter(|name| name.contains("unknown"))
        .collect();
    eprintln!(
        "{} of 120 before the provider's own, {} ms",
        before.len(),
        report.ms
    );
    assert!(before.len() < 80, "{}", before.len());
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
