//! A proxy in front of DynamoDB, with or without TLS. It counts requests and bytes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::Result;

/// The start of each of the SDK's requests.
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\n";

/// What the functions sent and received.
#[derive(Debug, Default, Clone, Copy)]
pub struct DynamoDbTraffic {
    /// Requests to DynamoDB.
    pub requests: u64,
    /// Bytes of requests and responses, without TLS.
    pub bytes: u64,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A running proxy. Dropping it closes it.
pub struct CountingProxy {
    /// The endpoint for the functions.
    pub endpoint: String,
    counters: Arc<Counters>,
    _connections: JoinSet<()>,
}

impl CountingProxy {
    /// Listens on a free port and forwards to the database at `upstream`.
    pub async fn start(upstream: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let endpoint = match tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (tls, counters) = (tls.clone(), Arc::clone(&shared));
                connections.spawn(async move {
                    // The function sees an error as the end of its connection.
                    let _ = client.set_nodelay(true);
                    let _ = match tls {
                        Some(tls) => match tls.accept(client).await {
                            Ok(client) => forward(client, upstream, &counters).await,
                            Err(error) => Err(error.into()),
                        },
                        None => forward(client, upstream, &counters).await,
                    };
                });
            }
        });
        Ok(Self {
            endpoint,
            counters,
            _connections: connections,
        })
    }

    /// The traffic since the last call.
    pub fn take(&self) -> DynamoDbTraffic {
        DynamoDbTraffic {
            requests: self.counters.requests.swap(0, Ordering::Relaxed),
            bytes: self.counters.bytes.swap(0, Ordering::Relaxed),
        }
    }
}

async fn forward(
    client: impl AsyncRead + AsyncWrite,
    upstream: SocketAddr,
    counters: &Counters,
) -> Result<()> {
    let server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    tokio::try_join!(
        copy(from_client, to_server, counters),
        copy(from_server, to_client, counters),
    )?;
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counters: &Counters,
) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return Ok(to.shutdown().await?);
        };
        // The SDK sends a request at once, after it read the response to the one before.
        counters
            .requests
            .fetch_add(u64::from(bytes.starts_with(REQUEST)), Ordering::Relaxed);
        counters.bytes.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(bytes).await?;
    }
}

/// TLS with a chain of two certificates below an authority, as DynamoDB has. Also returns the authority's certificate, in PEM.
pub fn tls() -> Result<(TlsAcceptor, String)> {
    let authority_params = |name: &str| -> Result<CertificateParams> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Ok(params)
    };
    let authority = CertifiedIssuer::self_signed(authority_params("Root")?, KeyPair::generate()?)?;
    let intermediate = CertifiedIssuer::signed_by(
        authority_params("Intermediate")?,
        KeyPair::generate()?,
        &authority,
    )?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &intermediate)?;
    let chain = vec![leaf.der().clone(), intermediate.der().clone()];
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, der)?;
    Ok((TlsAcceptor::from(Arc::new(config)), authority.pem()))
}
