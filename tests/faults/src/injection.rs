//! The faults that the proxy injects: how often each kind, chosen by a seed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use local::fault::{Fault, Proxy};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// A kind of faults.
struct FaultKind {
    name: &'static str,
    /// Whether it is for this action.
    is_for: fn(&str) -> bool,
    /// How many of 1,000 requests of the action have it.
    per_mille: u32,
    fault: fn(&mut SmallRng) -> Fault,
}

const fn kind(name: &'static str, per_mille: u32, fault: fn(&mut SmallRng) -> Fault) -> FaultKind {
    FaultKind {
        name,
        is_for: |_| true,
        per_mille,
        fault,
    }
}

const KINDS: [FaultKind; 12] = [
    kind("throttled", 8, |_| Fault::throttle()),
    kind("500 InternalServerError", 6, |_| Fault::internal_error()),
    kind("503 of an unlisted code", 4, |_| {
        Fault::server_error(503, "Unlisted")
    }),
    FaultKind {
        // Reads do not conflict with transactions.
        is_for: |action| {
            matches!(
                action,
                "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"
            )
        },
        ..kind("conflict", 15, |_| Fault::conflict())
    },
    kind("request lost", 8, |_| Fault::lose_request()),
    kind("response lost", 10, |_| Fault::lose_answer()),
    kind("response cut", 6, |_| Fault::cut_answer()),
    kind("request delivered later", 10, |_| Fault::delay()),
    kind("no response", 1, |_| Fault::stall()),
    FaultKind {
        is_for: |action| action == "TransactWriteItems",
        ..kind("transaction delivered later", 10, |_| Fault::delay())
    },
    FaultKind {
        is_for: |action| action == "BatchGetItem",
        ..kind("keys unprocessed", 30, |_| Fault::unprocessed())
    },
    FaultKind {
        is_for: |action| action == "Query",
        ..kind("page ended early", 100, |rng| {
            Fault::end_page(rng.random_range(0..6))
        })
    },
];

/// The number of injected faults of each kind, also 0.
#[derive(Clone, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Counts {
    pub fn get(&self) -> BTreeMap<&'static str, usize> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the proxy inject faults. The seed fixes the sequence of random numbers, of which each request takes the next one. Its
/// action and that number decide which fault it gets.
pub fn start(proxy: &Proxy, seed: u64) -> Counts {
    let counts = Counts::default();
    *counts.lock() = KINDS.iter().map(|kind| (kind.name, 0)).collect();
    let counted = counts.clone();
    let mut rng = SmallRng::seed_from_u64(seed);
    proxy.choose_faults(move |action| {
        let mut left: u32 = rng.random_range(0..1000);
        let kinds = KINDS.iter().filter(|kind| (kind.is_for)(action));
        for kind in kinds {
            if left < kind.per_mille {
                *counted.lock().entry(kind.name).or_default() += 1;
                return Some((kind.fault)(&mut rng));
            }
            left -= kind.per_mille;
        }
        None
    });
    counts
}

/// Ends the injection.
pub fn stop(proxy: &Proxy) {
    proxy.choose_faults(|_| None);
}
