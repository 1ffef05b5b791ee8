//! Each invariant reports what violates it: a small table and its history are damaged in one way after the other.
#![allow(clippy::unwrap_used)] // A failed step fails the test.

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use http_body_util::BodyExt;
use local::{system::System, token};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{INVARIANTS, check};
use crate::{
    history::Attempt,
    http::{HttpRequest, HttpResponse},
    operations::{AGENCIES, TrialOperation},
    table::{Key, TableItems, text},
};

/// A small system, and what its one client saw.
struct TestTable {
    system: System,
    history: Vec<Attempt>,
}

impl TestTable {
    /// Sends an operation, and returns the body of the response.
    async fn send(
        &mut self,
        id: &'static str,
        target: &str,
        [method, path]: [&'static str; 2],
        body: Value,
    ) -> Value {
        self.send_with_key(id, target, [method, path], body, None).await
    }

    async fn send_with_key(
        &mut self,
        id: &'static str,
        target: &str,
        [method, path]: [&'static str; 2],
        body: Value,
        key: Option<&str>,
    ) -> Value {
        let (actor, start) = (
            format!("op-{}.0", self.history.len()),
            self.history.len() as u64 * 2,
        );
        let path = path.replace("{}", target);
        let token = token::sign(AGENCIES[0], "owner", &actor, OffsetDateTime::now_utc(), 60);
        let mut request = http::Request::builder()
            .method(method)
            .uri(&path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let sent = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.system.send(request.body(Body::from(sent)).unwrap()).await;
        let attempt = Attempt {
            actor,
            operation: TrialOperation {
                id,
                agency: 0,
                target: target.to_owned(),
                idempotency_key: key.map(str::to_owned),
                request: HttpRequest {
                    method,
                    path,
                    headers: Vec::new(),
                    body: Some(body).filter(|body| !body.is_null()),
                },
            },
            start,
            end: start + 1,
            took: Duration::ZERO,
            gives_up_early: false,
            response: Some(read(response).await),
        };
        let body = attempt.body().clone();
        self.history.push(attempt);
        body
    }
}

async fn read(response: http::Response<Body>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut text = format!("HTTP/1.0 {}\r\ncontent-length: {}\r\n", parts.status, body.len());
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "content-length") {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    text += &format!("\r\n{}", str::from_utf8(&body).unwrap());
    HttpResponse::parse(text.as_bytes()).unwrap()
}

/// A table that has one of everything, and its history.
async fn sound() -> (TableItems, Vec<Attempt>) {
    let system = System::start().await;
    let mut world = TestTable {
        system,
        history: Vec::new(),
    };
    const CLIENTS: &str = "/agency/clients";
    const DOMAINS: &str = "/agency/portal-domains";
    const DOMAIN: &str = "/agency/portal-domains/{}";
    let id = |resource: Value| resource["id"].as_str().unwrap().to_owned();
    world
        .send("enableAgency", "", ["POST", "/agency/enable"], Value::Null)
        .await;
    let body = json!({"name": "Acme", "externalId": "CRM-1", "metadata": {"number": "1"}});
    let key = Some("key-1");
    let client = world
        .send_with_key("createClientOrg", "", ["POST", CLIENTS], body.clone(), key)
        .await;
    world
        .send_with_key("createClientOrg", "", ["POST", CLIENTS], body, key)
        .await;
    let client = id(client);
    let path = ["PATCH", "/agency/clients/{}"];
    world
        .send(
            "updateClientOrg",
            &client,
            path,
            json!({"name": "New", "suspended": true}),
        )
        .await;
    world
        .send("updateClientOrg", &client, path, json!({"name": "Newer"}))
        .await;
    let body = json!({"name": "Globex", "slug": "globex"});
    let gone = id(world
        .send("createClientOrg", "", ["POST", CLIENTS], body.clone())
        .await);
    world.send("createClientOrg", "", ["POST", CLIENTS], body).await;
    let path = ["PUT", "/agency/clients/{}/branding"];
    world
        .send(
            "putClientBranding",
            &client,
            path,
            json!({"footerText": "Footer"}),
        )
        .await;
    let delete = ["DELETE", "/agency/clients/{}"];
    world.send("deleteClientOrg", &gone, delete, Value::Null).await;
    let branding = json!({"footerText": "Footer", "customCss": ".a { color: red }"});
    world
        .send("putBranding", "", ["PUT", "/agency/branding"], branding)
        .await;
    let config = json!({"featureTerminal": true});
    world
        .send("putPortalConfig", "", ["PUT", "/agency/portal-config"], config)
        .await;
    let home = json!({"subdomain": "home"});
    let home = id(world
        .send("createPortalDomain", "", ["POST", DOMAINS], home)
        .await);
    let old = json!({"subdomain": "old"});
    let old = id(world.send("createPortalDomain", "", ["POST", DOMAINS], old).await);
    let redirect = json!({"redirectTo": home});
    world
        .send("updatePortalDomain", &old, ["PATCH", DOMAIN], redirect)
        .await;
    let pending = json!({"customDomain": "pending.acme.com", "clientOrgId": client});
    let pending = id(world
        .send("createPortalDomain", "", ["POST", DOMAINS], pending)
        .await);
    let link = ["POST", "/agency/portal-domains/{}/setup-link"];
    world.send("createSetupLink", &pending, link, json!({})).await;
    let custom = json!({"customDomain": "portal.acme.com"});
    let custom = world
        .send("createPortalDomain", "", ["POST", DOMAINS], custom)
        .await;
    let record = &custom["records"][0];
    let zone = format!("{}. TXT \"{}\"\n", text(record, "name"), text(record, "value"));
    world.system.dns.set_zone(&zone).unwrap();
    let custom = id(custom);
    let verify = ["POST", "/agency/portal-domains/{}/verify"];
    let verified = world
        .send("verifyPortalDomain", &custom, verify, Value::Null)
        .await;
    assert_eq!(verified["status"], "verified");
    world
        .send(
            "updatePortalDomain",
            &custom,
            ["PATCH", DOMAIN],
            json!({"primary": true}),
        )
        .await;
    world
        .send("listClientOrgs", "", ["GET", CLIENTS], Value::Null)
        .await;
    world
        .send("getAgencyOverview", "", ["GET", "/agency/overview"], Value::Null)
        .await;
    let table = TableItems::read(&world.system.client, world.system.table())
        .await
        .unwrap();
    (table, world.history)
}

fn find(table: &TableItems, holds: impl Fn(&Value) -> bool) -> Key {
    let found = table.items.iter().find(|(_, item)| holds(item));
    found.unwrap().0.clone()
}

/// The item of this kind whose sort key has this text.
fn of_kind<'a>(table: &'a mut TableItems, entity: &str, sk: &str) -> &'a mut Value {
    let key = find(table, |item| {
        item["entity"] == entity && text(item, "SK").contains(sk)
    });
    table.items.get_mut(&key).unwrap()
}

fn remove(table: &mut TableItems, entity: &str, sk: &str) -> Value {
    let key = find(table, |item| {
        item["entity"] == entity && text(item, "SK").contains(sk)
    });
    table.items.remove(&key).unwrap()
}

fn entry<'a>(table: &'a mut TableItems, action: &str) -> &'a mut Value {
    let key = find(table, |item| item["action"] == action);
    table.items.get_mut(&key).unwrap()
}

fn copy_entry(table: &mut TableItems, action: &str, id: &str) {
    let mut copy = entry(table, action).clone();
    (copy["id"], copy["SK"]) = (id.into(), format!("LOG#{id}").into());
    table
        .items
        .insert((text(&copy, "PK").to_owned(), format!("LOG#{id}")), copy);
}

fn attempt<'a>(history: &'a mut [Attempt], id: &str) -> &'a mut Attempt {
    history
        .iter_mut()
        .find(|attempt| attempt.operation.id == id)
        .unwrap()
}

/// An invariant, and a damage that it must report.
type Damage = (&'static str, fn(&mut TableItems, &mut Vec<Attempt>));

const LAST: &str = "log_ffffffff-ffff-7fff-bfff-ffffffffffff";

const DAMAGES: [Damage; 52] = [
    ("counters", |table, _| {
        of_kind(table, "agency", "#3AGENCY")["pendingCount"] = json!(0)
    }),
    ("counters", |table, _| {
        of_kind(table, "agency", "#3AGENCY")["domainCount"] = json!(9)
    }),
    ("counters", |table, _| {
        of_kind(table, "agency", "#3AGENCY")["tlsNotReadyCount"] = json!(1)
    }),
    ("counters", |table, _| {
        of_kind(table, "client-count", "#0")["clientCount"] = json!(9)
    }),
    ("counters", |table, _| {
        of_kind(table, "client-count", "#0")["suspendedCount"] = json!(9)
    }),
    ("counters", |table, _| drop(remove(table, "domain", "DOMAIN#"))),
    ("agency", |table, _| drop(remove(table, "head", "LOG$"))),
    ("slug markers", |table, _| drop(remove(table, "client", "SLUG#"))),
    ("slug markers", |table, _| {
        of_kind(table, "client", "SLUG#")["name"] = json!("Old")
    }),
    ("name index", |table, _| drop(remove(table, "client", "NAMED#"))),
    ("external ids", |table, _| {
        drop(remove(table, "client", "EXTERNAL#"))
    }),
    ("memberships", |table, _| drop(remove(table, "membership", ""))),
    ("memberships", |table, _| {
        of_kind(table, "membership", "")["domainCount"] = json!(0)
    }),
    ("memberships", |table, _| {
        of_kind(table, "membership", "")["suspendedAt"] = Value::Null
    }),
    ("settings of clients", |table, _| {
        table
            .items
            .retain(|(pk, sk), _| !(pk.starts_with("C#") && sk == "#2BRANDING"));
    }),
    ("no item without its owner", |table, _| {
        drop(remove(table, "client", "CLIENT#"))
    }),
    ("no item without its owner", |table, _| {
        // What a deletion of a client would have left.
        let mut config = remove(table, "portal-config", "#1CONFIG");
        config["PK"] = json!("C#cli_1");
        table
            .items
            .insert(("C#cli_1".to_owned(), "#1CONFIG".to_owned()), config);
    }),
    ("no item without its owner", |table, _| {
        let holder = json!({"entity": "holder", "agency": "org_one", "domain": "dom_1"});
        table
            .items
            .insert(("H#old.acme.com".to_owned(), "H".to_owned()), holder);
    }),
    ("host names", |table, _| drop(remove(table, "name", "NAME#"))),
    ("host names", |table, _| {
        of_kind(table, "name", "NAME#")["domain"] = json!("dom_1")
    }),
    ("tokens", |table, _| drop(remove(table, "token", "TOKEN#"))),
    ("holders", |table, _| drop(remove(table, "holder", "H"))),
    ("holders", |table, _| {
        of_kind(table, "holder", "H")["agency"] = json!("org_two")
    }),
    ("candidates", |table, _| {
        drop(remove(table, "primary-candidate", ""))
    }),
    ("candidates", |table, _| {
        of_kind(table, "domain", "")["hostname"] = json!("other.acme.com")
    }),
    ("primary domains", |table, _| {
        drop(remove(table, "primary-domain", ""))
    }),
    ("setup links", |table, _| drop(remove(table, "setup-link", ""))),
    ("clients of domains", |table, _| {
        drop(remove(table, "client", "CLIENT#"))
    }),
    ("redirects", |table, _| {
        let key = find(table, |item| item["redirectCount"] == 1);
        table.items.get_mut(&key).unwrap()["redirectCount"] = json!(0);
    }),
    ("redirects", |table, _| {
        let key = find(table, |item| item["redirect"].is_object());
        table.items.get_mut(&key).unwrap()["redirect"]["to"] = json!("dom_1");
    }),
    ("due entries", |table, _| table.due.clear()),
    ("due entries", |table, _| {
        table
            .due
            .push(json!({"DUE": "DUE#1", "DUEAT": "2026-01-01T00:00:00Z#dom_1"}))
    }),
    ("due entries", |table, _| {
        let key = find(table, |item| item["DUE"].is_string());
        table.items.get_mut(&key).unwrap()["DUE"].take();
    }),
    ("host entries", |table, _| drop(table.hosts.pop())),
    ("host entries", |table, _| {
        table.hosts[0]["status"] = json!("failing")
    }),
    ("audit log", |table, _| {
        let key = find(table, |item| item["action"] == "client.created");
        table.items.remove(&key);
    }),
    ("audit log", |table, _| {
        entry(table, "client.updated")["after"]["name"] = json!("Other")
    }),
    ("audit log", |table, _| {
        of_kind(table, "branding", "#2BRANDING")["footerText"] = json!("Other")
    }),
    ("audit log", |table, _| {
        entry(table, "domain.verified")["before"]["status"] = json!("failed")
    }),
    ("audit log", |table, _| {
        let key = find(table, |item| item["action"] == "client.deleted");
        table.items.remove(&key);
    }),
    ("times never fall", |table, _| {
        copy_entry(table, "branding.updated", LAST);
        of_kind(table, "audit", LAST)["at"] = json!("2020-01-01T00:00:00Z");
    }),
    ("no operation applied twice", |table, _| {
        copy_entry(table, "portal-config.updated", LAST)
    }),
    ("no internal error", |_, history| {
        attempt(history, "putBranding").response.as_mut().unwrap().status = 500;
    }),
    ("audit entries", |table, _| {
        entry(table, "branding.updated")["requestId"] = json!("other")
    }),
    ("audit entries", |table, _| {
        entry(table, "branding.updated")["actor"]["id"] = json!("other")
    }),
    ("no entry of a refusal", |_, history| {
        attempt(history, "putBranding").response.as_mut().unwrap().status = 412;
    }),
    ("acknowledged writes", |table, _| {
        let key = find(table, |item| item["action"] == "client-branding.updated");
        table.items.remove(&key);
    }),
    ("acknowledged values", |table, _| {
        let key = find(table, |item| text(item, "SK").starts_with("CLIENT#cli_"));
        table.items.get_mut(&key).unwrap()["name"] = json!("New");
    }),
    ("order of the audit log", |_, history| {
        let updates: Vec<_> = (0..history.len())
            .filter(|index| history[*index].operation.id == "updateClientOrg")
            .collect();
        let (first, second) = (
            history[updates[0]].actor.clone(),
            history[updates[1]].actor.clone(),
        );
        (history[updates[0]].actor, history[updates[1]].actor) = (second, first);
    }),
    ("one resource for a key", |table, history| {
        copy_entry(table, "client.created", LAST);
        of_kind(table, "audit", LAST)["target"]["id"] = json!("cli_1");
        assert!(history.iter().any(Attempt::is_replay));
    }),
    ("deleted resources", |table, _| {
        let mut client = of_kind(table, "client", "CLIENT#").clone();
        client["id"] = entry(table, "client.deleted")["target"]["id"].clone();
        let sk = format!("CLIENT#{}", text(&client, "id"));
        table.items.insert((text(&client, "PK").to_owned(), sk), client);
    }),
    ("complete reads", |_, history| {
        let list = attempt(history, "listClientOrgs").response.as_mut().unwrap();
        list.body["items"].as_array_mut().unwrap().clear();
    }),
];

#[tokio::test]
async fn each_invariant_holds_and_reports_what_violates_it() {
    let (table, history) = sound().await;
    let findings = check(&table, &history);
    assert_eq!(findings.violations, [""; 0]);
    for (number, (invariant, damage)) in DAMAGES.into_iter().enumerate() {
        let (mut table, mut history) = (table.clone(), history.clone());
        damage(&mut table, &mut history);
        let violations = check(&table, &history).violations;
        let prefix = format!("{invariant}: ");
        let found = violations.iter().any(|violation| violation.starts_with(&prefix));
        assert!(found, "damage {number} of {invariant}: {violations:#?}");
    }
    let damaged: BTreeSet<_> = DAMAGES.iter().map(|(invariant, _)| *invariant).collect();
    let checked: BTreeSet<_> = findings.checks.into_keys().collect();
    assert_eq!(damaged, checked);
    assert_eq!(INVARIANTS.into_iter().collect::<BTreeSet<_>>(), checked);
}
