//! A DNS relay between a system and its DNS server that can fail, stay silent or hold answers back.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use local::{dns::ANY_PORT, system::System};
use tokio::{net::UdpSocket, sync::Semaphore};

use super::{Api, START};

/// The resolver and the name servers of a system.
pub struct DnsRelay {
    address: SocketAddr,
    state: Arc<RelayState>,
}

struct RelayState {
    /// A response code, 0 to forward queries, or [`SILENT`].
    code: AtomicU8,
    upstream: OnceLock<SocketAddr>,
    /// One permit for each query received.
    received: Semaphore,
    /// Those of the queries that do not desire recursion: to name servers.
    direct: AtomicUsize,
    /// A query is answered once it has acquired a permit.
    gate: Semaphore,
}

pub const SILENT: u8 = 255;
pub const SERVFAIL: u8 = 2;
pub const REFUSED: u8 = 5;

impl DnsRelay {
    pub async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind(ANY_PORT).await.unwrap());
        let address = socket.local_addr().unwrap();
        let state = Arc::new(RelayState {
            code: AtomicU8::new(0),
            upstream: OnceLock::new(),
            received: Semaphore::new(0),
            direct: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        });
        let relay = state.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                relay.received.add_permits(1);
                let recursion = buffer[2] & 1;
                relay
                    .direct
                    .fetch_add(1 - usize::from(recursion), Ordering::SeqCst);
                let (relay, socket, query) = (relay.clone(), socket.clone(), buffer[..length].to_vec());
                tokio::spawn(async move {
                    relay.gate.acquire().await.unwrap().forget();
                    if let Some(answer) = relay.answer(query).await {
                        socket.send_to(&answer, from).await.unwrap();
                    }
                });
            }
        });
        Self { address, state }
    }

    /// A system that sends its queries here, in this `DNS_MODE`.
    pub async fn system(&self, mode: &str) -> Api {
        let api = Api::build(
            System::builder()
                .at(START)
                .set("DNS_RESOLVERS", self.address.to_string())
                .set("DNS_AUTHORITY_PORT", self.address.port().to_string())
                .set("DNS_MODE", mode),
        )
        .await;
        self.state.upstream.set(api.dns.address()).unwrap();
        api
    }

    /// Queries that did not desire recursion.
    pub fn direct(&self) -> usize {
        self.state.direct.load(Ordering::SeqCst)
    }

    pub fn respond_with(&self, code: u8) {
        self.state.code.store(code, Ordering::SeqCst);
    }

    /// Holds all answers back until [`Self::release`].
    pub fn hold(&self) {
        let free = self.state.gate.available_permits();
        self.state.gate.forget_permits(free);
        let seen = self.state.received.available_permits();
        self.state.received.forget_permits(seen);
    }

    /// Waits for a query.
    pub async fn queried(&self) {
        self.state.received.acquire().await.unwrap().forget();
    }

    pub fn release(&self) {
        self.state.gate.add_permits(10_000);
    }
}

impl RelayState {
    async fn answer(&self, mut query: Vec<u8>) -> Option<Vec<u8>> {
        match self.code.load(Ordering::SeqCst) {
            0 => {
                let socket = UdpSocket::bind(ANY_PORT).await.unwrap();
                socket.send_to(&query, self.upstream.get()?).await.unwrap();
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer).await.unwrap();
                Some(buffer[..length].to_vec())
            }
            SILENT => None,
            code => {
                // The query is returned as a response (RFC 1035, section 4.1.1).
                query[2] |= 0x80;
                query[3] = 0x80 | code;
                Some(query)
            }
        }
    }
}
