//! Tokens for the local system.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::environment::{AUDIENCE, Environment, ISSUER, SECRET};

/// How long a token is valid by default, in seconds: one day.
pub const TTL: i64 = 24 * 60 * 60;

/// Signs a token for the default configuration. `at` is `iat`, and `ttl` is in seconds.
pub fn sign(org: &str, role: &str, sub: &str, at: OffsetDateTime, ttl: i64) -> String {
    encode(&claims(ISSUER, AUDIENCE, org, role, sub, at, ttl), SECRET)
}

/// Signs a token that a server with this environment accepts.
///
/// # Errors
/// The server accepts only tokens of an identity provider.
pub fn sign_for(
    environment: &Environment<'_>,
    org: &str,
    role: &str,
    sub: &str,
    ttl: i64,
) -> Result<String, String> {
    let get = |name: &str| environment.get(name).unwrap_or_default();
    let secret = environment
        .get("AUTH_HS256_SECRET")
        .ok_or("AUTH_JWKS or AUTH_JWKS_URL is set: only the identity provider can sign tokens")?;
    let now = OffsetDateTime::now_utc();
    let mut claims = claims(
        &get("AUTH_ISSUER"),
        &get("AUTH_AUDIENCE"),
        org,
        role,
        sub,
        now,
        ttl,
    );
    for (variable, claim) in [
        ("AUTH_ORG_CLAIM", "org_id"),
        ("AUTH_ROLE_CLAIM", "role"),
        ("AUTH_AUDIENCE_CLAIM", "aud"),
    ] {
        if let (Some(name), Some(object)) = (environment.set(variable), claims.as_object_mut())
            && let Some(value) = object.remove(claim)
        {
            // The API looks for a claim with the whole name before it reads the name as a path.
            object.insert(name, value);
        }
    }
    Ok(encode(&claims, &secret))
}

/// Signs these claims with the default secret.
pub fn encode_claims(claims: &Value) -> String {
    encode(claims, SECRET)
}

fn claims(
    issuer: &str,
    audience: &str,
    org: &str,
    role: &str,
    sub: &str,
    at: OffsetDateTime,
    ttl: i64,
) -> Value {
    let at = at.unix_timestamp();
    json!({
        "iss": issuer, "aud": audience, "sub": sub, "org_id": org, "role": role, "iat": at, "exp": at.saturating_add(ttl),
    })
}

#[allow(clippy::expect_used)] // HMAC accepts any key, and a JSON value can be serialized.
fn encode(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("HMAC of a JSON value")
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn decode(token: &str, secret: &str, issuer: &str) -> Value {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        jsonwebtoken::decode(token, &DecodingKey::from_secret(secret.as_bytes()), &validation)
            .unwrap()
            .claims
    }

    #[test]
    fn a_token_has_the_organization_the_role_and_the_lifetime() {
        let token = sign("org_a", "owner", "user_1", OffsetDateTime::now_utc(), 60);
        let claims = decode(&token, SECRET, ISSUER);
        assert_eq!(claims["org_id"], "org_a");
        assert_eq!(claims["role"], "owner");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            60
        );
    }

    #[test]
    fn a_token_follows_the_set_variables() {
        let set = |name: &str| match name {
            "AUTH_HS256_SECRET" => Some("another secret of more than 32 bytes".to_owned()),
            "AUTH_ISSUER" => Some("https://example.com/".to_owned()),
            "AUTH_ORG_CLAIM" => Some("o.id".to_owned()),
            _ => None,
        };
        let token = sign_for(&Environment::new(&set), "org_a", "admin", "user_1", 60).unwrap();
        let claims = decode(
            &token,
            "another secret of more than 32 bytes",
            "https://example.com/",
        );
        assert_eq!(claims["o.id"], "org_a");
        assert_eq!(claims.get("org_id"), None);

        let set = |name: &str| (name == "AUTH_JWKS_URL").then(|| "https://example.com/keys".to_owned());
        assert!(sign_for(&Environment::new(&set), "org_a", "admin", "user_1", 60).is_err());
    }
}
