//! Tokens: a JWS in its compact form (RFC 7515, section 7.1), and its signature.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::keys::{self, VerificationKey};
use crate::json;

/// A parsed token. Its content is not trusted before [`Jws::verify`].
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Jws<'a> {
    /// Parses a token and its header.
    ///
    /// The header's `jku`, `jwk`, `x5u` and `x5c` are ignored: a token cannot select its own key.
    pub(super) fn parse(token: &'a str) -> Result<Self, &'static str> {
        const FORM: &str = "The token is not a JWS of three parts.";
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = signed.split_once('.').ok_or(FORM)?;
        if payload.contains('.') {
            return Err(FORM);
        }
        let header = BASE64_URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
        // No octets are no JSON either.
        let Ok(Value::Object(header)) = json::parse(&header) else {
            return Err("The header of the token is not a JSON object with distinct names.");
        };
        // No critical extension is supported (RFC 7515, section 4.1.11; RFC 7797).
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err("The token uses an extension that is not supported.");
        }
        if !header.get("typ").is_none_or(is_access_token) {
            return Err("The type of the token is not JWT or at+jwt.");
        }
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(keys::algorithm)
            .ok_or("The algorithm of the token is not accepted.")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err("The kid of the token is not a string."),
        };
        Ok(Self {
            algorithm,
            kid,
            signed,
            payload,
            signature,
        })
    }

    /// The payload, if the token's algorithm is the key's and the signature is valid.
    pub(super) fn verify(&self, key: &VerificationKey) -> Result<Vec<u8>, &'static str> {
        if self.algorithm != key.algorithm {
            return Err("The algorithm of the token is not the algorithm of its key.");
        }
        // The library's own checks of the claims are not used: they read the system's clock and are too lenient.
        if !key.verifies(self.signed.as_bytes(), self.signature) {
            return Err("The signature of the token is not valid.");
        }
        let payload = BASE64_URL_SAFE_NO_PAD.decode(self.payload);
        payload.map_err(|_| "The payload of the token is not base64url.")
    }
}

/// RFC 8725, section 3.11: a token of another kind, for example a logout token, is not for this API.
fn is_access_token(typ: &Value) -> bool {
    let name = typ.as_str().unwrap_or_default().to_ascii_lowercase();
    ["jwt", "at+jwt"].contains(&name.strip_prefix("application/").unwrap_or(&name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::{
        super::fixtures::{TestIssuer, jwks},
        *,
    };

    fn payload(token: &str, signer: &TestIssuer) -> Result<Vec<u8>, &'static str> {
        let keys = jwks(&[signer]);
        Jws::parse(token)?.verify(keys.named(None).next().unwrap())
    }

    #[test]
    fn a_signature_of_each_algorithm_is_taken_and_each_flipped_bit_is_not() {
        for signer in [
            TestIssuer::rsa(),
            TestIssuer::ec(),
            TestIssuer::ec384(),
            TestIssuer::ed(),
            TestIssuer::mac(),
        ] {
            let token = signer.sign(r#"{"a":1}"#);
            assert_eq!(payload(&token, signer).unwrap(), br#"{"a":1}"#);
            for at in 0..token.len() {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1;
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                assert!(payload(&changed, signer).is_err(), "{at}");
            }
        }
    }

    #[test]
    fn only_base64url_without_padding_is_read() {
        let token = TestIssuer::ed().sign(r#"{"a":1}"#);
        for changed in [
            format!("{token}="),
            format!("{token}\n"),
            format!(" {token}"),
            format!("{token}A"),
        ] {
            assert!(payload(&changed, TestIssuer::ed()).is_err(), "{changed}");
        }
        // 64 octets leave four unused bits in the last character; they must be zero.
        let last = token.chars().last().unwrap();
        let next = char::from(last as u8 + 1);
        let changed = format!("{}{next}", &token[..token.len() - 1]);
        assert!(payload(&changed, TestIssuer::ed()).is_err());
    }

    #[test]
    fn a_token_has_three_parts() {
        for text in ["", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e"] {
            assert!(Jws::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_that_asks_for_more_than_a_signature_is_refused() {
        let ed = TestIssuer::ed();
        for (header, reason) in [
            (r#"{"alg":"EdDSA","crit":["exp"]}"#, "extension"),
            (r#"{"alg":"EdDSA","crit":[]}"#, "extension"),
            (r#"{"alg":"EdDSA","b64":false}"#, "extension"),
            (r#"{"alg":"EdDSA","b64":true}"#, "extension"),
            (r#"{"alg":"none"}"#, "algorithm"),
            (r#"{"alg":"None"}"#, "algorithm"),
            (r#"{"alg":""}"#, "algorithm"),
            (r#"{"alg":["EdDSA"]}"#, "algorithm"),
            (r#"{"alg":"ES512"}"#, "algorithm"),
            (r#"{"alg":"eddsa"}"#, "algorithm"),
            (r#"{}"#, "algorithm"),
            (r#"{"alg":"none","alg":"EdDSA"}"#, "distinct"),
            (r#"{"alg":"EdDSA","a":{"b":1,"b":2}}"#, "distinct"),
            (r#"["EdDSA"]"#, "distinct"),
            (r#"{"alg":"EdDSA","kid":1}"#, "kid"),
            (r#"{"alg":"EdDSA","kid":null}"#, "kid"),
            (r#"{"alg":"HS256"}"#, "algorithm of its key"),
            (r#"{"alg":"RS256"}"#, "algorithm of its key"),
        ] {
            let error = payload(&ed.sign_as(header, "{}"), ed).unwrap_err();
            assert!(error.contains(reason), "{header}: {error}");
        }
    }

    #[test]
    fn a_token_of_another_type_is_refused() {
        let ed = TestIssuer::ed();
        for typ in [
            "",
            r#""typ":"JWT","#,
            r#""typ":"at+jwt","#,
            r#""typ":"Application/AT+JWT","#,
            r#""typ":"application/jwt","#,
        ] {
            for alg in ["EdDSA", "Ed25519"] {
                let header = format!(r#"{{{typ}"alg":"{alg}"}}"#);
                assert!(payload(&ed.sign_as(&header, "{}"), ed).is_ok(), "{header}");
            }
        }
        for typ in [
            r#""dpop+jwt""#,
            r#""logout+jwt""#,
            r#""application/""#,
            r#""application/application/jwt""#,
            r#""""#,
            "1",
            "null",
            r#"["JWT"]"#,
        ] {
            let header = format!(r#"{{"typ":{typ},"alg":"EdDSA"}}"#);
            let error = payload(&ed.sign_as(&header, "{}"), ed).unwrap_err();
            assert!(error.contains("type"), "{header}: {error}");
        }
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let rsa = TestIssuer::rsa();
        let n = rsa.jwk()["n"].as_str().unwrap().to_owned();
        let forger = TestIssuer::secret(n);
        let token = forger.sign_as(&json!({"alg": "HS256", "kid": "rsa"}).to_string(), "{}");
        assert!(payload(&token, rsa).is_err());
    }
}
