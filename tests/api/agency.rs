//! `enable`, the overview and the audit log.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use http::Method;
use local::system::System;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{harness::Api, portal::verified_domain};

#[tokio::test]
async fn enabling_makes_an_agency_and_repeating_it_changes_nothing() {
    let api = Api::build(System::builder().at(1_795_453_200_789)).await;
    let owner = api.user("org_acme", "owner");
    owner
        .get("/agency/overview")
        .await
        .problem(403, "agency-not-enabled");
    let answer = owner.post("/agency/enable", Value::Null).await;
    let first = answer.expect(200);
    let expected =
        json!({"organizationId": "org_acme", "enabled": true, "enabledAt": "2026-11-23T17:00:00Z"});
    assert_eq!(first, expected);
    api.advance(Duration::from_secs(3600));
    let again = api
        .user("org_acme", "admin")
        .post("/agency/enable", Value::Null)
        .await
        .expect(200);
    assert_eq!(again, first);
    let audit = api.user("org_acme", "owner").audit().await;
    let entry = json!({
        "id": audit[0]["id"],
        "at": "2026-11-23T17:00:00Z",
        "actor": {"type": "user", "id": "user_1"},
        "action": "agency.enabled",
        "target": {"type": "agency", "id": "org_acme"},
        "requestId": answer.header("x-request-id"),
        "before": null,
        "after": expected,
    });
    assert_eq!(audit, [entry]);
    assert!(audit[0]["id"].as_str().unwrap().starts_with("log_"));
    let overview = api
        .user("org_acme", "owner")
        .get("/agency/overview")
        .await
        .expect(200);
    assert_eq!(
        overview,
        json!({
            "organizationId": "org_acme",
            "enabledAt": "2026-11-23T17:00:00Z",
            "clientCount": 0,
            "portalDomains": {"total": 0, "verified": 0, "pending": 0, "failing": 0, "failed": 0},
            "primaryDomain": null,
        })
    );
}

#[tokio::test]
async fn repeating_enable_does_not_undo_what_was_done_since() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    owner
        .put("/agency/branding", json!({"footerText": "x"}))
        .await
        .expect(200);
    owner
        .put("/agency/portal-config", json!({"featureLogs": false}))
        .await
        .expect(200);
    owner.client("Client").await;
    owner.subdomain("acme").await;
    let state = async || {
        let mut state = Vec::new();
        for path in [
            "/agency/overview",
            "/agency/branding",
            "/agency/portal-config",
            "/agency/clients",
            "/agency/portal-domains",
            "/agency/audit",
            "/portal/context",
        ] {
            let answer = owner.get(path).await;
            state.push((answer.expect(200), answer.header("etag").map(str::to_owned)));
        }
        state
    };
    let before = state().await;
    owner.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn only_those_who_may_write_enable_and_never_for_a_client() {
    let api = Api::start().await;
    for role in ["member", "nonsense", ""] {
        api.user("org_acme", role)
            .post("/agency/enable", Value::Null)
            .await
            .problem(403, "role-too-low");
    }
    api.visitor()
        .post("/agency/enable", Value::Null)
        .await
        .problem(401, "missing-token");
    let owner = api.agency("org_other").await;
    let client = owner.client("Client").await;
    for id in [
        client["id"].as_str().unwrap(),
        "cli_01890a5d-ac96-774b-bcce-b302099a8057",
    ] {
        api.user(id, "owner")
            .post("/agency/enable", Value::Null)
            .await
            .problem(403, "client-organization");
        api.user(id, "member")
            .post("/agency/enable", Value::Null)
            .await
            .problem(403, "role-too-low");
        for (method, path, body) in [
            (Method::GET, "/agency/overview", None),
            (Method::GET, "/agency/branding", None),
            (Method::GET, "/agency/clients", None),
            (Method::POST, "/agency/clients", Some(json!({"name": "x"}))),
            (Method::GET, "/agency/portal-domains", None),
            (
                Method::POST,
                "/agency/portal-domains",
                Some(json!({"subdomain": "acme"})),
            ),
            (Method::GET, "/agency/audit", None),
        ] {
            api.user(id, "owner")
                .call(method, path, &[], body)
                .await
                .problem(403, "agency-not-enabled");
        }
    }
    assert_eq!(owner.audit().await.len(), 2);
}

#[tokio::test]
async fn enabling_at_once_makes_one_agency_and_equal_answers() {
    let api = Api::start().await;
    let owner = api.user("org_acme", "owner");
    let answers = join_all((0..20).map(|_| owner.post("/agency/enable", Value::Null))).await;
    let bodies: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.expect(200).to_string())
        .collect();
    assert_eq!(bodies.len(), 1);
    assert_eq!(owner.audit().await.len(), 1);
    owner.put("/agency/branding", json!({})).await.expect(200);
}

#[tokio::test]
async fn the_overview_counts_exactly() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = api.agency("org_other").await;
    let overview = async || {
        let overview = owner.get("/agency/overview").await.expect(200);
        let counts = &overview["portalDomains"];
        let names = ["total", "verified", "pending", "failing", "failed"];
        let counts = names.map(|name| counts[name].as_u64().unwrap());
        (
            overview["clientCount"].as_u64().unwrap(),
            counts,
            overview["primaryDomain"].clone(),
        )
    };
    let path = |list: &str, resource: &Value| format!("/agency/{list}/{}", resource["id"].as_str().unwrap());
    let clients = [
        owner.client("A").await,
        owner.client("B").await,
        owner.client("C").await,
    ];
    assert_eq!(overview().await, (3, [0; 5], Value::Null));
    owner.delete(&path("clients", &clients[1])).await.expect(204);
    owner
        .delete(&path("clients", &clients[1]))
        .await
        .problem(404, "not-found");
    assert_eq!(overview().await, (2, [0; 5], Value::Null));
    // A refused or replayed creation counts nothing.
    owner
        .post(
            "/agency/clients",
            json!({"name": "x", "slug": clients[0]["slug"]}),
        )
        .await
        .problem(409, "slug-taken");
    let key = [("idempotency-key", "k")];
    for _ in 0..3 {
        let body = Some(json!({"name": "D"}));
        owner
            .call(Method::POST, "/agency/clients", &key, body)
            .await
            .expect(201);
    }
    assert_eq!(overview().await.0, 3);
    let renamed = json!({"name": "E", "slug": "e-e"});
    owner
        .patch(&path("clients", &clients[0]), renamed)
        .await
        .expect(200);
    assert_eq!(overview().await.0, 3);

    let pending = owner.custom_domain("pending.acme.com").await;
    assert_eq!(overview().await, (3, [1, 0, 1, 0, 0], Value::Null));
    let (first, second) = (owner.subdomain("first").await, owner.subdomain("second").await);
    assert_eq!(
        overview().await,
        (3, [3, 2, 1, 0, 0], json!("first.portal.localhost"))
    );
    owner.delete(&path("portal-domains", &first)).await.expect(204);
    assert_eq!(
        overview().await,
        (3, [2, 1, 1, 0, 0], json!("second.portal.localhost"))
    );
    let custom = verified_domain(&owner, "portal.acme.com").await;
    assert_eq!(overview().await, (3, [3, 2, 1, 0, 0], json!("portal.acme.com")));
    owner.subdomain("third").await;
    assert_eq!(overview().await.2, "portal.acme.com");
    owner.delete(&path("portal-domains", &custom)).await.expect(204);
    assert_eq!(
        overview().await,
        (3, [3, 2, 1, 0, 0], json!("second.portal.localhost"))
    );
    owner.delete(&path("portal-domains", &second)).await.expect(204);
    owner.delete(&path("portal-domains", &pending)).await.expect(204);
    assert_eq!(
        overview().await,
        (3, [1, 1, 0, 0, 0], json!("third.portal.localhost"))
    );

    let theirs = other.get("/agency/overview").await.expect(200);
    assert_eq!(
        (&theirs["clientCount"], &theirs["primaryDomain"]),
        (&json!(0), &Value::Null)
    );
    let member = api
        .user("org_acme", "member")
        .get("/agency/overview")
        .await
        .expect(200);
    assert_eq!(member["clientCount"], 3);
}

#[tokio::test]
async fn counts_are_exact_after_many_writes_at_once() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let made = join_all((0..10).map(|i| owner.client(["A", "B"][i % 2]))).await;
    let deletes = made.iter().take(5).flat_map(|client| {
        let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
        [path.clone(), path]
    });
    let deletes: Vec<_> = deletes.collect();
    let gone = join_all(deletes.iter().map(|path| owner.delete(path))).await;
    assert_eq!(gone.iter().filter(|answer| answer.status == 204).count(), 5);
    assert_eq!(gone.iter().filter(|answer| answer.status == 404).count(), 5);
    assert_eq!(owner.get("/agency/overview").await.expect(200)["clientCount"], 5);
    assert_eq!(
        owner.get("/agency/clients").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(owner.audit().await.len(), 1 + 10 + 5);
}

#[tokio::test]
async fn the_audit_log_is_read_from_its_end_by_those_who_may() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let other = api.agency("org_other").await;
    other.client("Elsewhere").await;
    let client = owner.client("Acme").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    owner.patch(&path, json!({"name": "Acme 2"})).await.expect(200);
    owner
        .put("/agency/branding", json!({"footerText": "x"}))
        .await
        .expect(200);
    owner
        .put("/agency/portal-config", json!({"featureLogs": false}))
        .await
        .expect(200);
    let domain = owner.subdomain("acme").await;
    owner
        .delete(&format!(
            "/agency/portal-domains/{}",
            domain["id"].as_str().unwrap()
        ))
        .await
        .expect(204);
    owner.delete(&path).await.expect(204);
    // None of these is a write that took effect.
    owner.post("/agency/enable", Value::Null).await.expect(200);
    owner.delete(&path).await.problem(404, "not-found");
    owner
        .put("/agency/branding", json!({"x": 1}))
        .await
        .problem(422, "invalid-body");
    api.user("org_acme", "member")
        .put("/agency/branding", json!({}))
        .await
        .problem(403, "role-too-low");
    let audit = owner.audit().await;
    let actions: Vec<_> = audit
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    let expected = [
        "client.deleted",
        "domain.deleted",
        "domain.created",
        "portal-config.updated",
        "branding.updated",
        "client.updated",
        "client.created",
        "agency.enabled",
    ];
    assert_eq!(actions, expected);
    let ids: Vec<_> = audit.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    for entry in &audit {
        assert_eq!(entry.as_object().unwrap().len(), 8);
        assert_eq!(entry["actor"], json!({"type": "user", "id": "user_1"}));
        for side in ["before", "after"] {
            assert!(
                entry[side].get("records").is_none() && entry[side].get("check").is_none(),
                "{entry}"
            );
        }
    }
    assert_eq!(audit[7]["before"], Value::Null);
    assert_eq!(
        (&audit[0]["before"]["name"], &audit[0]["after"]),
        (&json!("Acme 2"), &Value::Null)
    );

    assert_eq!(api.user("org_acme", "admin").audit().await, audit);
    for role in ["member", "nonsense"] {
        api.user("org_acme", role)
            .get("/agency/audit")
            .await
            .problem(403, "role-too-low");
    }
    api.user("org_none", "owner")
        .get("/agency/audit")
        .await
        .problem(403, "agency-not-enabled");
    api.user("org_none", "member")
        .get("/agency/audit")
        .await
        .problem(403, "role-too-low");
}

#[tokio::test]
async fn pages_of_the_audit_log_go_back_in_time_while_it_grows() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    for text in ["1", "2", "3", "4"] {
        owner
            .put("/agency/branding", json!({"footerText": text}))
            .await
            .expect(200);
    }
    let all = owner.audit().await;
    let first = owner.get("/agency/audit?limit=2").await.expect(200);
    assert_eq!(first["items"], json!(all[..2]));
    owner
        .put("/agency/branding", json!({"footerText": "5"}))
        .await
        .expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = owner
        .get(&format!("/agency/audit?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(second["items"], json!(all[2..4]));
    let cursor = second["nextCursor"].as_str().unwrap();
    let third = owner
        .get(&format!("/agency/audit?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(third, json!({"items": all[4..], "nextCursor": null}));
    api.user("org_acme", "member")
        .get(&format!("/agency/audit?cursor={cursor}"))
        .await
        .problem(403, "role-too-low");
}

#[tokio::test]
async fn a_page_may_be_shorter_than_its_limit_and_only_null_is_the_end() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let items = api.client.scan().table_name(api.table()).send().await.unwrap();
    let entry = items
        .items()
        .iter()
        .find(|item| item["SK"].as_s().unwrap().starts_with("LOG#"))
        .unwrap();
    // DynamoDB ends a page at 1 MB.
    let padding = AttributeValue::M([("x".to_owned(), AttributeValue::S("x".repeat(300_000)))].into());
    for _ in 0..9 {
        let id = format!("log_{}", Uuid::now_v7());
        let mut item = entry.clone();
        item.insert("SK".to_owned(), AttributeValue::S(format!("LOG#{id}")));
        item.insert("id".to_owned(), AttributeValue::S(id));
        item.insert("after".to_owned(), padding.clone());
        api.client
            .put_item()
            .table_name(api.table())
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }
    let mut pages = vec![owner.get("/agency/audit").await.expect(200)];
    while let Some(cursor) = pages.last().unwrap()["nextCursor"].as_str() {
        let page = owner
            .get(&format!("/agency/audit?cursor={cursor}"))
            .await
            .expect(200);
        pages.push(page);
    }
    assert!(pages.len() > 2, "{}", pages.len());
    let items: Vec<_> = pages
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .collect();
    assert_eq!(items.len(), 10);
    assert!(items.is_sorted_by(|newer, older| newer["id"].as_str() > older["id"].as_str()));
    assert_eq!(items[9]["action"], "agency.enabled");
}

#[tokio::test]
async fn an_entry_is_kept_400_days() {
    let api = Api::build(System::builder().at(1_795_453_200_789)).await;
    api.agency("org_acme").await;
    let items = api.client.scan().table_name(api.table()).send().await.unwrap();
    let expiries: Vec<_> = items
        .items()
        .iter()
        .filter_map(|item| item.get("expiresAt")?.as_n().ok())
        .collect();
    assert_eq!(expiries, [&(1_795_453_200 + 400 * 24 * 3600).to_string()]);
}
