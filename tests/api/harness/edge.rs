//! The operator's edge, as far as a TLS handshake sees it: a listener that presents what the test chooses.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::Acceptor,
};
use time::OffsetDateTime;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::LazyConfigAcceptor;

/// The alerts of servers that have no certificate for a name: `handshake_failure`, `access_denied`, `internal_error` and
/// `unrecognized_name`.
pub const NO_CERTIFICATE: [u8; 4] = [40, 49, 80, 112];
/// The alert of a server that does not speak the client's versions of TLS.
pub const PROTOCOL_VERSION: u8 = 70;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What the edge presents.
#[derive(Clone)]
pub enum HandshakeResponse {
    Certificate(Arc<ServerConfig>),
    /// A fatal alert (RFC 8446, section 6).
    Alert(u8),
    /// The connection is closed.
    Nothing,
    /// The same when this is notified.
    NothingUntil(Arc<Notify>),
}

/// Dropping it stops it.
pub struct TlsEdge {
    pub address: SocketAddr,
    presented: Arc<Mutex<HandshakeResponse>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Authority {
    pub fn new(organization: Option<&str>) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test Root 1");
        if let Some(organization) = organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The certificate of the authority, for `EDGE_ROOTS`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of this name for this time, in seconds since 1970.
    pub fn certificate(&self, name: &str, (from, to): (i64, i64)) -> HandshakeResponse {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, (from, to)).signed_by(&key, &self.0).unwrap();
        present(certificate.der().clone(), &key)
    }
}

/// A certificate that is its own issuer.
pub fn self_signed(name: &str, valid: (i64, i64)) -> HandshakeResponse {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, valid).self_signed(&key).unwrap();
    present(certificate.der().clone(), &key)
}

fn params(name: &str, (from, to): (i64, i64)) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    let time = |seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    (params.not_before, params.not_after) = (time(from), time(to));
    params
}

fn present(certificate: CertificateDer<'static>, key: &KeyPair) -> HandshakeResponse {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    HandshakeResponse::Certificate(Arc::new(config))
}

impl TlsEdge {
    /// On a free port of this machine.
    pub async fn start(presented: HandshakeResponse) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let presented = Arc::new(Mutex::new(presented));
        let asked = Arc::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&presented), Arc::clone(&asked)));
        Self {
            address,
            presented,
            asked,
            task,
        }
    }

    pub fn present(&self, presented: HandshakeResponse) {
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = presented;
    }

    /// The names that were asked for since the last call.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for TlsEdge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    presented: Arc<Mutex<HandshakeResponse>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let presented = presented.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::spawn(serve(stream, presented, Arc::clone(&asked)));
    }
}

async fn serve(stream: TcpStream, presented: HandshakeResponse, asked: Arc<Mutex<Vec<String>>>) {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let Ok(start) = (&mut acceptor).await else {
        return;
    };
    let name = start.client_hello().server_name().unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    match presented {
        HandshakeResponse::Certificate(config) => _ = start.into_stream(config).await,
        HandshakeResponse::Alert(alert) => {
            let mut stream = start.io;
            // A record of type alert, TLS 1.2, two bytes: fatal, and the alert.
            _ = stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await;
        }
        HandshakeResponse::Nothing => {}
        HandshakeResponse::NothingUntil(end) => end.notified().await,
    }
}
