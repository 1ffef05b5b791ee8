//! The operator's edge: a TLS server with a valid certificate for each name.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use crate::Result;

/// The address that the operator's wildcard record leads to.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Starts the server in a thread of its own. Writes the certificate of its authority to `root`. Returns the port.
pub fn start(root: &Path) -> Result<u16> {
    let mut params = CertificateParams::new([])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    fs::write(root, authority.pem())?;
    let key = KeyPair::generate()?;
    let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = aws_lc_rs::default_provider();
    let signing_key = provider.key_provider.load_private_key(der)?;
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Issuer {
            authority,
            key,
            signing_key,
        }));
    let listener = TcpListener::bind((ADDRESS, 0))?;
    let port = listener.local_addr()?.port();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(serve(listener, TlsAcceptor::from(Arc::new(config)))));
    Ok(port)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        // What the client sees of a handshake that fails is counted there.
        tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
    }
}

/// Issues each certificate in its handshake.
#[derive(Debug)]
struct Issuer {
    authority: CertifiedIssuer<'static, KeyPair>,
    /// Of all certificates: a new key each time would take most of the CPU time.
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
}

impl ResolvesServerCert for Issuer {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let params = CertificateParams::new([hello.server_name()?.to_owned()]).ok()?;
        let certificate = params.signed_by(&self.key, &self.authority).ok()?;
        let chain = vec![certificate.der().clone()];
        Some(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.signing_key))))
    }
}
