//! Changes of one agency's counters take turns: side by side they would only get into each other's way.

use std::hash::{BuildHasher, RandomState};

use shared::models::id::OrgId;
use tokio::sync::{Mutex, MutexGuard};

/// Agencies share so many turns, so that their number costs no memory.
const TURNS: usize = 64;

pub(crate) struct Turns {
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            turns: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        }
    }

    /// Waits until it is these agencies' turn, which lasts as long as what is returned.
    pub(crate) async fn wait(&self, agencies: &[&OrgId]) -> Vec<MutexGuard<'_, ()>> {
        let place = |org: &&OrgId| self.hasher.hash_one(org) as usize % TURNS;
        let mut places: Vec<_> = agencies.iter().map(place).collect();
        // Always in one order, so that no two wait for each other.
        places.sort_unstable();
        places.dedup();
        let mut turns = Vec::with_capacity(places.len());
        for turn in places.into_iter().filter_map(|place| self.turns.get(place)) {
            turns.push(turn.lock().await);
        }
        turns
    }
}
