//! What the checks of one sweep, or of one request, share: delegations, server addresses, limits, and name servers that
//! do not respond.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_proto::rr::{Name, RecordType};
use tokio::sync::OnceCell;

use super::{concurrency::AddressLimit, delegation::Delegation, evidence::EdgeAddresses, wire::RateLimit};
use crate::limit::lock;

/// Entries of each cache.
const CAPACITY: usize = 2048;
/// After so many checks in a row without any response from a zone or a set of name servers, it is not queried again.
const MAX_TIMEOUTS: u32 = 3;

/// Shared by the checks of one sweep or one request and never kept longer, so that the next one asks for delegations and
/// addresses anew.
#[derive(Debug)]
pub struct Session {
    caches: Mutex<Caches>,
    /// Of the queries to one name server address.
    pub(super) concurrency: AddressLimit,
    /// For all queries to resolvers.
    pub(super) rate_limit: RateLimit,
    /// The resolvers that failed, the last one at the end.
    failed_resolvers: Mutex<Vec<SocketAddr>>,
    /// The addresses of the operator's edge. All names below the target have the same ones.
    pub(super) edge: OnceCell<EdgeAddresses>,
    /// Those that TLS handshakes go to.
    pub(super) edge_addresses: OnceCell<Vec<IpAddr>>,
}

#[derive(Debug, Default)]
struct Caches {
    delegations: Recent<Name, Arc<OnceCell<Arc<Delegation>>>>,
    addresses: Recent<(Name, RecordType), Arc<OnceCell<Vec<IpAddr>>>>,
    timeouts: Recent<Responder, u32>,
}

/// The names of all name servers of a zone, sorted.
pub(super) type ServerSet = Arc<[Name]>;

/// What responds to checks, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Responder {
    Zone(Name),
    Servers(ServerSet),
}

impl Responder {
    pub(super) fn of(delegation: &Delegation) -> [Self; 2] {
        [
            Self::Zone(delegation.zone.clone()),
            Self::Servers(Arc::clone(&delegation.names)),
        ]
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            caches: Mutex::default(),
            concurrency: AddressLimit::default(),
            rate_limit: RateLimit::default(),
            failed_resolvers: Mutex::default(),
            edge: OnceCell::new(),
            edge_addresses: OnceCell::new(),
        }
    }
}

impl Session {
    /// The delegation of the zone `name`, if it was found before.
    pub(super) fn known_delegation(&self, name: &Name) -> Option<Arc<Delegation>> {
        lock(&self.caches).delegations.get(name)?.get().cloned()
    }

    /// The cell for the delegation of the zone that `name` is in.
    pub(super) fn delegation(&self, name: &Name) -> Arc<OnceCell<Arc<Delegation>>> {
        lock(&self.caches).delegations.entry(name).clone()
    }

    /// Adds a delegation from a referral, unless another check is looking for it at the moment.
    pub(super) fn remember(&self, delegation: &Arc<Delegation>) {
        let _ = self.delegation(&delegation.zone).set(Arc::clone(delegation));
    }

    /// The cell for the addresses of one family of a name server.
    pub(super) fn addresses(&self, server: &(Name, RecordType)) -> Arc<OnceCell<Vec<IpAddr>>> {
        lock(&self.caches).addresses.entry(server).clone()
    }

    /// The resolvers in their order, but those last that failed.
    pub(super) fn resolvers(&self, all: &[SocketAddr]) -> Vec<SocketAddr> {
        let failed = lock(&self.failed_resolvers);
        let mut resolvers = all.to_vec();
        resolvers.sort_by_key(|resolver| failed.iter().position(|other| other == resolver));
        resolvers
    }

    pub(super) fn resolver_failed(&self, resolver: SocketAddr) {
        let mut failed = lock(&self.failed_resolvers);
        failed.retain(|other| *other != resolver);
        failed.push(resolver);
    }

    /// Whether the zone, or its set of servers, did not respond to three checks in a row.
    pub(super) fn is_unresponsive(&self, delegation: &Delegation) -> bool {
        let caches = lock(&self.caches);
        let timeouts = |responder| caches.timeouts.get(&responder).copied();
        Responder::of(delegation)
            .into_iter()
            .any(|responder| timeouts(responder) >= Some(MAX_TIMEOUTS))
    }

    /// Counts a check in which a server responded, or none did.
    pub(super) fn count_check(&self, responder: &Responder, responded: bool) {
        let mut caches = lock(&self.caches);
        if !responded {
            *caches.timeouts.entry(responder) += 1;
        } else if caches.timeouts.get(responder).is_some() {
            *caches.timeouts.entry(responder) = 0;
        }
    }
}

/// A cache that drops its oldest entry when it is full.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Default> Recent<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    pub(super) fn entry(&mut self, key: &K) -> &mut V {
        if !self.values.contains_key(key) {
            if self.order.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.values.entry(key.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_or_a_set_of_servers_is_unresponsive_after_three_checks_in_a_row() {
        let zone = |zone: &str| Delegation::of_test(zone, "ns.acme.test.");
        let one = zone("acme.test.");
        for responder in Responder::of(&one) {
            let session = Session::default();
            for responded in [false, false, true, false, false] {
                session.count_check(&responder, responded);
                assert!(!session.is_unresponsive(&one));
            }
            session.count_check(&responder, false);
            assert!(session.is_unresponsive(&one));
            let is_set = matches!(responder, Responder::Servers(_));
            assert_eq!(session.is_unresponsive(&zone("globex.test.")), is_set);
        }
    }

    #[test]
    fn resolvers_that_failed_are_asked_last() {
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let session = Session::default();
        let order = || session.resolvers(&[a, b, c]);
        assert_eq!(order(), [a, b, c]);
        session.resolver_failed(a);
        assert_eq!(order(), [b, c, a]);
        session.resolver_failed(b);
        assert_eq!(order(), [c, a, b]);
        session.resolver_failed(a);
        assert_eq!(order(), [c, b, a]);
    }

    #[test]
    fn a_full_cache_drops_its_oldest_entry() {
        let mut recent = Recent::<usize, u32>::default();
        for key in 0..=CAPACITY {
            *recent.entry(&key) += 1;
        }
        assert_eq!(
            (recent.get(&0), recent.get(&1), recent.values.len()),
            (None, Some(&1), CAPACITY)
        );
    }
}
