//! The schedule's function: it checks the domains that are due.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use serde::Deserialize;
use shared::{
    app::App,
    models::{domain::Domain, time::Timestamp},
    store::{self, keys::DUE_SHARDS},
    telemetry::Scope,
};
use verification::Network;

mod group;
mod report;
mod scheduler;
mod source;
mod sweep;

pub use report::Report;
pub use sweep::sweep;

/// What invokes the function: EventBridge Scheduler's own event, or one of an operator. Other properties are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepEvent {
    /// The shards of the index to read, so that several invocations can share the work. All of them by default.
    #[serde(default)]
    pub shards: Option<Vec<u8>>,
    /// Instead of what is due, check every domain whose last check was before this time: after a restore.
    #[serde(default)]
    pub unchecked_since: Option<Timestamp>,
}

/// The domains that a sweep checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The shards of the index, each once.
    pub shards: Vec<u8>,
    /// Instead of what is due: every domain whose last check was before this time.
    pub unchecked_since: Option<Timestamp>,
}

/// Why a sweep failed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The event names a shard that does not exist.
    #[error("shard {0} does not exist")]
    NoSuchShard(u8),
    /// The index of due checks cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl SweepEvent {
    /// The domains that the event selects.
    ///
    /// # Errors
    /// [`SweepError::NoSuchShard`]
    pub fn selection(self) -> Result<Selection, SweepError> {
        let mut selection = Selection {
            unchecked_since: self.unchecked_since,
            ..Selection::default()
        };
        if let Some(mut shards) = self.shards {
            shards.sort_unstable();
            shards.dedup();
            if let Some(shard) = shards.last().filter(|shard| **shard >= DUE_SHARDS) {
                return Err(SweepError::NoSuchShard(*shard));
            }
            selection.shards = shards;
        }
        Ok(selection)
    }
}

impl Selection {
    fn excludes(&self, domain: &Domain) -> bool {
        let last = domain.check.as_ref().and_then(|check| check.checked_at);
        self.unchecked_since.is_some_and(|since| last >= Some(since))
    }
}

impl Default for Selection {
    /// What is due in all shards.
    fn default() -> Self {
        Self {
            shards: (0..DUE_SHARDS).collect(),
            unchecked_since: None,
        }
    }
}

/// Sweeps once, within the time of the invocation. Logs the report, which is also its metrics.
///
/// # Errors
/// [`SweepError`].
pub async fn handle(
    app: &App,
    network: &Network,
    event: LambdaEvent<SweepEvent>,
) -> Result<Report, lambda_runtime::Error> {
    let selection = event.payload.selection()?;
    let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let time = Timestamp::from_millis(deadline).since(app.clock.now());
    let scope = Scope::new(event.context.request_id, event.context.xray_trace_id.as_deref());
    let swept = scope.run(sweep(app, network, &selection, time.max(Duration::from_secs(1))));
    Ok(swept.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(event: &str) -> Result<Selection, String> {
        let event: SweepEvent = serde_json::from_str(event).unwrap();
        event.selection().map_err(|error| error.to_string())
    }

    fn shards(event: &str) -> Result<Vec<u8>, String> {
        selection(event).map(|selection| selection.shards)
    }

    #[test]
    fn an_event_may_name_shards() {
        let scheduled = include_str!("../../../events/reverify/schedule.json");
        assert_eq!(shards(scheduled), Ok((0..16).collect()));
        assert_eq!(shards("{}"), Ok((0..16).collect()));
        assert_eq!(shards(r#"{"shards": [3, 1, 3]}"#), Ok(vec![1, 3]));
        assert_eq!(
            shards(r#"{"shards": [16]}"#),
            Err("shard 16 does not exist".to_owned())
        );
        assert_eq!(shards(r#"{"shards": []}"#), Ok(Vec::new()));
    }

    #[test]
    fn an_event_may_select_domains_that_are_not_due() {
        let selected = selection(r#"{"uncheckedSince": "2026-11-25T08:00:00Z"}"#).unwrap();
        assert_eq!(selected.shards.len(), 16);
        assert_eq!(
            selected.unchecked_since,
            Some("2026-11-25T08:00:00Z".parse().unwrap())
        );
        assert_eq!(selection("{}").unwrap(), Selection::default());
        assert!(serde_json::from_str::<SweepEvent>(r#"{"uncheckedSince": "now"}"#).is_err());
    }
}
