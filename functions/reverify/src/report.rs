//! What a sweep tells of itself.

use serde::Serialize;
use serde_json::{Value, json};
use shared::models::{domain::Status, time::Timestamp};

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

    /// The report as one line of CloudWatch's embedded metric format.
    pub fn metrics(&self, function: &str, now: Timestamp) -> String {
        let mut line = json!(self);
        line["lapsed"] = self.lapsed.into();
        let names = line.as_object().into_iter().flat_map(|line| line.keys());
        let metrics: Vec<Value> = names
            .map(|name| {
                let unit = match name.as_str() {
                    "oldestDueSeconds" => "Seconds",
                    "ms" => "Milliseconds",
                    _ => "Count",
                };
                json!({"Name": name, "Unit": unit})
            })
            .collect();
        line["FunctionName"] = function.into();
        line["_aws"] = json!({
            "Timestamp": now.millis(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": metrics,
            }],
        });
        line.to_string()
    }

    pub(crate) fn log(&self) {
        tracing::info!(
            due = self.due,
            checked = self.checked,
            pending = self.pending,
            verified = self.verified,
            failing = self.failing,
            failed = self.failed,
            moved = self.moved,
            unknown = self.unknown,
            unreadable = self.unreadable,
            left = self.left,
            oldest_due_seconds = self.oldest_due_seconds,
            ms = self.ms,
            "swept"
        );
    }
}

/// The metrics' namespace.
pub const NAMESPACE: &str = "AgencyApi";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_are_one_line_and_name_what_it_holds() {
        let mut report = Report::default();
        report.count(Status::Verified, Status::Failing, true);
        report.count(Status::Failing, Status::Failing, true);
        report.count(Status::Pending, Status::Pending, false);
        let line = report.metrics("reverify", Timestamp::from_seconds(1_800_000_000));
        assert!(!line.contains('\n'));
        let line: Value = serde_json::from_str(&line).unwrap();
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let metrics = directive["Metrics"].as_array().unwrap();
        assert_eq!(metrics.len(), 13);
        for metric in metrics {
            assert!(line[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
        }
        assert_eq!(line[directive["Dimensions"][0][0].as_str().unwrap()], "reverify");
        assert_eq!(
            (
                &line["checked"],
                &line["failing"],
                &line["lapsed"],
                &line["unknown"]
            ),
            (&json!(3), &json!(2), &json!(1), &json!(1))
        );
        assert!(json!(report).get("lapsed").is_none());
    }
}
