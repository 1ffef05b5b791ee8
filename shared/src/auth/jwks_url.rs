//! Keys from the identity provider's JWKS endpoint: fetches, refreshes and outages.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use aws_smithy_types::{body::SdkBody, error::display::DisplayErrorContext};
use http::{Uri, header};
use http_body_util::{BodyExt, Limited};
use url::{Host, Url};

use super::keys::Jwks;
use crate::models::time::Timestamp;

/// The age at which the next request refreshes the keys.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// The age at which keys expire while the endpoint is unavailable.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The minimum time between two fetches.
const INTERVAL: Duration = Duration::from_secs(30);
/// The minimum time between two fetches without any keys. It is longer than a fetch, so that waiting requests share it.
const INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);
/// The time limit of a fetch.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The largest document, in bytes.
const MAX_SIZE: usize = 256 * 1024;

/// The URL of a JWKS endpoint: `https`, or `http` on a loopback host.
#[derive(Clone, PartialEq, Eq)]
pub struct JwksUrl {
    uri: Uri,
    timeout: Duration,
}

impl fmt::Debug for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwksUrl({})", self.uri)
    }
}

impl FromStr for JwksUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
        let loopback = match url.host() {
            None => return Err("the URL has no host".to_owned()),
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            _ => return Err("must be https, or http to a loopback host".to_owned()),
        }
        if url.port() == Some(0) {
            return Err("the URL must not have the port 0".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err("the URL must not have user information or a fragment".to_owned());
        }
        let uri = url
            .as_str()
            .parse()
            .map_err(|error| format!("not a URL: {error}"))?;
        Ok(Self {
            uri,
            timeout: TIMEOUT,
        })
    }
}

#[cfg(test)]
impl JwksUrl {
    /// Sets the time limit of a fetch.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// The keys of an endpoint, kept between requests.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    url: JwksUrl,
    /// Built by the first fetch, because it parses all root certificates of the system.
    connector: OnceLock<Connector>,
    state: RwLock<CachedKeys>,
    /// Held during a fetch. Other requests wait for it, and then use its result.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct CachedKeys {
    keys: Option<(Arc<Jwks>, Timestamp)>,
    /// The start of the last fetch.
    tried: Option<Timestamp>,
    /// The last fetch failed or is not finished.
    failed: bool,
}

fn connector(url: &JwksUrl) -> Connector {
    // `HTTPS_PROXY` and `NO_PROXY` hold for the identity provider as for DynamoDB. `http` is only of this machine, which a proxy
    // does not reach.
    let proxy = match url.uri.scheme_str() {
        Some("https") => ProxyConfig::from_env(),
        _ => ProxyConfig::disabled(),
    };
    Connector::builder()
        .proxy_config(proxy)
        // Lambda freezes the function between requests, so a pooled connection would be dead at the next fetch.
        .pool_max_idle_per_host(0)
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .build()
}

impl RemoteKeys {
    pub(super) fn new(url: JwksUrl) -> Self {
        Self {
            url,
            connector: OnceLock::new(),
            state: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The keys. They are fetched first if they are old or do not fit, and the minimum time has passed.
    ///
    /// The returned keys may not fit: then a recent fetch did not bring a fitting key.
    ///
    /// # Errors
    /// The time until the next fetch, if there are no keys, or if none fits and the last fetch failed.
    pub(super) async fn get(
        &self,
        fits: impl Fn(&Jwks) -> bool,
        now: Timestamp,
    ) -> Result<Arc<Jwks>, Duration> {
        let state = self.state();
        if let Some((keys, fetched)) = state.usable(now)
            && age(fetched, now) < REFRESH
            && fits(&keys)
        {
            return Ok(keys);
        }
        let _turn = self.turn.lock().await;
        if self.state().due_in(&fits, now).is_zero() {
            self.refresh(now).await;
        }
        let state = self.state();
        match state.usable(now) {
            Some((keys, _)) if fits(&keys) || !state.failed => Ok(keys),
            _ => Err(state.due_in(&fits, now)),
        }
    }

    async fn refresh(&self, now: Timestamp) {
        // Recorded before the first await, so that a request that is dropped during the fetch still counts as a fetch.
        self.update(|state| {
            state.tried = Some(now);
            state.failed = true;
        });
        match self.fetch().await {
            Ok(keys) => self.update(|state| {
                state.keys = Some((Arc::new(keys), now));
                state.failed = false;
            }),
            Err(error) => {
                let url = self.url.uri.to_string();
                tracing::warn!(url, error, "JWKS fetch failed");
            }
        }
    }

    /// One fetch, limited in time and size. Redirects and any status except `200` are errors.
    async fn fetch(&self) -> Result<Jwks, String> {
        let request = http::Request::get(&self.url.uri)
            .header(header::ACCEPT, "application/json")
            .body(SdkBody::empty())
            .map_err(|error| error.to_string())?;
        let request = HttpRequest::try_from(request).map_err(|error| error.to_string())?;
        let exchange = async {
            let connector = self.connector.get_or_init(|| connector(&self.url));
            let response = connector
                .call(request)
                .await
                .map_err(|error| DisplayErrorContext(error).to_string())?;
            let status = response.status().as_u16();
            if status != 200 {
                return Err(format!("status {status}"));
            }
            let body = Limited::new(response.into_body(), MAX_SIZE).collect().await;
            Ok(body.map_err(|error| error.to_string())?.to_bytes())
        };
        let body = tokio::time::timeout(self.url.timeout, exchange)
            .await
            .map_err(|_| format!("no response within {:?}", self.url.timeout))??;
        Jwks::parse(&body)
    }

    fn state(&self) -> CachedKeys {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut CachedKeys)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl CachedKeys {
    fn usable(&self, now: Timestamp) -> Option<(Arc<Jwks>, Timestamp)> {
        self.keys
            .clone()
            .filter(|(_, fetched)| age(*fetched, now) < LIFETIME)
    }

    /// The time until the next fetch, which a request makes.
    fn due_in(&self, fits: impl Fn(&Jwks) -> bool, now: Timestamp) -> Duration {
        let interval = match self.usable(now) {
            None => INTERVAL_WITHOUT_KEYS,
            Some((keys, fetched)) if age(fetched, now) >= REFRESH || !fits(&keys) => INTERVAL,
            Some((_, fetched)) => return REFRESH.saturating_sub(age(fetched, now)),
        };
        self.tried
            .map_or(Duration::ZERO, |tried| interval.saturating_sub(age(tried, now)))
    }
}

/// The absolute distance of two times, so that keys with a future time expire too after the clock is set back.
fn age(then: Timestamp, now: Timestamp) -> Duration {
    now.since(then).max(then.since(now))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{
        super::fixtures::{JwksServer, TestIssuer, document},
        *,
    };

    const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    fn has(kid: &str) -> impl Fn(&Jwks) -> bool {
        move |keys| keys.named(Some(kid)).next().is_some()
    }

    async fn endpoint() -> (JwksServer, RemoteKeys) {
        let endpoint = JwksServer::start(&document(&[TestIssuer::rsa(), TestIssuer::ec()])).await;
        let keys = RemoteKeys::new(endpoint.url());
        (endpoint, keys)
    }

    #[test]
    fn a_url_is_https_or_of_this_machine() {
        for text in [
            "https://id.example.com/.well-known/jwks.json",
            "https://id.example.com:8443/keys?v=1",
            "http://localhost:8080/keys",
            "http://127.0.0.1/keys",
            "http://127.9.9.9/keys",
            "http://[::1]:1/keys",
        ] {
            assert!(text.parse::<JwksUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "id.example.com",
            "/keys",
            "http://id.example.com/keys",
            "http://localhost.example.com/keys",
            "http://128.0.0.1/keys",
            "http://[::2]/keys",
            "file:///keys",
            "ftp://localhost/keys",
            "https://id.example.com:0/keys",
            "data:,{}",
            "https://user@id.example.com/keys",
            "https://:secret@id.example.com/keys",
            "https://id.example.com/keys#1",
        ] {
            assert!(text.parse::<JwksUrl>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn keys_are_fetched_once_and_kept() {
        let (endpoint, keys) = endpoint().await;
        for seconds in [0, 1, 599] {
            assert!(keys.get(has("rsa"), after(seconds)).await.is_ok());
        }
        assert_eq!(endpoint.hits(), 1);
    }

    #[tokio::test]
    async fn keys_of_ten_minutes_are_fetched_within_the_request() {
        let (endpoint, keys) = endpoint().await;
        keys.get(has("rsa"), START).await.unwrap();
        endpoint.serve(&document(&[TestIssuer::ed()]));
        assert!(has("rsa")(&keys.get(has("rsa"), after(599)).await.unwrap()));
        assert!(!has("rsa")(&keys.get(has("rsa"), after(600)).await.unwrap()));
        assert_eq!(endpoint.hits(), 2);
    }

    #[tokio::test]
    async fn a_new_key_is_found_by_its_unknown_name() {
        let (endpoint, keys) = endpoint().await;
        keys.get(has("rsa"), START).await.unwrap();
        endpoint.serve(&document(&[TestIssuer::ed()]));
        assert!(!has("ed")(&keys.get(has("ed"), after(29)).await.unwrap()));
        assert_eq!(endpoint.hits(), 1);
        assert!(has("ed")(&keys.get(has("ed"), after(30)).await.unwrap()));
        assert_eq!(endpoint.hits(), 2);
    }

    #[tokio::test]
    async fn fifty_at_once_with_unknown_names_make_one_fetch_in_half_a_minute() {
        let (endpoint, keys) = endpoint().await;
        let keys = Arc::new(keys);
        keys.get(has("rsa"), START).await.unwrap();
        for (round, seconds) in [(1, 1), (2, 30), (2, 45), (2, 59), (3, 60)] {
            let requests = (0..50).map(|n| {
                let keys = keys.clone();
                tokio::spawn(async move {
                    keys.get(has(&format!("unknown-{n}")), after(seconds))
                        .await
                        .is_ok()
                })
            });
            for request in requests.collect::<Vec<_>>() {
                assert!(request.await.unwrap());
            }
            assert_eq!(endpoint.hits(), round, "after {seconds} s");
        }
    }

    #[tokio::test]
    async fn fifty_at_once_share_the_first_fetch() {
        let (endpoint, keys) = endpoint().await;
        let keys = Arc::new(keys);
        let requests = (0..50).map(|n| {
            let keys = keys.clone();
            let now = START + Duration::from_millis(n * 40);
            tokio::spawn(async move { keys.get(has("rsa"), now).await.is_ok() })
        });
        for request in requests.collect::<Vec<_>>() {
            assert!(request.await.unwrap());
        }
        assert_eq!(endpoint.hits(), 1);
    }

    #[tokio::test]
    async fn the_last_good_keys_outlive_the_endpoint_for_a_day() {
        let (endpoint, keys) = endpoint().await;
        keys.get(has("rsa"), START).await.unwrap();
        endpoint.answer("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
        let day = 24 * 60 * 60;
        for seconds in [600, 601, 629, 630, 3600, day - 1] {
            assert!(keys.get(has("rsa"), after(seconds)).await.is_ok(), "{seconds}");
        }
        assert_eq!(endpoint.hits(), 1 + 4);
        assert!(keys.get(has("rsa"), after(day)).await.is_err());
        endpoint.serve(&document(&[TestIssuer::rsa()]));
        assert!(keys.get(has("rsa"), after(day + 10)).await.is_ok());
    }

    #[tokio::test]
    async fn an_unknown_name_cannot_be_judged_while_the_endpoint_is_out() {
        let (endpoint, keys) = endpoint().await;
        keys.get(has("rsa"), START).await.unwrap();
        endpoint.answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        assert!(keys.get(has("ed"), after(30)).await.is_err());
        let again = keys.get(has("ed"), after(31)).await;
        assert_eq!(again.unwrap_err(), Duration::from_secs(29));
        assert!(keys.get(has("rsa"), after(31)).await.is_ok());
        assert_eq!(endpoint.hits(), 2);
    }

    #[tokio::test]
    async fn without_keys_the_endpoint_is_asked_every_five_seconds() {
        let (endpoint, keys) = endpoint().await;
        endpoint.answer("");
        for seconds in [0, 1, 4] {
            assert!(keys.get(has("rsa"), after(seconds)).await.is_err());
        }
        assert_eq!(endpoint.hits(), 1);
        endpoint.serve(&document(&[TestIssuer::rsa()]));
        assert!(keys.get(has("rsa"), after(5)).await.is_ok());
    }

    #[tokio::test]
    async fn a_dropped_request_uses_up_its_fetch() {
        let endpoint = JwksServer::start("").await;
        endpoint.stall();
        let keys = RemoteKeys::new(endpoint.url().with_timeout(Duration::from_secs(600)));
        let request = keys.get(has("rsa"), START);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), request)
                .await
                .is_err()
        );
        assert!(keys.get(has("rsa"), after(1)).await.is_err());
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_does_not_freeze_the_keys() {
        let (endpoint, keys) = endpoint().await;
        keys.get(has("rsa"), after(1_000_000)).await.unwrap();
        keys.get(has("rsa"), START).await.unwrap();
        assert_eq!(endpoint.hits(), 2);
    }

    #[tokio::test]
    async fn a_slow_endpoint_is_given_up() {
        let endpoint = JwksServer::start("").await;
        endpoint.stall();
        let keys = RemoteKeys::new(endpoint.url().with_timeout(Duration::from_millis(50)));
        assert!(
            keys.fetch()
                .await
                .unwrap_err()
                .starts_with("no response within 50ms")
        );
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let endpoint = JwksServer::start("").await;
        endpoint.answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{");
        endpoint.hold_open();
        let keys = RemoteKeys::new(endpoint.url().with_timeout(Duration::from_millis(50)));
        assert!(keys.fetch().await.unwrap_err().starts_with("no response within"));
    }

    #[tokio::test]
    async fn a_document_is_read_to_its_limit_and_no_further() {
        let (endpoint, keys) = endpoint().await;
        let document = document(&[TestIssuer::rsa()]);
        let blanks = " ".repeat(MAX_SIZE - document.len());
        endpoint.serve(&format!("{document}{blanks}"));
        assert!(keys.fetch().await.is_ok());
        endpoint.serve(&format!("{document}{blanks} "));
        assert_eq!(keys.fetch().await.unwrap_err(), "length limit exceeded");

        // Without a length, and without an end.
        endpoint.answer("HTTP/1.1 200 OK\r\n\r\n");
        endpoint.repeat(&" ".repeat(4096));
        assert_eq!(keys.fetch().await.unwrap_err(), "length limit exceeded");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (endpoint, keys) = endpoint().await;
        let other = JwksServer::start(&document(&[TestIssuer::rsa()])).await;
        for status in [301, 302, 303, 307, 308] {
            let location = other.url().uri;
            endpoint.answer(&format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            ));
            assert_eq!(keys.fetch().await.unwrap_err(), format!("status {status}"));
        }
        assert_eq!(other.hits(), 0);
    }

    #[tokio::test]
    async fn what_is_no_set_of_keys_is_a_failure() {
        let (endpoint, keys) = endpoint().await;
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","k":"AA"}]}"#,
        ] {
            endpoint.serve(body);
            assert!(keys.fetch().await.is_err(), "{body}");
        }
        for answer in [
            "nonsense\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}",
        ] {
            endpoint.answer(answer);
            assert!(keys.fetch().await.is_err(), "{answer}");
        }
    }
}
