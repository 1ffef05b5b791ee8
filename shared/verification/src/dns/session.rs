//! What the checks of one sweep, or of one request, share: delegations, server addresses, limits, and name servers that
//! do not respond.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use hickory_proto::rr::Name;
use tokio::sync::OnceCell;

use super::{delegation::Delegation, wire::RateLimit};
use crate::limit::{ConcurrencyLimit, lock};

/// Entries of each cache.
const CAPACITY: usize = 2048;
/// Queries to one name server address at a time.
const CONCURRENCY: usize = 10;
/// After so many checks in a row without any response from a set of name servers, the set is not queried again.
const MAX_TIMEOUTS: u32 = 3;

/// Shared by the checks of one sweep or one request and never kept longer, so that the next one asks for delegations and
/// addresses anew.
#[derive(Debug)]
pub struct Session {
    caches: Mutex<Caches>,
    /// Of the queries to one name server address.
    pub(super) concurrency: ConcurrencyLimit<IpAddr>,
    /// For all queries to resolvers.
    pub(super) rate_limit: RateLimit,
    /// The addresses of the operator's edge. All names below the target have the same ones.
    pub(super) edge: OnceCell<Vec<IpAddr>>,
}

#[derive(Debug, Default)]
struct Caches {
    delegations: Recent<Name, Arc<OnceCell<Arc<Delegation>>>>,
    addresses: Recent<Name, Arc<OnceCell<Vec<IpAddr>>>>,
    timeouts: Recent<ServerSet, u32>,
}

/// The names of all name servers of a zone, sorted.
pub(super) type ServerSet = Arc<[Name]>;

impl Default for Session {
    fn default() -> Self {
        Self {
            caches: Mutex::default(),
            concurrency: ConcurrencyLimit::new(CONCURRENCY),
            rate_limit: RateLimit::default(),
            edge: OnceCell::new(),
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

    /// The cell for the addresses of a name server.
    pub(super) fn addresses(&self, server: &Name) -> Arc<OnceCell<Vec<IpAddr>>> {
        lock(&self.caches).addresses.entry(server).clone()
    }

    /// Whether the servers did not respond to three checks in a row.
    pub(super) fn is_unresponsive(&self, servers: &ServerSet) -> bool {
        let caches = lock(&self.caches);
        let timeouts = caches.timeouts.get(servers);
        timeouts.is_some_and(|timeouts| *timeouts >= MAX_TIMEOUTS)
    }

    /// Counts a check in which one of the servers responded, or none of them did.
    pub(super) fn count_check(&self, servers: &ServerSet, responded: bool) {
        let mut caches = lock(&self.caches);
        if !responded {
            *caches.timeouts.entry(servers) += 1;
        } else if caches.timeouts.get(servers).is_some() {
            *caches.timeouts.entry(servers) = 0;
        }
    }
}

/// A cache that drops its oldest entry when it is full.
#[derive(Debug)]
struct Recent<K, V> {
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
    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    fn entry(&mut self, key: &K) -> &mut V {
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
    fn servers_are_unresponsive_after_three_checks_in_a_row() {
        let session = Session::default();
        let servers = ServerSet::from([Name::root()]);
        for responded in [false, false, true, false, false] {
            session.count_check(&servers, responded);
            assert!(!session.is_unresponsive(&servers));
        }
        session.count_check(&servers, false);
        assert!(session.is_unresponsive(&servers));
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
