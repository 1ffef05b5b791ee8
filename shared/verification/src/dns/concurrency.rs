//! The limit on queries to one name server address at a time, and the places that are reserved for servers that respond.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use shared::random;
use tokio::sync::oneshot;

use super::session::{Recent, ServerSet};
use crate::limit::lock;

/// Queries to one address at a time.
const LIMIT: usize = 10;
/// Of these, queries for sets of name servers that have not responded in this session. Any number of zones can be delegated
/// to an address that does not know them: they must not delay the address's own zones.
const UNKNOWN_LIMIT: usize = 6;

#[derive(Debug, Default, Clone)]
pub(super) struct AddressLimit(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, Address>,
    /// Sets of name servers that have responded.
    responded: Recent<ServerSet, ()>,
}

/// An address without permits and waiters takes no memory.
#[derive(Debug, Default)]
struct Address {
    permits: usize,
    /// Permits for sets of name servers that had not responded when they got the permit.
    unknown: usize,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    servers: ServerSet,
    turn: oneshot::Sender<ServerPermit>,
}

/// Returned to its address when dropped.
#[derive(Debug)]
pub(super) struct ServerPermit {
    limit: AddressLimit,
    address: IpAddr,
    unknown: bool,
}

impl AddressLimit {
    /// Waits for a permit. Sets that have responded go first. Of the others one is chosen at random, so that no number of
    /// older checks keeps a set from its first response.
    pub(super) async fn acquire(&self, address: IpAddr, servers: &ServerSet) -> Option<ServerPermit> {
        let (turn, permit) = oneshot::channel();
        let waiter = Waiter {
            servers: Arc::clone(servers),
            turn,
        };
        {
            let mut state = lock(&self.0);
            state.addresses.entry(address).or_default().waiting.push(waiter);
        }
        self.grant(address);
        // Each waiter gets a permit, because a permit is returned when it is dropped.
        permit.await.ok()
    }

    /// Notes that a set of name servers has responded.
    pub(super) fn responded(&self, servers: &ServerSet) {
        lock(&self.0).responded.entry(servers);
    }

    /// Gives the free permits of an address to its waiters.
    fn grant(&self, address: IpAddr) {
        loop {
            let next = lock(&self.0).next(address);
            let Some((waiter, unknown)) = next else { return };
            // If the waiter is gone, the permit is dropped here, outside the lock.
            drop(waiter.turn.send(ServerPermit {
                limit: self.clone(),
                address,
                unknown,
            }));
        }
    }
}

impl State {
    /// The waiter that gets a permit now, and whether its servers have not responded.
    fn next(&mut self, address: IpAddr) -> Option<(Waiter, bool)> {
        let entry = self.addresses.get_mut(&address)?;
        entry.waiting.retain(|waiter| !waiter.turn.is_closed());
        if entry.permits == LIMIT {
            return None;
        }
        let has_responded = |waiter: &Waiter| self.responded.get(&waiter.servers).is_some();
        let responsive = entry.waiting.iter().position(has_responded);
        let index = match responsive {
            Some(index) => index,
            None if entry.waiting.is_empty() || entry.unknown == UNKNOWN_LIMIT => {
                if entry.permits == 0 && entry.waiting.is_empty() {
                    self.addresses.remove(&address);
                }
                return None;
            }
            None => random::below(u32::try_from(entry.waiting.len()).unwrap_or(u32::MAX)) as usize,
        };
        let unknown = responsive.is_none();
        entry.permits += 1;
        entry.unknown += usize::from(unknown);
        Some((entry.waiting.swap_remove(index), unknown))
    }
}

impl Drop for ServerPermit {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.limit.0).addresses.get_mut(&self.address) {
            entry.permits -= 1;
            entry.unknown -= usize::from(self.unknown);
        }
        self.limit.grant(self.address);
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use futures_util::future::join_all;
    use hickory_proto::rr::Name;
    use tokio::time::timeout;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn servers(name: &str) -> ServerSet {
        [Name::from_ascii(name).unwrap()].into()
    }

    async fn acquire(limit: &AddressLimit, servers: &ServerSet) -> Option<ServerPermit> {
        let wait = Duration::from_secs(60);
        timeout(wait, limit.acquire(ADDRESS, servers))
            .await
            .ok()
            .flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn four_of_ten_places_are_reserved_for_servers_that_have_responded() {
        let limit = AddressLimit::default();
        let [silent, real] = ["ns.silent.test.", "ns.real.test."].map(servers);
        let taken = join_all((0..8).map(|_| acquire(&limit, &silent))).await;
        assert_eq!(taken.iter().flatten().count(), 6);
        assert!(acquire(&limit, &real).await.is_none());
        limit.responded(&real);
        let reserved = join_all((0..8).map(|_| acquire(&limit, &real))).await;
        assert_eq!(reserved.iter().flatten().count(), 4);
        drop(taken);
        let more = join_all((0..8).map(|_| acquire(&limit, &real))).await;
        assert_eq!(more.iter().flatten().count(), 6);
        drop((reserved, more));
        assert!(lock(&limit.0).addresses.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_whose_servers_respond_meanwhile_goes_first() {
        let limit = AddressLimit::default();
        let [silent, real] = ["ns.silent.test.", "ns.real.test."].map(servers);
        let mut taken = join_all((0..6).map(|_| acquire(&limit, &silent))).await;
        let (mut older, mut newer) = (pin!(acquire(&limit, &silent)), pin!(acquire(&limit, &real)));
        let moment = Duration::from_millis(1);
        assert!(timeout(moment, &mut older).await.is_err());
        assert!(timeout(moment, &mut newer).await.is_err());
        limit.responded(&real);
        taken.pop();
        assert!(timeout(moment, newer).await.unwrap().is_some());
        // It took a reserved place, and the older one the place that became free.
        assert!(timeout(moment, older).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_takes_no_place() {
        let limit = AddressLimit::default();
        let silent = servers("ns.silent.test.");
        let taken = join_all((0..6).map(|_| acquire(&limit, &silent))).await;
        assert!(acquire(&limit, &silent).await.is_none());
        drop(taken);
        assert!(lock(&limit.0).addresses.is_empty());
    }
}
