//! Creations that are repeated under an `Idempotency-Key`.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use futures::future::join_all;
use http::{HeaderValue, Method, Request};
use local::system::System;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, User};

const CLIENTS: &str = "/agency/clients";
const DOMAINS: &str = "/agency/portal-domains";

/// 2026-09-10T00:53:20Z
const NOW: i64 = 1_789_001_600_000;

/// The creations that honour a key, each with one body and another.
fn creations() -> [(&'static str, Value, Value); 3] {
    [
        (CLIENTS, json!({"name": "Acme"}), json!({"name": "Beta"})),
        (
            DOMAINS,
            json!({"customDomain": "portal.acme.com"}),
            json!({"customDomain": "portal.beta.com"}),
        ),
        (
            DOMAINS,
            json!({"subdomain": "acme"}),
            json!({"subdomain": "globex"}),
        ),
    ]
}

async fn post(user: &User<'_>, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", key)];
    user.call(Method::POST, path, &headers, Some(body.clone())).await
}

async fn count(user: &User<'_>, path: &str) -> usize {
    user.get(path).await.expect(200)["items"]
        .as_array()
        .unwrap()
        .len()
}

/// The second answer is the first one once more.
#[track_caller]
fn replayed(first: &Answer, second: &Answer) {
    assert_eq!(second.expect(201), first.expect(201));
    assert_eq!(second.text, first.text);
    assert!(first.header("location").is_some());
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_ne!(second.header("x-request-id"), first.header("x-request-id"));
}

#[tokio::test]
async fn the_same_key_and_body_answer_as_the_first_time() {
    for (path, body, _) in creations() {
        let api = Api::build(System::builder().at(NOW)).await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        api.advance(Duration::from_secs(3600));
        for user in [&owner, &api.user("org_acme", "admin")] {
            let second = post(user, path, "key", &body).await;
            replayed(&first, &second);
        }
        assert_eq!(count(&owner, path).await, 1);
        assert_eq!(owner.audit().await.len(), 2);
        let location = first.header("location").unwrap();
        assert_eq!(owner.get(location).await.expect(200), first.json());
    }
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_mismatch() {
    for (path, body, other) in creations() {
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        let answer = post(&owner, path, "key", &other).await;
        answer.problem(422, "idempotency-mismatch");
        assert_eq!(answer.header("idempotency-replayed"), None);
        assert_eq!(count(&owner, path).await, 1);
        replayed(&first, &post(&owner, path, "key", &body).await);
        // Keys are compared as they stand.
        assert_eq!(post(&owner, path, "Key", &other).await.status, 201);
    }
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    post(&owner, CLIENTS, "key", &json!({"name": "Acme"}))
        .await
        .expect(201);
    for body in [
        json!({"name": "Acme", "slug": null}),
        json!({"name": "Acme", "slug": "acme"}),
        json!({"name": "Acme "}),
        json!({"name": "acme"}),
    ] {
        let answer = post(&owner, CLIENTS, "key", &body).await;
        answer.problem(422, "idempotency-mismatch");
    }
    // What is wrong with the body itself comes first.
    let answer = post(&owner, CLIENTS, "key", &json!({"name": 1})).await;
    assert_eq!(answer.faults().len(), 1);
}

#[tokio::test]
async fn bodies_are_compared_as_json_values() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "key")];
    let first = r#"{"name":"Acme é","slug":"acme"}"#;
    let first = owner.raw(Method::POST, CLIENTS, &headers, first).await;
    for same in [
        r#"{"slug":"acme","name":"Acme é"}"#,
        "\r\n{ \"name\" :\t\"Acme é\",\n \"slug\" : \"acme\" } \n",
        r#"{"\u006eame":"\u0041cme \u00E9","slug":"acme"}"#,
    ] {
        let second = owner.raw(Method::POST, CLIENTS, &headers, same).await;
        replayed(&first, &second);
    }
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("idempotency-key", "key"),
    ];
    let same = r#"{"name":"Acme é","slug":"acme"}"#;
    replayed(&first, &owner.raw(Method::POST, CLIENTS, &headers, same).await);
}

#[tokio::test]
async fn a_key_is_the_tenants_and_the_operations_own() {
    let api = Api::start().await;
    let (one, two) = (api.agency("org_one").await, api.agency("org_two").await);
    let mut ids = BTreeSet::new();
    for (user, path, body) in [
        (&one, CLIENTS, json!({"name": "Acme"})),
        (&one, DOMAINS, json!({"customDomain": "portal.acme.com"})),
        (&two, CLIENTS, json!({"name": "Acme"})),
        (&two, DOMAINS, json!({"customDomain": "portal.acme.com"})),
    ] {
        let answer = post(user, path, "key", &body).await;
        assert_eq!(answer.header("idempotency-replayed"), None);
        ids.insert(answer.expect(201)["id"].to_string());
    }
    assert_eq!(ids.len(), 4);
    // Both operations share no bodies either.
    let answer = post(&two, DOMAINS, "key", &json!({"subdomain": "acme"})).await;
    answer.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn keys_that_differ_make_different_resources() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut slugs = BTreeSet::new();
    for key in ["1", "2", "key#", "key#2", "%31", "\"1\""] {
        let client = post(&owner, CLIENTS, key, &json!({"name": "Acme"}))
            .await
            .expect(201);
        slugs.insert(client["slug"].to_string());
    }
    // Without a key nothing is remembered.
    slugs.insert(owner.client("Acme").await["slug"].to_string());
    slugs.insert(owner.client("Acme").await["slug"].to_string());
    assert_eq!(slugs.len(), 8);
}

#[tokio::test]
async fn refusals_are_not_stored() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let stranger = api.user("org_other", "owner");
    let taken = owner
        .post(CLIENTS, json!({"name": "First", "slug": "acme"}))
        .await;
    let taken = taken.header("location").unwrap().to_owned();
    let body = json!({"name": "Second", "slug": "acme"});
    for _ in 0..2 {
        let answer = post(&owner, CLIENTS, "key", &body).await;
        answer.problem(409, "slug-taken");
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
    post(&owner, CLIENTS, "key", &json!({"name": ""}))
        .await
        .problem(422, "invalid-body");
    let member = api.user("org_acme", "member");
    post(&member, CLIENTS, "key", &body)
        .await
        .problem(403, "role-too-low");
    owner.delete(&taken).await.expect(204);
    let first = post(&owner, CLIENTS, "key", &body).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    replayed(&first, &post(&owner, CLIENTS, "key", &body).await);
    // What was stored is for those alone who may create.
    post(&member, CLIENTS, "key", &body)
        .await
        .problem(403, "role-too-low");

    post(&stranger, CLIENTS, "key", &body)
        .await
        .problem(403, "agency-not-enabled");
    stranger.post("/agency/enable", Value::Null).await.expect(200);
    let answer = post(&stranger, CLIENTS, "key", &json!({"name": "Other"})).await;
    answer.expect(201);
    assert_eq!(answer.header("idempotency-replayed"), None);

    let label = json!({"subdomain": "acme"});
    let held = stranger.subdomain("acme").await;
    post(&owner, DOMAINS, "key", &label)
        .await
        .problem(409, "hostname-taken");
    let answer = post(&owner, DOMAINS, "key", &json!({"subdomain": "globex"})).await;
    assert_eq!(
        answer.expect(201)["hostname"].as_str().unwrap().split('.').next(),
        Some("globex")
    );
    assert_eq!(held["type"], "subdomain");
}

#[tokio::test]
async fn a_limit_that_was_reached_is_not_stored() {
    let api = Api::build(System::builder().set("MAX_DOMAINS", "1")).await;
    let owner = api.agency("org_acme").await;
    let first = json!({"customDomain": "one.acme.com"});
    let second = json!({"customDomain": "two.acme.com"});
    let made = post(&owner, DOMAINS, "1", &first).await;
    post(&owner, DOMAINS, "2", &second)
        .await
        .problem(409, "limit-reached");
    // A replay needs no room.
    replayed(&made, &post(&owner, DOMAINS, "1", &first).await);
    owner.delete(made.header("location").unwrap()).await.expect(204);
    let answer = post(&owner, DOMAINS, "2", &second).await;
    assert_eq!(answer.expect(201)["hostname"], "two.acme.com");
    assert_eq!(answer.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_key_is_remembered_for_24_hours_by_the_clock() {
    let day = Duration::from_secs(24 * 3600);
    let second = Duration::from_secs(1);
    let api = Api::build(System::builder().at(NOW)).await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "Acme"});
    let first = post(&owner, CLIENTS, "key", &body).await;
    api.advance(day - second);
    let owner = api.user("org_acme", "owner");
    replayed(&first, &post(&owner, CLIENTS, "key", &body).await);
    api.advance(second);
    // A replay has not made it longer, and the record, which is there still, does not matter.
    let answer = post(&owner, CLIENTS, "key", &body).await;
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(answer.expect(201)["slug"], "acme-2");
    replayed(&answer, &post(&owner, CLIENTS, "key", &body).await);
    api.advance(day);
    let owner = api.user("org_acme", "owner");
    let other = json!({"name": "Beta"});
    assert_eq!(
        post(&owner, CLIENTS, "key", &other).await.expect(201)["slug"],
        "beta"
    );
    assert_eq!(count(&owner, CLIENTS).await, 3);

    let body = json!({"customDomain": "portal.acme.com"});
    let first = post(&owner, DOMAINS, "key", &body).await;
    api.advance(day);
    let owner = api.user("org_acme", "owner");
    post(&owner, DOMAINS, "key", &body)
        .await
        .problem(409, "hostname-taken");
    owner.delete(first.header("location").unwrap()).await.expect(204);
    let answer = post(&owner, DOMAINS, "key", &body).await;
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_ne!(answer.expect(201)["id"], first.json()["id"]);
}

#[tokio::test]
async fn the_table_forgets_a_key_by_itself() {
    let api = Api::build(System::builder().at(NOW)).await;
    let owner = api.agency("org_acme").await;
    post(&owner, CLIENTS, "secret-key", &json!({"name": "Acme"}))
        .await
        .expect(201);
    let query = api.client.query().table_name(api.table());
    let query = query
        .key_condition_expression("PK = :pk AND begins_with(SK, :sk)")
        .expression_attribute_values(":pk", AttributeValue::S("A#org_acme".into()))
        .expression_attribute_values(":sk", AttributeValue::S("IDEM#".into()));
    let items = query.send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 1);
    let expires = NOW / 1000 + 24 * 3600;
    assert_eq!(items[0]["expiresAt"], AttributeValue::N(expires.to_string()));
    // Keys may be anything, as long as they like: only their hash is stored.
    assert!(!format!("{items:?}").contains("secret-key"));
}

#[tokio::test]
async fn a_replay_answers_as_the_first_time_when_the_resource_has_changed_or_gone() {
    for (path, body, _) in creations() {
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        let location = first.header("location").unwrap();
        if path == CLIENTS {
            owner
                .patch(location, json!({"name": "New", "slug": "new"}))
                .await
                .expect(200);
            replayed(&first, &post(&owner, path, "key", &body).await);
        }
        owner.delete(location).await.expect(204);
        replayed(&first, &post(&owner, path, "key", &body).await);
        owner.get(location).await.problem(404, "not-found");
        assert_eq!(count(&owner, path).await, 0);
    }
}

#[tokio::test]
async fn a_replay_is_the_first_answer_even_where_its_slug_is_another_clients_now() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "Acme"});
    let first = post(&owner, CLIENTS, "key", &body).await;
    owner.delete(first.header("location").unwrap()).await.expect(204);
    let second = owner.client("Acme").await;
    assert_eq!(second["slug"], "acme");
    replayed(&first, &post(&owner, CLIENTS, "key", &body).await);
    assert_eq!(count(&owner, CLIENTS).await, 1);
}

#[tokio::test]
async fn keys_are_1_to_255_visible_ascii_characters() {
    for (path, good, other) in creations() {
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let token = api.token("org_acme", "owner");
        let send = async |keys: &[&[u8]], body: &Value| {
            let mut request = Request::post(path)
                .header("authorization", format!("Bearer {token}"))
                .header("content-type", "application/json");
            for key in keys {
                request = request.header("idempotency-key", HeaderValue::from_bytes(key).unwrap());
            }
            owner
                .send(request.body(Body::from(body.to_string())).unwrap())
                .await
        };
        let before = count(&owner, path).await;
        for keys in [
            &[&b""[..]][..],
            &[&b" "[..]],
            &[&b"a b"[..]],
            &[&b"a\tb"[..]],
            &["é".as_bytes()],
            &[&b"\xFF"[..]],
            &[&[b'k'; 256][..]],
            &[&b"a"[..], &b"a"[..]],
            &[&b"a"[..], &b""[..]],
        ] {
            // The key is looked at before the values of the body.
            for body in [&good, &json!({"unknown": 1})] {
                send(keys, body).await.problem(400, "invalid-parameter");
            }
        }
        assert_eq!(count(&owner, path).await, before);
        assert_eq!(send(&[&[b'k'; 255]], &good).await.status, 201);
        assert_eq!(send(&[b"!~,;\"\\"], &other).await.status, 201);
    }
    // The media type and the JSON come before it.
    let api = Api::start().await;
    let owner = api.user("org_acme", "owner");
    for (kind, body, status, code) in [
        ("text/plain", "{}", 415, "unsupported-media-type"),
        ("application/json", "{", 400, "invalid-json"),
    ] {
        let headers = [("content-type", kind), ("idempotency-key", "")];
        let answer = owner.raw(Method::POST, CLIENTS, &headers, body).await;
        answer.problem(status, code);
    }
}

#[tokio::test]
async fn twenty_equal_requests_at_once_make_one_resource_and_twenty_equal_answers() {
    for (path, body, other) in creations() {
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let requests = (0..20).map(|_| post(&owner, path, "key", &body));
        let answers = join_all(requests).await;
        let fresh = |answer: &&Answer| answer.header("idempotency-replayed").is_none();
        assert_eq!(answers.iter().filter(fresh).count(), 1);
        let first = answers.iter().find(fresh).unwrap();
        for answer in answers.iter().filter(|answer| !fresh(answer)) {
            replayed(first, answer);
        }
        assert_eq!(count(&owner, path).await, 1);
        assert_eq!(owner.audit().await.len(), 2);

        // Of two bodies at once one is first, and the other is not its equal.
        let requests = (0..20).map(|index| post(&owner, path, "both", [&body, &other][index % 2]));
        let answers = join_all(requests).await;
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer.status.as_u16(), 201 | 409 | 422))
        );
        assert!(answers.iter().any(|answer| answer.status == 201));
        assert_eq!(count(&owner, path).await, 2);
    }
}

#[tokio::test]
async fn operations_without_keys_ignore_them() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = format!("{CLIENTS}/{}", client["id"].as_str().unwrap());
    for name in ["One", "Two"] {
        for key in ["key", ""] {
            let headers = [("idempotency-key", key)];
            let body = Some(json!({"name": name}));
            let answer = owner.call(Method::PATCH, &path, &headers, body).await;
            assert_eq!(answer.expect(200)["name"], name);
            assert_eq!(answer.header("idempotency-replayed"), None);
        }
    }
}
