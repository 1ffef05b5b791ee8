//! The dependencies of all handlers, built once in a cold start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableCredentialsProvider,
    profile::ProfileFileRegionProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_dynamodb::{
    Client,
    config::{self, Credentials, SharedHttpClient},
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

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
    /// Builds the dependencies, without the network.
    pub async fn new(config: Config) -> Self {
        Self {
            store: Store::new(dynamodb(&config).await, config.table.clone()),
            auth: Arc::new(Auth::new(config.auth.clone())),
            config: Arc::new(config),
            clock: Clock::System,
        }
    }

    /// Fetches the keys of tokens and connects to the table, so that the first request need not wait for them. Takes at most 2 s. If
    /// it fails, the first request tries again and reports the error.
    pub async fn warm(&self) {
        tokio::join!(self.auth.warm(self.clock.now()), self.store.warm());
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
        let credentials = Credentials::new("local", "local", None, None, "local");
        loader = loader
            .credentials_provider(credentials)
            .http_client(direct_http());
    } else if config.has_credentials {
        // The default chain starts with this provider too. But it also builds an STS client, which takes time in each cold start.
        loader = loader.credentials_provider(EnvironmentVariableCredentialsProvider::new());
    }
    let mut sdk = config::Builder::from(&loader.load().await);
    // Not in the loader, whose client also fetches credentials.
    if config.has_amazon_roots {
        sdk.set_http_client(Some(amazon_https()));
    }
    sdk.set_endpoint_url(endpoint.map(str::to_owned));
    Client::from_conf(sdk.interceptor(telemetry::DynamoDbMeter).build())
}

/// An HTTP client for an emulator. Unlike the SDK's own, it ignores `HTTP_PROXY` and `ALL_PROXY`: a proxy does not reach this
/// machine.
pub fn direct_http() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_http()
}

/// The root certificates that https://www.amazontrust.com/repository recommends for a trust store. The first expires on 2037-12-31.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// An HTTPS client that accepts only certificates of Amazon's own authorities. The SDK's client parses all root certificates of the
/// system first.
#[expect(
    clippy::expect_used,
    reason = "another trust store must not take the place of this one"
)]
fn amazon_https() -> SharedHttpClient {
    let roots = TrustStore::empty().with_pem_certificate(AMAZON_ROOTS);
    let tls = TlsContext::builder().with_trust_store(roots).build();
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls.expect("the trust store is valid"))
        .build_https()
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::{ErrorKind, Read},
        net::TcpListener,
    };

    use rustls_pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    /// The fingerprints are those of the repository's page.
    #[test]
    fn amazons_roots_are_the_published_ones() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AMAZON_ROOTS)
            .map(|root| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &root.unwrap());
                digest
                    .as_ref()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            })
            .collect();
        assert_eq!(
            roots,
            [
                "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
                "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
                "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
                "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
                "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
            ]
        );
    }

    /// The SDK panics while it builds the client if a certificate is not valid.
    #[tokio::test]
    async fn the_client_with_amazons_roots_connects() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .endpoint_url(format!("https://{address}"))
            .retry_config(RetryConfig::disabled())
            .http_client(amazon_https());
        let client = Client::from_conf(config.build());
        let call = tokio::spawn(client.list_tables().send());
        let first = tokio::task::spawn_blocking(move || {
            let mut first = [0; 1];
            server.accept().unwrap().0.read_exact(&mut first).unwrap();
            first
        });
        // The content type of a handshake (RFC 8446, section 5.1).
        assert_eq!(first.await.unwrap(), [22]);
        assert!(call.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_function_without_tokens_does_not_fetch_the_keys() {
        let issuer = TcpListener::bind("127.0.0.1:0").unwrap();
        issuer.set_nonblocking(true).unwrap();
        let url = format!("http://{}/keys", issuer.local_addr().unwrap());
        let config = Config::parse(&|name| match name {
            "TABLE_NAME" | "AUTH_ISSUER" | "AUTH_AUDIENCE" => Some("agency".to_owned()),
            "PORTAL_DOMAIN" => Some("portal.example.com".to_owned()),
            "AUTH_JWKS_URL" => Some(url.clone()),
            _ => None,
        });
        let app = App::new(config.unwrap()).await;
        assert_eq!(issuer.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        app.auth.warm(app.clock.now()).await;
        assert!(issuer.accept().is_ok());
    }
}
