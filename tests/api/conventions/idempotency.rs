//! Creations that are repeated with an `Idempotency-Key`.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use http::Method;
use local::fault::Fault;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, CLIENTS, DAY, DOMAINS, START, User,
    operations::{Names, Operation, SampleTenant, operations_where},
};

fn creations() -> Vec<&'static Operation> {
    operations_where(|operation| operation.takes("header", "idempotency-key"))
}

/// The bodies of a creation: the document's example, and another one.
fn bodies(creation: &Operation) -> (Value, Value) {
    let body = creation.body.clone().unwrap();
    let mut other = body.clone();
    for value in other.as_object_mut().unwrap().values_mut() {
        if let Value::String(text) = value {
            text.insert(0, 'x');
        }
    }
    (body, other)
}

async fn post(user: &User<'_>, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("idempotency-key", key)];
    user.call(Method::POST, path, &headers, Some(body.clone())).await
}

/// The second response is the first one again.
#[track_caller]
fn assert_replay(first: &Answer, second: &Answer) {
    assert_eq!(second.expect(201), first.expect(201));
    assert_eq!(second.text, first.text);
    assert!(first.header("location").is_some());
    assert_eq!(second.header("location"), first.header("location"));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert!(second.is_replay());
    assert_ne!(second.header("x-request-id"), first.header("x-request-id"));
}

#[tokio::test]
async fn the_same_key_and_body_get_the_first_response_again() {
    for creation in creations() {
        let (path, (body, _)) = (&creation.path, bodies(creation));
        let api = Api::stopped().await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        api.advance(Duration::from_secs(3600));
        for user in [&owner, &api.user("org_acme", "admin")] {
            assert_replay(&first, &post(user, path, "key", &body).await);
        }
        assert_eq!(owner.list(path).await.len(), 1);
        assert_eq!(owner.audit().await.len(), 2);
        let location = first.header("location").unwrap();
        assert_eq!(owner.get(location).await.expect(200), first.json());
    }
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_mismatch() {
    for creation in creations() {
        let (path, (body, other)) = (&creation.path, bodies(creation));
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        let mut with_null = body.clone();
        with_null[creation.properties().into_keys().last().unwrap()] = Value::Null;
        for another in [&other, &with_null] {
            let answer = post(&owner, path, "key", another).await;
            answer.problem(422, "idempotency-mismatch");
            assert!(!answer.is_replay());
        }
        assert_eq!(owner.list(path).await.len(), 1);
        assert_replay(&first, &post(&owner, path, "key", &body).await);
        // An invalid body is told first.
        let answer = post(&owner, path, "key", &json!({"nonsense": 1})).await;
        assert!(!answer.faults().is_empty());
        // Keys are case-sensitive.
        assert_eq!(post(&owner, path, "Key", &other).await.status, 201);
    }
}

#[tokio::test]
async fn bodies_are_compared_as_json_values() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let send = async |kind: &str, body: &str| {
        let headers = [("content-type", kind), ("idempotency-key", "key")];
        owner.raw(Method::POST, CLIENTS, &headers, body.to_owned()).await
    };
    let first = send("application/json", r#"{"name":"Acme é","slug":"acme"}"#).await;
    for (kind, same) in [
        ("application/json", r#"{"slug":"acme","name":"Acme é"}"#),
        (
            "application/json",
            "\r\n{ \"name\" :\t\"Acme é\",\n \"slug\" : \"acme\" } \n",
        ),
        (
            "application/json",
            r#"{"\u006eame":"\u0041cme \u00E9","slug":"acme"}"#,
        ),
        (
            "application/json; charset=utf-8",
            r#"{"name":"Acme é","slug":"acme"}"#,
        ),
    ] {
        assert_replay(&first, &send(kind, same).await);
    }
    for other in [
        r#"{"name":"Acme é ","slug":"acme"}"#,
        r#"{"name":"acme é","slug":"acme"}"#,
        r#"{"name":"Acme é","slug":null}"#,
        r#"{"name":"Acme é"}"#,
    ] {
        let answer = send("application/json", other).await;
        answer.problem(422, "idempotency-mismatch");
    }
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant_and_its_operation() {
    let api = Api::start().await;
    let (one, two) = (api.agency("org_one").await, api.agency("org_two").await);
    let mut ids = BTreeSet::new();
    for creation in creations() {
        for user in [&one, &two] {
            let answer = post(user, &creation.path, "key", &bodies(creation).0).await;
            assert!(!answer.is_replay());
            ids.insert(answer.expect(201)["id"].to_string());
        }
    }
    assert_eq!(ids.len(), 2 * creations().len());
    let third = api.agency("org_third").await;
    for creation in creations() {
        let (_, other) = bodies(creation);
        post(&third, &creation.path, "key", &other).await.expect(201);
        post(&one, &creation.path, "key", &other)
            .await
            .problem(422, "idempotency-mismatch");
    }
    // Both forms of a domain are one operation.
    let answer = post(&two, DOMAINS, "key", &json!({"subdomain": "acme"})).await;
    answer.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn different_keys_create_different_resources() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let mut slugs = BTreeSet::new();
    for key in ["1", "2", "key#", "key#2", "%31", "\"1\""] {
        let client = post(&owner, CLIENTS, key, &json!({"name": "Acme"})).await;
        slugs.insert(client.expect(201)["slug"].to_string());
    }
    // Without a key nothing is stored.
    for _ in 0..2 {
        slugs.insert(owner.client("Acme").await["slug"].to_string());
    }
    assert_eq!(slugs.len(), 8);
}

#[tokio::test]
async fn rejections_are_not_stored() {
    let api = Api::with(&[("MAX_DOMAINS", "1")]).await;
    let owner = api.agency("org_acme").await;
    let stranger = api.user("org_other", "owner");
    let taken = owner.client_with_slug("First", "acme").await;
    let body = json!({"name": "Second", "slug": "acme"});
    for _ in 0..2 {
        let answer = post(&owner, CLIENTS, "key", &body).await;
        answer.problem(409, "slug-taken");
        assert!(!answer.is_replay());
    }
    let invalid = post(&owner, CLIENTS, "key", &json!({"name": ""})).await;
    invalid.problem(422, "invalid-body");
    let member = api.user("org_acme", "member");
    let forbidden = post(&member, CLIENTS, "key", &body).await;
    forbidden.problem(403, "role-too-low");
    owner.remove(&taken).await;
    let first = post(&owner, CLIENTS, "key", &body).await;
    assert_replay(&first, &post(&owner, CLIENTS, "key", &body).await);
    // A replay needs the role of a creation.
    let forbidden = post(&member, CLIENTS, "key", &body).await;
    forbidden.problem(403, "role-too-low");

    let disabled = post(&stranger, CLIENTS, "key", &body).await;
    disabled.problem(403, "agency-not-enabled");
    stranger.post("/agency/enable", Value::Null).await.expect(200);
    let answer = post(&stranger, CLIENTS, "key", &json!({"name": "Other"})).await;
    answer.expect(201);
    assert!(!answer.is_replay());

    stranger.subdomain("acme").await;
    let label = json!({"subdomain": "acme"});
    let answer = post(&owner, DOMAINS, "1", &label).await;
    answer.problem(409, "hostname-taken");
    let one = json!({"customDomain": "one.acme.com"});
    let made = post(&owner, DOMAINS, "1", &one).await;
    let two = json!({"customDomain": "two.acme.com"});
    let full = post(&owner, DOMAINS, "2", &two).await;
    full.problem(409, "limit-reached");
    // A replay needs no room.
    assert_replay(&made, &post(&owner, DOMAINS, "1", &one).await);
    owner.remove(&made.json()).await;
    let answer = post(&owner, DOMAINS, "2", &two).await;
    assert_eq!(answer.expect(201)["hostname"], "two.acme.com");
    assert!(!answer.is_replay());
}

#[tokio::test]
async fn a_key_is_valid_for_24_hours_by_the_clock() {
    for creation in creations() {
        let (path, (body, other)) = (&creation.path, bodies(creation));
        let api = Api::stopped().await;
        let second = Duration::from_secs(1);
        let first = post(&api.agency("org_acme").await, path, "key", &body).await;
        api.advance(DAY - second);
        let owner = api.user("org_acme", "owner");
        assert_replay(&first, &post(&owner, path, "key", &body).await);
        owner.remove(&first.json()).await;
        api.advance(second);
        // The replay has not prolonged it, and its item, which is still there, does not matter.
        let fresh = post(&owner, path, "key", &body).await;
        assert_ne!(fresh.expect(201)["id"], first.json()["id"]);
        assert_replay(&fresh, &post(&owner, path, "key", &body).await);
        api.advance(DAY);
        let owner = api.user("org_acme", "owner");
        let answer = post(&owner, path, "key", &other).await;
        answer.expect(201);
        assert!(!answer.is_replay());
        assert_eq!(owner.list(path).await.len(), 2);
    }
}

#[tokio::test]
async fn the_item_of_a_key_expires_and_does_not_have_the_key() {
    let api = Api::stopped().await;
    let owner = api.agency("org_acme").await;
    let body = json!({"name": "Acme"});
    post(&owner, CLIENTS, "secret-key", &body).await.expect(201);
    let items = api.items("org_acme", "IDEM#").await;
    assert_eq!(items.len(), 1);
    let expires = START / 1000 + 24 * 3600;
    assert_eq!(items[0]["expiresAt"], AttributeValue::N(expires.to_string()));
    assert!(!format!("{items:?}").contains("secret-key"));
}

#[tokio::test]
async fn a_replay_is_the_first_response_when_the_resource_has_changed_or_is_deleted() {
    for creation in creations() {
        let (path, (body, _)) = (&creation.path, bodies(creation));
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let first = post(&owner, path, "key", &body).await;
        let location = first.header("location").unwrap();
        if path == CLIENTS {
            let changed = json!({"name": "New", "slug": "new"});
            owner.patch(location, changed).await.expect(200);
            assert_replay(&first, &post(&owner, path, "key", &body).await);
        }
        owner.delete(location).await.expect(204);
        assert_replay(&first, &post(&owner, path, "key", &body).await);
        owner.get(location).await.problem(404, "not-found");
        assert_eq!(owner.list(path).await.len(), 0);
        // Its name may be that of another resource now.
        let second = creation.send(&owner, &Names::absent()).await.expect(201);
        assert_ne!(second["id"], first.json()["id"]);
        assert_replay(&first, &post(&owner, path, "key", &body).await);
        assert_eq!(owner.list(path).await.len(), 1);
    }
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_ascii_characters() {
    for creation in creations() {
        let (path, (body, other)) = (&creation.path, bodies(creation));
        let api = Api::start().await;
        let owner = api.agency("org_acme").await;
        let send = async |keys: &[&[u8]], body: &Value| {
            let mut headers = vec![("content-type", &b"application/json"[..])];
            headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
            owner
                .raw_bytes(Method::POST, path, &headers, body.to_string())
                .await
        };
        for keys in [
            &[&b""[..]][..],
            &[b" "],
            &[b"a b"],
            &[b"a\tb"],
            &["é".as_bytes()],
            &[b"\xFF"],
            &[&[b'k'; 256]],
            &[b"a", b"a"],
            &[b"a", b""],
        ] {
            // The key is checked before the values of the body.
            for body in [&body, &json!({"unknown": 1})] {
                send(keys, body).await.problem(400, "invalid-parameter");
            }
        }
        assert_eq!(owner.list(path).await.len(), 0);
        assert_eq!(send(&[&[b'k'; 255]], &body).await.status, 201);
        assert_eq!(send(&[b"!~,;\"\\"], &other).await.status, 201);
    }
}

#[tokio::test]
async fn twenty_equal_requests_at_once_create_one_resource_and_get_equal_responses() {
    for creation in creations() {
        let (path, (body, other)) = (&creation.path, bodies(creation));
        for faults in [
            vec![],
            vec![
                Fault::lose_answer().on("TransactWriteItems").times(4),
                Fault::conflict().on("TransactWriteItems").times(12),
            ],
        ] {
            let api = Api::counted().await;
            let owner = api.agency("org_acme").await;
            faults.into_iter().for_each(|fault| api.inject(fault));
            let answers = join_all((0..20).map(|_| post(&owner, path, "key", &body))).await;
            let (replays, fresh): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.is_replay());
            assert_eq!(fresh.len(), 1);
            for replay in replays {
                assert_replay(fresh[0], replay);
            }
            assert_eq!(owner.list(path).await.len(), 1);
            assert_eq!(owner.audit().await.len(), 2);
            if path == CLIENTS {
                api.assert_copies(&fresh[0].json()).await;
            }

            // Of two bodies at once one is the first, and the other is a mismatch.
            owner.remove(&fresh[0].json()).await;
            let requests = (0..20).map(|index| post(&owner, path, "both", [&body, &other][index % 2]));
            let answers = join_all(requests).await;
            let (created, refused): (Vec<_>, Vec<_>) =
                answers.iter().partition(|answer| answer.status == 201);
            assert_eq!((created.len(), refused.len()), (10, 10));
            for answer in refused {
                answer.problem(422, "idempotency-mismatch");
            }
            assert_eq!(owner.list(path).await.len(), 1);
        }
    }
}

#[tokio::test]
async fn an_operation_that_takes_no_key_ignores_it() {
    for operation in operations_where(|operation| !operation.takes("header", "idempotency-key")) {
        for key in ["key", ""] {
            let api = Api::start().await;
            let tenant = SampleTenant::new(&api, "org_acme", "acmeword").await;
            let headers = [("idempotency-key", key)];
            let answer = operation.send_with(&tenant.owner, &tenant.names, &headers).await;
            assert_eq!(answer.status.as_u16(), operation.success, "{answer:?}");
            assert!(!answer.is_replay());
        }
    }
}
