//! What each operation asks of the table: how many requests, in which way, and for whose items.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use http::Method;
use local::fault::Request;
use serde_json::{Value, json};
use verification::Dns;

use crate::harness::{Answer, Api, User};

const NOBODY: &str = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
const NOWHERE: &str = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

/// Every operation of the document: its method and its path.
fn operations(api: &Api) -> BTreeMap<String, (Method, String)> {
    let (_, document) = local::openapi::routes(Dns::new(&api.app.config.dns).unwrap());
    let document = serde_json::to_value(document).unwrap();
    let mut operations = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            let id = operation["operationId"].as_str().unwrap();
            operations.insert(id.to_owned(), (method, path.clone()));
        }
    }
    operations
}

/// Sends requests and looks at those that come of them.
struct Meter<'a> {
    api: &'a Api,
    operations: BTreeMap<String, (Method, String)>,
    /// Operations that have succeeded, and those that have been refused.
    met: [BTreeSet<String>; 2],
}

/// What is sent beside the operation's method and path.
#[derive(Default)]
struct With<'a> {
    /// The path's parameter, or the query.
    rest: &'a str,
    body: Option<Value>,
    headers: &'a [(&'a str, &'a str)],
}

fn id(id: &str) -> With<'_> {
    With {
        rest: id,
        ..With::default()
    }
}

fn body(body: Value) -> With<'static> {
    With {
        body: Some(body),
        ..With::default()
    }
}

impl Meter<'_> {
    /// Expects this status and so many requests, all of them to the partition of `org` or to host names and client
    /// organizations.
    #[track_caller]
    fn check(&mut self, operation: &str, org: &str, expected: (u16, usize), answer: &Answer) -> Vec<Request> {
        let requests = self.api.proxy().take_requests();
        let seen = (answer.status.as_u16(), requests.len());
        assert_eq!(seen, expected, "{operation}: {answer:?}\n{requests:#?}");
        for request in &requests {
            let (keys, reads) = keys(request);
            if reads {
                let body = request.body.to_string();
                assert!(body.contains("\"ConsistentRead\":true"), "{operation}: {body}");
                assert!(!body.contains("\"ConsistentRead\":false"), "{operation}: {body}");
            }
            assert_eq!(request.body.get("IndexName"), None, "{operation}: {request:?}");
            assert!(!keys.is_empty());
            for key in keys {
                let own = key == format!("A#{org}");
                let found = key.starts_with("H#") || key.starts_with("C#");
                assert!(own || found, "{operation}: {key}");
            }
        }
        let refused = usize::from(answer.status.as_u16() >= 400);
        self.met[refused].insert(operation.to_owned());
        requests
    }

    async fn call(&self, user: &User<'_>, operation: &str, with: With<'_>) -> Answer {
        let (method, path) = self.operations[operation].clone();
        let path = match (path.find('{'), path.find('}')) {
            (Some(from), Some(to)) => format!("{}{}{}", &path[..from], with.rest, &path[to + 1..]),
            _ => format!("{path}{}", with.rest),
        };
        self.api.proxy().take_requests();
        user.call(method, &path, with.headers, with.body).await
    }
}

/// The partitions that a request names, and whether it reads.
#[track_caller]
fn keys(request: &Request) -> (Vec<String>, bool) {
    let body = &request.body;
    let text = |value: &Value| value["S"].as_str().unwrap().to_owned();
    match request.action.as_str() {
        "GetItem" => (vec![text(&body["Key"]["PK"])], true),
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().unwrap();
            let keys = tables
                .values()
                .flat_map(|asked| asked["Keys"].as_array().unwrap());
            (keys.map(|key| text(&key["PK"])).collect(), true)
        }
        "Query" => {
            let condition = body["KeyConditionExpression"].as_str().unwrap();
            assert!(condition.starts_with("PK = :pk AND SK "), "{condition}");
            assert_eq!(body.get("FilterExpression"), None);
            (vec![text(&body["ExpressionAttributeValues"][":pk"])], true)
        }
        "UpdateItem" => (vec![text(&body["Key"]["PK"])], false),
        "TransactWriteItems" => {
            let items = body["TransactItems"].as_array().unwrap();
            let writes = items.iter().flat_map(|item| item.as_object().unwrap().values());
            let keys = writes.map(|write| match write.get("Item") {
                Some(item) => text(&item["PK"]),
                None => text(&write["Key"]["PK"]),
            });
            (keys.collect(), false)
        }
        other => panic!("{other}: {body}"),
    }
}

/// `meter.costs(user, operation, with => status, requests)`
macro_rules! costs {
    ($meter:ident, $user:expr, $operation:literal, $with:expr => $status:literal, $requests:literal) => {{
        let answer = $meter.call(&$user, $operation, $with).await;
        $meter.check($operation, "org_acme", ($status, $requests), &answer);
        answer
    }};
}

#[tokio::test]
async fn every_operation_asks_the_table_as_often_as_it_must_and_for_its_own() {
    let api = Api::counted().await;
    let mut meter = Meter {
        api: &api,
        operations: operations(&api),
        met: Default::default(),
    };
    let none = With::default;
    let owner = api.user("org_acme", "owner");
    let member = api.user("org_acme", "member");

    // Before agency mode is enabled: everything is refused, in no more requests than it takes to see that.
    for (operation, with, requests) in [
        ("getOverview", none(), 1),
        ("listAuditEntries", none(), 1),
        ("getBranding", none(), 1),
        ("putBranding", body(json!({})), 1),
        ("getPortalConfig", none(), 1),
        ("putPortalConfig", body(json!({})), 1),
        ("listClients", none(), 1),
        ("listClients", id("?slug=acme"), 1),
        ("listClients", id("?slug=-"), 1),
        ("createClient", body(json!({"name": "Acme", "slug": "acme"})), 1),
        ("createClient", body(json!({"name": "Acme"})), 1),
        ("getClient", id(NOBODY), 1),
        (
            "updateClient",
            With {
                body: Some(json!({})),
                ..id(NOBODY)
            },
            1,
        ),
        ("deleteClient", id(NOBODY), 1),
        ("listPortalDomains", none(), 1),
        ("createPortalDomain", body(json!({"subdomain": "acme"})), 1),
        (
            "createPortalDomain",
            body(json!({"customDomain": "portal.acme.com"})),
            1,
        ),
        ("getPortalDomain", id(NOWHERE), 1),
        ("deletePortalDomain", id(NOWHERE), 1),
        ("verifyPortalDomain", id(NOWHERE), 2),
    ] {
        let answer = meter.call(&owner, operation, with).await;
        meter.check(operation, "org_acme", (403, requests), &answer);
    }
    costs!(meter, owner, "getPortalContext", none() => 404, 1);

    costs!(meter, member, "enableAgency", none() => 403, 0);
    costs!(meter, owner, "enableAgency", none() => 200, 1);
    costs!(meter, owner, "enableAgency", none() => 200, 1);

    // What the token, the role, the query or the body decides costs nothing.
    let operations = meter.operations.clone();
    let visitor = api.visitor();
    for (operation, (method, path)) in &operations {
        let rest = if path.contains('{') { NOBODY } else { "" };
        let answer = meter.call(&visitor, operation, id(rest)).await;
        if path.starts_with("/agency") || path == "/portal/context" {
            meter.check(operation, "org_acme", (401, 0), &answer);
        }
        if path.starts_with("/agency") && *method != Method::GET {
            let answer = meter.call(&member, operation, id(rest)).await;
            meter.check(operation, "org_acme", (403, 0), &answer);
        }
        let takes_a_body = operation.starts_with("put")
            || ["createClient", "updateClient", "createPortalDomain"].contains(&operation.as_str());
        if takes_a_body {
            let with = With {
                body: Some(json!({"unknown": 1})),
                ..id(rest)
            };
            let answer = meter.call(&owner, operation, with).await;
            meter.check(operation, "org_acme", (422, 0), &answer);
        }
    }
    for operation in ["listClients", "listPortalDomains", "listAuditEntries"] {
        for query in ["?limit=0", "?cursor=x", "?cursor="] {
            let answer = meter.call(&owner, operation, id(query)).await;
            meter.check(operation, "org_acme", (400, 0), &answer);
        }
    }

    // The agency.
    costs!(meter, owner, "getOverview", none() => 200, 1);
    costs!(meter, owner, "listAuditEntries", none() => 200, 1);
    costs!(meter, owner, "getBranding", none() => 200, 1);
    costs!(meter, owner, "putBranding", body(json!({"primaryColor": "#123456"})) => 200, 2);
    costs!(meter, owner, "getPortalConfig", none() => 200, 1);
    costs!(meter, owner, "putPortalConfig", body(json!({"featureLogs": false})) => 200, 2);
    let stale = [("if-match", "\"other\"")];
    for operation in ["putBranding", "putPortalConfig"] {
        let with = With {
            headers: &stale,
            ..body(json!({}))
        };
        let answer = meter.call(&owner, operation, with).await;
        meter.check(operation, "org_acme", (412, 1), &answer);
    }

    // Its clients.
    let key = [("idempotency-key", "key")];
    let with = |value: Value| With {
        headers: &key,
        ..body(value)
    };
    let named = || json!({"name": "Acme", "slug": "acme"});
    let client = costs!(meter, owner, "createClient", with(named()) => 201, 1).json();
    costs!(meter, owner, "createClient", with(named()) => 201, 1);
    costs!(meter, owner, "createClient", with(json!({"name": "Beta"})) => 422, 1);
    costs!(meter, owner, "createClient", body(named()) => 409, 1);
    costs!(meter, owner, "createClient", body(json!({"name": "Beta"})) => 201, 1);
    costs!(meter, owner, "createClient", body(json!({"name": "Beta"})) => 201, 2);
    costs!(meter, owner, "createClient", body(json!({"name": "Beta"})) => 201, 3);
    let client = client["id"].as_str().unwrap();
    costs!(meter, owner, "listClients", none() => 200, 1);
    costs!(meter, owner, "listClients", id("?limit=1") => 200, 1);
    costs!(meter, owner, "listClients", id("?slug=acme") => 200, 1);
    costs!(meter, owner, "listClients", id("?slug=nobody") => 200, 1);
    costs!(meter, owner, "listClients", id("?slug=-") => 200, 1);
    costs!(meter, owner, "getClient", id(client) => 200, 1);
    costs!(meter, owner, "getClient", id(NOBODY) => 404, 1);
    costs!(meter, owner, "getClient", id("nothing") => 404, 1);
    let update = |rest, update: Value| With { rest, ..body(update) };
    costs!(meter, owner, "updateClient", update(client, json!({"name": "New"})) => 200, 2);
    costs!(meter, owner, "updateClient", update(client, json!({"slug": "new"})) => 200, 2);
    costs!(meter, owner, "updateClient", update(client, json!({})) => 200, 2);
    costs!(meter, owner, "updateClient", update(client, json!({"slug": "beta"})) => 409, 2);
    costs!(meter, owner, "updateClient", update(NOBODY, json!({"slug": "beta"})) => 404, 1);

    // The pages behind the first one.
    for operation in ["listClients", "listAuditEntries"] {
        let page = meter.call(&owner, operation, id("?limit=2")).await.json();
        let cursor = page["nextCursor"].as_str().unwrap();
        let rest = format!("?limit=2&cursor={cursor}");
        let answer = meter.call(&owner, operation, id(&rest)).await;
        meter.check(operation, "org_acme", (200, 1), &answer);
    }

    // Its domains.
    let label = costs!(meter, owner, "createPortalDomain", body(json!({"subdomain": "acme"})) => 201, 1);
    costs!(meter, owner, "createPortalDomain", body(json!({"subdomain": "acme"})) => 409, 1);
    let custom = || json!({"customDomain": "portal.acme.com"});
    let domain = costs!(meter, owner, "createPortalDomain", with(custom()) => 201, 1).json();
    costs!(meter, owner, "createPortalDomain", with(custom()) => 201, 1);
    costs!(meter, owner, "createPortalDomain", with(json!({"subdomain": "other"})) => 422, 1);
    costs!(meter, owner, "createPortalDomain", body(custom()) => 409, 1);
    let label = label.json();
    let (label, domain_id) = (label["id"].as_str().unwrap(), domain["id"].as_str().unwrap());
    costs!(meter, owner, "listPortalDomains", none() => 200, 1);
    costs!(meter, owner, "getPortalDomain", id(domain_id) => 200, 1);
    costs!(meter, owner, "getPortalDomain", id(NOWHERE) => 404, 1);
    costs!(meter, owner, "verifyPortalDomain", id(NOWHERE) => 404, 2);
    costs!(meter, owner, "verifyPortalDomain", id(label) => 200, 1);
    costs!(meter, owner, "verifyPortalDomain", id(label) => 429, 1);
    let records = domain["records"].as_array().unwrap();
    let proof = records
        .iter()
        .find(|record| record["purpose"] == "ownership")
        .unwrap();
    let (name, value) = (proof["name"].as_str().unwrap(), proof["value"].as_str().unwrap());
    api.dns.set_zone(&format!("{name}. TXT \"{value}\"\n")).unwrap();
    let checked = costs!(meter, owner, "verifyPortalDomain", id(domain_id) => 200, 3);
    assert_eq!(checked.json()["status"], "verified");
    costs!(meter, owner, "verifyPortalDomain", id(domain_id) => 429, 1);

    // The portal.
    costs!(meter, owner, "getOverview", none() => 200, 1);
    costs!(meter, owner, "getPortalContext", none() => 200, 1);
    costs!(meter, api.user(client, "member"), "getPortalContext", none() => 200, 2);
    costs!(meter, api.user(NOBODY, "member"), "getPortalContext", none() => 404, 1);
    for operation in ["getPublicBranding", "getThemeCss"] {
        for (query, status, requests) in [
            ("?host=portal.acme.com", 200, 2),
            ("?host=other.acme.com", 404, 1),
            ("?host=portal.acme.com:443", 404, 0),
            ("?host=-", 404, 0),
            ("?host=", 400, 0),
            ("", 400, 0),
        ] {
            let answer = meter.call(&visitor, operation, id(query)).await;
            meter.check(operation, "org_acme", (status, requests), &answer);
        }
    }
    costs!(meter, visitor, "checkTls", id("?domain=portal.acme.com") => 200, 1);
    costs!(meter, visitor, "checkTls", id("?domain=other.acme.com") => 404, 1);
    costs!(meter, visitor, "checkTls", id("?domain=-") => 404, 0);
    costs!(meter, visitor, "checkTls", id("") => 400, 0);
    costs!(meter, visitor, "getHealth", none() => 200, 0);

    // A client organization's user has no agency to ask about.
    let stranger = api.user(client, "owner");
    for (operation, (_, path)) in &operations {
        if path.starts_with("/agency") {
            let with = match operation.as_str() {
                "createClient" => body(named()),
                "createPortalDomain" => body(custom()),
                "updateClient" => update(NOBODY, json!({})),
                "putBranding" | "putPortalConfig" => body(json!({})),
                _ if path.contains('{') => id(NOBODY),
                _ => none(),
            };
            let answer = meter.call(&stranger, operation, with).await;
            meter.check(operation, "org_acme", (403, 0), &answer);
        }
    }

    // The ends.
    costs!(meter, owner, "deletePortalDomain", id(label) => 204, 2);
    costs!(meter, owner, "deletePortalDomain", id(domain_id) => 204, 2);
    costs!(meter, owner, "deletePortalDomain", id(domain_id) => 404, 1);
    costs!(meter, owner, "deleteClient", id(client) => 204, 2);
    costs!(meter, owner, "deleteClient", id(client) => 404, 1);

    let [succeeded, mut refused] = meter.met;
    let all: BTreeSet<_> = operations.into_keys().collect();
    assert_eq!(succeeded, all);
    // It cannot be.
    refused.insert("getHealth".to_owned());
    assert_eq!(refused, all);
}

#[tokio::test]
async fn the_overview_costs_the_same_however_many_clients_there_are() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let mut overviews = Vec::new();
    for count in [0, 40] {
        join_all((0..count).map(|index| owner.client(["One", "Two"][index % 2]))).await;
        api.proxy().take_requests();
        let overview = owner.get("/agency/overview").await.expect(200);
        assert_eq!(overview["clientCount"], count);
        overviews.push(api.proxy().take_requests());
    }
    let [first, second] = overviews.try_into().unwrap();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].body, second[0].body);
    // So many items are read at most, and no client's is one of them.
    assert_eq!(first[0].body["Limit"], 2);
    let bounds = &first[0].body["ExpressionAttributeValues"];
    let (from, to) = (
        bounds[":from"]["S"].as_str().unwrap(),
        bounds[":to"]["S"].as_str().unwrap(),
    );
    assert!(from < to && to < "CLIENT#");
}
