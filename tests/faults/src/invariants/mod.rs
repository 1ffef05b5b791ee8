//! What holds after any operations and any faults. It is evaluated from the items and the responses alone, without the code of the
//! API.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Display},
};

use crate::{history::Attempt, table::TableItems};

mod audit;
mod responses;
mod structure;
#[cfg(test)]
mod tests;

/// The names of all invariants.
pub const INVARIANTS: [&str; 30] = [
    "acknowledged values",
    "acknowledged writes",
    "agency",
    "audit entries",
    "audit log",
    "candidates",
    "clients of domains",
    "complete reads",
    "counters",
    "deleted resources",
    "due entries",
    "external ids",
    "holders",
    "host entries",
    "host names",
    "memberships",
    "name index",
    "no entry of a refusal",
    "no internal error",
    "no item without its owner",
    "no operation applied twice",
    "one resource for a key",
    "order of the audit log",
    "primary domains",
    "redirects",
    "settings of clients",
    "setup links",
    "slug markers",
    "times never fall",
    "tokens",
];

/// How often each invariant was checked, and what violates one.
#[derive(Default)]
pub struct Findings {
    pub checks: BTreeMap<&'static str, usize>,
    pub violations: Vec<String>,
}

impl Findings {
    /// Counts a check. `what` describes the violation.
    fn check<T: Display>(&mut self, invariant: &'static str, holds: bool, what: impl FnOnce() -> T) {
        *self.checks.entry(invariant).or_default() += 1;
        if !holds {
            self.violations.push(format!("{invariant}: {}", what()));
        }
    }

    fn equal<T: PartialEq + Debug>(
        &mut self,
        invariant: &'static str,
        actual: T,
        expected: T,
        what: impl Display,
    ) {
        let equal = actual == expected;
        self.check(invariant, equal, || {
            format!("{what}: {actual:?}, expected {expected:?}")
        });
    }
}

/// Checks everything.
pub fn check(table: &TableItems, history: &[Attempt]) -> Findings {
    let mut findings = Findings::default();
    structure::check(table, &mut findings);
    audit::check(table, &mut findings);
    responses::check(table, history, &mut findings);
    findings
}
