//! What is measured. It runs in a process of its own, so that its memory and CPU time are counted alone.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeTransmitInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::ConfigBag;
use futures_util::StreamExt;
use reverify::Selection;
use serde::{Deserialize, Serialize};
use shared::{app::App, config::Config, models::time::Timestamp, telemetry::Scope};
use verification::{
    Network,
    dns::{Depth, Dns, Operator, Session},
};

use crate::{
    Result,
    internet::{self, Batch},
    process,
};

/// The longest timeout of a Lambda function.
const TIME: Duration = Duration::from_secs(900);
/// Domains that are observed at once, as many as in a sweep.
pub const AT_ONCE: usize = 256;

/// What a process measured of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Domains that were checked.
    pub checked: u64,
    /// Domains whose proof was found.
    pub renewed: u64,
    /// Requests to DynamoDB.
    pub requests: u64,
    /// From the start until the first request that writes.
    pub first_write: Option<Duration>,
    /// Wall-clock time.
    pub time: Duration,
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// Peak memory, in KiB.
    pub memory: u64,
}

/// Runs this program again, as [`sweep`] or [`observe`], with no other variables in its environment.
pub fn run(arguments: &[&str], variables: &BTreeMap<&'static str, String>) -> Result<Measured> {
    let output = Command::new(env::current_exe()?)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .stderr(Stdio::inherit())
        .output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(format!("{arguments:?}: {}", output.status).into()),
    }
}

/// One sweep, as the function `reverify` does it.
pub async fn sweep() -> Result<Measured> {
    let mut app = App::new(config()?).await;
    let log = RequestLog::default();
    app.store = app.store.with_interceptor(log.clone());
    let network = Network::new(&app.config)?;
    let began = Instant::now();
    let report = Scope::new("bench", None)
        .run(reverify::sweep(&app, &network, &Selection::default(), TIME))
        .await?;
    Ok(Measured {
        checked: report.checked,
        renewed: report.verified,
        requests: log.requests(),
        first_write: log.first_write().map(|at| at - began),
        ..Measured::after(Duration::from_millis(report.ms))?
    })
}

/// The observations of a sweep, without a table.
pub async fn observe(batch: Batch) -> Result<Measured> {
    let config = config()?;
    let (dns, session) = (Dns::new(&config.dns)?, Session::default());
    let operator = Operator::from(&config);
    let now = Timestamp::now();
    let began = Instant::now();
    let observe = async |number| -> Result<_> {
        let domain = internet::domain(number, now)?;
        let seen = loop {
            // A sweep also starts a check that is busy again.
            if let Ok(seen) = dns
                .gather(&domain, &operator, Depth::Scheduled, &session, now)
                .await
            {
                break seen;
            }
        };
        if !seen.proof().is_given() {
            eprintln!("{}: {:?}", domain.hostname, seen.proof());
        }
        Ok(seen)
    };
    let mut observations = futures_util::stream::iter(batch.numbers())
        .map(observe)
        .buffer_unordered(AT_ONCE);
    let mut renewed = 0;
    while let Some(seen) = observations.next().await {
        renewed += u64::from(seen?.proof().is_given());
    }
    Ok(Measured {
        checked: batch.count,
        renewed,
        ..Measured::after(began.elapsed())?
    })
}

fn config() -> Result<Config> {
    Config::from_env().map_err(|error| error.to_string().into())
}

impl Measured {
    fn after(time: Duration) -> Result<Self> {
        let (user, system) = process::cpu()?;
        Ok(Self {
            checked: 0,
            renewed: 0,
            requests: 0,
            first_write: None,
            time,
            user,
            system,
            memory: process::peak_memory()?,
        })
    }
}

/// Counts the requests to DynamoDB.
#[derive(Debug, Clone, Default)]
pub struct RequestLog(Arc<Mutex<LoggedRequests>>);

#[derive(Debug, Default)]
struct LoggedRequests {
    count: u64,
    first_write: Option<Instant>,
}

impl RequestLog {
    /// The number of requests.
    pub fn requests(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The time of the first request that writes.
    pub fn first_write(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first_write
    }
}

impl Intercept for RequestLog {
    fn name(&self) -> &'static str {
        "RequestLog"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let action = context
            .request()
            .headers()
            .get("x-amz-target")
            .unwrap_or_default();
        let is_write = ["PutItem", "UpdateItem", "TransactWriteItems"]
            .iter()
            .any(|name| action.ends_with(name));
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.count += 1;
        if is_write {
            log.first_write.get_or_insert_with(Instant::now);
        }
        Ok(())
    }
}
