//! The schedule's function: it checks the domains that are due.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use serde::Deserialize;
use shared::{
    app::App,
    models::time::Timestamp,
    store::{self, keys::DUE_SHARDS},
    telemetry::Scope,
};
use verification::Dns;

mod group;
mod report;
mod scheduler;
mod source;
mod sweep;

pub use report::Report;
pub use sweep::sweep;

/// What invokes the function: EventBridge Scheduler's own event, or one that names shards. Other properties are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Event {
    /// The shards of the index to read, so that several invocations can share the work. All of them by default.
    #[serde(default)]
    pub shards: Option<Vec<u8>>,
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

impl Event {
    /// The shards to read, each once.
    ///
    /// # Errors
    /// [`SweepError::NoSuchShard`]
    pub fn shards(&self) -> Result<Vec<u8>, SweepError> {
        let Some(named) = &self.shards else {
            return Ok((0..DUE_SHARDS).collect());
        };
        let mut shards = named.clone();
        shards.sort_unstable();
        shards.dedup();
        match shards.last() {
            Some(shard) if *shard >= DUE_SHARDS => Err(SweepError::NoSuchShard(*shard)),
            _ => Ok(shards),
        }
    }
}

/// Sweeps once, within the time of the invocation. Logs the report, which is also its metrics.
///
/// # Errors
/// [`SweepError`].
pub async fn handle(
    app: &App,
    dns: &Dns,
    event: LambdaEvent<Event>,
) -> Result<Report, lambda_runtime::Error> {
    let shards = event.payload.shards()?;
    let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let time = Timestamp::from_millis(deadline).since(app.clock.now());
    let scope = Scope::new(event.context.request_id);
    let swept = scope.run(sweep(app, dns, &shards, time.max(Duration::from_secs(1))));
    Ok(swept.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(event: &str) -> Result<Vec<u8>, String> {
        let event: Event = serde_json::from_str(event).unwrap();
        event.shards().map_err(|error| error.to_string())
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
    }
}
