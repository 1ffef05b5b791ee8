//! A system for one test: its own table in the embedded DynamoDB of the process, its own DNS server, and the router, which the
//! test calls without a listener.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ::reverify::Report;
use aws_sdk_dynamodb::Client;
use axum::{Router, body::Body};
use http::{Request, Response};
use shared::{
    app::{App, Clock},
    config::Config,
};
use time::OffsetDateTime;
use tower::ServiceExt;
use uuid::Uuid;
use verification::Network;

use crate::{
    dns::{ANY_PORT, DnsServer},
    dynamodb,
    environment::{Environment, REGION},
    fault::{Fault, Proxy},
    gateway, hosts, openapi, reverify,
    template::TableDefinition,
    token,
};

/// A running system. Dropping it stops its servers. Its table remains until the process ends.
pub struct System {
    /// The state that the handlers share.
    pub app: App,
    /// The resolver and the authoritative server of the system.
    pub dns: DnsServer,
    /// A client of the database that bypasses the proxy.
    pub client: Client,
    router: Router,
    proxy: Option<Proxy>,
}

/// The options of a system.
#[derive(Debug, Default)]
pub struct Builder {
    variables: BTreeMap<String, String>,
    zone: String,
    at: Option<i64>,
    counted: bool,
    retry_budget: Option<Duration>,
}

impl Builder {
    /// Sets an environment variable.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Serves these DNS records (see [`DnsServer::set_zone`]).
    #[must_use]
    pub fn zone(self, text: &str) -> Self {
        Self {
            zone: text.to_owned(),
            ..self
        }
    }

    /// Stops the clock at this time, in milliseconds since 1970. [`System::advance`] moves it.
    #[must_use]
    pub fn at(self, millis: i64) -> Self {
        Self {
            at: Some(millis),
            ..self
        }
    }

    /// Puts a [`Proxy`] between the system and its table, which counts requests and injects faults.
    #[must_use]
    pub fn counted(self) -> Self {
        Self {
            counted: true,
            ..self
        }
    }

    /// Limits how long a write is retried after conflicts.
    #[must_use]
    pub fn retry_budget(self, budget: Duration) -> Self {
        Self {
            retry_budget: Some(budget),
            ..self
        }
    }

    /// Starts the system.
    ///
    /// # Panics
    /// A part does not start, so the test cannot run.
    #[allow(clippy::expect_used)] // See `Panics`.
    pub async fn start(self) -> System {
        let dns = DnsServer::start(ANY_PORT).await.expect("a DNS server");
        dns.set_zone(&self.zone).expect("a zone");
        let proxy = match self.counted {
            true => Some(Proxy::start(dynamodb::shared()).await.expect("a proxy")),
            false => None,
        };
        let client = dynamodb::client(&url(dynamodb::shared()), REGION);
        let table = self
            .variables
            .get("TABLE_NAME")
            .cloned()
            .unwrap_or_else(|| format!("test-{}", Uuid::new_v4()));
        TableDefinition::from_template()
            .expect("a template")
            .create(&client, &table)
            .await
            .expect("a table");

        let set = |name: &str| match name {
            "TABLE_NAME" => Some(table.clone()),
            // Nothing listens on this port of this machine, which the targets lead to.
            "EDGE_PORT" => Some(
                self.variables
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| "1".to_owned()),
            ),
            _ => self.variables.get(name).cloned(),
        };
        let endpoint = proxy.as_ref().map_or_else(dynamodb::shared, Proxy::address);
        let environment = Environment::new(&set).dynamodb(url(endpoint)).dns(dns.address());
        let config = Config::parse(&|name| environment.get(name)).expect("a configuration");
        let mut app = App::new(config).await;
        if let Some(millis) = self.at {
            app.clock = Clock::Set(Arc::new(AtomicI64::new(millis)));
        }
        if let Some(budget) = self.retry_budget {
            app.store = app.store.with_retry_budget(budget);
        }
        let router = router(&app).expect("a router");
        System {
            app,
            dns,
            client,
            router,
            proxy,
        }
    }
}

impl System {
    /// Starts a system with the defaults of `cargo local`.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts a system with these environment variables.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        variables
            .iter()
            .fold(Self::builder(), |builder, (name, value)| {
                builder.set(name, *value)
            })
            .start()
            .await
    }

    /// Starts a system with a [`Proxy`].
    pub async fn start_counted() -> Self {
        Self::builder().counted().start().await
    }

    /// Starts from the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Sends a request as the gateway does.
    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        let response: Result<_, Infallible> = self.router.clone().oneshot(request).await;
        let Ok(response) = response;
        response
    }

    /// The name of its table.
    pub fn table(&self) -> &str {
        &self.app.config.table
    }

    /// A token of `user_1` that is valid for an hour by the system's clock.
    pub fn token(&self, org: &str, role: &str) -> String {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(self.app.clock.now().millis());
        token::sign(org, role, "user_1", now, 60 * 60)
    }

    /// Moves the clock of a system that was built with [`Builder::at`].
    ///
    /// # Panics
    /// The system uses the real clock.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.clock().fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the clock of a system that was built with [`Builder::at`], in milliseconds since 1970.
    ///
    /// # Panics
    /// The system uses the real clock.
    pub fn set_clock(&self, millis: i64) {
        self.clock().store(millis, Ordering::SeqCst);
    }

    fn clock(&self) -> &AtomicI64 {
        match &self.app.clock {
            Clock::Set(millis) => millis,
            Clock::System => panic!("this system uses the real clock"),
        }
    }

    /// Runs the scheduled function once, at the time of the system's clock.
    ///
    /// # Panics
    /// The table cannot be read.
    #[allow(clippy::expect_used)] // See `Panics`.
    pub async fn reverify(&self) -> Report {
        let network = network(&self.app).expect("resolvers");
        reverify::run(&self.app, &network, None).await.expect("a report")
    }

    /// The proxy of a system that was built with [`Builder::counted`].
    ///
    /// # Panics
    /// The system has no proxy.
    #[allow(clippy::expect_used)] // See `Panics`.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a system built with counted()")
    }

    /// Adds a fault to the proxy, see [`Proxy::inject`].
    pub fn inject(&self, fault: Fault) {
        self.proxy().inject(fault);
    }
}

/// The routes of all functions, behind the local gateway.
///
/// # Errors
/// The resolvers of the operating system cannot be read.
pub(crate) fn router(app: &App) -> Result<Router, String> {
    let network = network(app)?;
    let service = shared::http::service(openapi::routes(network.clone()), app.clone());
    let router = gateway::router(service);
    Ok(router
        .merge(reverify::routes(app.clone(), network))
        .merge(hosts::routes(app.clone())))
}

/// What checks reach DNS and the edge with.
///
/// # Errors
/// The resolvers of the operating system cannot be read.
pub(crate) fn network(app: &App) -> Result<Network, String> {
    Network::new(&app.config).map_err(|error| error.to_string())
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use http_body_util::BodyExt;
    use serde_json::Value;
    use shared::config::DnsMode;

    use super::*;

    async fn send(system: &System, method: Method, path: &str, token: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"));
        let response = system.send(request.body(Body::empty()).unwrap()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn two_systems_do_not_share_data() {
        let (one, other) = (System::start().await, System::start().await);
        let token = one.token("org_a", "owner");
        assert_eq!(
            send(&one, Method::POST, "/agency/enable", &token).await.0,
            StatusCode::OK
        );
        assert_eq!(
            send(&one, Method::GET, "/agency/overview", &token).await.0,
            StatusCode::OK
        );
        assert_eq!(
            send(&other, Method::GET, "/agency/overview", &token).await.0,
            StatusCode::FORBIDDEN
        );
    }

    #[tokio::test]
    async fn the_clock_of_a_test_moves_only_by_advance() {
        let system = System::builder().at(1_800_000_000_123).start().await;
        let token = system.token("org_a", "owner");
        let (_, agency) = send(&system, Method::POST, "/agency/enable", &token).await;
        assert_eq!(agency["enabledAt"], "2027-01-15T08:00:00Z");
        system.advance(Duration::from_secs(2 * 60 * 60));
        assert_eq!(
            send(&system, Method::GET, "/agency/overview", &token).await.0,
            StatusCode::UNAUTHORIZED
        );
        let token = system.token("org_a", "owner");
        assert_eq!(
            send(&system, Method::GET, "/agency/overview", &token).await.0,
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn a_proxy_counts_requests_to_the_table_and_injects_faults() {
        let system = System::start_counted().await;
        let token = system.token("org_a", "owner");
        send(&system, Method::POST, "/agency/enable", &token).await;
        assert!(system.proxy().count() > 0);
        system.proxy().take_counts();
        send(&system, Method::GET, "/agency/overview", &token).await;
        assert_eq!(system.proxy().take_counts().values().sum::<usize>(), 1);

        system.inject(Fault::internal_error().times(100));
        let (status, _) = send(&system, Method::GET, "/agency/overview", &token).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn each_system_has_its_own_variables_and_records() {
        let system = System::builder()
            .set("MAX_DOMAINS", "3")
            .zone("a.test. A 192.0.2.1")
            .start()
            .await;
        assert_eq!(system.app.config.max_domains.get(), 3);
        let (config, dns) = (&system.app.config.dns, system.dns.address());
        assert_eq!(
            (&config.resolvers[..], config.authority_port),
            (&[dns][..], dns.port())
        );
        assert_eq!(config.mode, DnsMode::Authoritative);
        assert_eq!(
            System::with(&[("MAX_DOMAINS", "4")])
                .await
                .app
                .config
                .max_domains
                .get(),
            4
        );
    }
}
