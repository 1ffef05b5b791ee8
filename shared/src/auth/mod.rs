//! Authentication: from the `Authorization` header to a [`Principal`], by a JSON Web Token (RFC 7519, RFC 6750).
//!
//! `jws` parses the token and verifies its signature, `keys` and `jwks_url` provide the keys, and `claims` reads the
//! verified payload.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::Value;

pub use self::{
    claims::{ClaimName, ClaimNames, Role, RoleMap},
    jwks_url::JwksUrl,
    keys::{Jwks, KeySource, Secret},
};
use self::{jwks_url::RemoteKeys, jws::Jws};
use crate::models::{
    id::{ClientOrgId, OrgId},
    time::Timestamp,
};

mod claims;
#[cfg(test)]
mod fixtures;
mod jwks_url;
mod jws;
mod keys;
#[cfg(test)]
mod wycheproof;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8192;

/// The user of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's subject. Not empty.
    pub user: String,
    /// The user's role in the organization.
    pub role: Role,
    /// The organization that the user acts for.
    pub tenant: Tenant,
}

/// The organization that a user acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tenant {
    /// An organization of the identity provider.
    Agency(OrgId),
    /// A client organization. It may not exist.
    Client(ClientOrgId),
    /// No organization: the client claim is present, but it is not the id of a client organization.
    NoOrganization,
}

/// The error of an authentication. The texts are ASCII without quotes and backslashes, for `WWW-Authenticate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request has no bearer token.
    #[error("The request has no bearer token.")]
    MissingToken,
    /// The token is rejected for this reason.
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The token is valid except for its expired `exp`.
    #[error("The token has expired.")]
    ExpiredToken,
    /// The identity provider's keys are unavailable, so the token cannot be verified. They are fetched again after this time.
    #[error("The keys of the identity provider are unavailable.")]
    KeysUnavailable(Duration),
}

/// An [`AuthError::InvalidToken`] as a result.
fn reject<T>(reason: &'static str) -> Result<T, AuthError> {
    Err(AuthError::InvalidToken(reason))
}

/// The rules for accepting and reading tokens.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// The required `iss`.
    pub issuer: String,
    /// The required audience.
    pub audience: String,
    /// The source of the keys.
    pub keys: KeySource,
    /// The names of the claims.
    pub claims: ClaimNames,
    /// The identity provider's words for the roles.
    pub roles: RoleMap,
}

/// Verifies tokens. All requests of a process share one.
#[derive(Debug)]
pub struct Auth {
    config: AuthConfig,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Fixed(Arc<Jwks>),
    Remote(Box<RemoteKeys>),
}

impl Auth {
    /// A verifier that has not fetched any keys yet.
    pub fn new(config: AuthConfig) -> Self {
        let keys = match config.keys.clone() {
            KeySource::Url(url) => Keys::Remote(Box::new(RemoteKeys::new(url))),
            KeySource::Document(keys) => Keys::Fixed(Arc::new(keys)),
            KeySource::Secret(secret) => Keys::Fixed(Arc::new(secret.into())),
        };
        Self { config, keys }
    }

    /// Fetches the keys before the first request, within 2 s. If the fetch fails, a request retries it.
    pub async fn warm(&self, now: Timestamp) {
        if let Keys::Remote(keys) = &self.keys {
            // Without keys, requests get an error that says so.
            let _ = keys.get(|_| true, now).await;
        }
    }

    /// The principal of a request with these headers. Takes up to 2 s if the keys must be fetched.
    pub async fn authenticate(&self, headers: &HeaderMap, now: Timestamp) -> Result<Principal, AuthError> {
        let payload = self.verify(token(headers)?, now).await?;
        match crate::json::parse(&payload) {
            Ok(Value::Object(claims)) => claims::principal(&claims, &self.config, now),
            _ => reject("The payload of the token is not a JSON object with distinct names."),
        }
    }

    /// The payload of a token with a valid signature.
    async fn verify(&self, token: &str, now: Timestamp) -> Result<Vec<u8>, AuthError> {
        let jws = Jws::parse(token).map_err(AuthError::InvalidToken)?;
        let kid = jws.kid.as_deref();
        // A token without `kid` does not cause a fetch of new keys.
        let fits = |keys: &Jwks| kid.is_none() || keys.named(kid).next().is_some();
        let keys = match &self.keys {
            Keys::Fixed(keys) => keys.clone(),
            Keys::Remote(keys) => keys.get(fits, now).await.map_err(AuthError::KeysUnavailable)?,
        };
        let mut reason = match kid {
            Some(_) => "The kid of the token does not match any key.",
            None => "The token has no kid, but the issuer has several keys.",
        };
        // Several keys may share a `kid` (RFC 7517, section 4.5).
        for key in keys.named(kid) {
            match jws.verify(key) {
                Ok(payload) => return Ok(payload),
                Err(error) => reason = error,
            }
        }
        reject(reason)
    }
}

/// The bearer token of the only `Authorization` header (RFC 6750, section 2.1).
fn token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(AuthError::MissingToken)?;
    let value = match value.to_str() {
        Ok(value) if values.next().is_none() && !value.contains(',') => value,
        _ => return reject("The Authorization header is not a single bearer token."),
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(AuthError::MissingToken);
    }
    if token.len() > MAX_TOKEN {
        return reject("The token has more than 8192 bytes.");
    }
    Ok(token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        fixtures::{JwksServer, TestIssuer, document, jwks},
        *,
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const ISSUER: &str = "https://id.example.com/";
    const CLIENT: &str = "cli_01890a5d-ac96-774b-bcce-b302099a8057";

    pub(super) fn config(keys: KeySource) -> AuthConfig {
        AuthConfig {
            issuer: ISSUER.to_owned(),
            audience: "https://api.example.com".to_owned(),
            keys,
            claims: ClaimNames {
                org: "org_id".parse().unwrap(),
                role: "role".parse().unwrap(),
                audience: "aud".parse().unwrap(),
                client: None,
            },
            roles: RoleMap::default(),
        }
    }

    /// Takes tokens of the RSA key, with names and words as in the settings `org`, `role`, `aud`, `client` and `roles`.
    fn provider(settings: &[(&str, &str)]) -> Auth {
        let mut config = config(KeySource::Document(jwks(&[TestIssuer::rsa(), TestIssuer::ec()])));
        for (name, value) in settings {
            match *name {
                "org" => config.claims.org = value.parse().unwrap(),
                "role" => config.claims.role = value.parse().unwrap(),
                "aud" => config.claims.audience = value.parse().unwrap(),
                "client" => config.claims.client = Some(value.parse().unwrap()),
                _ => config.roles = value.parse().unwrap(),
            }
        }
        Auth::new(config)
    }

    /// Claims that are right, with these changes; `null` takes a claim away.
    fn claims(changes: Value) -> String {
        let mut claims = json!({
            "iss": ISSUER,
            "aud": "https://api.example.com",
            "sub": "user_1",
            "org_id": "org_1",
            "role": "admin",
            "iat": NOW.seconds() - 10,
            "exp": NOW.seconds() + 300,
        });
        let object = claims.as_object_mut().unwrap();
        object.extend(changes.as_object().unwrap().clone());
        object.retain(|_, value| !value.is_null());
        claims.to_string()
    }

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    async fn authenticate(auth: &Auth, token: &str) -> Result<Principal, AuthError> {
        authenticate_at(auth, token, NOW).await
    }

    async fn authenticate_at(auth: &Auth, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        auth.authenticate(&headers(&[format!("Bearer {token}").as_bytes()]), now)
            .await
    }

    async fn with_claims(auth: &Auth, changes: Value) -> Result<Principal, AuthError> {
        authenticate(auth, &TestIssuer::rsa().sign(&claims(changes))).await
    }

    fn invalid(result: Result<Principal, AuthError>) -> &'static str {
        match result {
            Err(AuthError::InvalidToken(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn agency(user: &str, role: Role, org: &str) -> Result<Principal, AuthError> {
        Ok(Principal {
            user: user.to_owned(),
            role,
            tenant: Tenant::Agency(org.parse().unwrap()),
        })
    }

    #[tokio::test]
    async fn a_token_of_each_kind_of_key_is_taken() {
        let expected = agency("user_1", Role::Admin, "org_1");
        let auth = Auth::new(config(KeySource::Document(jwks(&[
            TestIssuer::rsa(),
            TestIssuer::ec(),
            TestIssuer::ec384(),
            TestIssuer::ed(),
        ]))));
        for signer in [
            TestIssuer::rsa(),
            TestIssuer::ec(),
            TestIssuer::ec384(),
            TestIssuer::ed(),
        ] {
            assert_eq!(
                authenticate(&auth, &signer.sign(&claims(json!({})))).await,
                expected
            );
        }
        let secret = "a secret of more than thirty-two bytes".parse().unwrap();
        let auth = Auth::new(config(KeySource::Secret(secret)));
        assert_eq!(
            authenticate(&auth, &TestIssuer::mac().sign(&claims(json!({})))).await,
            expected
        );
    }

    #[tokio::test]
    async fn a_key_takes_no_tokens_of_another_algorithm() {
        let auth = provider(&[]);
        let claims = claims(json!({}));
        for (alg, kid) in [
            ("HS256", "rsa"),
            ("RS256", "ec"),
            ("ES256", "rsa"),
            ("none", "rsa"),
        ] {
            let header = json!({"alg": alg, "kid": kid}).to_string();
            for signer in [TestIssuer::rsa(), TestIssuer::ec(), TestIssuer::mac()] {
                let reason = invalid(authenticate(&auth, &signer.sign_as(&header, &claims)).await);
                assert!(reason.contains("algorithm"), "{alg} {kid}: {reason}");
            }
        }
        let secret = "a secret of more than thirty-two bytes".parse().unwrap();
        let auth = Auth::new(config(KeySource::Secret(secret)));
        invalid(authenticate(&auth, &TestIssuer::rsa().sign(&claims)).await);
    }

    #[tokio::test]
    async fn a_token_needs_a_kid_where_there_are_several_keys() {
        let header = r#"{"alg":"RS256"}"#;
        let token = TestIssuer::rsa().sign_as(header, &claims(json!({})));
        let reason = invalid(authenticate(&provider(&[]), &token).await);
        assert_eq!(reason, "The token has no kid, but the issuer has several keys.");

        let one = Auth::new(config(KeySource::Document(jwks(&[TestIssuer::rsa()]))));
        assert!(authenticate(&one, &token).await.is_ok());
        let other = TestIssuer::rsa().sign_as(r#"{"alg":"RS256","kid":"other"}"#, &claims(json!({})));
        let reason = invalid(authenticate(&one, &other).await);
        assert_eq!(reason, "The kid of the token does not match any key.");
    }

    #[tokio::test]
    async fn the_header_is_one_bearer_token() {
        let auth = provider(&[]);
        let token = TestIssuer::rsa().sign(&claims(json!({})));
        let send = async |values: &[&str]| {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            auth.authenticate(&headers(&values), NOW).await
        };
        for value in ["Bearer T", "bearer T", "BEARER T", "Bearer   T", "Bearer T "] {
            assert!(send(&[&value.replace('T', &token)]).await.is_ok(), "{value}");
        }
        assert_eq!(send(&[]).await, Err(AuthError::MissingToken));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Basic T",
            "BearerT",
            "T",
            "Token T",
            "Bearer\tT",
        ] {
            let value = value.replace('T', &token);
            assert_eq!(send(&[&value]).await, Err(AuthError::MissingToken), "{value}");
        }
        for value in [
            "Bearer T,Bearer T",
            "Bearer T,",
            ",Bearer T",
            "Basic x, Bearer T",
            "Bearer T T",
            "Bearer T\tT",
            "Bearer Bearer T",
            "Bearer \"T\"",
            "Bearer é",
        ] {
            invalid(send(&[&value.replace('T', &token)]).await);
        }
        let bearer = format!("Bearer {token}");
        invalid(send(&[&bearer, &bearer]).await);
        invalid(send(&["", &bearer]).await);
        invalid(auth.authenticate(&headers(&[b"Bearer \xff"]), NOW).await);
    }

    #[tokio::test]
    async fn a_token_has_8192_bytes_at_most() {
        let auth = provider(&[]);
        let token = |filling: usize| TestIssuer::rsa().sign(&claims(json!({"filling": "x".repeat(filling)})));
        let filling = (0..8192)
            .rev()
            .find(|filling| token(*filling).len() <= 8192)
            .unwrap();
        assert!(token(filling).len() >= 8191);
        assert!(authenticate(&auth, &token(filling)).await.is_ok());
        let reason = invalid(authenticate(&auth, &token(filling + 2)).await);
        assert_eq!(reason, "The token has more than 8192 bytes.");
    }

    #[tokio::test]
    async fn issuer_audience_and_subject_must_be_there_and_right() {
        let auth = provider(&[]);
        for changes in [
            json!({"iss": "https://id.example.com"}),
            json!({"iss": [ISSUER]}),
            json!({"iss": null}),
            json!({"aud": "other"}),
            json!({"aud": 7}),
            json!({"aud": null}),
            json!({"aud": []}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": null}),
            json!({"org_id": null}),
            json!({"org_id": "a/b"}),
            json!({"exp": null}),
            json!({"nbf": NOW.seconds() + 31}),
            json!({"iat": NOW.seconds() + 31}),
        ] {
            invalid(with_claims(&auth, changes).await);
        }
        assert!(
            with_claims(&auth, json!({"aud": ["other", "https://api.example.com"]}))
                .await
                .is_ok()
        );
        assert_eq!(
            with_claims(&auth, json!({"exp": NOW.seconds() - 30})).await,
            Err(AuthError::ExpiredToken)
        );
        assert!(
            with_claims(&auth, json!({"exp": NOW.seconds() - 29}))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_token_for_another_is_invalid_even_when_it_has_expired() {
        let changes = json!({"aud": "other", "exp": 1});
        invalid(with_claims(&provider(&[]), changes).await);
    }

    #[tokio::test]
    async fn a_payload_is_an_object_with_distinct_names() {
        let auth = provider(&[]);
        let right = claims(json!({}));
        let twice = right.replacen('{', r#"{"org_id":"org_2","#, 1);
        let escaped = right.replacen('{', r#"{"org\u005fid":"org_2","#, 1);
        let deep = right.replacen('{', r#"{"a":[{"b":1,"b":1}],"#, 1);
        for payload in [
            &twice,
            &escaped,
            &deep,
            "",
            "[]",
            "null",
            "7",
            &format!("[{right}]"),
            &format!("{right}{right}"),
            &format!("\u{FEFF}{right}"),
        ] {
            let reason = invalid(authenticate(&auth, &TestIssuer::rsa().sign(payload)).await);
            assert!(reason.contains("distinct names"), "{payload}");
        }
    }

    #[tokio::test]
    async fn the_claim_of_a_client_goes_before_the_organization() {
        let auth = provider(&[("client", "client_id")]);
        let tenant = async |changes| {
            with_claims(&auth, changes)
                .await
                .map(|principal| principal.tenant)
        };
        let client = || Ok(Tenant::Client(CLIENT.parse().unwrap()));
        assert_eq!(tenant(json!({"client_id": CLIENT})).await, client());
        assert_eq!(tenant(json!({"org_id": CLIENT})).await, client());
        assert_eq!(
            tenant(json!({"client_id": "none"})).await,
            Ok(Tenant::NoOrganization)
        );
        assert_eq!(
            tenant(json!({"client_id": "x", "org_id": CLIENT})).await,
            Ok(Tenant::NoOrganization)
        );
        assert!(matches!(tenant(json!({})).await, Ok(Tenant::Agency(_))));
        assert!(
            tenant(json!({"client_id": CLIENT, "org_id": null}))
                .await
                .is_err()
        );
        let null = claims(json!({})).replacen('{', r#"{"client_id":null,"#, 1);
        let principal = authenticate(&auth, &TestIssuer::rsa().sign(&null)).await.unwrap();
        assert!(matches!(principal.tenant, Tenant::Agency(_)));
    }

    #[tokio::test]
    async fn a_present_client_claim_is_never_the_agencys() {
        for (name, claim) in [
            ("client.id", json!({"client": CLIENT})),
            ("client.id", json!({"client": [CLIENT]})),
            ("client.id", json!({"client": {"ID": CLIENT}})),
            ("client.id", json!({"client": {}})),
            ("client.id", json!({"client": {"id": null}})),
            ("client.id", json!({"client": 7})),
            ("client.id", json!({"client": false})),
            ("client.id", json!({"client": [{"id": CLIENT}]})),
            ("clients.*.id", json!({"clients": {"acme": {}}})),
            ("clients.*.id", json!({"clients": ["acme"]})),
            ("clients.*.id", json!({"clients": {}})),
        ] {
            let auth = provider(&[("client", name)]);
            let tenant = with_claims(&auth, claim.clone()).await.map(|user| user.tenant);
            assert_eq!(tenant, Ok(Tenant::NoOrganization), "{name} {claim}");
        }
        let auth = provider(&[("client", "client.id")]);
        // `claims` takes a `null` away.
        for (more, expected) in [
            (
                r#"{"client.id":null,"client":{"id":"cli_01890a5d-ac96-774b-bcce-b302099a8057"},"#,
                Tenant::NoOrganization,
            ),
            (r#"{"client":{"id":null},"#, Tenant::NoOrganization),
            (r#"{"client":null,"#, Tenant::Agency("org_1".parse().unwrap())),
            (
                r#"{"client.id":null,"client":null,"#,
                Tenant::Agency("org_1".parse().unwrap()),
            ),
        ] {
            let token = TestIssuer::rsa().sign(&claims(json!({})).replacen('{', more, 1));
            assert_eq!(
                authenticate(&auth, &token).await.unwrap().tenant,
                expected,
                "{more}"
            );
        }
    }

    #[tokio::test]
    async fn a_sub_is_text_of_at_most_255_characters() {
        let auth = provider(&[]);
        for sub in ["é".repeat(255), "auth0|5f7c8ec7 c33c".to_owned()] {
            assert!(with_claims(&auth, json!({"sub": sub})).await.is_ok(), "{sub}");
        }
        for sub in [
            "x".repeat(256),
            "a\u{202E}b".to_owned(),
            "\u{1b}[2J".to_owned(),
            "a\nb".to_owned(),
            "a\u{2028}b".to_owned(),
        ] {
            let reason = invalid(with_claims(&auth, json!({"sub": sub})).await);
            assert!(reason.contains("sub"), "{reason}");
        }
    }

    #[tokio::test]
    async fn tokens_as_zitadel_makes_them() {
        let auth = provider(&[
            ("org", "urn:zitadel:iam:user:resourceowner:id"),
            ("role", "urn:zitadel:iam:org:project:roles"),
        ]);
        let changes = json!({
            "sub": "168096859532001537",
            "org_id": null,
            "role": null,
            "urn:zitadel:iam:user:resourceowner:id": "286",
            "urn:zitadel:iam:org:project:roles": {"admin": {"286": "acme.zitadel.cloud"}},
        });
        assert_eq!(
            with_claims(&auth, changes).await,
            agency("168096859532001537", Role::Admin, "286")
        );
    }

    #[tokio::test]
    async fn tokens_as_hasura_makes_them() {
        let auth = provider(&[("org", "https://hasura.io/jwt/claims.x-hasura-org-id")]);
        let changes = json!({"org_id": null, "https://hasura.io/jwt/claims": {"x-hasura-org-id": "acme"}});
        assert_eq!(
            with_claims(&auth, changes).await,
            agency("user_1", Role::Admin, "acme")
        );
    }

    #[tokio::test]
    async fn tokens_as_auth0_makes_them() {
        let auth = provider(&[("role", "https://acme.example/roles")]);
        let changes = json!({
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://api.example.com", "https://acme.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile",
            "org_id": "org_9ybsU1dN2dKfDkBi",
            "https://acme.example/roles": ["member", "owner"],
            "role": null,
        });
        assert_eq!(
            with_claims(&auth, changes).await,
            agency(
                "auth0|5f7c8ec7c33c6c004bbafe82",
                Role::Owner,
                "org_9ybsU1dN2dKfDkBi"
            )
        );
    }

    #[tokio::test]
    async fn tokens_as_clerk_makes_them() {
        let auth = provider(&[
            ("org", "o.id"),
            ("role", "o.rol"),
            ("aud", "azp"),
            ("roles", "admin=admin,org:admin=admin"),
        ]);
        for rol in ["admin", "org:admin"] {
            let changes = json!({
                "aud": null, "org_id": null, "role": null,
                "azp": "https://api.example.com",
                "sub": "user_2aBc", "sid": "sess_1", "v": 2, "fva": [0, -1],
                "o": {"id": "org_2xYz", "rol": rol, "slg": "acme"},
            });
            assert_eq!(
                with_claims(&auth, changes).await,
                agency("user_2aBc", Role::Admin, "org_2xYz")
            );
        }
    }

    #[tokio::test]
    async fn tokens_as_workos_makes_them() {
        let auth = provider(&[("aud", "client_id")]);
        let changes = json!({
            "aud": null,
            "client_id": "https://api.example.com",
            "sub": "user_01HBEQKA6K4QJAS93VPE39W1JT",
            "sid": "session_01HQSXZGF8FHF7A9ZZFCW4387R",
            "org_id": "org_01HRDMC6CM357W30QMHMQ96Q0S",
            "role": "member",
            "permissions": ["posts:read"],
        });
        assert_eq!(
            with_claims(&auth, changes).await,
            agency(
                "user_01HBEQKA6K4QJAS93VPE39W1JT",
                Role::Member,
                "org_01HRDMC6CM357W30QMHMQ96Q0S"
            )
        );
    }

    #[tokio::test]
    async fn tokens_as_cognito_makes_them() {
        let auth = provider(&[
            ("org", "custom:org_id"),
            ("role", "cognito:groups"),
            ("aud", "client_id"),
            ("roles", "agency-admins=admin,agency-owners=owner"),
        ]);
        let changes = json!({
            "aud": null, "org_id": null, "role": null,
            "token_use": "access", "client_id": "https://api.example.com",
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["everyone", "agency-owners", "agency-admins"],
            "custom:org_id": "acme",
        });
        assert_eq!(
            with_claims(&auth, changes).await,
            agency("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", Role::Owner, "acme")
        );
    }

    #[tokio::test]
    async fn tokens_as_keycloak_makes_them() {
        let auth = provider(&[
            ("org", "organization.*.id"),
            ("role", "realm_access.roles"),
            ("roles", "agency-admin=admin"),
        ]);
        let changes = |organization| {
            json!({
                "org_id": null, "role": null,
                "aud": ["account", "https://api.example.com"],
                "realm_access": {"roles": ["offline_access", "agency-admin"]},
                "organization": organization,
            })
        };
        let id = "42c3e46f-2477-44d7-a85b-d3b43f6b31fa";
        assert_eq!(
            with_claims(&auth, changes(json!({"acme": {"id": id}}))).await,
            agency("user_1", Role::Admin, id)
        );
        for organization in [
            json!({"acme": {"id": id}, "beta": {"id": id}}),
            json!({}),
            json!(["acme"]),
        ] {
            invalid(with_claims(&auth, changes(organization)).await);
        }
    }

    #[tokio::test]
    async fn tokens_as_entra_makes_them() {
        let auth = provider(&[("org", "tid"), ("role", "roles"), ("roles", "Agency.Admin=admin")]);
        let changes = json!({
            "org_id": null, "role": null, "ver": "2.0",
            "tid": "f645ad92-e38d-4d1a-b510-d1b09a74a8ca",
            "roles": ["Survey.Read", "Agency.Admin"],
        });
        assert_eq!(
            with_claims(&auth, changes).await,
            agency("user_1", Role::Admin, "f645ad92-e38d-4d1a-b510-d1b09a74a8ca")
        );
    }

    #[tokio::test]
    async fn keys_from_an_endpoint_follow_their_rotation() {
        let endpoint = JwksServer::start(&document(&[TestIssuer::rsa()])).await;
        let auth = Auth::new(config(KeySource::Url(endpoint.url())));
        auth.warm(NOW).await;
        assert_eq!(endpoint.hits(), 1);
        assert!(with_claims(&auth, json!({})).await.is_ok());
        assert_eq!(endpoint.hits(), 1);

        endpoint.serve(&document(&[TestIssuer::ed()]));
        let later = NOW + Duration::from_secs(31);
        let send =
            async |signer: &TestIssuer| authenticate_at(&auth, &signer.sign(&claims(json!({}))), later).await;
        assert!(send(TestIssuer::ed()).await.is_ok());
        assert_eq!(
            invalid(send(TestIssuer::rsa()).await),
            "The kid of the token does not match any key."
        );
        assert_eq!(endpoint.hits(), 2);
    }

    #[tokio::test]
    async fn a_token_without_a_kid_causes_no_fetch() {
        let endpoint = JwksServer::start(&document(&[TestIssuer::rsa(), TestIssuer::ec()])).await;
        let auth = Auth::new(config(KeySource::Url(endpoint.url())));
        auth.warm(NOW).await;
        let token = TestIssuer::rsa().sign_as(r#"{"alg":"RS256"}"#, &claims(json!({})));
        let later = NOW + Duration::from_secs(31);
        assert_eq!(
            invalid(authenticate_at(&auth, &token, later).await),
            "The token has no kid, but the issuer has several keys."
        );
        assert_eq!(endpoint.hits(), 1);
    }

    #[tokio::test]
    async fn without_keys_a_token_is_neither_taken_nor_refused() {
        let endpoint = JwksServer::start("").await;
        let auth = Auth::new(config(KeySource::Url(endpoint.url())));
        auth.warm(NOW).await;
        assert_eq!(
            with_claims(&auth, json!({})).await,
            Err(AuthError::KeysUnavailable(Duration::from_secs(5)))
        );
        invalid(authenticate(&auth, "a.b.c").await);
    }

    #[tokio::test]
    async fn nothing_listens_at_the_endpoint() {
        let url = "http://127.0.0.1:9/jwks.json".parse().unwrap();
        let auth = Auth::new(config(KeySource::Url(url)));
        auth.warm(NOW).await;
        assert_eq!(
            with_claims(&auth, json!({})).await,
            Err(AuthError::KeysUnavailable(Duration::from_secs(5)))
        );
    }

    #[test]
    fn a_secret_does_not_show_in_the_settings() {
        let secret = "correct horse battery staple and more".parse().unwrap();
        let auth = Auth::new(config(KeySource::Secret(secret)));
        let shown = format!("{auth:?}");
        assert!(!shown.contains("horse") && !shown.contains("99, 111"), "{shown}");
    }

    fn run(token: &[u8], now: Timestamp) -> Option<Result<Principal, AuthError>> {
        static AUTH: std::sync::LazyLock<Auth> =
            std::sync::LazyLock::new(|| provider(&[("org", "o.*.id"), ("client", "client")]));
        let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Some(runtime.block_on(AUTH.authenticate(&headers, now)))
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(json!(CLIENT)),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("id|o|a|\\*|", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(!matches!(run(&bytes, NOW), Some(Ok(_))));
        }

        #[test]
        fn no_text_with_dots_makes_it_panic(text in "[A-Za-z0-9_.=-]{0,200}") {
            prop_assert!(!matches!(run(text.as_bytes(), NOW), Some(Ok(_))));
        }

        #[test]
        fn a_changed_token_is_never_taken(at: prop::sample::Index, byte in 0x21u8..0x7f) {
            let token = TestIssuer::ec().sign(&claims(json!({"o": {"a": {"id": "org_1"}}})));
            prop_assert!(run(token.as_bytes(), NOW).unwrap().is_ok());
            let mut bytes = token.into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            prop_assert!(!matches!(run(&bytes, NOW), Some(Ok(_))));
        }

        #[test]
        fn no_claims_make_it_panic(
            name in "iss|aud|sub|exp|nbf|iat|role|o|client",
            value in any_json(),
            now: i64,
        ) {
            let mut all: Value = serde_json::from_str(&claims(json!({"o": {"a": {"id": "org_1"}}}))).unwrap();
            all[name] = value;
            run(TestIssuer::ec().sign(&all.to_string()).as_bytes(), Timestamp::from_millis(now));
        }

        #[test]
        fn no_header_makes_it_panic(value in any_json(), name in "alg|kid|typ|crit|") {
            let mut header = json!({"alg": "ES256", "kid": "ec"});
            header[name] = value;
            run(TestIssuer::ec().sign_as(&header.to_string(), &claims(json!({}))).as_bytes(), NOW);
        }
    }
}
