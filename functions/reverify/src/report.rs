//! What a sweep tells of itself.

use serde::Serialize;
use shared::{models::domain::Status, telemetry::METRICS};

/// What a sweep did. Each check counts once: under `unknown` if it decided nothing, else under the status that the
/// domain ended in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Domains that were due.
    pub due: u64,
    /// Those that were checked, the result of which was written.
    pub checked: u64,
    /// Not proven yet.
    pub pending: u64,
    /// Proven.
    pub verified: u64,
    /// Served, but the proof is gone.
    pub failing: u64,
    /// Not served.
    pub failed: u64,
    /// Domains that lost their name to one that was checked. They need not have been due themselves.
    pub moved: u64,
    /// Nothing was decided.
    pub unknown: u64,
    /// Records that could not be read, and were put off.
    pub unreadable: u64,
    /// Those that are still due.
    pub left: u64,
    /// How long the oldest had been due when the sweep began, in seconds.
    pub oldest_due_seconds: u64,
    /// How long the sweep took, in milliseconds.
    pub ms: u64,
    /// Those of `failing` that were verified before.
    #[serde(skip)]
    pub lapsed: u64,
}

impl Report {
    /// Counts a check.
    pub(crate) fn count(&mut self, was: Status, is: Status, decided: bool) {
        self.checked += 1;
        let counter = match is {
            _ if !decided => &mut self.unknown,
            Status::Pending => &mut self.pending,
            Status::Verified => &mut self.verified,
            Status::Failing => &mut self.failing,
            Status::Failed => &mut self.failed,
        };
        *counter += 1;
        if (was, is) == (Status::Verified, Status::Failing) {
            self.lapsed += 1;
        }
    }

    /// One line of the log, which is its metrics, too.
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
            left = self.left,
            oldestDueSeconds = self.oldest_due_seconds,
            ms = self.ms,
            "swept"
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
