//! What the fuzz targets share.
//!
//! The engine is libFuzzer, through `bolero`. `cargo-fuzz` has the same engine, but needs a nightly compiler. `honggfuzz` and `afl`
//! also work with a stable one, but need a program of their own and Debian's packages for it, and their targets run under their tool
//! alone. `bolero` builds libFuzzer into the target, and without the tool the target is an ordinary test that runs its corpus.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Counts the inputs that the product accepts, and prints their share once a second.
pub struct Accepted {
    accepted: Cell<u64>,
    all: Cell<u64>,
    printed: Cell<Instant>,
}

impl Accepted {
    /// Counts from now on.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { accepted: Cell::new(0), all: Cell::new(0), printed: Cell::new(Instant::now()) }
    }

    /// Counts one input.
    pub fn count(&self, is_accepted: bool) {
        self.all.set(self.all.get() + 1);
        self.accepted.set(self.accepted.get() + u64::from(is_accepted));
        if self.printed.get().elapsed() > Duration::from_secs(1) {
            self.printed.set(Instant::now());
            let share = self.accepted.get() as f64 / self.all.get() as f64 * 100.0;
            eprintln!("accepted: {share:.1} %");
        }
    }
}
