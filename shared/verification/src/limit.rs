//! A limit on what runs at the same time, for each key of its own.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// At most so many permits at a time for each key. A key without permits takes no memory.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit<K: Clone + Eq + Hash> {
    permits: usize,
    semaphores: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Clone + Eq + Hash> ConcurrencyLimit<K> {
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits,
            semaphores: Mutex::default(),
        }
    }

    /// Waits for a permit, first come, first served.
    pub(crate) async fn acquire(&self, key: K) -> Permit<'_, K> {
        let semaphore = {
            let mut semaphores = lock(&self.semaphores);
            let semaphore = semaphores.entry(key.clone());
            Arc::clone(semaphore.or_insert_with(|| Arc::new(Semaphore::new(self.permits))))
        };
        // Created before the wait: a caller that stops waiting drops it, which removes the key's semaphore.
        let mut permit = Permit {
            limit: self,
            key,
            permit: None,
        };
        // The semaphore is never closed.
        permit.permit = semaphore.acquire_owned().await.ok();
        permit
    }
}

/// Locks a mutex. No code panics while it holds one, so a poisoned one is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returned to its key's semaphore when dropped.
#[derive(Debug)]
pub(crate) struct Permit<'a, K: Clone + Eq + Hash> {
    limit: &'a ConcurrencyLimit<K>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Clone + Eq + Hash> Drop for Permit<'_, K> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut semaphores = lock(&self.limit.semaphores);
        let is_unused = |semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) == 1;
        if semaphores.get(&self.key).is_some_and(is_unused) {
            semaphores.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_key_has_its_own_permits_and_is_removed_when_all_are_returned() {
        let limit = ConcurrencyLimit::new(2);
        let mut permits = vec![limit.acquire("a").await, limit.acquire("a").await];
        drop(limit.acquire("b").await);
        let mut next = pin!(limit.acquire("a"));
        let wait = Duration::from_millis(20);
        assert!(timeout(wait, &mut next).await.is_err());
        permits.pop();
        drop(timeout(wait, next).await.unwrap());
        permits.clear();
        assert!(lock(&limit.semaphores).is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_wait_leaves_no_semaphore() {
        let limit = ConcurrencyLimit::new(1);
        let permit = limit.acquire("a").await;
        let wait = Duration::from_millis(20);
        assert!(timeout(wait, limit.acquire("a")).await.is_err());
        drop(permit);
        assert!(lock(&limit.semaphores).is_empty());
    }
}
