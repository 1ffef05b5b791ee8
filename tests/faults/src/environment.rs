//! The parts of a trial beside the API and its database: DNS records that change, the edge, and the scheduled sweeps.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use local::{dns::ANY_PORT, dns::DnsServer, reverify};
use rand::{RngExt, rngs::SmallRng};
use serde_json::Value;
use shared::models::time::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};

use crate::load::Load;

/// The operator's zone: the targets of all custom domains lead to this machine.
const TARGETS: &str = "$SERVER *\n$ORIGIN .\n*.cname.portal.localhost. 60 IN A 127.0.0.1\n";
const NEW_RECORDS_EVERY: Duration = Duration::from_millis(700);
const SWEEP_EVERY: Duration = Duration::from_millis(1500);
/// The time that passes for the domains between two sweeps. A trial has pending, lapsed and expired domains.
const SWEEP_STEP: Duration = Duration::from_secs(8 * 3600);

/// Starts the DNS server with the operator's zone.
///
/// # Errors
/// It does not start.
pub async fn dns() -> Result<DnsServer, String> {
    let dns = DnsServer::start(ANY_PORT)
        .await
        .map_err(|error| error.to_string())?;
    dns.set_zone(TARGETS)?;
    Ok(dns)
}

/// Changes now and then which of the claims on each host name have their records. It does not end.
///
/// # Errors
/// The records cannot be served.
pub async fn change_records(dns: &DnsServer, load: &Load, rng: &mut SmallRng) -> Result<Infallible, String> {
    let mut served = BTreeMap::<String, String>::new();
    loop {
        sleep(NEW_RECORDS_EVERY).await;
        for (hostname, claims) in &load.known().proofs {
            // A proof of a deleted domain remains in the zone for some time, as in practice.
            if served.contains_key(hostname) && rng.random_bool(0.9) {
                continue;
            }
            let absent = claims.is_empty() || rng.random_bool(0.25);
            let records = match absent {
                true => String::new(),
                false => claims
                    .values()
                    .nth(rng.random_range(0..claims.len()))
                    .cloned()
                    .unwrap_or_default(),
            };
            served.insert(hostname.clone(), records);
        }
        let records: String = served.values().map(String::as_str).collect();
        dns.set_zone(&format!("{records}{TARGETS}"))?;
    }
}

/// Starts an edge that has no certificate, or closes the connection: the certificate of a host is `pending` or `unknown`.
///
/// # Errors
/// No port is free.
pub async fn edge() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut connections = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            connections += 1;
            if connections % 3 == 0 {
                continue;
            }
            tokio::spawn(async move {
                let mut hello = [0; 512];
                let _ = stream.read(&mut hello).await; // The alert is the same for each hello.
                // The fatal alert `handshake_failure` (RFC 8446, section 6): a record of type alert, TLS 1.2, two bytes.
                stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await.ok();
            });
        }
    });
    Ok(address)
}

/// What the sweeps did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweeps {
    pub ended: u32,
    pub failed: u32,
    pub checks: u64,
}

impl fmt::Display for Sweeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ended,
            failed,
            checks,
        } = self;
        write!(
            f,
            "{ended} sweeps beside them with {checks} checks, {failed} more ended by a fault"
        )
    }
}

/// Runs the scheduled function again and again in one of the processes, each time some hours later. `count` has the results, and
/// the next call continues from them.
pub async fn sweep(addresses: &[SocketAddr], rng: &mut SmallRng, count: &Mutex<Sweeps>) -> Infallible {
    let lock = || count.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        sleep(SWEEP_EVERY).await;
        let sweeps = *lock();
        let address = addresses[rng.random_range(0..addresses.len())].to_string();
        let at = Timestamp::now() + SWEEP_STEP * (sweeps.ended + sweeps.failed + 1);
        let report = reverify::request(&address, Some(at)).await;
        let mut count = lock();
        match report {
            Ok(report) => {
                let report: Value = serde_json::from_str(&report).unwrap_or_default();
                count.ended += 1;
                count.checks += report["checked"].as_u64().unwrap_or_default();
            }
            Err(_) => count.failed += 1,
        }
    }
}
