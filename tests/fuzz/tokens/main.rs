//! Tokens and key sets: a token that the API accepts is also accepted by `picky`, under a key of the same set, and its header and claims
//! follow the documented rules.
//!
//! `picky` shares no code with the product's `jsonwebtoken` and aws-lc: its cryptography is that of RustCrypto. It has its own JWK
//! parser, and returns the payload as bytes, without checks of claims, so that all claims reach the rules here. It has no HS256, so that
//! is verified by `hmac` and `sha2`.
//!
//! The input has lines: the key that signs, the header, the claims, the key set and the changes of the token. `$rsa.n` in any of them is
//! a member of the key `rsa`. The keys are constants, but each signature by ECDSA has another random number.

use std::collections::HashSet;

use aws_lc_rs::{
    hmac as aws_hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use fuzz::Accepted;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use json_syntax::{Parse, Value};
use picky::{
    jose::{
        jwk::{Jwk, JwkKeyType},
        jws::{JwsAlg, RawJws, verify_signature},
    },
    key::PublicKey,
    signature::SignatureAlgorithm,
};
use sha2::Sha256;
use shared::{
    auth::{Auth, AuthConfig, ClaimNames, Jwks, KeySource, Principal, Role, RoleMap, Tenant},
    models::time::Timestamp,
};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.com/";
const AUDIENCE: &str = "https://api.example.com";
const SECRET: &str = "a secret of more than thirty-two bytes";

fn main() {
    let keys = Keys::new();
    for (key, alg, jwk) in [
        ("rsa", "RS256", r#"{"kty":"RSA","n":"$rsa.n","e":"$rsa.e"}"#),
        (
            "ec",
            "ES256",
            r#"{"kty":"EC","crv":"P-256","x":"$ec.x","y":"$ec.y"}"#,
        ),
        (
            "ec384",
            "ES384",
            r#"{"kty":"EC","crv":"P-384","x":"$ec384.x","y":"$ec384.y"}"#,
        ),
        ("ed", "EdDSA", r#"{"kty":"OKP","crv":"Ed25519","x":"$ed.x"}"#),
    ] {
        let claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"user_1","org_id":"org_1","exp":{}}}"#,
            NOW + 60
        );
        let valid = format!("{key}\n{{\"alg\":\"{alg}\"}}\n{claims}\n{{\"keys\":[{jwk}]}}");
        assert!(check(&keys, valid.as_bytes()), "a valid token: {alg}");
    }
    let accepted = Accepted::new();
    bolero::check!().for_each(|input: &[u8]| accepted.count(check(&keys, input)));
}

/// Whether the API accepts the token of the input.
fn check(keys: &Keys, input: &[u8]) -> bool {
    let text = keys.fill(&String::from_utf8_lossy(input));
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (signer, header, claims, set, changes) = (next(), next(), next(), next(), next());
    let token = edit(keys.sign(signer, header, claims), changes);
    let source = match set {
        "secret" => KeySource::Secret(SECRET.parse().unwrap()),
        set => match Jwks::parse(set.as_bytes()) {
            Ok(keys) => KeySource::Document(keys),
            Err(_) => return false,
        },
    };
    let Some(principal) = authenticate(source, &token) else {
        return false;
    };
    let payload = verify(&token, set);
    assert_claims(&payload, &principal);
    true
}

fn authenticate(keys: KeySource, token: &str) -> Option<Principal> {
    let auth = Auth::new(AuthConfig {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys,
        claims: ClaimNames {
            org: "org_id".parse().unwrap(),
            role: "role".parse().unwrap(),
            audience: "aud".parse().unwrap(),
            client: Some("client_id".parse().unwrap()),
        },
        roles: RoleMap::default(),
    });
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let result = auth
        .authenticate(&headers, Timestamp::from_seconds(NOW))
        .now_or_never();
    result.expect("keys of a document need no request").ok()
}

/// Keys that sign, and the members of their JWKs.
struct Keys {
    rsa: rsa::KeyPair,
    ec: EcdsaKeyPair,
    ec384: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    members: Vec<(&'static str, String)>,
}

impl Keys {
    fn new() -> Self {
        let rsa = rsa::KeyPair::from_pkcs8(include_bytes!("rsa.pk8")).unwrap();
        let ec = ec_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            32,
            b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        );
        let ec384 = ec_key(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            48,
            b"\x06\x05\x2b\x81\x04\x00\x22",
        );
        let ed = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(rsa.public_key());
        let (p256, p384) = (ec.public_key().as_ref(), ec384.public_key().as_ref());
        let members = vec![
            ("$rsa.n", encode(&public.n)),
            ("$rsa.e", encode(&public.e)),
            ("$ec.x", encode(&p256[1..33])),
            ("$ec.y", encode(&p256[33..])),
            ("$ec384.x", encode(&p384[1..49])),
            ("$ec384.y", encode(&p384[49..])),
            ("$ed.x", encode(ed.public_key().as_ref())),
        ];
        Self {
            rsa,
            ec,
            ec384,
            ed,
            members,
        }
    }

    fn fill(&self, text: &str) -> String {
        self.members
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    fn sign(&self, signer: &str, header: &str, claims: &str) -> String {
        let encode = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        let message = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let (octets, random) = (message.as_bytes(), SystemRandom::new());
        let signature = match signer {
            "rsa" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, octets, &mut signature)
                    .unwrap();
                signature
            }
            "ec384" => self.ec384.sign(&random, octets).unwrap().as_ref().to_vec(),
            "ed" => self.ed.sign(octets).as_ref().to_vec(),
            "secret" => {
                let key = aws_hmac::Key::new(aws_hmac::HMAC_SHA256, SECRET.as_bytes());
                aws_hmac::sign(&key, octets).as_ref().to_vec()
            }
            _ => self.ec.sign(&random, octets).unwrap().as_ref().to_vec(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

/// The key whose private number has this many octets, all 7. `curve` is the DER of its object identifier (RFC 5915).
fn ec_key(algorithm: &'static EcdsaSigningAlgorithm, octets: u8, curve: &[u8]) -> EcdsaKeyPair {
    let curve_octets = curve.len() as u8;
    let mut der = vec![0x30, 7 + octets + curve_octets, 2, 1, 1, 4, octets];
    der.extend(std::iter::repeat_n(7, octets.into()));
    der.extend([0xa0, curve_octets]);
    der.extend_from_slice(curve);
    EcdsaKeyPair::from_private_key_der(algorithm, &der).unwrap()
}

/// Applies changes such as `12=A`: the byte 12 of the token becomes `A`. Bytes are counted from the end after `-`.
fn edit(token: String, changes: &str) -> String {
    let mut bytes = token.into_bytes();
    for change in changes.split(' ') {
        let Some((at, with)) = change.split_once('=') else {
            continue;
        };
        let index = match at.strip_prefix('-') {
            Some(at) => at.parse().ok().and_then(|at: usize| bytes.len().checked_sub(at)),
            None => at.parse().ok(),
        };
        let Some(index) = index.filter(|index| *index < bytes.len()) else {
            continue;
        };
        bytes.splice(index..=index, with.bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<&str> = token.split('.').collect();
    parts
        .try_into()
        .unwrap_or_else(|_| panic!("not three parts: {token}"))
}

/// The payload of an accepted token, after a check of its header and its signature.
fn verify(token: &str, set: &str) -> Vec<u8> {
    let [header, payload, signature] = parts(token);
    let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    let (header, payload) = (object(&decode(header)), decode(payload));
    for extension in ["crit", "b64"] {
        assert!(member(&header, extension).is_none(), "{token}");
    }
    if let Some(typ) = member(&header, "typ") {
        let typ = typ.as_string().unwrap().to_ascii_lowercase();
        assert!(
            ["jwt", "at+jwt", "application/jwt", "application/at+jwt"].contains(&typ.as_str()),
            "{typ}"
        );
    }
    let alg = member(&header, "alg").and_then(Value::as_string).unwrap();
    let kid = member(&header, "kid").map(|kid| kid.as_string().unwrap());
    if set == "secret" {
        assert_eq!(alg, "HS256");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&token.as_bytes()[..token.rfind('.').unwrap()]);
        mac.verify_slice(&decode(signature)).unwrap();
        return payload;
    }
    let set: serde_json::Value = serde_json::from_str(set).unwrap();
    let keys = set["keys"].as_array().unwrap();
    let is_named = |jwk: &&serde_json::Value| match (kid, jwk["kid"].as_str()) {
        (Some(kid), Some(name)) => kid == name,
        _ => true,
    };
    let is_verified = keys
        .iter()
        .filter(is_named)
        .any(|jwk| is_usable(jwk, alg) && accepts(token, alg, jwk, &payload));
    assert!(is_verified, "no key of {set} accepts {token}");
    payload
}

/// The rules of RFC 7517 for a key that verifies signatures.
fn is_usable(jwk: &serde_json::Value, alg: &str) -> bool {
    let has = |name: &str| jwk.get(name).is_some_and(|value| !value.is_null());
    let text = |name: &str| jwk[name].as_str().unwrap_or_default();
    let kind = match (text("kty"), text("crv")) {
        ("RSA", _) => "RS256",
        ("EC", "P-256") => "ES256",
        ("EC", "P-384") => "ES384",
        ("OKP", "Ed25519") => "EdDSA",
        _ => return false,
    };
    let is_kind = |alg: &str| alg == kind || alg == "Ed25519" && kind == "EdDSA";
    let verifies = |ops: &Vec<serde_json::Value>| ops.iter().any(|op| op == "verify");
    is_kind(alg)
        && (!has("alg") || is_kind(text("alg")))
        && (!has("use") || text("use") == "sig")
        && (!has("key_ops") || jwk["key_ops"].as_array().is_some_and(verifies))
        && !["d", "p", "q", "dp", "dq", "qi", "oth", "k"].into_iter().any(has)
}

/// Whether `picky` accepts the token under the key, and reads the same payload.
fn accepts(token: &str, alg: &str, jwk: &serde_json::Value, payload: &[u8]) -> bool {
    // Only what concerns the key: `picky` has types for the other members. The API also accepts padding.
    let members = ["kty", "crv", "n", "e", "x", "y"].into_iter().filter_map(|name| {
        let text = jwk.get(name)?.as_str()?.trim_end_matches('=');
        Some((name.to_owned(), text.into()))
    });
    let Ok(key) = serde_json::from_value::<JwkKeyType>(serde_json::Value::Object(members.collect())) else {
        return false;
    };
    let Ok(key): Result<PublicKey, _> = Jwk::new(key).to_public_key() else {
        return false;
    };
    // The name of RFC 9864, which `picky` does not know yet.
    if alg == "Ed25519" {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        return SignatureAlgorithm::Ed25519
            .verify(&key, signed.as_bytes(), &signature)
            .is_ok();
    }
    match RawJws::decode(token) {
        Ok(jws) => jws.verify(&key).is_ok_and(|jws| jws.payload == payload),
        // `picky` has types for members that the API ignores, such as `jku`. Then only the signature is compared.
        Err(_) => {
            let alg: JwsAlg = serde_json::from_value(alg.into()).unwrap();
            verify_signature(token, &key, alg).is_ok()
        }
    }
}

/// Parses an object. No object in it may have a name twice.
fn object(json: &[u8]) -> Value {
    let (value, _) = Value::parse_slice(json).unwrap();
    assert!(value.is_object(), "{value:?}");
    assert_distinct(&value);
    value
}

fn assert_distinct(value: &Value) {
    let mut names = HashSet::new();
    for entry in value.as_object().into_iter().flat_map(|object| object.entries()) {
        assert!(names.insert(entry.key.as_str()), "{} is repeated", entry.key);
        assert_distinct(&entry.value);
    }
    value.as_array().into_iter().flatten().for_each(assert_distinct);
}

/// The member with this name, also if it is `null`.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let entries = object.as_object()?.entries();
    entries
        .iter()
        .find(|entry| entry.key.as_str() == name)
        .map(|entry| &entry.value)
}

/// The member with this name, if it is not `null`.
fn claim<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    member(object, name).filter(|value| !value.is_null())
}

fn assert_claims(payload: &[u8], principal: &Principal) {
    let claims = object(payload);
    let text = |name: &str| claim(&claims, name).and_then(Value::as_string);
    assert_eq!(text("iss"), Some(ISSUER));
    let audience = claim(&claims, "aud").unwrap();
    match audience.as_array() {
        Some(all) => {
            assert!(all.iter().all(Value::is_string));
            assert!(all.iter().any(|one| one.as_string() == Some(AUDIENCE)));
        }
        None => assert_eq!(audience.as_string(), Some(AUDIENCE)),
    }
    let sub = text("sub").unwrap();
    assert!(
        (1..=255).contains(&sub.chars().count()) && !sub.contains(char::is_control),
        "{sub:?}"
    );
    assert_eq!(principal.user, sub);

    // Seconds. The leeway is 30 s, and the comparison here has one millisecond more.
    let time = |name| member(&claims, name).map(|time| time.as_number().unwrap().as_f64_lossy() - NOW as f64);
    assert!(time("exp").unwrap() > -30.001);
    assert!(time("nbf").is_none_or(|nbf| nbf < 30.001));
    assert!(time("iat").is_none_or(|iat| iat < 30.001));

    let org = text("org_id").unwrap();
    let client = claim(&claims, "client_id").map(|client| client.as_string().filter(|id| is_client(id)));
    match (&principal.tenant, client) {
        (Tenant::NoOrganization, Some(None)) => {}
        (Tenant::Client(id), Some(Some(claim))) => assert_eq!(id.to_string(), claim),
        (Tenant::Client(id), None) => assert_eq!(id.to_string(), org),
        (Tenant::Agency(id), None) => {
            assert_eq!(id.as_str(), org);
            assert!(!is_client(org));
        }
        other => panic!("{other:?}"),
    }
    let is_org = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    assert!((1..=64).contains(&org.len()) && org.chars().all(is_org), "{org}");
    assert_eq!(principal.role, role(claim(&claims, "role")));
}

/// The form of a client's id: `cli_` and a UUIDv7 in lower case.
fn is_client(id: &str) -> bool {
    let Some(uuid) = id.strip_prefix("cli_") else {
        return false;
    };
    let is_form = |(at, c)| match at {
        8 | 13 | 18 | 23 => c == '-',
        14 => c == '7',
        19 => matches!(c, '8' | '9' | 'a' | 'b'),
        _ => matches!(c, '0'..='9' | 'a'..='f'),
    };
    uuid.len() == 36 && uuid.chars().enumerate().all(is_form)
}

/// The highest role in the words of a text, the texts of an array or the names of an object.
fn role(claim: Option<&Value>) -> Role {
    let words: Vec<&str> = match claim {
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_string).collect(),
        Some(Value::Object(object)) => object.entries().iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    };
    match () {
        () if words.contains(&"owner") => Role::Owner,
        () if words.contains(&"admin") => Role::Admin,
        () => Role::Member,
    }
}
