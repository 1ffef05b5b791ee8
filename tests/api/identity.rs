//! Who is calling: tokens as identity providers issue them, keys, and what a refused token is told.

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

use crate::harness::{Answer, Api};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;
const NOW: i64 = START / 1000;

const CLIENT: &str = "cli_01890a5d-ac96-774b-bcce-b302099a8057";

/// A system with these variables, at [`START`].
async fn configured(variables: &[(&str, &str)]) -> Api {
    let builder = System::builder().at(START);
    Api::build(
        variables
            .iter()
            .fold(builder, |builder, (name, value)| builder.set(name, *value)),
    )
    .await
}

/// Claims that are right by default, with these changes; `null` takes one away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user_1", "org_id": "org_acme", "role": "owner", "iat": NOW, "exp": NOW + 300,
    });
    let object = claims.as_object_mut().unwrap();
    object.extend(changes.as_object().unwrap().clone());
    object.retain(|_, value| !value.is_null());
    claims
}

/// What a token is taken for: the organization, and whether it may write.
async fn who(api: &Api, claims: &Value) -> Result<(String, &'static str), Answer> {
    let user = api.with_token(encode_claims(claims));
    let answer = user.post("/agency/enable", Value::Null).await;
    match answer.status.as_u16() {
        200 => {
            let actor = user.audit().await[0]["actor"]["id"].clone();
            assert_eq!(actor, claims["sub"]);
            Ok((
                answer.json()["organizationId"].as_str().unwrap().to_owned(),
                "admin",
            ))
        }
        403 => {
            answer.problem(403, "role-too-low");
            // A member reads, and the organization is the one that an owner enabled.
            let overview = user.get("/agency/overview").await.expect(200);
            Ok((overview["organizationId"].as_str().unwrap().to_owned(), "member"))
        }
        _ => Err(answer),
    }
}

async fn assert_is(api: &Api, claims: &Value, org: &str, role: &'static str) {
    match who(api, claims).await {
        Ok(found) => assert_eq!(found, (org.to_owned(), role), "{claims}"),
        Err(answer) => panic!("{claims}: {answer:?}"),
    }
}

async fn assert_refused(api: &Api, claims: &Value) {
    match who(api, claims).await {
        Ok(found) => panic!("{claims}: {found:?}"),
        Err(answer) => {
            answer.problem(401, "invalid-token");
        }
    }
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn tokens_of_auth0() {
    let api = configured(&[
        ("AUTH_ISSUER", "https://acme.eu.auth0.com/"),
        ("AUTH_AUDIENCE", "https://api.agency.dev"),
        ("AUTH_ORG_CLAIM", "org_id"),
        ("AUTH_ROLE_CLAIM", "https://agency.dev/roles"),
        ("AUTH_ROLES", "agency-owner=owner,agency admin=admin"),
    ])
    .await;
    let token = json!({
        "https://agency.dev/roles": ["viewer", "agency-owner"],
        "iss": "https://acme.eu.auth0.com/",
        "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "aud": ["https://api.agency.dev", "https://acme.eu.auth0.com/userinfo"],
        "iat": NOW - 5,
        "exp": NOW + 86_400,
        "azp": "my_client_id",
        "scope": "openid profile",
        "org_id": "org_9ybsU1dN2dKfDkBi",
        "permissions": [],
    });
    assert_is(&api, &token, "org_9ybsU1dN2dKfDkBi", "admin").await;
    let named = |roles| with(&token, "https://agency.dev/roles", roles);
    assert_is(
        &api,
        &named(json!(["agency admin"])),
        "org_9ybsU1dN2dKfDkBi",
        "admin",
    )
    .await;
    // Where words are set, ours do not map any more.
    for roles in [
        json!([]),
        json!(["owner"]),
        json!("owner"),
        json!({"agency-owner": true}),
        json!([["agency-owner"]]),
    ] {
        assert_is(&api, &named(roles), "org_9ybsU1dN2dKfDkBi", "member").await;
    }
    assert_refused(&api, &with(&token, "iss", json!("https://acme.eu.auth0.com"))).await;
    assert_refused(
        &api,
        &with(&token, "aud", json!(["https://acme.eu.auth0.com/userinfo"])),
    )
    .await;

    // The organization in a claim of one's own, which is a URL with dots in it.
    let api = configured(&[
        ("AUTH_ORG_CLAIM", "https://agency.dev/org.id"),
        ("AUTH_ROLE_CLAIM", "https://agency.dev/roles"),
    ])
    .await;
    let token = claims(json!({
        "org_id": null, "role": null, "https://agency.dev/org.id": "acme", "https://agency.dev/roles": ["admin"],
    }));
    assert_is(&api, &token, "acme", "admin").await;
    assert_refused(&api, &claims(json!({}))).await;
}

#[tokio::test]
async fn tokens_of_clerk() {
    let api = configured(&[
        ("AUTH_ISSUER", "https://clerk.agency.dev"),
        ("AUTH_AUDIENCE", "https://app.agency.dev"),
        ("AUTH_AUDIENCE_CLAIM", "azp"),
        ("AUTH_ORG_CLAIM", "o.id"),
        ("AUTH_ROLE_CLAIM", "o.rol"),
    ])
    .await;
    let token = json!({
        "azp": "https://app.agency.dev",
        "exp": NOW + 60,
        "fva": [9, -1],
        "iat": NOW,
        "iss": "https://clerk.agency.dev",
        "jti": "a4af3ab2c1d9d6b5e1f4",
        "nbf": NOW - 10,
        "o": {"id": "org_2abcDEF", "rol": "admin", "slg": "acme", "per": "manage", "fpm": "7"},
        "sid": "sess_2abc",
        "sts": "active",
        "sub": "user_2abc",
        "v": 2,
    });
    assert_is(&api, &token, "org_2abcDEF", "admin").await;
    assert_is(
        &api,
        &with(&token, "o", json!({"id": "org_2abcDEF", "rol": "member"})),
        "org_2abcDEF",
        "member",
    )
    .await;
    // A user who has no organization active.
    for o in [
        json!(null),
        json!({}),
        json!({"rol": "admin"}),
        json!("org_2abcDEF"),
        json!({"id": {"id": "x"}}),
    ] {
        assert_refused(&api, &with(&token, "o", o)).await;
    }
    assert_refused(&api, &with(&token, "azp", json!("https://evil.example"))).await;

    // The version before.
    let api = configured(&[
        ("AUTH_ROLE_CLAIM", "org_role"),
        ("AUTH_ROLES", "org:admin=admin,org:member=member"),
    ])
    .await;
    let token = claims(json!({"role": null, "org_role": "org:admin", "org_slug": "acme"}));
    assert_is(&api, &token, "org_acme", "admin").await;
    assert_is(
        &api,
        &with(&token, "org_role", json!("org:member")),
        "org_acme",
        "member",
    )
    .await;
}

#[tokio::test]
async fn tokens_of_workos() {
    let api = configured(&[
        ("AUTH_ISSUER", "https://api.workos.com/user_management/client_01H"),
        ("AUTH_AUDIENCE", "client_01H"),
        ("AUTH_AUDIENCE_CLAIM", "client_id"),
    ])
    .await;
    let token = json!({
        "iss": "https://api.workos.com/user_management/client_01H",
        "sub": "user_01HBEQKA6K4QJAS93VPE39W1JT",
        "act": {"sub": "admin@acme.test"},
        "org_id": "org_01HRDMC6CM357W30QMHMQ96Q0S",
        "role": "admin",
        "roles": ["member"],
        "permissions": ["posts:read"],
        "sid": "session_01H",
        "client_id": "client_01H",
        "jti": "01H",
        "exp": NOW + 300,
        "iat": NOW,
    });
    assert_is(&api, &token, "org_01HRDMC6CM357W30QMHMQ96Q0S", "admin").await;
    assert_refused(&api, &with(&token, "client_id", json!("client_01J"))).await;
    let object = json!({"client_01H": true});
    assert_refused(&api, &with(&token, "client_id", object)).await;
}

#[tokio::test]
async fn tokens_of_cognito() {
    let api = configured(&[
        (
            "AUTH_ISSUER",
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
        ),
        ("AUTH_AUDIENCE", "xxxxxxxxxxxxexample"),
        ("AUTH_AUDIENCE_CLAIM", "client_id"),
        ("AUTH_ORG_CLAIM", "custom:org_id"),
        ("AUTH_ROLE_CLAIM", "cognito:groups"),
        (
            "AUTH_ROLES",
            "agency-owners=owner,agency-admins=admin,agency-members=member",
        ),
    ])
    .await;
    let token = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["agency-members", "eu-west-1_example_Google", "agency-admins"],
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
        "client_id": "xxxxxxxxxxxxexample",
        "custom:org_id": "acme",
        "token_use": "access",
        "scope": "openid",
        "auth_time": NOW,
        "exp": NOW + 3600,
        "iat": NOW,
        "username": "my-test-user",
    });
    assert_is(&api, &token, "acme", "admin").await;
    assert_is(
        &api,
        &with(&token, "cognito:groups", json!(["agency-members"])),
        "acme",
        "member",
    )
    .await;
    let mut none = token.clone();
    none.as_object_mut().unwrap().remove("cognito:groups");
    assert_is(&api, &none, "acme", "member").await;
}

#[tokio::test]
async fn tokens_of_keycloak() {
    let api = configured(&[
        ("AUTH_ISSUER", "https://id.agency.dev/realms/agency"),
        ("AUTH_ORG_CLAIM", "organization.*.id"),
        ("AUTH_ROLE_CLAIM", "resource_access.agency-api.roles"),
    ])
    .await;
    let id = "42c3e46f-2477-44d7-a85b-d3b43f6b31fa";
    let token = json!({
        "exp": NOW + 300,
        "iat": NOW,
        "jti": "onrtac:34f30c05",
        "iss": "https://id.agency.dev/realms/agency",
        "aud": [AUDIENCE, "account"],
        "sub": "a5bd1b34-9f4f-4a9e-8f2e-7c6d5e4f3a2b",
        "typ": "Bearer",
        "azp": "agency-web",
        "realm_access": {"roles": ["offline_access", "owner"]},
        "resource_access": {"agency-api": {"roles": ["admin"]}, "account": {"roles": ["owner"]}},
        "scope": "openid organization",
        "organization": {"acme.example": {"id": id, "tier": ["gold"]}},
    });
    assert_is(&api, &token, id, "admin").await;
    // Nobody can say which of several is meant.
    let several = json!({"acme": {"id": id}, "beta": {"id": "b"}});
    for organization in [
        several,
        json!({}),
        json!(["acme"]),
        json!({"acme": {}}),
        json!({"acme": {"id": [id]}}),
    ] {
        assert_refused(&api, &with(&token, "organization", organization)).await;
    }
    let other = json!({"account": {"roles": ["owner"]}});
    assert_is(&api, &with(&token, "resource_access", other), id, "member").await;
}

#[tokio::test]
async fn tokens_of_entra() {
    let api = configured(&[
        (
            "AUTH_ISSUER",
            "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        ),
        ("AUTH_AUDIENCE", "6e74172b-be56-4843-9ff4-e66a39bb12e3"),
        ("AUTH_ORG_CLAIM", "tid"),
        ("AUTH_ROLE_CLAIM", "roles"),
        ("AUTH_ROLES", "Agency.Admin=admin,Agency.Owner=owner"),
    ])
    .await;
    let tid = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let token = json!({
        "ver": "2.0",
        "iss": format!("https://login.microsoftonline.com/{tid}/v2.0"),
        "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
        "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        "exp": NOW + 3600,
        "iat": NOW,
        "nbf": NOW,
        "name": "Abe Lincoln",
        "oid": "00000000-0000-0000-66f3-3332eca7ea81",
        "tid": tid,
        "roles": ["Agency.Reader", "Agency.Admin"],
    });
    assert_is(&api, &token, tid, "admin").await;
    assert_is(
        &api,
        &with(&token, "roles", json!(["Agency.Reader"])),
        tid,
        "member",
    )
    .await;
}

#[tokio::test]
async fn the_organization_and_the_subject_are_required_in_their_form() {
    let api = configured(&[]).await;
    for org in [
        "a",
        "A-Z_09",
        &"x".repeat(64),
        "cli_",
        "cli_acme",
        &CLIENT.to_uppercase(),
    ] {
        assert_is(&api, &claims(json!({"org_id": org})), org, "admin").await;
    }
    for org in [
        json!(null),
        json!(""),
        json!("a b"),
        json!("a/b"),
        json!("a#b"),
        json!("ü"),
        json!("a\u{0}"),
        json!("x".repeat(65)),
        json!(7),
        json!(["org_acme"]),
        json!({"id": "org_acme"}),
        json!(true),
    ] {
        assert_refused(&api, &claims(json!({"org_id": org}))).await;
    }
    for changes in [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"iss": null}),
        json!({"iss": [ISSUER]}),
        json!({"iss": "https://issuer.localhost"}),
        json!({"aud": null}),
        json!({"aud": []}),
        json!({"aud": ["x"]}),
        json!({"aud": [AUDIENCE, 7]}),
        json!({"aud": "agency-api "}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"exp": NOW.to_string()}),
        json!({"nbf": "now"}),
        json!({"iat": []}),
    ] {
        assert_refused(&api, &claims(changes)).await;
    }
    for role in ["owner", "admin", "viewer admin", "admin viewer"] {
        assert_is(&api, &claims(json!({"role": role})), "org_acme", "admin").await;
    }
    for role in [
        json!(null),
        json!(""),
        json!("member"),
        json!("Owner"),
        json!("admins"),
        json!(["Admin"]),
        json!(1),
        json!({}),
    ] {
        assert_is(&api, &claims(json!({"role": role})), "org_acme", "member").await;
    }
}

#[tokio::test]
async fn times_are_read_with_30_seconds_of_leeway() {
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let send = async |changes: Value| {
        api.with_token(encode_claims(&claims(changes)))
            .get("/agency/overview")
            .await
    };
    for changes in [
        json!({"exp": NOW - 29}),
        json!({"exp": NOW as f64 - 29.5}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"exp": 1e300}),
        json!({"nbf": NOW + 30, "iat": NOW + 30}),
        json!({"nbf": NOW as f64 + 29.9}),
        json!({"iat": null}),
    ] {
        send(changes).await.expect(200);
    }
    for changes in [
        json!({"exp": NOW - 30}),
        json!({"exp": NOW - 3600}),
        json!({"exp": 0}),
        json!({"exp": -1e300}),
    ] {
        send(changes).await.problem(401, "expired-token");
    }
    for changes in [
        json!({"nbf": NOW + 31}),
        json!({"iat": NOW + 31}),
        json!({"nbf": 1e300}),
    ] {
        send(changes).await.problem(401, "invalid-token");
    }
    // The same token, while time goes by.
    let user = api.with_token(encode_claims(&claims(json!({"exp": NOW + 10}))));
    for (millis, status) in [(10_000, 200), (29_999, 200), (1, 401), (1_000_000, 401)] {
        api.advance(Duration::from_millis(millis));
        assert_eq!(user.get("/agency/overview").await.status, status);
    }
    user.get("/agency/overview").await.problem(401, "expired-token");
}

#[tokio::test]
async fn a_refusal_names_its_error_as_bearer_tokens_do() {
    let api = configured(&[]).await;
    let challenge = |answer: &Answer| answer.header("www-authenticate").unwrap().to_owned();
    let missing = api.visitor().get("/agency/overview").await;
    missing.problem(401, "missing-token");
    // Who shows nothing is told no error (RFC 6750, section 3.1).
    assert_eq!(challenge(&missing), "Bearer");

    let valid = encode_claims(&claims(json!({})));
    let unsigned = valid.rsplit_once('.').unwrap().0;
    let header = |header: Value| {
        let header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        let message = format!("{header}.{}", valid.split('.').nth(1).unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    };
    api.with_token(header(json!({"alg": "HS256"})))
        .get("/portal/context")
        .await
        .problem(404, "no-portal");
    for token in [
        "x".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{unsigned}."),
        unsigned.to_owned(),
        format!("{valid}x"),
        format!("{valid}."),
        valid.replacen('.', "..", 1),
        format!("{valid}=="),
        header(json!({"alg": "none"})),
        header(json!({"alg": "None"})),
        header(json!({"alg": "HS384"})),
        header(json!({"alg": "RS256"})),
        header(json!({"alg": ["HS256"]})),
        header(json!({})),
        header(json!({"alg": "HS256", "crit": ["exp"]})),
        header(json!({"alg": "HS256", "crit": []})),
        encode_claims(&json!([])),
        encode_claims(&json!("owner")),
    ] {
        let answer = api.with_token(&*token).get("/agency/overview").await;
        answer.problem(401, "invalid-token");
        let challenge = challenge(&answer);
        let description = challenge
            .strip_prefix("Bearer error=\"invalid_token\", error_description=\"")
            .unwrap();
        let description = description.strip_suffix('"').unwrap();
        assert!(
            description.ends_with('.') && !description.contains(['"', '\\']),
            "{challenge}"
        );
        assert_eq!(answer.json()["detail"], description);
        assert!(token.len() < 4 || !answer.text.contains(&token), "{token}");
    }
    let expired = api
        .with_token(encode_claims(&claims(json!({"exp": NOW - 60}))))
        .get("/agency/overview")
        .await;
    expired.problem(401, "expired-token");
    assert_eq!(
        challenge(&expired),
        "Bearer error=\"invalid_token\", error_description=\"The token has expired.\""
    );
    // No other refusal asks for a token.
    let member = api
        .user("org_acme", "member")
        .post("/agency/enable", Value::Null)
        .await;
    member.problem(403, "role-too-low");
    assert_eq!(member.header("www-authenticate"), None);
}

#[tokio::test]
async fn a_name_that_stands_twice_in_a_token_is_refused() {
    let api = configured(&[]).await;
    let sign = |header: &str, payload: &str| {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(header), encode(payload));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    };
    let payload = claims(json!({})).to_string();
    let twice = |more: &str| payload.replacen('{', &format!("{{{more},"), 1);
    let header = r#"{"alg":"HS256"}"#;
    api.with_token(sign(header, &payload))
        .get("/portal/context")
        .await
        .problem(404, "no-portal");
    for (header, payload) in [
        (header, twice(r#""org_id":"org_globex""#)),
        (header, twice(r#""org\u005fid":"org_globex""#)),
        (header, twice(r#""role":"owner""#)),
        (header, twice(r#""x":{"y":1,"y":2}"#)),
        (r#"{"alg":"HS256","alg":"HS256"}"#, payload.clone()),
        (header, format!("{payload} x")),
        (header, format!("\u{feff}{payload}")),
    ] {
        api.with_token(sign(header, &payload))
            .get("/portal/context")
            .await
            .problem(401, "invalid-token");
    }
}

#[tokio::test]
async fn the_header_is_one_bearer_token() {
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let token = encode_claims(&claims(json!({})));
    let send = async |values: &[String]| {
        let mut request = Request::builder().uri("/agency/overview");
        for value in values {
            request = request.header("authorization", value);
        }
        api.visitor().send(request.body(Body::empty()).unwrap()).await
    };
    for value in ["Bearer T", "bearer T", "BEARER T", "Bearer   T", "Bearer T  "] {
        send(&[value.replace('T', &token)]).await.expect(200);
    }
    for value in [
        "", "Bearer", "Bearer ", "T", "Basic T", "BearerT", "Token T", "Digest T",
    ] {
        send(&[value.replacen('T', &token, 1)])
            .await
            .problem(401, "missing-token");
    }
    // A comma is how the gateway joins repeated headers.
    for value in [
        "Bearer T,Bearer T",
        "Bearer T, Bearer T",
        "Bearer T,",
        ",Bearer T",
        "Basic eA==, Bearer T",
        "Bearer T T",
    ] {
        send(&[value.replace('T', &token)])
            .await
            .problem(401, "invalid-token");
    }
    let bearer = format!("Bearer {token}");
    send(&[bearer.clone(), bearer.clone()])
        .await
        .problem(401, "invalid-token");
    send(&["Basic eA==".to_owned(), bearer.clone()])
        .await
        .problem(401, "invalid-token");
    send(&[bearer, String::new()]).await.problem(401, "invalid-token");
    // Nor is a token taken from anywhere else.
    for request in [
        Request::builder().uri(format!("/agency/overview?access_token={token}")),
        Request::builder()
            .uri("/agency/overview")
            .header("cookie", format!("access_token={token}")),
        Request::builder()
            .uri("/agency/overview")
            .header("x-authorization", format!("Bearer {token}")),
    ] {
        api.visitor()
            .send(request.body(Body::empty()).unwrap())
            .await
            .problem(401, "missing-token");
    }
}

#[tokio::test]
async fn a_token_has_8192_bytes_at_most() {
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let token = |filling: usize| encode_claims(&claims(json!({"filling": "x".repeat(filling)})));
    // Three bytes more make it four longer.
    let about = |length: usize| (length - token(0).len()) * 3 / 4;
    let of = |length| {
        (about(length) - 4..)
            .map(token)
            .find(|token| token.len() == length)
            .unwrap()
    };
    api.with_token(of(8192)).get("/agency/overview").await.expect(200);
    let answer = api.with_token(of(8193)).get("/agency/overview").await;
    answer.problem(401, "invalid-token");
    assert!(answer.text.len() < 1000);
    api.with_token("x".repeat(1_000_000))
        .get("/agency/overview")
        .await
        .problem(401, "invalid-token");
}

#[tokio::test]
async fn a_client_organizations_id_is_a_clients_wherever_it_stands() {
    let api = configured(&[("AUTH_CLIENT_CLAIM", "https://agency.dev/client.id")]).await;
    let acme = api.agency("org_acme").await;
    let id = acme.client("Globex").await["id"].as_str().unwrap().to_owned();
    let context = async |changes: Value| {
        api.with_token(encode_claims(&claims(changes)))
            .get("/portal/context")
            .await
    };
    let client = "https://agency.dev/client.id";
    for changes in [
        json!({"org_id": id}),
        json!({client: id}),
        json!({"org_id": id, client: null}),
        // The claim may name any agency's client, whoever the user's organization is.
        json!({"org_id": "org_other", client: id}),
        json!({"org_id": CLIENT, client: id}),
    ] {
        let seen = context(changes.clone()).await.expect(200);
        assert_eq!(seen["organization"]["id"], *id, "{changes}");
        assert_eq!(seen["organization"]["role"], "client");
    }
    // Null is as good as absent.
    let mut with_null = claims(json!({}));
    with_null[client] = Value::Null;
    let user = api.with_token(encode_claims(&with_null));
    assert_eq!(
        user.get("/portal/context").await.expect(200)["organization"]["role"],
        "agency"
    );
    user.get("/agency/overview").await.expect(200);

    for value in [
        json!(""),
        json!("org_acme"),
        json!(CLIENT),
        json!(CLIENT.to_uppercase()),
        json!(format!("{id} ")),
        json!(7),
        json!(false),
        json!([id]),
        json!({"id": id}),
        json!([]),
        json!({}),
    ] {
        context(json!({client: value})).await.problem(404, "no-portal");
        let user = api.with_token(encode_claims(&claims(json!({client: value}))));
        user.get("/agency/overview")
            .await
            .problem(403, "agency-not-enabled");
        user.post("/agency/enable", Value::Null)
            .await
            .problem(403, "client-organization");
        // Even beside an organization that is a client itself.
        context(json!({"org_id": id, client: value}))
            .await
            .problem(404, "no-portal");
    }
    context(json!({"org_id": CLIENT})).await.problem(404, "no-portal");
    acme.delete(&format!("/agency/clients/{id}")).await.expect(204);
    context(json!({"org_id": id})).await.problem(404, "no-portal");
    context(json!({client: id})).await.problem(404, "no-portal");

    // Without the setting the claim means nothing.
    let api = configured(&[]).await;
    api.agency("org_acme").await;
    let user = api.with_token(encode_claims(&claims(json!({client: CLIENT}))));
    user.get("/agency/overview").await.expect(200);
}

/// An issuer's key: what is public of it, and how it signs.
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
async fn each_key_of_a_document_signs_with_its_own_algorithm_alone() {
    let (ec, rsa, ed) = (Signer::es256("ec"), Signer::rs256("rsa"), Signer::eddsa("ed"));
    let odd = json!({"kty": "oct", "kid": "oct", "k": text(SECRET)});
    let encryption = {
        let mut jwk = ec.jwk.clone();
        jwk["use"] = json!("enc");
        jwk["kid"] = json!("enc");
        jwk
    };
    let document = json!({"keys": [odd, 7, {"kty": "EC"}, encryption, ec.jwk, rsa.jwk, ed.jwk]}).to_string();
    let api = configured(&[("AUTH_JWKS", &document)]).await;
    let send = async |token: String| api.with_token(token).post("/agency/enable", Value::Null).await;
    for (signer, alg, kid) in [(&ec, "ES256", "ec"), (&rsa, "RS256", "rsa"), (&ed, "EdDSA", "ed")] {
        send(signer.token(alg, Some(kid))).await.expect(200);
        // With several keys a token names its own.
        send(signer.token(alg, None)).await.problem(401, "invalid-token");
        for other in [
            "ES256", "RS256", "EdDSA", "HS256", "none", "PS256", "ES384", "RS512",
        ] {
            for wrong in ["ec", "rsa", "ed", "enc", "oct", "", "../ec"] {
                if (other, wrong) != (alg, kid) {
                    send(signer.token(other, Some(wrong)))
                        .await
                        .problem(401, "invalid-token");
                }
            }
        }
    }
    // What is public of a key is no secret to sign with.
    for secret in [
        rsa.jwk["n"].as_str().unwrap(),
        SECRET,
        ec.jwk["x"].as_str().unwrap(),
    ] {
        for octets in [
            secret.as_bytes().to_vec(),
            BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap_or_default(),
        ] {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &octets);
            let forger = Signer::new(Value::Null, move |message| {
                hmac::sign(&key, message).as_ref().to_vec()
            });
            for kid in ["rsa", "ec", "oct"] {
                send(forger.token("HS256", Some(kid)))
                    .await
                    .problem(401, "invalid-token");
            }
        }
    }
    send(encode_claims(&claims(json!({}))))
        .await
        .problem(401, "invalid-token");
    // A key that came with the token is nobody's.
    let stranger = Signer::es256("ec");
    send(stranger.token("ES256", Some("ec")))
        .await
        .problem(401, "invalid-token");
}

/// A JWKS endpoint that can be out of order.
struct Endpoint {
    url: String,
    up: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(document: Value) -> Self {
        let listener = tokio::net::TcpListener::bind(ANY_PORT).await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (up, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_up, counter) = (up.clone(), asked.clone());
        let answer = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let found = is_up.load(Ordering::SeqCst).then(|| document.to_string());
            async move { found.ok_or(StatusCode::INTERNAL_SERVER_ERROR) }
        };
        tokio::spawn(axum::serve(listener, Router::new().route("/jwks.json", get(answer))).into_future());
        Self { url, up, asked }
    }
}

#[tokio::test]
async fn without_keys_a_token_is_neither_taken_nor_refused() {
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
    // Strangers' names of keys do not make it be asked again and again.
    let asked = endpoint.asked.load(Ordering::SeqCst);
    for n in 0..20 {
        let token = key.token("ES256", Some(&format!("made-up-{n}")));
        api.with_token(token)
            .get("/agency/overview")
            .await
            .problem(401, "invalid-token");
    }
    assert!(endpoint.asked.load(Ordering::SeqCst) <= asked + 1);
    // Keys that were had outlive the endpoint for a while.
    endpoint.up.store(false, Ordering::SeqCst);
    api.advance(Duration::from_secs(200));
    good.get("/agency/overview").await.expect(200);
}
