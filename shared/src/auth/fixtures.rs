//! What the tests of this module share: keys that sign, and an endpoint that serves them.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        KeyPair, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Jwks, JwksUrl, Secret};

/// An issuer's key.
pub(super) struct TestIssuer {
    kid: &'static str,
    key: SigningKey,
}

enum SigningKey {
    Rsa(rsa::KeyPair),
    Ec(EcdsaKeyPair),
    Ec384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Mac(String),
}

impl TestIssuer {
    pub(super) fn rsa() -> &'static Self {
        static SIGNER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer {
            kid: "rsa",
            key: SigningKey::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()),
        });
        &SIGNER
    }

    pub(super) fn ec() -> &'static Self {
        static SIGNER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer {
            kid: "ec",
            key: SigningKey::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        });
        &SIGNER
    }

    pub(super) fn ec384() -> &'static Self {
        static SIGNER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer {
            kid: "ec384",
            key: SigningKey::Ec384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()),
        });
        &SIGNER
    }

    pub(super) fn ed() -> &'static Self {
        static SIGNER: LazyLock<TestIssuer> = LazyLock::new(|| TestIssuer {
            kid: "ed",
            key: SigningKey::Ed(Ed25519KeyPair::generate().unwrap()),
        });
        &SIGNER
    }

    pub(super) fn mac() -> &'static Self {
        static SIGNER: LazyLock<TestIssuer> =
            LazyLock::new(|| TestIssuer::secret("a secret of more than thirty-two bytes".to_owned()));
        &SIGNER
    }

    pub(super) fn secret(secret: String) -> Self {
        Self {
            kid: "mac",
            key: SigningKey::Mac(secret),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self.key {
            SigningKey::Rsa(_) => Algorithm::RS256,
            SigningKey::Ec(_) => Algorithm::ES256,
            SigningKey::Ec384(_) => Algorithm::ES384,
            SigningKey::Ed(_) => Algorithm::EdDSA,
            SigningKey::Mac(_) => Algorithm::HS256,
        }
    }

    /// The public key.
    pub(super) fn jwk(&self) -> Value {
        let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        let alg = format!("{:?}", self.algorithm());
        let mut jwk = match &self.key {
            SigningKey::Rsa(key) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
                json!({"kty": "RSA", "n": encode(&key.n), "e": encode(&key.e)})
            }
            SigningKey::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            SigningKey::Ec384(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-384", "x": encode(&point[1..49]), "y": encode(&point[49..])})
            }
            SigningKey::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
            SigningKey::Mac(_) => panic!("a secret is in no set"),
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(alg);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with this payload.
    pub(super) fn sign(&self, payload: &str) -> String {
        let header = json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm()), "kid": self.kid});
        self.sign_as(&header.to_string(), payload)
    }

    /// A token with this header, right or wrong.
    pub(super) fn sign_as(&self, header: &str, payload: &str) -> String {
        let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        let message = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = match &self.key {
            SigningKey::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
            SigningKey::Ec(key) | SigningKey::Ec384(key) => {
                let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
                signature.as_ref().to_vec()
            }
            SigningKey::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            SigningKey::Mac(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{message}.{}", encode(&signature))
    }
}

/// The JWKS document of these keys.
pub(super) fn document(signers: &[&TestIssuer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// The set of these keys, or of one secret.
pub(super) fn jwks(signers: &[&TestIssuer]) -> Jwks {
    match signers {
        [
            TestIssuer {
                key: SigningKey::Mac(secret),
                ..
            },
        ] => secret.parse::<Secret>().unwrap().into(),
        signers => Jwks::parse(document(signers).as_bytes()).unwrap(),
    }
}

/// A JWKS endpoint on this machine, as good or bad as a test wants it.
pub(super) struct JwksServer {
    port: u16,
    hits: Arc<AtomicUsize>,
    manner: Arc<Mutex<Manner>>,
}

#[derive(Clone, Default)]
struct Manner {
    answer: String,
    /// Sent after the answer, again and again.
    repeat: String,
    /// The connection is left open after the answer.
    open: bool,
}

impl JwksServer {
    pub(super) async fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            port: listener.local_addr().unwrap().port(),
            hits: Arc::default(),
            manner: Arc::default(),
        };
        endpoint.serve(body);
        let (hits, manner) = (endpoint.hits.clone(), endpoint.manner.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                hits.fetch_add(1, Ordering::Relaxed);
                let manner = manner.lock().unwrap().clone();
                tokio::spawn(manner.reply(stream));
            }
        });
        endpoint
    }

    pub(super) fn url(&self) -> JwksUrl {
        format!("http://127.0.0.1:{}/jwks.json", self.port)
            .parse()
            .unwrap()
    }

    /// How many connections there have been: one for each fetch.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// From now on a `200` with this body.
    pub(super) fn serve(&self, body: &str) {
        let length = body.len();
        self.answer(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
    }

    /// From now on these bytes and the end of the connection.
    pub(super) fn answer(&self, answer: &str) {
        *self.manner.lock().unwrap() = Manner {
            answer: answer.to_owned(),
            ..Manner::default()
        };
    }

    /// The end of the connection does not come.
    pub(super) fn hold_open(&self) {
        self.manner.lock().unwrap().open = true;
    }

    /// From now on silence.
    pub(super) fn stall(&self) {
        self.answer("");
        self.hold_open();
    }

    /// After the answer comes this, without an end.
    pub(super) fn repeat(&self, text: &str) {
        self.manner.lock().unwrap().repeat = text.to_owned();
    }
}

impl Manner {
    async fn reply(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut request).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        if stream.write_all(self.answer.as_bytes()).await.is_err() {
            return;
        }
        while !self.repeat.is_empty() {
            if stream.write_all(self.repeat.as_bytes()).await.is_err() {
                return;
            }
        }
        if self.open {
            // Ends with the client's side.
            let _ = stream.read_buf(&mut request).await;
        }
    }
}
