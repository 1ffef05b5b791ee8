//! Tokens for the local system.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use shared::{auth::Auth, config::Config, models::time::Timestamp};
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
/// The server accepts only tokens of an identity provider, or not this one.
pub async fn sign_for(
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
    let config = Config::parse(&|name| environment.get(name)).map_err(|error| error.to_string())?;
    // The first word of the identity provider for the role.
    let words = environment.set("AUTH_ROLES").unwrap_or_default();
    let word = words
        .split(',')
        .filter_map(|pair| pair.rsplit_once('='))
        .find(|(_, name)| name.trim() == role)
        .map_or(role, |(word, _)| word.trim());
    let now = OffsetDateTime::now_utc();
    let mut claims = claims(
        &get("AUTH_ISSUER"),
        &get("AUTH_AUDIENCE"),
        org,
        word,
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
    let token = encode(&claims, &secret);
    let header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
    match Auth::new(config.auth)
        .authenticate(&headers, Timestamp::now())
        .await
    {
        Ok(principal) if principal.role.as_str() == role => Ok(token),
        Ok(_) => Err(format!("AUTH_ROLES has no word for the role {role}")),
        Err(error) => Err(format!("the server does not accept this token: {error}")),
    }
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

    #[tokio::test]
    async fn a_token_follows_the_set_variables() {
        let set = |name: &str| match name {
            "AUTH_HS256_SECRET" => Some("another secret of more than 32 bytes".to_owned()),
            "AUTH_ISSUER" => Some("https://example.com/".to_owned()),
            "AUTH_ORG_CLAIM" => Some("o.id".to_owned()),
            "AUTH_ROLES" => Some("org:boss=owner, org:admin=admin".to_owned()),
            _ => None,
        };
        let environment = Environment::new(&set);
        let token = sign_for(&environment, "org_a", "admin", "user_1", 60)
            .await
            .unwrap();
        let claims = decode(
            &token,
            "another secret of more than 32 bytes",
            "https://example.com/",
        );
        assert_eq!(claims["o.id"], "org_a");
        assert_eq!(claims.get("org_id"), None);
        assert_eq!(claims["role"], "org:admin");
        let member = sign_for(&environment, "org_a", "member", "user_1", 60);
        assert!(member.await.is_ok(), "any other word is a member's");

        let set = |name: &str| (name == "AUTH_JWKS_URL").then(|| "https://example.com/keys".to_owned());
        let environment = Environment::new(&set);
        let token = sign_for(&environment, "org_a", "admin", "user_1", 60);
        assert!(token.await.is_err());
    }

    #[tokio::test]
    async fn a_token_that_the_server_does_not_accept_is_an_error_in_one_line() {
        let (long, bidi) = ("u".repeat(256), "user\u{202e}");
        for (org, sub, reason) in [
            ("", "user_1", "organization"),
            ("a b", "user_1", "organization"),
            (&"o".repeat(65), "user_1", "organization"),
            ("org_a", "", "sub"),
            ("org_a", &long, "sub"),
            ("org_a", bidi, "sub"),
            ("org_a", "a\nb", "sub"),
        ] {
            let error = sign_for(&Environment::new(&|_| None), org, "owner", sub, 60).await;
            let error = error.unwrap_err();
            assert!(error.contains(reason) && !error.contains('\n'), "{error}");
        }
        let issuer = "i".repeat(8192);
        for (variable, value, reason) in [
            ("AUTH_ISSUER", &*issuer, "8192 bytes"),
            (
                "AUTH_ROLES",
                "org:member=member",
                "AUTH_ROLES has no word for the role owner",
            ),
            ("MAX_DOMAINS", "0", "MAX_DOMAINS"),
        ] {
            let set = |name: &str| (name == variable).then(|| value.to_owned());
            let error = sign_for(&Environment::new(&set), "org_a", "owner", "user_1", 60).await;
            let error = error.unwrap_err();
            assert!(error.contains(reason) && !error.contains('\n'), "{error}");
        }
        let client = "cli_01890a5d-ac96-774b-bcce-b302099a8057";
        let none = |_: &str| None;
        assert!(
            sign_for(&Environment::new(&none), client, "member", "user_1", 60)
                .await
                .is_ok()
        );
    }
}
