//! What is measured, in a process of its own, so that its memory and its CPU time are nobody else's.

use std::{
    collections::BTreeMap,
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use reverify::Event;
use serde::{Deserialize, Serialize};
use shared::{app::App, config::Config, models::time::Timestamp, telemetry::Scope};
use verification::dns::{Depth, Dns, Session, Subject};

use crate::{
    Result,
    internet::{self, Batch},
    process,
};

/// A Lambda function's longest time.
const TIME: Duration = Duration::from_secs(900);
/// As many domains are looked at at once as in a sweep.
pub const AT_ONCE: usize = 256;

/// What a process measured of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Domains that were checked.
    pub checked: u64,
    /// Domains that were found proven.
    pub renewed: u64,
    /// Requests to DynamoDB.
    pub requests: u64,
    /// How long it took.
    pub time: Duration,
    /// Its CPU time in its own code,
    pub user: Duration,
    /// and in the kernel.
    pub system: Duration,
    /// The most memory that it had, in KiB.
    pub memory: u64,
}

/// Runs this program again with these variables of the environment and no others, as one of the two below.
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

/// As the function `reverify` does it, with one event.
pub async fn sweep() -> Result<Measured> {
    let app = App::new(config()?).await;
    let dns = Dns::new(&app.config.dns)?;
    let shards = Event::default().shards()?;
    let scope = Scope::new("bench");
    let report = scope.run(reverify::sweep(&app, &dns, &shards, TIME)).await?;
    Ok(Measured {
        checked: report.checked,
        renewed: report.verified,
        requests: scope.dynamodb_requests(),
        ..Measured::after(Duration::from_millis(report.ms))?
    })
}

/// The same looks at DNS, and no table.
pub async fn looks(batch: Batch) -> Result<Measured> {
    let config = config()?;
    let (dns, session) = (Dns::new(&config.dns)?, Session::new());
    let subject = Subject::from(&config);
    let now = Timestamp::now();
    let began = Instant::now();
    let look = async |number| -> Result<_> {
        let domain = internet::domain(number, now)?;
        let seen = loop {
            let seen = dns.observe(&domain, &subject, Depth::Renewal, &session).await;
            // As a sweep begins it again.
            if !seen.crowded {
                break seen;
            }
        };
        if !seen.proof.is_given() {
            eprintln!("{}: {:?}", domain.hostname, seen.findings);
        }
        Ok(seen)
    };
    let mut looks = futures_util::stream::iter(batch.numbers())
        .map(look)
        .buffer_unordered(AT_ONCE);
    let mut renewed = 0;
    while let Some(seen) = looks.next().await {
        renewed += u64::from(seen?.proof.is_given());
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
            time,
            user,
            system,
            memory: process::peak_memory()?,
        })
    }
}
