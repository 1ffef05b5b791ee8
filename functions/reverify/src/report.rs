//! The report of a sweep: what the function returns, logs and emits as metrics.

use serde::Serialize;
use shared::{models::domain::Status, telemetry::METRICS};

/// What a sweep did. Each check counts once: under `unknown` if it decided nothing, else under the resulting status of
/// the domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Due domains.
    pub due: u64,
    /// Domains that were checked and written.
    pub checked: u64,
    /// Resulting status `pending`.
    pub pending: u64,
    /// Resulting status `verified`.
    pub verified: u64,
    /// Resulting status `failing`.
    pub failing: u64,
    /// Resulting status `failed`.
    pub failed: u64,
    /// Domains that lost their host name to a checked domain. They need not have been due themselves.
    pub moved: u64,
    /// DNS gave no definite answer.
    pub unknown: u64,
    /// Records that cannot be parsed. Their checks were put off.
    pub unreadable: u64,
    /// Domains that are still due.
    pub left: u64,
    /// How long the oldest domain had been due when the sweep started, in seconds.
    pub oldest_due_seconds: u64,
    /// The duration of the sweep, in milliseconds.
    pub ms: u64,
    /// Domains whose status changed from `verified` to `failing`: a part of `failing`. A metric only.
    #[serde(skip)]
    pub lapsed: u64,
    /// Checks that decided nothing because no resolver answered: a part of `unknown`. A metric only.
    #[serde(skip)]
    pub resolver_failed: u64,
    /// Whether a random name below `PORTAL_DOMAIN_TARGET` has an address: the sweep's own check of DNS, which needs no due
    /// domain. A metric only.
    #[serde(skip)]
    pub target_resolved: bool,
}

impl Report {
    /// Counts a check that was written.
    pub(crate) fn count(&mut self, before: Status, after: Status, decided: bool) {
        self.checked += 1;
        let counter = match after {
            _ if !decided => &mut self.unknown,
            Status::Pending => &mut self.pending,
            Status::Verified => &mut self.verified,
            Status::Failing => &mut self.failing,
            Status::Failed => &mut self.failed,
        };
        *counter += 1;
        if (before, after) == (Status::Verified, Status::Failing) {
            self.lapsed += 1;
        }
    }

    /// Writes the line of the log that is also the metrics.
    pub(crate) fn log(&self) {
        tracing::info!(
            target: METRICS,
            due = self.due,
            checked = self.checked,
            pending = self.pending,
            verified = self.verified,
            failing = self.failing,
            failed = self.failed,
            moved = self.moved,
            lapsed = self.lapsed,
            unknown = self.unknown,
            unreadable = self.unreadable,
            resolverFailed = self.resolver_failed,
            targetResolved = u8::from(self.target_resolved),
            left = self.left,
            oldestDueSeconds = self.oldest_due_seconds,
            ms = self.ms,
            "sweep finished"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_counts_once() {
        let mut report = Report::default();
        report.count(Status::Verified, Status::Failing, true);
        report.count(Status::Failing, Status::Failing, true);
        report.count(Status::Pending, Status::Pending, false);
        assert_eq!(
            (report.checked, report.failing, report.lapsed, report.unknown),
            (3, 2, 1, 1)
        );
        assert!(serde_json::json!(report).get("lapsed").is_none());
    }
}
