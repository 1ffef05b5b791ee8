//! The audit log: one entry for every write, in the write's own transaction, and none for anything else.

use aws_lc_rs::digest;
use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, User};

/// 2027-01-15T08:00:00Z
const START: i64 = 1_800_000_000_000;
const NOW: &str = "2027-01-15T08:00:00Z";

/// The newest entry must be this one, of the request that was answered so.
async fn assert_newest(user: &User<'_>, answer: &Answer, expected: Value) {
    let newest = user.audit().await.swap_remove(0);
    let id = newest["id"].as_str().unwrap();
    assert!(id.starts_with("log_") && id.len() == 40, "{id}");
    let mut whole = json!({
        "id": id,
        "at": NOW,
        "actor": {"type": "user", "id": "user_1"},
        "requestId": answer.header("x-request-id").unwrap(),
    });
    whole
        .as_object_mut()
        .unwrap()
        .extend(expected.as_object().unwrap().clone());
    assert_eq!(newest, whole);
}

async fn count(user: &User<'_>) -> usize {
    user.audit().await.len()
}

/// A resource without what entries leave out.
fn kept(resource: &Value) -> Value {
    let mut kept = resource.clone();
    for derived in ["records", "check"] {
        kept.as_object_mut().unwrap().remove(derived);
    }
    kept
}

/// The log as the table keeps it, oldest first.
async fn items(api: &Api, org: &str) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let query = api
        .client
        .query()
        .table_name(api.table())
        .key_condition_expression("PK = :pk AND begins_with(SK, :log)")
        .expression_attribute_values(":pk", AttributeValue::S(format!("A#{org}")))
        .expression_attribute_values(":log", AttributeValue::S("LOG#".to_owned()));
    query.send().await.unwrap().items.unwrap()
}

#[tokio::test]
async fn enable_and_settings_leave_what_changed() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.user("org_acme", "owner");
    let answer = acme.post("/agency/enable", Value::Null).await;
    let agency = json!({"organizationId": "org_acme", "enabled": true, "enabledAt": NOW});
    let target = json!({"type": "agency", "id": "org_acme"});
    let entry = json!({"action": "agency.enabled", "target": target, "before": null, "after": agency});
    assert_newest(&acme, &answer, entry).await;

    let css = "/* für */ .login { color: #fff }";
    let body = json!({"primaryColor": "#ABC", "customCss": css, "footerText": "Hi"});
    let answer = acme.put("/agency/branding", body).await;
    let branding = answer.expect(200);
    let stored = branding["customCss"].as_str().unwrap();
    let sha256 = digest::digest(&digest::SHA256, stored.as_bytes());
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let css = json!({"length": stored.len(), "sha256": sha256});
    let target = json!({"type": "branding", "id": branding["id"]});
    let entry = json!({
        "action": "branding.updated",
        "target": target,
        "before": {"primaryColor": null, "customCss": null, "footerText": null},
        "after": {"primaryColor": "#aabbcc", "customCss": css, "footerText": "Hi"},
    });
    assert_newest(&acme, &answer, entry).await;

    let answer = acme
        .put("/agency/branding", json!({"customCss": null, "footerText": "Hi"}))
        .await;
    let entry = json!({
        "action": "branding.updated", "target": target, "before": {"customCss": css}, "after": {"customCss": null},
    });
    assert_newest(&acme, &answer, entry).await;

    // An accepted write always leaves one, even if it changes nothing.
    let answer = acme.put("/agency/branding", branding.clone()).await;
    answer.expect(200);
    let answer = acme.put("/agency/branding", branding).await;
    let entry = json!({"action": "branding.updated", "target": target, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;

    let body = json!({"featureLogs": false, "featureBackups": true, "infrastructureVisibility": "full"});
    let answer = acme.put("/agency/portal-config", body).await;
    let target = json!({"type": "portal-config", "id": "org_acme"});
    let entry = json!({
        "action": "portal-config.updated",
        "target": target,
        "before": {"featureLogs": true, "infrastructureVisibility": "hidden"},
        "after": {"featureLogs": false, "infrastructureVisibility": "full"},
    });
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.put("/agency/portal-config", json!({})).await;
    let entry = json!({"action": "portal-config.updated", "target": target, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;
    assert_eq!(count(&acme).await, 7);
}

#[tokio::test]
async fn clients_and_domains_are_kept_whole_at_their_beginning_and_end() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let target = |kind: &str, resource: &Value| json!({"type": kind, "id": resource["id"]});

    let answer = acme.post("/agency/clients", json!({"name": "Globex"})).await;
    let client = answer.expect(201);
    let of_client = target("client", &client);
    let entry = json!({"action": "client.created", "target": of_client, "before": null, "after": client});
    assert_newest(&acme, &answer, entry).await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    let answer = acme
        .patch(&path, json!({"name": "Globex Ltd", "slug": "globex"}))
        .await;
    let client = answer.expect(200);
    let entry = json!({
        "action": "client.updated", "target": of_client, "before": {"name": "Globex"}, "after": {"name": "Globex Ltd"},
    });
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.patch(&path, json!({})).await;
    answer.expect(200);
    let entry = json!({"action": "client.updated", "target": of_client, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.delete(&path).await;
    answer.expect(204);
    let entry = json!({"action": "client.deleted", "target": of_client, "before": client, "after": null});
    assert_newest(&acme, &answer, entry).await;

    for body in [
        json!({"subdomain": "acme"}),
        json!({"customDomain": "portal.acme.test"}),
    ] {
        let answer = acme.post("/agency/portal-domains", body).await;
        let domain = answer.expect(201);
        let of_domain = target("domain", &domain);
        let entry =
            json!({"action": "domain.created", "target": of_domain, "before": null, "after": kept(&domain)});
        assert_newest(&acme, &answer, entry).await;
        let answer = acme
            .delete(&format!(
                "/agency/portal-domains/{}",
                domain["id"].as_str().unwrap()
            ))
            .await;
        answer.expect(204);
        let entry =
            json!({"action": "domain.deleted", "target": of_domain, "before": kept(&domain), "after": null});
        assert_newest(&acme, &answer, entry).await;
        if let Some(record) = domain["records"].get(0) {
            // Who reads the log does not learn what proves a name.
            let token = record["value"]
                .as_str()
                .unwrap()
                .trim_start_matches("agency-verification=");
            assert!(!acme.get("/agency/audit").await.text.contains(token));
        }
    }
    assert_eq!(count(&acme).await, 1 + 4 + 4);
}

#[tokio::test]
async fn what_changed_nothing_left_nothing() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    globex.subdomain("globex").await;
    let client = acme.client("Globex").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    let custom = acme.custom_domain("portal.acme.test").await;
    let subdomain = acme.subdomain("acme").await;
    let verify = |domain: &Value| format!("/agency/portal-domains/{}/verify", domain["id"].as_str().unwrap());
    let key = [("idempotency-key", "k")];
    let body = json!({"name": "Keyed"});
    acme.call(Method::POST, "/agency/clients", &key, Some(body.clone()))
        .await
        .expect(201);
    let before = acme.audit().await;

    acme.post("/agency/enable", Value::Null).await.expect(200);
    acme.call(Method::POST, "/agency/clients", &key, Some(body))
        .await
        .expect(201);
    let other = Some(json!({"name": "Other"}));
    acme.call(Method::POST, "/agency/clients", &key, other)
        .await
        .problem(422, "idempotency-mismatch");
    acme.post(&verify(&custom), Value::Null).await.expect(200);
    acme.post(&verify(&custom), Value::Null)
        .await
        .problem(429, "too-many-requests");
    acme.post(&verify(&subdomain), Value::Null).await.expect(200);
    acme.put("/agency/branding", json!({"primaryColor": "red"}))
        .await
        .problem(422, "invalid-body");
    let stale = [("if-match", "\"stale\"")];
    acme.call(Method::PUT, "/agency/branding", &stale, Some(json!({})))
        .await
        .problem(412, "stale");
    acme.call(Method::PUT, "/agency/portal-config", &stale, Some(json!({})))
        .await
        .problem(412, "stale");
    acme.post("/agency/clients", json!({"name": "A", "slug": "globex"}))
        .await
        .problem(409, "slug-taken");
    acme.patch(&path, json!({"slug": "keyed"}))
        .await
        .problem(409, "slug-taken");
    acme.patch(&path, json!({"slug": null}))
        .await
        .problem(422, "invalid-body");
    acme.post("/agency/portal-domains", json!({"subdomain": "globex"}))
        .await
        .problem(409, "hostname-taken");
    acme.post(
        "/agency/portal-domains",
        json!({"customDomain": "portal.acme.test"}),
    )
    .await
    .problem(409, "hostname-taken");
    acme.raw(
        Method::PUT,
        "/agency/branding",
        &[("content-type", "application/json")],
        "{",
    )
    .await
    .problem(400, "invalid-json");
    acme.raw(Method::PUT, "/agency/branding", &[], "{}")
        .await
        .problem(415, "unsupported-media-type");
    acme.delete("/agency/clients/cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")
        .await
        .problem(404, "not-found");
    api.user("org_acme", "member")
        .delete(&path)
        .await
        .problem(403, "role-too-low");
    globex.delete(&path).await.problem(404, "not-found");
    for path in [
        "/agency/overview",
        "/agency/branding",
        "/agency/clients",
        "/agency/audit",
        "/portal/context",
    ] {
        acme.get(path).await.expect(200);
    }
    assert_eq!(acme.audit().await, before);
    assert_eq!(count(&globex).await, 2);
}

#[tokio::test]
async fn a_change_of_status_has_flat_strings_and_every_entry_goes_after_400_days() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    acme.put("/agency/branding", json!({})).await.expect(200);
    acme.client("Globex").await;
    let domain = acme.custom_domain("portal.acme.test").await;
    let path = format!("/agency/portal-domains/{}", domain["id"].as_str().unwrap());
    let value = domain["records"][1]["value"].as_str().unwrap();
    for zone in [
        format!("portal.acme.test. CNAME {value}."),
        String::new(),
        format!("portal.acme.test. CNAME {value}."),
    ] {
        api.dns.set_zone(&zone).unwrap();
        acme.post(&format!("{path}/verify"), Value::Null)
            .await
            .expect(200);
        api.advance(std::time::Duration::from_secs(5));
    }
    acme.delete(&path).await.expect(204);

    let items = items(&api, "org_acme").await;
    let text = |item: &std::collections::HashMap<String, AttributeValue>, name: &str| {
        item.get(name).map(|value| value.as_s().unwrap().clone())
    };
    let expected = [
        ("agency.enabled", None, 0),
        ("branding.updated", None, 0),
        ("client.created", None, 0),
        ("domain.created", None, 0),
        ("domain.verified", Some(("pending", "verified")), 0),
        ("domain.failing", Some(("verified", "failing")), 5),
        ("domain.verified", Some(("failing", "verified")), 10),
        ("domain.deleted", None, 15),
    ];
    assert_eq!(items.len(), expected.len());
    for (item, (action, change, seconds)) in items.iter().zip(expected) {
        assert_eq!(text(item, "entity").as_deref(), Some("audit"));
        assert_eq!(text(item, "action").as_deref(), Some(action));
        let hostname = text(item, "hostname");
        let (from, to) = (text(item, "from"), text(item, "to"));
        match change {
            Some((old, new)) => {
                assert_eq!(hostname.as_deref(), Some("portal.acme.test"), "{action}");
                assert_eq!(
                    (from.as_deref(), to.as_deref()),
                    (Some(old), Some(new)),
                    "{action}"
                );
            }
            None => assert_eq!((from, to), (None, None), "{action}"),
        }
        let expires: i64 = item["expiresAt"].as_n().unwrap().parse().unwrap();
        assert_eq!(expires, START / 1000 + seconds + 400 * 24 * 3600, "{action}");
        assert_eq!(item["schema"], AttributeValue::N("1".to_owned()));
    }
    // They are the table's own, not the entry's.
    let newest = &acme.audit().await[1];
    let names: Vec<_> = newest.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "action",
            "actor",
            "after",
            "at",
            "before",
            "id",
            "requestId",
            "target"
        ]
    );
}

#[tokio::test]
async fn the_log_is_newest_first_page_by_page_for_owners_and_admins() {
    let api = Api::build(System::builder().at(START)).await;
    let acme = api.agency("org_acme").await;
    // All in one millisecond: the order is the order of the writes nevertheless.
    for n in 0..6 {
        acme.client(&format!("Client {n}")).await;
    }
    let all = acme.audit().await;
    let names: Vec<_> = all
        .iter()
        .map(|entry| entry["after"]["name"].as_str().unwrap_or("-"))
        .collect();
    assert_eq!(
        names,
        [
            "Client 5", "Client 4", "Client 3", "Client 2", "Client 1", "Client 0", "-"
        ]
    );
    let admin = api.user("org_acme", "admin");
    for limit in [1, 3, 7, 8] {
        let (mut seen, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let page = admin.get(&format!("/agency/audit?{query}")).await.expect(200);
            seen.extend(page["items"].as_array().unwrap().clone());
            let Some(cursor) = page["nextCursor"].as_str() else {
                break;
            };
            query = format!("limit={limit}&cursor={cursor}");
        }
        assert_eq!(seen, all, "limit {limit}");
    }
    // What is written between two pages is not in the second one.
    let page = admin.get("/agency/audit?limit=2").await.expect(200);
    acme.client("Late").await;
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = admin
        .get(&format!("/agency/audit?cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest["items"].as_array().unwrap(), &all[2..]);
    for role in ["member", "", "viewer"] {
        api.user("org_acme", role)
            .get("/agency/audit")
            .await
            .problem(403, "role-too-low");
    }
}

#[tokio::test]
async fn the_actor_is_who_wrote() {
    let api = Api::build(System::builder().at(START)).await;
    let user = |sub: &str| {
        let now = time::OffsetDateTime::from_unix_timestamp(START / 1000).unwrap();
        api.with_token(local::token::sign("org_acme", "admin", sub, now, 600))
    };
    for (n, sub) in [
        "auth0|5f7c8ec7c33c6c004bbafe82",
        "user@acme.test",
        "ü 漢 \u{1f600}",
        "x",
    ]
    .iter()
    .enumerate()
    {
        let user = user(sub);
        match n {
            0 => user.post("/agency/enable", Value::Null).await.expect(200),
            _ => user.put("/agency/portal-config", json!({})).await.expect(200),
        };
        assert_eq!(user.audit().await[0]["actor"], json!({"type": "user", "id": sub}));
    }
}

#[tokio::test]
async fn a_write_and_its_entry_take_effect_together_or_not_at_all() {
    let api = Api::counted().await;
    let acme = api.agency("org_acme").await;
    // DynamoDB stays broken: neither is there.
    api.inject(Fault::internal_error().on("TransactWriteItems").times(4));
    let answer = acme.post("/agency/clients", json!({"name": "Never"})).await;
    answer.problem(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(count(&acme).await, 1);
    assert_eq!(acme.get("/agency/overview").await.expect(200)["clientCount"], 0);

    // The answer is lost: both are there, once.
    let writes = [
        (Method::POST, "/agency/clients", json!({"name": "Once"}), 201),
        (
            Method::PUT,
            "/agency/branding",
            json!({"footerText": "Once"}),
            200,
        ),
        (
            Method::PUT,
            "/agency/portal-config",
            json!({"featureLogs": false}),
            200,
        ),
        (
            Method::POST,
            "/agency/portal-domains",
            json!({"subdomain": "once"}),
            201,
        ),
    ];
    for (n, (method, path, body, status)) in writes.into_iter().enumerate() {
        api.inject(Fault::lose_answer().on("TransactWriteItems"));
        let answer = acme.call(method, path, &[], Some(body)).await;
        answer.expect(status);
        let audit = acme.audit().await;
        assert_eq!(audit.len(), n + 2, "{path}");
        assert_eq!(audit[0]["requestId"].as_str(), answer.header("x-request-id"));
    }
    let client = acme.get("/agency/clients").await.expect(200)["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    api.inject(Fault::lose_answer().on("TransactWriteItems"));
    acme.delete(&format!("/agency/clients/{client}"))
        .await
        .expect(204);
    assert_eq!(count(&acme).await, 6);
    // Another write was in the way: tried again, written once.
    api.inject(Fault::conflict().on("TransactWriteItems").times(2));
    acme.put("/agency/branding", json!({})).await.expect(200);
    assert_eq!(count(&acme).await, 7);
    assert_eq!(api.proxy().pending(), [""; 0]);
}
