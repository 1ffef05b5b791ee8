//! The keys that verify tokens: a JWK set (RFC 7517) or a secret. Each key has exactly one algorithm.

use std::str::FromStr;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm, ParsedPublicKey,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::jwks_url::JwksUrl;

/// The source of the keys.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The identity provider's JWKS endpoint.
    Url(JwksUrl),
    /// A JWKS document in the configuration.
    Document(Jwks),
    /// A secret shared with the issuer: for local development and tests.
    Secret(Secret),
}

/// The usable keys of a JWK set. Not empty.
#[derive(Debug, Clone)]
pub struct Jwks(Vec<VerificationKey>);

/// A secret for HS256.
#[derive(Debug, Clone)]
pub struct Secret(DecodingKey);

/// A key with its `kid` and its only algorithm.
#[derive(Debug, Clone)]
pub(super) struct VerificationKey {
    kid: Option<String>,
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
}

impl Jwks {
    /// Parses a JWK set. Unusable keys are skipped.
    ///
    /// # Errors
    /// A sentence, if the text is not a JWK set or no key is usable.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let Document { keys } =
            serde_json::from_slice(document).map_err(|error| format!("not a JWK set: {error}"))?;
        let (mut usable, mut reasons) = (Vec::new(), Vec::new());
        for jwk in keys {
            match VerificationKey::try_from(jwk) {
                Ok(key) => usable.push(key),
                Err(reason) => reasons.push(reason),
            }
        }
        if usable.is_empty() {
            let reason = reasons.first().copied().unwrap_or("the set is empty");
            return Err(format!("no usable key in the JWK set: {reason}"));
        }
        Ok(Self(usable))
    }

    /// The keys with this `kid`. If the token or the set's only key has no `kid`: the only key of the set.
    pub(super) fn named(&self, kid: Option<&str>) -> impl Iterator<Item = &VerificationKey> {
        let only = self.0.len() == 1;
        self.0.iter().filter(move |key| match (kid, key.kid.as_deref()) {
            (Some(wanted), Some(name)) => wanted == name,
            (Some(_), None) | (None, _) => only,
        })
    }
}

/// A document in the environment: at most 2,048 bytes, because Lambda limits the environment's size.
impl FromStr for Jwks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > 2048 {
            return Err(format!("{} bytes; the limit is 2048", text.len()));
        }
        Self::parse(text.as_bytes())
    }
}

impl Secret {
    /// At least 32 bytes (RFC 7518, section 3.2).
    pub(super) fn new(octets: &[u8]) -> Result<Self, String> {
        if octets.len() < 32 {
            return Err(format!("{} bytes; HS256 needs at least 32", octets.len()));
        }
        Ok(Self(DecodingKey::from_secret(octets)))
    }
}

/// The bytes of the text, including white space.
impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.as_bytes())
    }
}

impl From<Secret> for Jwks {
    fn from(Secret(key): Secret) -> Self {
        Self(vec![VerificationKey {
            kid: None,
            algorithm: Algorithm::HS256,
            key,
        }])
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    #[serde(flatten)]
    private: PrivateParts,
}

/// RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1.
#[derive(Deserialize)]
struct PrivateParts {
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl PrivateParts {
    fn any(&self) -> bool {
        [
            &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k,
        ]
        .into_iter()
        .any(Option::is_some)
    }
}

impl VerificationKey {
    /// Whether this is a signature of the message, in base64url.
    pub(super) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        // An error is a signature that cannot be decoded.
        crypto::verify(signature, message, &self.key, self.algorithm).unwrap_or(false)
    }
}

impl TryFrom<Value> for VerificationKey {
    type Error = &'static str;

    fn try_from(jwk: Value) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| "a member is missing or of another type")?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("its use is not sig");
        }
        let verifies = |ops: Vec<String>| ops.iter().any(|op| op == "verify");
        if !jwk.key_ops.is_none_or(verifies) {
            return Err("its key_ops do not include verify");
        }
        if jwk.private.any() {
            return Err("it has private parts");
        }
        let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (Algorithm::RS256, rsa(jwk.n, jwk.e)?),
            ("EC", Some("P-256")) => {
                let key = elliptic(&ECDSA_P256_SHA256_FIXED, 32, jwk.x, jwk.y)?;
                (Algorithm::ES256, key)
            }
            ("EC", Some("P-384")) => {
                let key = elliptic(&ECDSA_P384_SHA384_FIXED, 48, jwk.x, jwk.y)?;
                (Algorithm::ES384, key)
            }
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, ed25519(jwk.x)?),
            _ => return Err("its kind is not RSA, P-256, P-384 or Ed25519"),
        };
        if jwk
            .alg
            .is_some_and(|alg| self::algorithm(&alg) != Some(algorithm))
        {
            return Err("its alg does not match its kind, or is not RS256, ES256, ES384 or EdDSA");
        }
        Ok(Self {
            kid: jwk.kid,
            algorithm,
            key,
        })
    }
}

/// The algorithm with this name, if tokens may have it (RFC 7518, section 3.1; RFC 8037; RFC 9864, section 2.2).
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" | "Ed25519" => Some(Algorithm::EdDSA),
        "HS256" => Some(Algorithm::HS256),
        _ => None,
    }
}

/// RFC 7518, section 6.3.1; 2,048 to 8,192 bits.
fn rsa(n: Option<String>, e: Option<String>) -> Result<DecodingKey, &'static str> {
    // Some issuers write leading zero octets, which the library rejects.
    let number = |text| {
        let octets = octets(text)?;
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        Ok::<_, &str>(octets.into_iter().skip(zeros).collect::<Vec<_>>())
    };
    let (n, e) = (number(n)?, number(e)?);
    let bits = n
        .first()
        .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err("its modulus does not have 2048 to 8192 bits");
    }
    // With an exponent of 1, every message would be its own signature.
    if e.len() > 4 || e == [1] || e.last().is_none_or(|last| last % 2 == 0) {
        return Err("its exponent is out of range");
    }
    if is_roca(&n) {
        return Err("its modulus has the form of a vulnerable generator (ROCA)");
    }
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

const PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether a modulus has the fingerprint of CVE-2017-15361: modulo each of these primes it is a power of 65537. By chance, that
/// is so for less than one modulus in 2^27 (Nemec and others, “The Return of Coppersmith's Attack”, section 2).
fn is_roca(n: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let rest = n
            .iter()
            .fold(0, |rest, octet| (rest * 256 + u32::from(*octet)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * 65_537 % prime));
        powers.take(*prime as usize).any(|power| power == rest)
    })
}

/// RFC 7518, section 6.2.1. `size` is that of a coordinate, in octets.
fn elliptic(
    curve: &'static EcdsaVerificationAlgorithm,
    size: usize,
    x: Option<String>,
    y: Option<String>,
) -> Result<DecodingKey, &'static str> {
    let (x, y) = (octets(x)?, octets(y)?);
    if x.len() != size || y.len() != size {
        return Err("its coordinates do not have the length of its curve");
    }
    let point = [&[4], x.as_slice(), &y].concat();
    ParsedPublicKey::new(curve, &point).map_err(|_| "its point is not on the curve")?;
    Ok(DecodingKey::from_ec_der(&point))
}

/// RFC 8037, section 2.
fn ed25519(x: Option<String>) -> Result<DecodingKey, &'static str> {
    let x = octets(x)?;
    ParsedPublicKey::new(&ED25519, &x).map_err(|_| "its x is not an Ed25519 key")?;
    if has_small_order(&x) {
        return Err("its point has a small order");
    }
    Ok(DecodingKey::from_ed_der(&x))
}

/// Whether an Ed25519 point is one of the eight whose order divides 8, for which signatures of any message can be found. They have
/// these y coordinates, little-endian and with either sign (RFC 8032, section 5.1.2; some are not canonical).
fn has_small_order(point: &[u8]) -> bool {
    const fn near_p(first: u8) -> [u8; 32] {
        let mut y = [0xff; 32];
        y[0] = first;
        y[31] = 0x7f;
        y
    }
    const fn small(first: u8) -> [u8; 32] {
        let mut y = [0; 32];
        y[0] = first;
        y
    }
    const Y: [[u8; 32]; 7] = [
        small(0),
        small(1),
        near_p(0xec), // p - 1
        near_p(0xed), // p, that is 0
        near_p(0xee), // p + 1, that is 1
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = point.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    Y.iter().any(|small| *small == *y)
}

/// Padding is ignored, because some issuers write it.
pub(super) fn octets(text: Option<String>) -> Result<Vec<u8>, &'static str> {
    let text = text.ok_or("a member is missing")?;
    let octets = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    octets.map_err(|_| "a member is not base64url")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::{
        super::fixtures::{TestIssuer, jwks},
        *,
    };

    fn reason(jwk: Value) -> &'static str {
        VerificationKey::try_from(jwk).unwrap_err()
    }

    fn changed(signer: &TestIssuer, change: Value) -> Value {
        let mut jwk = signer.jwk();
        let Value::Object(change) = change else {
            panic!("an object")
        };
        jwk.as_object_mut().unwrap().extend(change);
        jwk
    }

    #[test]
    fn a_key_is_for_its_algorithm_or_its_kinds() {
        for signer in [
            TestIssuer::rsa(),
            TestIssuer::ec(),
            TestIssuer::ec384(),
            TestIssuer::ed(),
        ] {
            assert_eq!(
                VerificationKey::try_from(signer.jwk()).unwrap().algorithm,
                signer.algorithm()
            );
            let silent = changed(signer, json!({"alg": null, "use": null}));
            assert_eq!(
                VerificationKey::try_from(silent).unwrap().algorithm,
                signer.algorithm()
            );
            for alg in ["HS256", "none", "RS512", "PS256", "ES512", "RSA-OAEP", ""] {
                let reason = reason(changed(signer, json!({"alg": alg})));
                assert!(reason.starts_with("its alg"), "{reason}");
            }
        }
        assert!(reason(changed(TestIssuer::rsa(), json!({"alg": "ES256"}))).starts_with("its alg"));
        assert!(reason(changed(TestIssuer::ec(), json!({"alg": "ES384"}))).starts_with("its alg"));
        let named = changed(TestIssuer::ed(), json!({"alg": "Ed25519"}));
        assert_eq!(
            VerificationKey::try_from(named).unwrap().algorithm,
            Algorithm::EdDSA
        );
    }

    #[test]
    fn keys_for_another_use_are_skipped() {
        let rsa = TestIssuer::rsa();
        assert_eq!(reason(changed(rsa, json!({"use": "enc"}))), "its use is not sig");
        for key_ops in [json!([]), json!(["sign"]), json!(["encrypt", "wrapKey"])] {
            assert_eq!(
                reason(changed(rsa, json!({"key_ops": key_ops}))),
                "its key_ops do not include verify"
            );
        }
        assert!(VerificationKey::try_from(changed(rsa, json!({"key_ops": ["sign", "verify"]}))).is_ok());
        for part in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(
                reason(changed(rsa, json!({part: "AQAB"}))),
                "it has private parts",
                "{part}"
            );
        }
    }

    #[test]
    fn keys_of_another_kind_are_skipped() {
        for jwk in [
            json!({"kty": "oct", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            json!({"kty": "EC", "crv": "Ed25519", "x": "AA", "y": "AA"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
            json!({"kty": "EC"}),
            json!({"kty": "rsa"}),
        ] {
            assert_eq!(reason(jwk), "its kind is not RSA, P-256, P-384 or Ed25519");
        }
    }

    #[test]
    fn malformed_keys_are_skipped() {
        let coordinate = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
        let short = BASE64_URL_SAFE_NO_PAD.encode([0xff; 128]);
        let long = BASE64_URL_SAFE_NO_PAD.encode([0xff; 1025]);
        for jwk in [
            json!(null),
            json!([]),
            json!("RSA"),
            json!({}),
            json!({"kty": 1}),
            changed(TestIssuer::rsa(), json!({"kid": 7})),
            changed(TestIssuer::rsa(), json!({"alg": ["RS256"]})),
            changed(TestIssuer::rsa(), json!({"n": null})),
            changed(TestIssuer::rsa(), json!({"n": "!"})),
            changed(TestIssuer::rsa(), json!({"n": ""})),
            changed(TestIssuer::rsa(), json!({"n": short})),
            changed(TestIssuer::rsa(), json!({"n": long})),
            changed(TestIssuer::rsa(), json!({"e": ""})),
            changed(TestIssuer::rsa(), json!({"e": "AQ"})),
            changed(TestIssuer::rsa(), json!({"e": "AQAA"})),
            changed(TestIssuer::rsa(), json!({"e": "AQAAAAE"})),
            changed(TestIssuer::ec(), json!({"x": coordinate})),
            changed(TestIssuer::ec(), json!({"x": "AA"})),
            changed(TestIssuer::ec(), json!({"y": null})),
            changed(TestIssuer::ed(), json!({"x": "AA"})),
            changed(TestIssuer::ed(), json!({"x": null})),
        ] {
            assert!(VerificationKey::try_from(jwk.clone()).is_err(), "{jwk}");
        }
    }

    #[test]
    fn the_numbers_of_a_key_have_limits() {
        let number = |octets: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(octets);
        let (smallest, largest) = ([[0x80; 255].as_slice(), &[1]].concat(), [0xff; 1024]);
        for change in [
            json!({"n": number(&smallest)}),
            json!({"n": number(&largest)}),
            json!({"e": number(&[1, 0, 0, 1])}),
        ] {
            let jwk = changed(TestIssuer::rsa(), change);
            assert!(VerificationKey::try_from(jwk.clone()).is_ok(), "{jwk}");
        }
        // 2,047 bits.
        let small = [[0x7f; 255].as_slice(), &[1]].concat();
        assert_eq!(
            reason(changed(TestIssuer::rsa(), json!({"n": number(&small)}))),
            "its modulus does not have 2048 to 8192 bits"
        );
        assert_eq!(
            reason(changed(TestIssuer::rsa(), json!({"e": number(&[1, 0, 0, 0, 1])}))),
            "its exponent is out of range"
        );
        assert_eq!(
            reason(changed(TestIssuer::ec(), json!({"x": number(&[7; 31])}))),
            "its coordinates do not have the length of its curve"
        );
    }

    #[test]
    fn padding_is_no_fault() {
        for signer in [TestIssuer::rsa(), TestIssuer::ec(), TestIssuer::ed()] {
            let mut jwk = signer.jwk();
            for name in ["n", "e", "x", "y"] {
                if let Some(Value::String(text)) = jwk.get_mut(name) {
                    text.push_str(&"=".repeat((4 - text.len() % 4) % 4));
                }
            }
            assert!(VerificationKey::try_from(jwk.clone()).is_ok(), "{jwk}");
        }
    }

    #[test]
    fn weak_keys_are_skipped() {
        // The largest odd number of 2,048 bits that is 1, a power of 65537, modulo every prime.
        let product: u128 = PRIMES.iter().map(|prime| u128::from(*prime)).product();
        let rest = (0..256).fold(0, |rest, _| (rest * 256 + 0xff) % product);
        let low = u128::MAX - rest + 1;
        let low = if low % 2 == 0 { low - product } else { low };
        let modulus = [[0xff; 240].as_slice(), &low.to_be_bytes()].concat();
        let n = BASE64_URL_SAFE_NO_PAD.encode(&modulus);
        assert_eq!(
            reason(changed(TestIssuer::rsa(), json!({"n": n}))),
            "its modulus has the form of a vulnerable generator (ROCA)"
        );
        let around_p = |first| {
            [[first].as_slice(), &[0xff; 30], &[0x7f]]
                .concat()
                .try_into()
                .unwrap()
        };
        let mut one = [0; 32];
        one[0] = 1;
        for y in [
            [0; 32],
            one,
            around_p(0xec),
            around_p(0xed),
            around_p(0xee),
            [
                0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
                0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
                0x03, 0x7a,
            ],
        ] {
            for sign in [0, 0x80] {
                let mut point = y;
                point[31] |= sign;
                let x = BASE64_URL_SAFE_NO_PAD.encode(point);
                assert!(VerificationKey::try_from(changed(TestIssuer::ed(), json!({"x": x}))).is_err());
                assert!(has_small_order(&point));
            }
        }
    }

    #[test]
    fn a_zero_in_front_of_a_modulus_is_no_fault() {
        let rsa = TestIssuer::rsa();
        let n = octets(rsa.jwk()["n"].as_str().map(str::to_owned)).unwrap();
        let padded = BASE64_URL_SAFE_NO_PAD.encode([&[0], n.as_slice()].concat());
        assert!(VerificationKey::try_from(changed(rsa, json!({"n": padded}))).is_ok());
    }

    #[test]
    fn the_set_outlives_its_unusable_keys() {
        let garbage = [
            json!(null),
            json!({"kty": "oct", "k": "AA"}),
            json!({"kty": "RSA"}),
        ];
        let keys: Vec<_> = garbage.iter().cloned().chain([TestIssuer::ec().jwk()]).collect();
        let set = Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        assert_eq!(set.0.len(), 1);

        for none in [
            "",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":[]}"#,
            r#"{"keys":[null]}"#,
        ] {
            assert!(Jwks::parse(none.as_bytes()).is_err(), "{none}");
        }
        let error = Jwks::parse(json!({ "keys": garbage }).to_string().as_bytes()).unwrap_err();
        assert_eq!(
            error,
            "no usable key in the JWK set: a member is missing or of another type"
        );
    }

    #[test]
    fn a_name_is_needed_where_there_are_several_keys() {
        let set = jwks(&[TestIssuer::rsa(), TestIssuer::ec()]);
        assert_eq!(set.named(Some("ec")).count(), 1);
        assert_eq!(set.named(Some("ed")).count(), 0);
        assert_eq!(set.named(None).count(), 0);

        let one = jwks(&[TestIssuer::rsa()]);
        assert_eq!(one.named(None).count(), 1);
        assert_eq!(one.named(Some("ec")).count(), 0);

        let nameless = changed(TestIssuer::rsa(), json!({"kid": null}));
        let nameless = Jwks::parse(json!({"keys": [nameless]}).to_string().as_bytes()).unwrap();
        assert_eq!(nameless.named(Some("any")).count(), 1);
    }

    #[test]
    fn a_setting_is_bounded() {
        let error = "x".repeat(2049).parse::<Jwks>().unwrap_err();
        assert_eq!(error, "2049 bytes; the limit is 2048");
        let error = "x".repeat(2048).parse::<Jwks>().unwrap_err();
        assert!(error.starts_with("not a JWK set"), "{error}");
        assert_eq!(
            "short".parse::<Secret>().unwrap_err(),
            "5 bytes; HS256 needs at least 32"
        );
        assert!("x".repeat(32).parse::<Secret>().is_ok());
    }

    #[test]
    fn a_secret_does_not_show() {
        let secret: Secret = "correct horse battery staple and more".parse().unwrap();
        let shown = format!("{:?} {:?}", secret, Jwks::from(secret.clone()));
        assert!(!shown.contains("horse") && !shown.contains("99, 111"), "{shown}");
    }
}
