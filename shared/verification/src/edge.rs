//! The certificate that the operator's edge presents for a hostname: one TLS handshake with an address of the edge. No status
//! depends on it. The handshake also makes an edge that issues certificates on demand obtain one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use shared::{
    config::EdgeConfig,
    models::{
        domain::{Certificate, CertificateProblem, CertificateState},
        hostname::Hostname,
        time::Timestamp,
    },
};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, x509::X509Name};

/// The time of one handshake, with its connection.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
/// The time to connect to one address. Then the next one is tried.
const CONNECT_TIME: Duration = Duration::from_millis(1500);
/// Handshakes at the same time.
const CONCURRENT_HANDSHAKES: usize = 64;
/// After so many connections in a row that failed, the edge is not asked again in this session.
const MAX_UNREACHABLE: u32 = 3;
/// The same of handshakes that timed out. A single one may take long, because its certificate is issued meanwhile.
const MAX_TIMEOUTS: u32 = 16;
/// Maximum length of the issuer's name, in characters.
const MAX_ISSUER: usize = 255;

/// The client of the TLS handshakes with the edge.
#[derive(Debug, Clone)]
pub struct Edge {
    connector: Arc<ClientConfig>,
    algorithms: WebPkiSupportedAlgorithms,
    roots: Arc<RootCertStore>,
    port: u16,
    /// The time of one handshake, with its connection.
    time: Duration,
}

/// What the handshakes of one sweep or one request share.
#[derive(Debug)]
pub(crate) struct Handshakes {
    permits: Semaphore,
    /// Connections in a row that failed.
    unreachable: AtomicU32,
    /// Handshakes in a row that timed out.
    timeouts: AtomicU32,
}

/// What the edge presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    issuer: Option<String>,
    not_after: Option<Timestamp>,
    problem: Option<CertificateProblem>,
}

impl From<CertificateProblem> for Presented {
    fn from(problem: CertificateProblem) -> Self {
        Self {
            issuer: None,
            not_after: None,
            problem: Some(problem),
        }
    }
}

impl Presented {
    /// The certificate, this long after the hostname was first routed to the edge.
    pub(crate) fn certificate(self, routed: Duration, now: Timestamp) -> Certificate {
        Certificate {
            state: self
                .problem
                .map_or(CertificateState::Ready, |problem| problem.state(routed)),
            issuer: self.issuer,
            not_after: self.not_after,
            problem: self.problem,
            checked_at: now,
        }
    }
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(CONCURRENT_HANDSHAKES),
            unreachable: AtomicU32::new(0),
            timeouts: AtomicU32::new(0),
        }
    }
}

impl Handshakes {
    /// Whether the edge does not respond, so that a sweep does not wait for it with each of its domains.
    pub(crate) fn is_unresponsive(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed) >= MAX_UNREACHABLE
            || self.timeouts.load(Ordering::Relaxed) >= MAX_TIMEOUTS
    }

    fn count(&self, problem: Option<CertificateProblem>) {
        for (counter, counted) in [
            (&self.unreachable, CertificateProblem::Unreachable),
            (&self.timeouts, CertificateProblem::TimedOut),
        ] {
            match problem == Some(counted) {
                true => _ = counter.fetch_add(1, Ordering::Relaxed),
                false => counter.store(0, Ordering::Relaxed),
            }
        }
    }
}

impl Edge {
    /// # Errors
    /// A certificate of `EDGE_ROOTS` cannot be parsed.
    pub fn new(config: &EdgeConfig) -> io::Result<Self> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for root in &config.roots {
            roots
                .add(root.clone())
                .map_err(|error| io::Error::other(format!("EDGE_ROOTS: {error}")))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut connector = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        // A resumed session presents no certificate.
        connector.resumption = Resumption::disabled();
        Ok(Self {
            connector: Arc::new(connector),
            algorithms,
            roots: Arc::new(roots),
            port: config.port,
            time: HANDSHAKE_TIME,
        })
    }

    /// What the edge presents for the hostname, at the first of its `addresses` that accepts a connection, within 3 s. `None`:
    /// the edge was not asked, because it does not respond in this session, or `deadline` came first.
    pub(crate) async fn presented(
        &self,
        hostname: &Hostname,
        addresses: &[IpAddr],
        handshakes: &Handshakes,
        now: Timestamp,
        deadline: Instant,
    ) -> Option<Presented> {
        let permit = timeout_at(deadline.into(), handshakes.permits.acquire()).await;
        // The semaphore is never closed.
        let _permit = permit.ok()?.ok()?;
        if handshakes.is_unresponsive() {
            return None;
        }
        let end = deadline.min(Instant::now() + self.time);
        let presented = match timeout_at(end.into(), self.connect(addresses)).await {
            Ok(Some(stream)) => match timeout_at(end.into(), self.handshake(hostname, stream)).await {
                Ok(Ok(chain)) => self.judge(hostname, &chain, now),
                Ok(Err(problem)) => problem.into(),
                Err(_) if end == deadline => return None,
                Err(_) => CertificateProblem::TimedOut.into(),
            },
            Err(_) if end == deadline => return None,
            Ok(None) | Err(_) => CertificateProblem::Unreachable.into(),
        };
        handshakes.count(presented.problem);
        Some(presented)
    }

    async fn connect(&self, addresses: &[IpAddr]) -> Option<TcpStream> {
        for address in addresses {
            let address = SocketAddr::new(*address, self.port);
            if let Ok(Ok(stream)) = timeout(CONNECT_TIME, TcpStream::connect(address)).await {
                return Some(stream);
            }
        }
        None
    }

    /// The chain of certificates, of which nothing is verified but that the edge has the key of the first one.
    async fn handshake(
        &self,
        hostname: &Hostname,
        stream: TcpStream,
    ) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
        let name = server_name(hostname).ok_or(CertificateProblem::HandshakeFailed)?;
        let connector = TlsConnector::from(Arc::clone(&self.connector));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
                // The client parses the first certificate for the signature of the handshake, which fails for one of version 1.
                Some(error @ Error::InvalidCertificate(_)) => problem(error),
                // A server that has no certificate for the name of the SNI extension sends `unrecognized_name` (RFC 6066,
                // section 3), or, as widely used servers do, one of the other alerts.
                Some(Error::AlertReceived(
                    AlertDescription::UnrecognisedName
                    | AlertDescription::HandshakeFailure
                    | AlertDescription::InternalError
                    | AlertDescription::AccessDenied,
                )) => CertificateProblem::NoCertificate,
                _ => CertificateProblem::HandshakeFailed,
            }
        })?;
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        Ok(chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect())
    }

    /// Whether browsers accept the chain. The name comes first: what many edges present for a name that they have no
    /// certificate for is self-signed.
    fn judge(&self, hostname: &Hostname, chain: &[CertificateDer<'_>], now: Timestamp) -> Presented {
        let Some((first, intermediates)) = chain.split_first() else {
            return CertificateProblem::NoCertificate.into();
        };
        let (issuer, not_after) = match X509Certificate::from_der(first) {
            Ok((_, certificate)) => (
                issuer(certificate.issuer()),
                Some(Timestamp::from_seconds(
                    certificate.validity().not_after.timestamp(),
                )),
            ),
            Err(_) => (None, None),
        };
        let is_valid = || {
            let certificate = ParsedCertificate::try_from(first)?;
            let name = server_name(hostname).ok_or(CertificateError::NotValidForName)?;
            verify_server_name(&certificate, &name)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                unix_time(now),
                self.algorithms.all,
            )
        };
        Presented {
            issuer,
            not_after,
            problem: is_valid().err().map(|error| problem(&error)),
        }
    }
}

fn server_name(hostname: &Hostname) -> Option<ServerName<'static>> {
    ServerName::try_from(hostname.as_str().to_owned()).ok()
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(now.seconds()).unwrap_or_default(),
    ))
}

fn problem(error: &Error) -> CertificateProblem {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
    };
    match error {
        Error::InvalidCertificate(Expired | ExpiredContext { .. }) => CertificateProblem::Expired,
        Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => CertificateProblem::NotYetValid,
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            CertificateProblem::WrongName
        }
        _ => CertificateProblem::Untrusted,
    }
}

/// The issuer's organization, which people know, or else its common name.
fn issuer(name: &X509Name<'_>) -> Option<String> {
    let attribute = name
        .iter_organization()
        .chain(name.iter_common_name())
        .find_map(|attribute| attribute.as_str().ok())?;
    let text: String = attribute
        .chars()
        .filter(|char| !char.is_control())
        .take(MAX_ISSUER)
        .collect();
    (!text.is_empty()).then_some(text)
}

/// Accepts each certificate, so that it can be judged after the handshake. The edge must still have its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn edge(port: u16) -> Edge {
        let roots = Vec::new();
        Edge::new(&EdgeConfig { roots, port }).unwrap()
    }

    async fn ask(
        edge: &Edge,
        addresses: &[IpAddr],
        handshakes: &Handshakes,
        time: Duration,
    ) -> Option<Presented> {
        let hostname = "portal.acme.test".parse().unwrap();
        let deadline = Instant::now() + time;
        edge.presented(&hostname, addresses, handshakes, NOW, deadline)
            .await
    }

    fn local(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    #[tokio::test]
    async fn an_edge_that_does_not_finish_handshakes_is_asked_16_times_in_a_session() {
        let listener = TcpListener::bind((local(1), 0)).await.unwrap();
        let mut edge = edge(listener.local_addr().unwrap().port());
        edge.time = Duration::from_millis(10);
        let (handshakes, minute) = (Handshakes::default(), Duration::from_secs(60));
        for _ in 0..MAX_TIMEOUTS {
            let presented = ask(&edge, &[local(1)], &handshakes, minute).await;
            assert_eq!(presented, Some(CertificateProblem::TimedOut.into()));
        }
        assert_eq!(ask(&edge, &[local(1)], &handshakes, minute).await, None);
    }

    #[tokio::test]
    async fn a_handshake_ends_before_the_deadline() {
        let listener = TcpListener::bind((local(1), 0)).await.unwrap();
        let edge = edge(listener.local_addr().unwrap().port());
        assert_eq!(edge.time, Duration::from_secs(3));
        let handshakes = Handshakes::default();
        let soon = Duration::from_millis(10);
        assert_eq!(ask(&edge, &[local(1)], &handshakes, soon).await, None);
        assert!(!handshakes.is_unresponsive());
    }

    #[tokio::test]
    async fn an_edge_that_accepts_no_connection_is_asked_three_times_in_a_session() {
        let listener = TcpListener::bind((local(1), 0)).await.unwrap();
        let closed = edge(listener.local_addr().unwrap().port());
        drop(listener);
        let (handshakes, second) = (Handshakes::default(), Duration::from_secs(1));
        for _ in 0..MAX_UNREACHABLE {
            let presented = ask(&closed, &[local(1)], &handshakes, second).await;
            assert_eq!(presented, Some(CertificateProblem::Unreachable.into()));
        }
        assert_eq!(ask(&closed, &[local(1)], &handshakes, second).await, None);
        // So is one without an address.
        let presented = ask(&closed, &[], &Handshakes::default(), second).await;
        assert_eq!(presented, Some(CertificateProblem::Unreachable.into()));
    }

    #[tokio::test]
    async fn the_next_address_is_tried_if_one_accepts_no_connection() {
        let listener = TcpListener::bind((local(1), 0)).await.unwrap();
        let edge = edge(listener.local_addr().unwrap().port());
        let handshakes = Handshakes::default();
        let addresses = [local(2), local(1)];
        let asks = ask(&edge, &addresses, &handshakes, HANDSHAKE_TIME);
        let closes = async { drop(listener.accept().await.unwrap()) };
        let (presented, ()) = tokio::join!(asks, closes);
        assert_eq!(presented, Some(CertificateProblem::HandshakeFailed.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_64_handshakes_are_made_at_once() {
        let handshakes = Handshakes::default();
        let _others = handshakes.permits.acquire_many(64).await.unwrap();
        let minute = Duration::from_secs(60);
        assert_eq!(ask(&edge(443), &[local(1)], &handshakes, minute).await, None);
    }
}
