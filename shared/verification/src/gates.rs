//! Places that are taken in turn: so many at a time for each key.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A gate for each key that somebody is at. A key at which nobody is costs nothing.
#[derive(Debug)]
pub struct Gates<K: Clone + Eq + Hash> {
    places: usize,
    gates: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Clone + Eq + Hash> Gates<K> {
    /// Gates with so many places each.
    pub fn new(places: usize) -> Self {
        Self {
            places,
            gates: Mutex::default(),
        }
    }

    /// Waits for a place at `key`, first come, first served. Dropping the place leaves it.
    pub async fn enter(&self, key: K) -> Place<'_, K> {
        let gate = {
            let mut gates = self.lock();
            let gate = gates.entry(key.clone());
            Arc::clone(gate.or_insert_with(|| Arc::new(Semaphore::new(self.places))))
        };
        // Made before the wait, so that whoever gives it up leaves no gate behind.
        let mut place = Place {
            gates: self,
            key,
            permit: None,
        };
        // It is never closed.
        place.permit = gate.acquire_owned().await.ok();
        place
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the places at a key.
#[derive(Debug)]
pub struct Place<'a, K: Clone + Eq + Hash> {
    gates: &'a Gates<K>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Clone + Eq + Hash> Drop for Place<'_, K> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut gates = self.gates.lock();
        let is_last = |gate: &Arc<Semaphore>| Arc::strong_count(gate) == 1;
        if gates.get(&self.key).is_some_and(is_last) {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn as_many_enter_as_there_are_places_and_an_empty_gate_is_forgotten() {
        let gates = Gates::new(2);
        let mut inside = vec![gates.enter("a").await, gates.enter("a").await];
        drop(gates.enter("b").await);
        let mut next = pin!(gates.enter("a"));
        let wait = Duration::from_millis(20);
        assert!(timeout(wait, &mut next).await.is_err());
        inside.pop();
        drop(timeout(wait, next).await.unwrap());
        inside.clear();
        assert!(gates.lock().is_empty());
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_nothing_behind() {
        let gates = Gates::new(1);
        let inside = gates.enter("a").await;
        assert!(
            timeout(Duration::from_millis(20), gates.enter("a"))
                .await
                .is_err()
        );
        drop(inside);
        assert!(gates.lock().is_empty());
    }
}
