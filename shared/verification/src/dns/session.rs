//! What checks of one sweep, or of one `verify`, share: zone cuts, server addresses, and their care not to flood anyone.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hickory_proto::rr::Name;

use super::{wire::Pace, zone::Cut};
use crate::gates::Gates;

/// Zone cuts, server addresses and silences remembered, each.
const MEMORY: usize = 4096;
/// Checks of one zone, and questions to one name server, at a time.
const AT_ONCE: usize = 10;
/// After so many checks in a row to which nobody said anything, nobody is asked again.
const SILENCES: u32 = 3;

/// What one sweep, or one `verify`, may reuse. Never kept beyond it: delegations and addresses are asked anew by the
/// next one.
#[derive(Debug)]
pub struct Session {
    state: Mutex<State>,
    /// Where no more than ten are at a time.
    pub(super) gates: Gates<Key>,
    /// Of all questions to resolvers.
    pub(super) pace: Pace,
    /// Where our own target leads.
    pub(super) edge: Cell<Vec<IpAddr>>,
}

#[derive(Debug, Default)]
struct State {
    cuts: Recent<Name, Cell<Arc<Cut>>>,
    addresses: Recent<Name, Cell<Vec<IpAddr>>>,
    silences: Recent<Servers, u32>,
}

/// A value that is found once, however many look for it at the same time: whoever finds it holds the lock. Nothing is
/// kept of a failure.
pub(super) type Cell<T> = Arc<tokio::sync::Mutex<Option<T>>>;

/// The names of all name servers of a zone.
pub(super) type Servers = Arc<[Name]>;

/// Who is not to be flooded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The names of one registrable domain.
    Domain(Name),
    /// One address of a name server.
    Server(IpAddr),
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// One that remembers nothing.
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            gates: Gates::new(AT_ONCE),
            pace: Pace::default(),
            edge: Cell::default(),
        }
    }

    /// The cut that `name` is known to be at.
    pub(super) fn known_cut(&self, name: &Name) -> Option<Arc<Cut>> {
        self.lock().cuts.get(name)?.try_lock().ok()?.clone()
    }

    /// The cut for `name`, to be found by whoever comes first.
    pub(super) fn cut(&self, name: &Name) -> Cell<Arc<Cut>> {
        self.lock().cuts.entry(name).clone()
    }

    /// Remembers a cut that was met on the way.
    pub(super) fn remember(&self, cut: &Arc<Cut>) {
        // Where somebody is looking for it, they will find it.
        if let Ok(mut known) = self.cut(&cut.zone).try_lock() {
            known.get_or_insert_with(|| Arc::clone(cut));
        }
    }

    /// The addresses of a name server, to be found by whoever comes first.
    pub(super) fn addresses(&self, server: &Name) -> Cell<Vec<IpAddr>> {
        self.lock().addresses.entry(server).clone()
    }

    /// Whether all of them were silent to three checks in a row.
    pub(super) fn is_silent(&self, servers: &Servers) -> bool {
        let state = self.lock();
        state
            .silences
            .get(servers)
            .is_some_and(|times| *times >= SILENCES)
    }

    /// A check has asked them.
    pub(super) fn heard(&self, servers: &Servers, anything: bool) {
        let mut state = self.lock();
        if !anything {
            *state.silences.entry(servers) += 1;
        } else if state.silences.get(servers).is_some() {
            *state.silences.entry(servers) = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest values.
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
            if self.order.len() >= MEMORY
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
    fn three_silences_in_a_row_are_enough() {
        let session = Session::new();
        let key = Servers::from([Name::root()]);
        for heard in [false, false, true, false, false] {
            session.heard(&key, heard);
            assert!(!session.is_silent(&key));
        }
        session.heard(&key, false);
        assert!(session.is_silent(&key));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut recent = Recent::<usize, u32>::default();
        for key in 0..=MEMORY {
            *recent.entry(&key) += 1;
        }
        assert_eq!(
            (recent.get(&0), recent.get(&1), recent.values.len()),
            (None, Some(&1), MEMORY)
        );
    }
}
