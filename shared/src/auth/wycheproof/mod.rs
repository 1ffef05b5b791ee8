//! The test vectors of Project Wycheproof, through the code that verifies the signature of every token. `vectors.txt` names its
//! source and its license, and `extract.py` writes it.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashSet},
    slice::from_ref,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Auth, Jwks, KeySource, Secret,
    keys::{algorithm, octets},
    tests::config,
};
use crate::models::time::Timestamp;

const VECTORS: &str = include_str!("vectors.txt");

/// The results of a file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    accepted: usize,
    refused: usize,
    /// Those whose result is not Wycheproof's.
    different: usize,
    /// Those that no token can express. They are not run.
    omitted: usize,
}

const fn count(accepted: usize, refused: usize, different: usize, omitted: usize) -> Count {
    Count {
        accepted,
        refused,
        different,
        omitted,
    }
}

const COUNTS: [(&str, Count); 17] = [
    ("ecdsa_secp256r1_sha256_p1363_test", count(173, 89, 0, 0)),
    ("ecdsa_secp256r1_sha256_test", count(174, 75, 0, 235)),
    ("ecdsa_secp384r1_sha384_p1363_test", count(193, 87, 0, 0)),
    ("ecdsa_secp384r1_sha384_test", count(194, 75, 0, 235)),
    ("ed25519_test", count(88, 63, 0, 0)),
    ("hmac_sha256_test", count(30, 144, 36, 0)),
    ("json_web_key_test", count(2, 24, 3, 0)),
    ("json_web_signature_test", count(20, 381, 30, 0)),
    ("rsa_pkcs1_1024_sig_gen_test", count(0, 9, 0, 0)),
    ("rsa_pkcs1_1536_sig_gen_test", count(0, 8, 0, 0)),
    ("rsa_pkcs1_2048_sig_gen_test", count(10, 0, 0, 0)),
    ("rsa_pkcs1_3072_sig_gen_test", count(9, 0, 0, 0)),
    ("rsa_pkcs1_4096_sig_gen_test", count(8, 0, 0, 0)),
    ("rsa_signature_2048_sha256_test", count(9, 250, 0, 0)),
    ("rsa_signature_3072_sha256_test", count(8, 251, 0, 0)),
    ("rsa_signature_4096_sha256_test", count(7, 251, 0, 0)),
    ("rsa_signature_8192_sha256_test", count(7, 251, 0, 0)),
];

/// A signature and the keys of its issuer.
struct Vector<'a> {
    file: &'a str,
    keys: &'a [Value],
    /// A token, or a message and its signature.
    text: &'a str,
}

impl Vector<'_> {
    fn is_token(&self) -> bool {
        self.file.starts_with("json_web")
    }

    /// The only key, if it is a secret for HS256.
    fn secret(&self) -> Option<Vec<u8>> {
        match self.keys {
            [key] if key["kty"] == "oct" && key.get("alg").is_none_or(|alg| alg == "HS256") => {
                Some(octets(key["k"].as_str().map(str::to_owned)).unwrap())
            }
            _ => None,
        }
    }

    /// Whether the API, configured with these keys, accepts the signature.
    async fn is_accepted(&self) -> bool {
        let source = match self.secret() {
            Some(secret) => Secret::new(&secret).map(KeySource::Secret),
            None => {
                let document = json!({ "keys": self.keys }).to_string();
                Jwks::parse(document.as_bytes()).map(KeySource::Document)
            }
        };
        let keys = match source {
            Err(_) => return false,
            Ok(source) if self.is_token() => {
                let verified = Auth::new(config(source))
                    .verify(self.text, Timestamp::from_seconds(0))
                    .await;
                return verified.is_ok();
            }
            Ok(KeySource::Secret(secret)) => secret.into(),
            Ok(KeySource::Document(keys)) => keys,
            Ok(KeySource::Url(_)) => panic!("no vector has a URL"),
        };
        let (message, signature) = self.text.split_once(' ').unwrap();
        let message = BASE64_URL_SAFE_NO_PAD.decode(message).unwrap();
        keys.named(None).next().unwrap().verifies(&message, signature)
    }

    /// Whether the API accepts a vector that Wycheproof leaves open: a key whose public exponent is 3. It refuses short keys, and
    /// signatures whose algorithm identifier has no `NULL` (RFC 8017, appendix A.2.4).
    fn is_accepted_if_open(&self) -> bool {
        let modulus = self.keys[0]["n"].as_str().unwrap().len() * 6;
        modulus >= 2048 && self.file.ends_with("_sig_gen_test")
    }

    /// Why the API refuses a vector that is valid for Wycheproof.
    fn refusal(&self) -> Option<&'static str> {
        let alg = self.keys[0].get("alg").and_then(Value::as_str);
        if alg.is_some_and(|alg| algorithm(alg).is_none()) {
            return Some("tokens cannot have this algorithm");
        }
        if self.keys.len() > 1 && self.keys[0]["kty"] == "oct" {
            return Some("a secret in a JWK set is not used");
        }
        if self.is_token() && self.text.contains('?') {
            return Some("base64url has no such character (RFC 7515, section 2)");
        }
        if self.secret().is_some_and(|secret| secret.len() < 32) {
            return Some("HS256 needs a secret of 256 bits (RFC 7518, section 3.2)");
        }
        let tag = self.text.split_once(' ').map_or("", |(_, tag)| tag);
        if !self.is_token() && self.secret().is_some() && tag.len() < 43 {
            return Some("the tag of HS256 is not truncated (RFC 7518, section 3.2)");
        }
        None
    }
}

#[tokio::test]
async fn each_signature_of_wycheproof_is_accepted_or_refused_as_there_or_for_a_reason() {
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let (mut file, mut key, mut valid) = ("", Value::Null, HashSet::new());
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let (first, rest) = line.split_once(' ').unwrap();
        if first == "file" {
            let (name, omitted) = rest.split_once(' ').unwrap();
            file = name;
            counts.insert(file, count(0, 0, 0, omitted.parse().unwrap()));
            continue;
        }
        if first == "key" {
            key = serde_json::from_str(rest).unwrap();
            valid.clear();
            continue;
        }
        let (expected, text) = rest.split_once(' ').unwrap();
        let keys = key["keys"].as_array().map_or(from_ref(&key), Vec::as_slice);
        let vector = Vector { file, keys, text };
        let (is_accepted, refusal) = (vector.is_accepted().await, vector.refusal());
        let count = counts.get_mut(file).unwrap();
        match is_accepted {
            true => count.accepted += 1,
            false => count.refused += 1,
        }
        let is_different = match expected {
            "v" => {
                valid.insert(text);
                assert_eq!(is_accepted, refusal.is_none(), "{file} {first}: {refusal:?}");
                !is_accepted
            }
            // Two tokens have the text of a valid one: https://github.com/C2SP/wycheproof/issues/236
            "i" => {
                let is_mistaken = valid.contains(text);
                assert_eq!(is_accepted, is_mistaken, "{file} {first}");
                is_mistaken
            }
            _ => {
                assert_eq!(is_accepted, vector.is_accepted_if_open(), "{file} {first}");
                false
            }
        };
        count.different += usize::from(is_different);
    }
    println!("{counts:#?}");
    assert_eq!(counts, BTreeMap::from(COUNTS));
}
