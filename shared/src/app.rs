//! What a function needs to answer a request, built once in a cold start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, profile::ProfileFileRegionProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_dynamodb::{
    Client,
    config::{self, Credentials},
};

use crate::{auth::Auth, config::Config, models::time::Timestamp, store::Store, telemetry};

/// The parts that handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// What the environment said.
    pub config: Arc<Config>,
    /// The table.
    pub store: Store,
    /// Who may come in.
    pub auth: Arc<Auth>,
    /// What time it is.
    pub clock: Clock,
}

impl App {
    /// Builds the parts. Nothing here needs the network but a first fetch of the keys, which may fail.
    pub async fn new(config: Config) -> Self {
        let auth = Auth::new(config.auth.clone());
        let clock = Clock::System;
        let (client, ()) = tokio::join!(dynamodb(&config), auth.warm(clock.now()));
        Self {
            store: Store::new(client, config.table.clone()),
            auth: Arc::new(auth),
            config: Arc::new(config),
            clock,
        }
    }
}

/// A client of DynamoDB that gives up in time: a request has 14 s.
async fn dynamodb(config: &Config) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_millis(1_500))
        .operation_timeout(Duration::from_secs(4))
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(4)
        .with_initial_backoff(Duration::from_millis(50))
        .with_max_backoff(Duration::from_secs(1));
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .retry_config(retries);
    // The SDK would take an empty variable for a region or an endpoint; here it is an unset one.
    loader = match &config.region {
        Some(region) => loader.region(Region::new(region.clone())),
        None => loader.region(ProfileFileRegionProvider::new()),
    };
    let endpoint = config.dynamodb_endpoint.as_deref();
    // An emulator takes any credentials, and one machine has none.
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "local"));
    }
    let mut sdk = config::Builder::from(&loader.load().await);
    sdk.set_endpoint_url(endpoint.map(str::to_owned));
    Client::from_conf(sdk.interceptor(telemetry::Meter).build())
}

/// What time it is. Only the edge asks; what depends on the time takes it as an argument.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's time.
    System,
    /// A time that somebody sets: milliseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// Now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Set(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}
