//! What the fuzz targets share.
//!
//! The engine is libFuzzer, through `bolero`. `cargo-fuzz` has the same engine, but needs a nightly compiler. `honggfuzz` and `afl`
//! also work with a stable one, but need a program of their own and Debian's packages for it, and their targets run under their tool
//! alone. `bolero` builds libFuzzer into the target, and without the tool the target is an ordinary test that runs its corpus.

// `cargo bolero` also links a test of this library, which needs the engine.
use bolero as _;

pub mod figures;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Counts the inputs that the product accepts, and prints their share every second.
#[derive(Debug)]
pub struct Accepted {
    accepted: AtomicU64,
    all: AtomicU64,
    start: Instant,
    printed: AtomicU64,
}

impl Accepted {
    /// Counts from now on.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let count = AtomicU64::default;
        Self {
            accepted: count(),
            all: count(),
            start: Instant::now(),
            printed: count(),
        }
    }

    /// Counts one input.
    pub fn count(&self, is_accepted: bool) {
        let accepted = self.accepted.fetch_add(is_accepted.into(), Relaxed) + u64::from(is_accepted);
        let all = self.all.fetch_add(1, Relaxed) + 1;
        let seconds = self.start.elapsed().as_secs();
        if self.printed.swap(seconds, Relaxed) < seconds {
            eprintln!("accepted: {:.3} %", accepted as f64 / all as f64 * 100.0);
        }
    }
}
