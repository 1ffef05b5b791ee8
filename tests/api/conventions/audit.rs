//! The audit log: every write leaves one entry, in the write's own transaction, and nothing else leaves one.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::digest;
use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, BRANDING, CLIENTS, CONFIG, DOMAINS, JSON, NO_CLIENT, START, User, branding_of, cname,
    operations::{Names, operations_where},
    path,
    template::template,
    token,
};

const NOW: &str = "2027-01-15T08:00:00Z";

/// The newest entry is this one, of the request that got this response.
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

/// A resource without the properties that entries leave out.
fn kept(resource: &Value) -> Value {
    let mut kept = resource.clone();
    for derived in ["records", "check"] {
        kept.as_object_mut().unwrap().remove(derived);
    }
    kept
}

#[tokio::test]
async fn enable_and_settings_leave_an_entry_with_the_changed_properties() {
    let api = Api::stopped().await;
    let acme = api.user("org_acme", "owner");
    let answer = acme.post("/agency/enable", Value::Null).await;
    let agency = json!({"organizationId": "org_acme", "enabled": true, "enabledAt": NOW});
    let target = json!({"type": "agency", "id": "org_acme"});
    let entry = json!({"action": "agency.enabled", "target": target, "before": null, "after": agency});
    assert_newest(&acme, &answer, entry).await;

    let css = "/* für */ .login { color: #fff }";
    let body = json!({"primaryColor": "#ABC", "customCss": css, "footerText": "Hi"});
    let answer = acme.put(BRANDING, body).await;
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
        .put(BRANDING, json!({"customCss": null, "footerText": "Hi"}))
        .await;
    let entry = json!({
        "action": "branding.updated", "target": target, "before": {"customCss": css}, "after": {"customCss": null},
    });
    assert_newest(&acme, &answer, entry).await;

    // An accepted write always leaves an entry, even if it changes nothing.
    let answer = acme.put(BRANDING, branding.clone()).await;
    answer.expect(200);
    let answer = acme.put(BRANDING, branding).await;
    let entry = json!({"action": "branding.updated", "target": target, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;

    let body = json!({"featureLogs": false, "featureBackups": true, "infrastructureVisibility": "full"});
    let answer = acme.put(CONFIG, body).await;
    let target = json!({"type": "portal-config", "id": "org_acme"});
    let entry = json!({
        "action": "portal-config.updated",
        "target": target,
        "before": {"featureLogs": true, "infrastructureVisibility": "hidden"},
        "after": {"featureLogs": false, "infrastructureVisibility": "full"},
    });
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.put(CONFIG, json!({})).await;
    let entry = json!({"action": "portal-config.updated", "target": target, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;
    assert_eq!(acme.audit().await.len(), 7);
}

#[tokio::test]
async fn a_clients_settings_leave_an_entry_with_the_client_as_the_target() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    acme.put(CONFIG, json!({"featureLogs": false})).await.expect(200);
    let client = acme.client("Globex").await;
    let target = json!({"type": "client", "id": client["id"]});
    for (end, action, body, before, after) in [
        (
            "branding",
            "client-branding.updated",
            json!({"primaryColor": "#ABC", "footerText": null}),
            json!({"primaryColor": null}),
            json!({"primaryColor": "#aabbcc"}),
        ),
        (
            "branding",
            "client-branding.updated",
            json!({}),
            json!({}),
            json!({}),
        ),
        // The values are the client's own, not the inherited ones.
        (
            "portal-config",
            "client-portal-config.updated",
            json!({"featureLogs": false, "featureTerminal": null}),
            json!({"featureLogs": null}),
            json!({"featureLogs": false}),
        ),
    ] {
        let answer = acme.put(&format!("{}/{end}", path(&client)), body).await;
        answer.expect(200);
        let entry = json!({"action": action, "target": target, "before": before, "after": after});
        assert_newest(&acme, &answer, entry).await;
    }
}

#[tokio::test]
async fn a_text_of_more_than_256_characters_is_its_length_and_hash() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let url = |length: usize| format!("{:x<length$}", "https://cdn.acme.com/");
    for (length, is_whole) in [(256, true), (257, false), (2048, false)] {
        acme.put(BRANDING, json!({"logoUrl": url(length)}))
            .await
            .expect(200);
        let entry = acme.audit().await.swap_remove(0);
        let sha256 = digest::digest(&digest::SHA256, url(length).as_bytes());
        let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let after = match is_whole {
            true => json!(url(length)),
            false => json!({"length": length, "sha256": sha256}),
        };
        assert_eq!(entry["after"], json!({"logoUrl": after}));
    }
}

#[tokio::test]
async fn a_long_text_inside_metadata_is_its_length_and_hash() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let (short, long) = ("é".repeat(256), "é".repeat(257));
    // `customCss` is a key like every other one here.
    let metadata = json!({"short": short, "long": long, "customCss": "a {}"});
    let body = json!({"name": "Acme", "metadata": metadata});
    let client = acme.post(CLIENTS, body).await.expect(201);
    let sha256 = digest::digest(&digest::SHA256, long.as_bytes());
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut kept = metadata.clone();
    kept["long"] = json!({"length": 257, "sha256": sha256});
    let entry = acme.audit().await.swap_remove(0);
    assert_eq!(entry["after"]["metadata"], kept);
    let changed = json!({"metadata": {"short": "x"}});
    acme.patch(&path(&client), changed).await.expect(200);
    let entry = acme.audit().await.swap_remove(0);
    assert_eq!(entry["before"], json!({"metadata": kept}));
    kept["short"] = json!("x");
    assert_eq!(entry["after"], json!({"metadata": kept}));
}

#[tokio::test]
async fn a_creation_and_a_deletion_leave_an_entry_with_the_resource() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let target = |kind: &str, resource: &Value| json!({"type": kind, "id": resource["id"]});

    let answer = acme.post(CLIENTS, json!({"name": "Globex"})).await;
    let client = answer.expect(201);
    let of_client = target("client", &client);
    let entry = json!({"action": "client.created", "target": of_client, "before": null, "after": client});
    assert_newest(&acme, &answer, entry).await;
    let at = path(&client);
    let answer = acme
        .patch(&at, json!({"name": "Globex Ltd", "slug": "globex"}))
        .await;
    let client = answer.expect(200);
    let entry = json!({
        "action": "client.updated", "target": of_client, "before": {"name": "Globex"}, "after": {"name": "Globex Ltd"},
    });
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.patch(&at, json!({})).await;
    answer.expect(200);
    let entry = json!({"action": "client.updated", "target": of_client, "before": {}, "after": {}});
    assert_newest(&acme, &answer, entry).await;
    let answer = acme.delete(&at).await;
    answer.expect(204);
    let entry = json!({"action": "client.deleted", "target": of_client, "before": client, "after": null});
    assert_newest(&acme, &answer, entry).await;

    for body in [
        json!({"subdomain": "acme"}),
        json!({"customDomain": "portal.acme.test"}),
    ] {
        let answer = acme.post(DOMAINS, body).await;
        let domain = answer.expect(201);
        let of_domain = target("domain", &domain);
        let entry =
            json!({"action": "domain.created", "target": of_domain, "before": null, "after": kept(&domain)});
        assert_newest(&acme, &answer, entry).await;
        let answer = acme.delete(&path(&domain)).await;
        answer.expect(204);
        let entry =
            json!({"action": "domain.deleted", "target": of_domain, "before": kept(&domain), "after": null});
        assert_newest(&acme, &answer, entry).await;
        if domain["type"] == "custom" {
            // A reader of the log does not learn what proves a name.
            let log = acme.get("/agency/audit").await.text;
            assert!(!log.contains(token(&domain)));
        }
    }
    assert_eq!(acme.audit().await.len(), 1 + 4 + 4);
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_entry() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    globex.subdomain("globex").await;
    let client = acme.client("Globex").await;
    let path = path(&client);
    let custom = acme.custom_domain("portal.acme.test").await;
    let subdomain = acme.subdomain("acme").await;
    let key = [("idempotency-key", "k")];
    let body = json!({"name": "Keyed"});
    acme.call(Method::POST, CLIENTS, &key, Some(body.clone()))
        .await
        .expect(201);
    let before = acme.audit().await;

    acme.post("/agency/enable", Value::Null).await.expect(200);
    acme.call(Method::POST, CLIENTS, &key, Some(body))
        .await
        .expect(201);
    let other = Some(json!({"name": "Other"}));
    acme.call(Method::POST, CLIENTS, &key, other)
        .await
        .problem(422, "idempotency-mismatch");
    acme.verify(&custom).await.expect(200);
    acme.verify(&custom).await.problem(429, "too-many-requests");
    acme.verify(&subdomain).await.expect(200);
    acme.put(BRANDING, json!({"primaryColor": "red"}))
        .await
        .problem(422, "invalid-body");
    let stale = [("if-match", "\"stale\"")];
    acme.call(Method::PUT, BRANDING, &stale, Some(json!({})))
        .await
        .problem(412, "stale");
    acme.call(Method::PUT, CONFIG, &stale, Some(json!({})))
        .await
        .problem(412, "stale");
    acme.post(CLIENTS, json!({"name": "A", "slug": "globex"}))
        .await
        .problem(409, "slug-taken");
    acme.patch(&path, json!({"slug": "keyed"}))
        .await
        .problem(409, "slug-taken");
    acme.patch(&path, json!({"slug": null}))
        .await
        .problem(422, "invalid-body");
    acme.post(DOMAINS, json!({"subdomain": "globex"}))
        .await
        .problem(409, "hostname-taken");
    acme.post(DOMAINS, json!({"customDomain": "portal.acme.test"}))
        .await
        .problem(409, "hostname-taken");
    acme.raw(Method::PUT, BRANDING, &JSON, "{")
        .await
        .problem(400, "invalid-json");
    acme.raw(Method::PUT, BRANDING, &[], "{}")
        .await
        .problem(415, "unsupported-media-type");
    acme.delete(&format!("{CLIENTS}/{NO_CLIENT}"))
        .await
        .problem(404, "not-found");
    api.user("org_acme", "member")
        .delete(&path)
        .await
        .problem(403, "role-too-low");
    globex.delete(&path).await.problem(404, "not-found");
    for operation in operations_where(|operation| operation.reads() && !operation.names_a_resource()) {
        let names = Names::absent();
        operation.send(&acme, &names).await;
    }
    assert_eq!(acme.audit().await, before);
    assert_eq!(globex.audit().await.len(), 2);
}

#[tokio::test]
async fn an_item_of_the_log_expires_after_400_days_and_becomes_an_event() {
    let api = Api::stopped().await;
    let acme = api.agency("org_acme").await;
    acme.put(BRANDING, json!({})).await.expect(200);
    let client = acme.client("Globex").await;
    acme.put(&branding_of(&client), json!({})).await.expect(200);
    let domain = acme.custom_domain("portal.acme.test").await;
    for zone in [cname(&domain), String::new(), cname(&domain)] {
        api.dns.set_zone(&zone).unwrap();
        acme.verify(&domain).await.expect(200);
        api.advance(Duration::from_secs(5));
    }
    acme.remove(&domain).await;

    let items = api.items("org_acme", "LOG#").await;
    let text = |item: &HashMap<String, AttributeValue>, name: &str| {
        item.get(name).map(|value| value.as_s().unwrap().clone())
    };
    let expected = [
        ("agency.enabled", ("", ""), 0),
        ("branding.updated", ("", ""), 0),
        ("client.created", ("", ""), 0),
        ("client-branding.updated", ("", ""), 0),
        ("domain.created", ("", ""), 0),
        ("domain.verified", ("pending", "verified"), 0),
        ("domain.failing", ("verified", "failing"), 5),
        ("domain.verified", ("failing", "verified"), 10),
        ("domain.deleted", ("", ""), 15),
    ];
    let log = acme.audit().await;
    assert_eq!((items.len(), log.len()), (expected.len(), expected.len()));
    let pipe = &template()["Resources"]["EventPipe"]["Properties"];
    for ((item, entry), (action, (from, to), seconds)) in items.iter().zip(log.iter().rev()).zip(expected) {
        assert_eq!(text(item, "entity").as_deref(), Some("audit"));
        assert_eq!(text(item, "action").as_deref(), Some(action));
        let target = &entry["target"];
        let client = target["type"] == "client";
        let hostname = if target["type"] == "domain" {
            "portal.acme.test"
        } else {
            ""
        };
        assert_eq!(
            event(pipe, item),
            json!({
                "id": entry["id"],
                "at": entry["at"],
                "action": action,
                "organizationId": "org_acme",
                "clientOrgId": if client { target["id"].clone() } else { json!("") },
                "target": target,
                "hostname": hostname,
                "from": from,
                "to": to,
            })
        );
        let expires: i64 = item["expiresAt"].as_n().unwrap().parse().unwrap();
        assert_eq!(expires, START / 1000 + seconds + 400 * 24 * 3600, "{action}");
        assert_eq!(item["schema"], AttributeValue::N("1".to_owned()));
    }
    // They are not properties of the entry.
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

/// The event that the pipe makes of an item. A path that the item does not have is a fault.
fn event(pipe: &Value, item: &HashMap<String, AttributeValue>) -> Value {
    let mut event = pipe["TargetParameters"]["InputTemplate"]
        .as_str()
        .unwrap()
        .to_owned();
    while let Some((before, rest)) = event.split_once("<$.dynamodb.NewImage.") {
        let (path, after) = rest.split_once('>').unwrap();
        let steps: Vec<_> = path.split('.').collect();
        let value = match steps[..] {
            [name, "S"] => item[name].as_s().unwrap(),
            [name, "M", inner, "S"] => item[name].as_m().unwrap()[inner].as_s().unwrap(),
            _ => panic!("{path}"),
        };
        event = format!("{before}{value}{after}");
    }
    serde_json::from_str(&event).unwrap()
}

#[tokio::test]
async fn the_actor_is_the_subject_of_the_token() {
    let api = Api::stopped().await;
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
            _ => user.put(CONFIG, json!({})).await.expect(200),
        };
        assert_eq!(user.audit().await[0]["actor"], json!({"type": "user", "id": sub}));
    }
}
