//! The schedule's function: it checks the domains that are due.

use std::{fmt, time::Duration};

use domains::dns::Dns;
use lambda_runtime::LambdaEvent;
use serde::Deserialize;
use shared::{
    app::App,
    models::time::Timestamp,
    store::{self, keys::DUE_SHARDS},
};

mod report;
mod source;
mod sweep;
mod turns;

pub use report::{NAMESPACE, Report};
pub use sweep::sweep;

/// What invokes the function: EventBridge Scheduler's own event, or one that says more. Other properties mean nothing
/// here.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Event {
    /// The shards of the index to take: all of them unless said otherwise, so that several invocations may share the
    /// work.
    #[serde(default)]
    pub shards: Option<Vec<u8>>,
}

/// Why a sweep failed.
#[derive(Debug)]
pub enum SweepError {
    /// The event names a shard that there is not.
    NoSuchShard(u8),
    /// The table could not be read.
    Store(store::Error),
}

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchShard(shard) => write!(f, "there is no shard {shard}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SweepError {}

impl Event {
    /// The shards to take, each once.
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

/// Sweeps once, within the time of the invocation, and writes the metrics to the standard output.
///
/// # Errors
/// A shard that there is not; the index could not be read.
pub async fn handle(
    app: &App,
    dns: &Dns,
    event: LambdaEvent<Event>,
) -> Result<Report, lambda_runtime::Error> {
    let shards = event.payload.shards()?;
    let deadline = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
    let time = Timestamp::from_millis(deadline).since(app.clock.now());
    let swept = sweep(app, dns, &shards, time.max(Duration::from_secs(1))).await;
    let report = swept.map_err(SweepError::Store)?;
    let function = &event.context.env_config.function_name;
    println!("{}", report.metrics(function, app.clock.now()));
    Ok(report)
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
            Err("there is no shard 16".to_owned())
        );
    }
}
