//! Tokens: what identity providers issue, what is rejected and how, and keys. The long tables of claims, headers and keys
//! are those of the unit tests in `shared/src/auth`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaPublicKeyComponents,
    },
};
use axum::{Router, body::Body, routing::get};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Request, StatusCode};
use local::{
    dns::ANY_PORT,
    environment::{AUDIENCE, ISSUER, SECRET},
    system::System,
    token::encode_claims,
};
use serde_json::{Value, json};

use crate::harness::{Api, CONTEXT, NO_CLIENT, START, id};

const NOW: i64 = START / 1000;

/// A system with these environment variables, at [`START`].
async fn configured(variables: &[(&str, &str)]) -> Api {
    let builder = System::builder().at(START);
    Api::build(
        variables
            .iter()
            .fold(builder, |builder, (name, value)| builder.set(name, *value)),
    )
    .await
}

/// Valid claims with these changes. `null` removes a claim.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user_1", "org_id": "org_acme", "role": "owner", "iat": NOW, "exp": NOW + 300,
    });
    let object = claims.as_object_mut().unwrap();
    object.extend(changes.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    claims
}

/// The organization that a token acts for, and whether it may write.
async fn principal(api: &Api, claims: &Value) -> (String, bool) {
    let user = api.with_token(encode_claims(claims));
    let answer = user.post("/agency/enable", Value::Null).await;
    if answer.status == 200 {
        assert_eq!(user.audit().await[0]["actor"]["id"], claims["sub"]);
        return (answer.json()["organizationId"].as_str().unwrap().to_owned(), true);
    }
    answer.problem(403, "role-too-low");
    let overview = user.overview().await;
    (overview["organizationId"].as_str().unwrap().to_owned(), false)
}

async fn assert_rejected(api: &Api, claims: &Value) {
    let user = api.with_token(encode_claims(claims));
    let answer = user.post("/agency/enable", Value::Null).await;
    assert_eq!(answer.status, 401, "{claims}");
    answer.problem(401, "invalid-token");
}

/// A token that each identity provider issues, read with the settings of the operator's page.
#[tokio::test]
async fn tokens_of_identity_providers_are_read_with_their_settings() {
    let tid = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let keycloak = "42c3e46f-2477-44d7-a85b-d3b43f6b31fa";
    // Settings, a token, its organization, and a change of the token that makes its user a member.
    let providers = [
        (
            "Auth0",
            vec![
                ("AUTH_ROLE_CLAIM", "https://agency.dev/roles"),
                ("AUTH_ROLES", "agency-owner=owner,agency admin=admin"),
            ],
            json!({
                "https://agency.dev/roles": ["viewer", "agency-owner"], "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
                "aud": [AUDIENCE, "https://acme.eu.auth0.com/userinfo"], "org_id": "org_9ybsU1dN2dKfDkBi",
            }),
            "org_9ybsU1dN2dKfDkBi",
            json!({"https://agency.dev/roles": ["owner"]}),
        ),
        (
            "Auth0, an own claim with dots",
            vec![
                ("AUTH_ORG_CLAIM", "https://agency.dev/org.id"),
                ("AUTH_ROLE_CLAIM", "https://agency.dev/roles"),
            ],
            json!({"org_id": null, "https://agency.dev/org.id": "acme", "https://agency.dev/roles": ["admin"]}),
            "acme",
            json!({"https://agency.dev/roles": []}),
        ),
        (
            "Clerk",
            vec![
                ("AUTH_AUDIENCE_CLAIM", "azp"),
                ("AUTH_ORG_CLAIM", "o.id"),
                ("AUTH_ROLE_CLAIM", "o.rol"),
            ],
            json!({"aud": null, "azp": AUDIENCE, "org_id": null, "o": {"id": "org_2abcDEF", "rol": "admin", "slg": "acme"}}),
            "org_2abcDEF",
            json!({"o": {"id": "org_2abcDEF", "rol": "member"}}),
        ),
        (
            "Clerk, version 1",
            vec![
                ("AUTH_ROLE_CLAIM", "org_role"),
                ("AUTH_ROLES", "org:admin=admin,org:member=member"),
            ],
            json!({"org_role": "org:admin", "org_slug": "acme"}),
            "org_acme",
            json!({"org_role": "org:member"}),
        ),
        (
            "WorkOS",
            vec![("AUTH_AUDIENCE_CLAIM", "client_id")],
            json!({"aud": null, "client_id": AUDIENCE, "org_id": "org_01HRDMC6CM357W30QMHMQ96Q0S", "roles": ["member"]}),
            "org_01HRDMC6CM357W30QMHMQ96Q0S",
            json!({"role": "member"}),
        ),
        (
            "Cognito",
            vec![
                ("AUTH_AUDIENCE_CLAIM", "client_id"),
                ("AUTH_ORG_CLAIM", "custom:org_id"),
                ("AUTH_ROLE_CLAIM", "cognito:groups"),
                ("AUTH_ROLES", "agency-admins=admin,agency-members=member"),
            ],
            json!({
                "aud": null, "client_id": AUDIENCE, "org_id": null, "custom:org_id": "acme",
                "cognito:groups": ["agency-members", "eu-west-1_example_Google", "agency-admins"],
            }),
            "acme",
            json!({"cognito:groups": null}),
        ),
        (
            "Keycloak",
            vec![
                ("AUTH_ORG_CLAIM", "organization.*.id"),
                ("AUTH_ROLE_CLAIM", "resource_access.agency-api.roles"),
            ],
            json!({
                "aud": [AUDIENCE, "account"], "org_id": null, "typ": "Bearer",
                "resource_access": {"agency-api": {"roles": ["admin"]}, "account": {"roles": ["owner"]}},
                "organization": {"acme.example": {"id": keycloak, "tier": ["gold"]}},
            }),
            keycloak,
            json!({"resource_access": {"account": {"roles": ["owner"]}}}),
        ),
        (
            "Entra",
            vec![
                ("AUTH_ORG_CLAIM", "tid"),
                ("AUTH_ROLE_CLAIM", "roles"),
                ("AUTH_ROLES", "Agency.Admin=admin,Agency.Owner=owner"),
            ],
            json!({"org_id": null, "tid": tid, "nbf": NOW, "roles": ["Agency.Reader", "Agency.Admin"]}),
            tid,
            json!({"roles": ["Agency.Reader"]}),
        ),
    ];
    for (provider, settings, token, org, demoted) in providers {
        let api = configured(&settings).await;
        let token = claims(token);
        assert_eq!(
            principal(&api, &token).await,
            (org.to_owned(), true),
            "{provider}"
        );
        let mut member = token.clone();
        member
            .as_object_mut()
            .unwrap()
            .extend(demoted.as_object().unwrap().clone());
        assert_eq!(
            principal(&api, &member).await,
            (org.to_owned(), false),
            "{provider}"
        );
        // Without the organization's claim, and for another audience.
        let (org_claim, audience) =
            settings
                .iter()
                .fold(("org_id", "aud"), |found, (name, value)| match *name {
                    "AUTH_ORG_CLAIM" if token.get(*value).is_some() => (*value, found.1),
                    "AUTH_ORG_CLAIM" => (value.split('.').next().unwrap(), found.1),
                    "AUTH_AUDIENCE_CLAIM" => (found.0, *value),
                    _ => found,
                });
        for (claim, value) in [(org_claim, json!({})), (audience, json!("other"))] {
            let mut wrong = token.clone();
            assert!(wrong.get(claim).is_some(), "{provider}: {claim}");
            wrong[claim] = value;
            assert_rejected(&api, &wrong).await;
        }
    }
}

#[tokio::test]
async fn every_claim_that_a_token_needs_is_checked() {
    let api = configured(&[]).await;
    for org in ["a", "A-Z_09", &"x".repeat(64), "cli_acme"] {
        let token = claims(json!({"org_id": org}));
        assert_eq!(principal(&api, &token).await, (org.to_owned(), true));
    }
    for changes in [
        json!({"org_id": null}),
        json!({"org_id": "a/b"}),
        json!({"org_id": "x".repeat(65)}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"iss": null}),
        json!({"iss": [ISSUER]}),
        json!({"iss": ISSUER.trim_end_matches('/')}),
        json!({"aud": null}),
        json!({"aud": ["x"]}),
        json!({"exp": null}),
        json!({"exp": NOW.to_string()}),
        json!({"nbf": "now"}),
        json!({"iat": []}),
    ] {
        assert_rejected(&api, &claims(changes)).await;
    }
    for (role, may_write) in [
        (json!("owner"), true),
        (json!("viewer admin"), true),
        (json!(null), false),
        (json!("Owner"), false),
        (json!({}), false),
    ] {
        let token = claims(json!({"role": role}));
        let expected = ("org_acme".to_owned(), may_write);
        assert_eq!(principal(&api, &token).await, expected, "{role}");
    }
}

#[tokio::test]
async fn times_are_compared_with_30_seconds_of_leeway() {
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    for (changes, code) in [
        (json!({"exp": NOW - 29}), None),
        (json!({"exp": NOW as f64 - 29.5}), None),
        (json!({"nbf": NOW + 30, "iat": NOW + 30}), None),
        (json!({"iat": null}), None),
        (json!({"exp": NOW - 30}), Some("expired-token")),
        (json!({"exp": -1e300}), Some("expired-token")),
        (json!({"nbf": NOW + 31}), Some("invalid-token")),
        (json!({"iat": NOW + 31}), Some("invalid-token")),
    ] {
        let user = api.with_token(encode_claims(&claims(changes)));
        let answer = user.get("/agency/overview").await;
        match code {
            None => drop(answer.expect(200)),
            Some(code) => drop(answer.problem(401, code)),
        }
    }
    // The same token, while time passes.
    let user = api.with_token(encode_claims(&claims(json!({"exp": NOW + 10}))));
    for (millis, status) in [(10_000, 200), (29_999, 200), (1, 401), (1_000_000, 401)] {
        api.advance(Duration::from_millis(millis));
        assert_eq!(user.get("/agency/overview").await.status, status);
    }
}

/// A token that is signed with the secret, whatever its parts are.
fn sign(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", text(header), text(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", text(signature))
}

#[tokio::test]
async fn a_rejection_names_its_error_as_rfc_6750_specifies() {
    let api = configured(&[]).await;
    let payload = claims(json!({})).to_string();
    let header = |header: Value| sign(&header.to_string(), &payload);
    let valid = header(json!({"alg": "HS256"}));
    api.with_token(&*valid)
        .get(CONTEXT)
        .await
        .problem(404, "no-portal");
    let twice = payload.replacen('{', "{\"org_id\":\"org_globex\",", 1);
    let unsigned = valid.rsplit_once('.').unwrap().0;
    for token in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{unsigned}."),
        unsigned.to_owned(),
        format!("{valid}x"),
        valid.replacen('.', "..", 1),
        header(json!({"alg": "none"})),
        header(json!({"alg": "HS384"})),
        header(json!({})),
        header(json!({"alg": "HS256", "crit": []})),
        sign(r#"{"alg":"HS256","alg":"HS256"}"#, &payload),
        sign(r#"{"alg":"HS256"}"#, &twice),
        encode_claims(&json!([])),
    ] {
        let user = api.with_token(&*token);
        let answer = user.get("/agency/overview").await;
        let problem = answer.problem(401, "invalid-token");
        let challenge = answer.header("www-authenticate").unwrap();
        let description = challenge
            .strip_prefix("Bearer error=\"invalid_token\", error_description=\"")
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap();
        assert!(!description.contains(['"', '\\']), "{challenge}");
        assert_eq!(problem["detail"], description);
        assert!(token.len() < 4 || !answer.text.contains(&token), "{token}");
        let head = user
            .raw("HEAD".parse().unwrap(), "/agency/overview", &[], "")
            .await;
        assert_eq!((head.status.as_u16(), &*head.text), (401, ""));
        assert_eq!(head.header("www-authenticate"), Some(challenge));
    }
    let expired = encode_claims(&claims(json!({"exp": NOW - 60})));
    let expired = api.with_token(expired).get("/agency/overview").await;
    expired.problem(401, "expired-token");
    let challenge = expired.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer error=\"invalid_token\""),
        "{challenge}"
    );
    // A request without a token is told no error (section 3.1), and no other problem asks for a token.
    let missing = api.visitor().get("/agency/overview").await;
    missing.problem(401, "missing-token");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    let member = api.user("org_acme", "member");
    let forbidden = member.post("/agency/enable", Value::Null).await;
    forbidden.problem(403, "role-too-low");
    assert_eq!(forbidden.header("www-authenticate"), None);
}

#[tokio::test]
async fn the_header_is_one_bearer_token_of_at_most_8192_bytes() {
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let token = encode_claims(&claims(json!({})));
    let send = async |values: &[&str]| {
        let mut request = Request::builder().uri("/agency/overview");
        for value in values {
            request = request.header("authorization", value.replace('T', &token));
        }
        api.visitor().send(request.body(Body::empty()).unwrap()).await
    };
    for value in ["Bearer T", "bearer T", "Bearer   T  "] {
        send(&[value]).await.expect(200);
    }
    for value in ["", "Bearer", "T", "Basic T", "BearerT"] {
        send(&[value]).await.problem(401, "missing-token");
    }
    // The gateway joins repeated headers with a comma.
    for values in [
        &["Bearer T,Bearer T"][..],
        &["Bearer T,"],
        &["Basic eA==, Bearer T"],
        &["Bearer T T"],
        &["Bearer T", "Bearer T"],
        &["Basic eA==", "Bearer T"],
        &["Bearer T", ""],
    ] {
        send(values).await.problem(401, "invalid-token");
    }
    let long = encode_claims(&claims(json!({"filling": "x".repeat(8192)})));
    let answer = api.with_token(long).get("/agency/overview").await;
    answer.problem(401, "invalid-token");
    assert!(answer.text.len() < 1000);
    // A token is read from nowhere else.
    for request in [
        Request::builder().uri(format!("/agency/overview?access_token={token}")),
        Request::builder()
            .uri("/agency/overview")
            .header("cookie", format!("access_token={token}")),
        Request::builder()
            .uri("/agency/overview")
            .header("x-authorization", format!("Bearer {token}")),
    ] {
        let answer = api.visitor().send(request.body(Body::empty()).unwrap()).await;
        answer.problem(401, "missing-token");
    }
}

/// `conventions::tenants` has what such a user may not do.
#[tokio::test]
async fn a_clients_id_in_either_claim_makes_a_user_of_the_client() {
    let client = "https://agency.dev/client.id";
    let api = configured(&[("AUTH_CLIENT_CLAIM", client)]).await;
    let acme = api.agency("org_acme").await;
    let globex = acme.client("Globex").await;
    let id = id(&globex);
    let context = async |changes: Value| {
        let user = api.with_token(encode_claims(&claims(changes)));
        user.get(CONTEXT).await
    };
    for changes in [
        json!({"org_id": id}),
        json!({client: id}),
        // The claim may name a client of any agency, whatever the organization is.
        json!({"org_id": "org_other", client: id}),
        json!({"org_id": NO_CLIENT, client: id}),
    ] {
        let seen = context(changes.clone()).await.expect(200);
        assert_eq!(seen["organization"]["id"], *id, "{changes}");
        assert_eq!(seen["organization"]["role"], "client");
    }
    for value in [
        json!(""),
        json!(format!("{id} ")),
        json!(false),
        json!([id]),
        json!({"id": id}),
    ] {
        context(json!({client: value})).await.problem(404, "no-portal");
        // Even if the organization is a client itself.
        let both = context(json!({"org_id": id, client: value})).await;
        both.problem(404, "no-portal");
    }
    // `null` counts as absent.
    let mut with_null = claims(json!({}));
    with_null[client] = Value::Null;
    let user = api.with_token(encode_claims(&with_null));
    assert_eq!(user.overview().await["organizationId"], "org_acme");
    acme.remove(&globex).await;
    for changes in [json!({"org_id": id}), json!({client: id})] {
        context(changes).await.problem(404, "no-portal");
    }

    // Without the setting the claim means nothing.
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let user = api.with_token(encode_claims(&claims(json!({client: NO_CLIENT}))));
    user.get("/agency/overview").await.expect(200);
}

/// A key of an issuer: its public part, and how it signs.
struct Signer {
    jwk: Value,
    sign: Box<Sign>,
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

impl Signer {
    fn new(jwk: Value, sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        Self {
            jwk,
            sign: Box::new(sign),
        }
    }

    fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig", "x": text(&point[1..33]), "y": text(&point[33..]),
        });
        Self::new(jwk, move |message| {
            key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        })
    }

    fn rs256(kid: &str) -> Self {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
        // Without `alg`: the type's own algorithm.
        let jwk = json!({"kty": "RSA", "kid": kid, "use": "sig", "n": text(&public.n), "e": text(&public.e)});
        Self::new(jwk, move |message| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                .unwrap();
            signature
        })
    }

    fn eddsa(kid: &str) -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(key.public_key().as_ref())});
        Self::new(jwk, move |message| key.sign(message).as_ref().to_vec())
    }

    fn token(&self, alg: &str, kid: Option<&str>) -> String {
        let mut header = json!({"typ": "at+jwt", "alg": alg});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let message = format!(
            "{}.{}",
            text(header.to_string()),
            text(claims(json!({})).to_string())
        );
        format!("{message}.{}", text((self.sign)(message.as_bytes())))
    }
}

fn text(octets: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(octets)
}

#[tokio::test]
async fn each_key_of_a_document_is_used_with_its_own_algorithm_alone() {
    let (ec, rsa, ed) = (Signer::es256("ec"), Signer::rs256("rsa"), Signer::eddsa("ed"));
    let symmetric = json!({"kty": "oct", "kid": "oct", "k": text(SECRET)});
    let mut encryption = ec.jwk.clone();
    encryption["use"] = json!("enc");
    encryption["kid"] = json!("enc");
    // The unusable keys are skipped one by one.
    let keys = json!([symmetric, 7, {"kty": "EC"}, encryption, ec.jwk, rsa.jwk, ed.jwk]);
    let document = json!({ "keys": keys }).to_string();
    let api = configured(&[("AUTH_JWKS", &document)]).await;
    let send = async |token: String| api.with_token(token).post("/agency/enable", Value::Null).await;
    let mut rejected = vec![
        // The secret of another configuration, and another key of the same name.
        encode_claims(&claims(json!({}))),
        Signer::es256("ec").token("ES256", Some("ec")),
    ];
    for (signer, alg, kid) in [(&ec, "ES256", "ec"), (&rsa, "RS256", "rsa"), (&ed, "EdDSA", "ed")] {
        send(signer.token(alg, Some(kid))).await.expect(200);
        // With several keys a token names its own.
        rejected.push(signer.token(alg, None));
        for other in ["ES256", "RS256", "EdDSA", "HS256", "none"] {
            for wrong in ["ec", "rsa", "ed", "enc", "oct"] {
                if (other, wrong) != (alg, kid) {
                    rejected.push(signer.token(other, Some(wrong)));
                }
            }
        }
    }
    // The public part of a key is no secret to sign with.
    for (secret, kid) in [
        (rsa.jwk["n"].as_str().unwrap(), "rsa"),
        (ec.jwk["x"].as_str().unwrap(), "ec"),
        (SECRET, "oct"),
    ] {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap_or_default();
        for octets in [secret.as_bytes(), &decoded] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, octets);
            let forger = Signer::new(Value::Null, move |message| {
                hmac::sign(&key, message).as_ref().to_vec()
            });
            rejected.push(forger.token("HS256", Some(kid)));
        }
    }
    for token in rejected {
        send(token).await.problem(401, "invalid-token");
    }
}

/// A JWKS endpoint that can be down.
struct Endpoint {
    url: String,
    up: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(document: Value) -> Self {
        let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (up, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_up, counter) = (up.clone(), requests.clone());
        let answer = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let found = is_up.load(Ordering::SeqCst).then(|| document.to_string());
            async move { found.ok_or(StatusCode::INTERNAL_SERVER_ERROR) }
        };
        tokio::spawn(axum::serve(listener, Router::new().route("/jwks.json", get(answer))).into_future());
        Self { url, up, requests }
    }
}

#[tokio::test]
async fn without_keys_a_token_is_503() {
    let key = Signer::es256("one");
    let endpoint = Endpoint::start(json!({"keys": [key.jwk]})).await;
    let api = configured(&[("AUTH_JWKS_URL", &endpoint.url)]).await;
    let good = api.with_token(key.token("ES256", Some("one")));
    let unknown = api.with_token(key.token("ES256", Some("two")));
    for user in [&good, &unknown] {
        let answer = user.post("/agency/enable", Value::Null).await;
        let problem = answer.problem(503, "unavailable");
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        assert_eq!(answer.header("www-authenticate"), None);
        assert!(!problem["detail"].as_str().unwrap().contains("127.0.0.1"));
    }
    // What needs no key is answered.
    api.visitor()
        .get("/agency/overview")
        .await
        .problem(401, "missing-token");
    api.with_token("x.y.z")
        .get("/agency/overview")
        .await
        .problem(401, "invalid-token");
    api.visitor().get("/health").await.expect(200);
    api.visitor()
        .get("/portal/branding?host=a.acme.test")
        .await
        .problem(404, "no-portal");

    endpoint.up.store(true, Ordering::SeqCst);
    api.advance(Duration::from_secs(5));
    good.post("/agency/enable", Value::Null).await.expect(200);
    unknown
        .get("/agency/overview")
        .await
        .problem(401, "invalid-token");
    // Unknown key ids do not cause a request each.
    let requests = endpoint.requests.load(Ordering::SeqCst);
    for n in 0..20 {
        let token = key.token("ES256", Some(&format!("made-up-{n}")));
        api.with_token(token)
            .get("/agency/overview")
            .await
            .problem(401, "invalid-token");
    }
    assert!(endpoint.requests.load(Ordering::SeqCst) <= requests + 1);
    // The last keys outlive the endpoint for a while.
    endpoint.up.store(false, Ordering::SeqCst);
    api.advance(Duration::from_secs(200));
    good.get("/agency/overview").await.expect(200);
}
