//! The dependencies of all handlers, built once in a cold start.

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

/// The dependencies of all handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The configuration.
    pub config: Arc<Config>,
    /// The table.
    pub store: Store,
    /// The verifier of tokens.
    pub auth: Arc<Auth>,
    /// The clock.
    pub clock: Clock,
}

impl App {
    /// Builds the dependencies. Only the first fetch of the keys uses the network. It may fail.
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

/// A DynamoDB client with timeouts that fit the 14 s of a request.
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
    // The SDK would use an empty variable as a region or an endpoint. Here it counts as unset.
    loader = match &config.region {
        Some(region) => loader.region(Region::new(region.clone())),
        None => loader.region(ProfileFileRegionProvider::new()),
    };
    let endpoint = config.dynamodb_endpoint.as_deref();
    // An emulator accepts any credentials, and a local machine has none.
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        loader = loader.credentials_provider(Credentials::new("local", "local", None, None, "local"));
    }
    let mut sdk = config::Builder::from(&loader.load().await);
    sdk.set_endpoint_url(endpoint.map(str::to_owned));
    Client::from_conf(sdk.interceptor(telemetry::DynamoDbMeter).build())
}

/// The source of the current time. Only the edge reads it. Other code takes the time as an argument.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's time.
    System,
    /// A fixed time for tests: milliseconds since 1970.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Set(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }
}
