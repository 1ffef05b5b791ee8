//! The requests that each operation sends to the table: how many, of which kind, and for whose items.

use std::collections::BTreeSet;

use futures::future::join_all;
use local::{fault::Request, system::System};
use serde_json::{Value, json};
use shared::store::keys::CLIENT_SHARDS;

use crate::harness::{
    Answer, Api, NO_CLIENT, NO_DOMAIN, START, User, cname,
    operations::{Names, Operation, operations, operations_where},
    setup_token, txt,
};

/// Sends requests, and checks those that the table gets.
struct Meter<'a> {
    api: &'a Api,
    /// Operations that have succeeded, and operations that have been rejected.
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
    /// Expects this status and number of requests, all of them to the partition of `org`, of a host or of a client.
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
                let found = ["H#", "C#", "S#"].iter().any(|prefix| key.starts_with(prefix));
                assert!(own || found, "{operation}: {key}");
            }
        }
        let refused = usize::from(answer.status.as_u16() >= 400);
        self.met[refused].insert(operation.to_owned());
        requests
    }

    async fn call(&self, user: &User<'_>, operation: &str, with: With<'_>) -> Answer {
        let Operation { method, path, .. } = crate::harness::operations::operation(operation);
        let path = match (path.find('{'), path.find('}')) {
            (Some(from), Some(to)) => format!("{}{}{}", &path[..from], with.rest, &path[to + 1..]),
            _ => format!("{path}{}", with.rest),
        };
        self.api.proxy().take_requests();
        user.call(method.clone(), &path, with.headers, with.body).await
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
        "PutItem" => (vec![text(&body["Item"]["PK"])], false),
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
async fn every_operation_sends_the_table_as_few_requests_as_it_can_and_for_its_own_items() {
    let api = Api::counted().await;
    let mut meter = Meter {
        api: &api,
        met: Default::default(),
    };
    let none = With::default;
    let owner = api.user("org_acme", "owner");
    let member = api.user("org_acme", "member");

    // Before agency mode is enabled: the request that finds this out, and none more.
    for operation in operations_where(|operation| operation.has_problem("agency-not-enabled")) {
        let checks_dns = operation.id == "verifyPortalDomain";
        api.proxy().take_requests();
        let answer = operation.send(&owner, &Names::absent()).await;
        let expected = (403, if checks_dns { 2 } else { 1 });
        meter.check(&operation.id, "org_acme", expected, &answer);
    }
    for (operation, with) in [
        ("listClientOrgs", id("?slug=acme")),
        ("listClientOrgs", id("?slug=-")),
        ("listClientOrgs", id("?externalId=1")),
        ("createClientOrg", body(json!({"name": "Acme", "slug": "acme"}))),
        ("createPortalDomain", body(json!({"subdomain": "acme"}))),
    ] {
        let answer = meter.call(&owner, operation, with).await;
        meter.check(operation, "org_acme", (403, 1), &answer);
    }
    costs!(meter, owner, "getPortalContext", none() => 404, 1);

    costs!(meter, member, "enableAgency", none() => 403, 0);
    costs!(meter, owner, "enableAgency", none() => 200, 1);
    costs!(meter, owner, "enableAgency", none() => 200, 1);

    // What the token, the role, the query or the body decides costs nothing.
    let visitor = api.visitor();
    for operation in operations() {
        let name = operation.id.as_str();
        let absent = Names::absent();
        let nonsense = json!({"nonsense": 1});
        let (method, uri) = (operation.method.clone(), operation.uri(&absent));
        api.proxy().take_requests();
        for (applies, status, user) in [
            (operation.has_problem("missing-token"), 401, &visitor),
            (operation.has_problem("role-too-low"), 403, &member),
            (operation.has_problem("invalid-body"), 422, &owner),
        ] {
            if applies {
                let answer = user.call(method.clone(), &uri, &[], Some(nonsense.clone())).await;
                meter.check(name, "org_acme", (status, 0), &answer);
            }
        }
        if operation.is_list() {
            for query in ["?limit=0", "?cursor=x", "?cursor=", "?unknown=x"] {
                let answer = meter.call(&owner, name, id(query)).await;
                meter.check(name, "org_acme", (400, 0), &answer);
            }
        }
    }

    // The agency.
    costs!(meter, owner, "getAgencyOverview", none() => 200, 1);
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
    let client = costs!(meter, owner, "createClientOrg", with(named()) => 201, 2).json();
    costs!(meter, owner, "createClientOrg", with(named()) => 201, 2);
    costs!(meter, owner, "createClientOrg", with(json!({"name": "Beta"})) => 422, 2);
    costs!(meter, owner, "createClientOrg", body(named()) => 409, 2);
    costs!(meter, owner, "createClientOrg", body(json!({"name": "Beta"})) => 201, 2);
    costs!(meter, owner, "createClientOrg", body(json!({"name": "Beta"})) => 201, 3);
    costs!(meter, owner, "createClientOrg", body(json!({"name": "Beta"})) => 201, 4);
    let client = client["id"].as_str().unwrap();
    costs!(meter, owner, "listClientOrgs", none() => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?limit=1") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?slug=acme") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?slug=nobody") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?slug=-") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?externalId=1") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?externalId=%20") => 200, 1);
    costs!(meter, owner, "listClientOrgs", id("?name=ACME") => 200, 1);
    let page = costs!(meter, owner, "listClientOrgs", id("?name=b&limit=2") => 200, 1).json();
    let next = format!("?name=b&limit=2&cursor={}", page["nextCursor"].as_str().unwrap());
    costs!(meter, owner, "listClientOrgs", id(&next) => 200, 1);
    // An empty page does not tell whether agency mode is enabled.
    costs!(meter, owner, "listClientOrgs", id("?name=nobody") => 200, 2);
    costs!(meter, owner, "getClientOrg", id(client) => 200, 1);
    costs!(meter, owner, "getClientOrg", id(NO_CLIENT) => 404, 1);
    costs!(meter, owner, "getClientOrg", id("nothing") => 404, 1);
    let update = |rest, update: Value| With { rest, ..body(update) };
    costs!(meter, owner, "updateClientOrg", update(client, json!({"name": "New"})) => 200, 2);
    costs!(meter, owner, "updateClientOrg", update(client, json!({"slug": "new"})) => 200, 2);
    costs!(meter, owner, "updateClientOrg", update(client, json!({})) => 200, 2);
    let many: serde_json::Map<_, _> = (0..21).map(|n| (format!("k{n}"), json!("v"))).collect();
    costs!(meter, owner, "updateClientOrg", update(client, json!({"metadata": many})) => 422, 1);
    costs!(meter, owner, "updateClientOrg", update(client, json!({"suspended": true})) => 200, 2);
    costs!(meter, api.user(client, "member"), "getPortalContext", none() => 403, 1);
    costs!(meter, owner, "updateClientOrg", update(client, json!({"suspended": false})) => 200, 2);
    costs!(meter, owner, "updateClientOrg", update(client, json!({"slug": "beta"})) => 409, 2);
    costs!(meter, owner, "updateClientOrg", update(NO_CLIENT, json!({"slug": "beta"})) => 404, 1);
    for (get, put, change) in [
        (
            "getClientBranding",
            "putClientBranding",
            json!({"primaryColor": "#123456"}),
        ),
        (
            "getClientPortalConfig",
            "putClientPortalConfig",
            json!({"featureLogs": true}),
        ),
    ] {
        for (of, read, written) in [(client, (200, 1), (200, 2)), (NO_CLIENT, (404, 1), (404, 1))] {
            let answer = meter.call(&owner, get, id(of)).await;
            meter.check(get, "org_acme", read, &answer);
            let answer = meter.call(&owner, put, update(of, change.clone())).await;
            meter.check(put, "org_acme", written, &answer);
        }
        let with = With {
            headers: &stale,
            ..update(client, json!({}))
        };
        let answer = meter.call(&owner, put, with).await;
        meter.check(put, "org_acme", (412, 1), &answer);
    }

    // The pages behind the first one.
    for operation in ["listClientOrgs", "listAuditEntries"] {
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
    costs!(meter, owner, "getPortalDomain", id(NO_DOMAIN) => 404, 1);
    costs!(meter, owner, "verifyPortalDomain", id(NO_DOMAIN) => 404, 2);
    let give = |client: &str| json!({"clientOrgId": client});
    costs!(meter, owner, "updatePortalDomain", update(domain_id, give(client)) => 200, 2);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, json!({"clientOrgId": null})) => 200, 2);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, json!({})) => 200, 2);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, give(NO_CLIENT)) => 422, 1);
    costs!(meter, owner, "updatePortalDomain", update(NO_DOMAIN, give(client)) => 404, 1);
    // Two more, for the agency's own limit.
    costs!(meter, owner, "verifyPortalDomain", id(label) => 200, 3);
    costs!(meter, owner, "verifyPortalDomain", id(label) => 429, 1);
    api.dns.set_zone(&cname(&domain)).unwrap();
    let checked = costs!(meter, owner, "verifyPortalDomain", id(domain_id) => 200, 6);
    assert_eq!(checked.json()["status"], "verified");
    costs!(meter, owner, "verifyPortalDomain", id(domain_id) => 429, 1);

    // Its setup link: one request for the link, and one for the domain and its branding.
    let other = json!({"customDomain": "other.acme.com"});
    let other = costs!(meter, owner, "createPortalDomain", body(other) => 201, 1).json();
    let link = meter
        .call(
            &owner,
            "createSetupLink",
            update(other["id"].as_str().unwrap(), json!({})),
        )
        .await;
    api.proxy().take_requests();
    let other = format!("{}/verify", setup_token(&link.json()));
    let answer = visitor.post(&format!("/portal/setup/{other}"), Value::Null).await;
    meter.check("verifySetup", "org_acme", (200, 4), &answer);
    let link = costs!(meter, owner, "createSetupLink", update(domain_id, json!({})) => 201, 2).json();
    let token = setup_token(&link);
    costs!(meter, visitor, "getSetup", id(token) => 200, 2);
    costs!(meter, visitor, "getSetupStyle", id(token) => 200, 2);
    let records = format!("{token}/records?format=text");
    for (rest, status, requests) in [(&*records, 200, 2), ("guess/records?format=text", 404, 0)] {
        let answer = visitor.get(&format!("/portal/setup/{rest}")).await;
        meter.check("getSetupRecords", "org_acme", (status, requests), &answer);
    }
    costs!(meter, visitor, "verifySetup", id(token) => 429, 3);
    for operation in ["getSetup", "getSetupStyle", "verifySetup"] {
        let answer = meter.call(&visitor, operation, id("guess")).await;
        meter.check(operation, "org_acme", (404, 0), &answer);
    }
    costs!(meter, owner, "deleteSetupLink", id(domain_id) => 204, 2);
    costs!(meter, owner, "deleteSetupLink", id(domain_id) => 204, 1);
    costs!(meter, visitor, "getSetup", id(token) => 404, 1);
    costs!(meter, owner, "createSetupLink", update(NO_DOMAIN, json!({})) => 404, 1);
    costs!(meter, owner, "deleteSetupLink", id(NO_DOMAIN) => 404, 1);

    // The portal.
    costs!(meter, owner, "getAgencyOverview", none() => 200, 1);
    costs!(meter, owner, "getPortalContext", none() => 200, 1);
    costs!(meter, api.user(client, "member"), "getPortalContext", none() => 200, 2);
    costs!(meter, api.user(NO_CLIENT, "member"), "getPortalContext", none() => 404, 1);
    // One more, for the host.
    let user = api.user(client, "member");
    costs!(meter, owner, "getPortalContext", id("?host=portal.acme.com") => 200, 2);
    costs!(meter, user, "getPortalContext", id("?host=portal.acme.com") => 200, 3);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, give(client)) => 200, 2);
    costs!(meter, owner, "getPortalContext", id("?host=portal.acme.com") => 200, 2);
    costs!(meter, user, "getPortalContext", id("?host=portal.acme.com") => 200, 3);
    costs!(meter, user, "getPortalContext", none() => 200, 2);
    costs!(meter, owner, "getPortalContext", id("?host=other.acme.com") => 404, 1);
    costs!(meter, owner, "getPortalContext", id("?host=") => 400, 0);
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
    let to = json!({"redirectTo": domain_id});
    costs!(meter, owner, "updatePortalDomain", update(domain_id, json!({"clientOrgId": null})) => 200, 2);
    costs!(meter, owner, "updatePortalDomain", update(label, to.clone()) => 200, 2);
    costs!(meter, owner, "updatePortalDomain", update(label, json!({"primary": true})) => 200, 3);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, json!({"primary": true})) => 200, 4);
    costs!(meter, owner, "updatePortalDomain", update(domain_id, to) => 422, 1);
    costs!(meter, owner, "deletePortalDomain", id(domain_id) => 409, 1);
    costs!(meter, visitor, "redirectHost", id("?host=acme.portal.localhost") => 308, 2);
    costs!(meter, visitor, "redirectHost", id("?host=portal.acme.com") => 404, 1);
    costs!(meter, visitor, "redirectHost", id("?host=other.acme.com") => 404, 1);
    costs!(meter, visitor, "redirectHost", id("?host=-") => 404, 0);
    costs!(meter, visitor, "redirectHost", id("") => 400, 0);
    costs!(meter, visitor, "checkTls", id("?domain=portal.acme.com") => 200, 1);
    costs!(meter, visitor, "checkTls", id("?domain=other.acme.com") => 404, 1);
    costs!(meter, visitor, "checkTls", id("?domain=-") => 404, 0);
    costs!(meter, visitor, "checkTls", id("") => 400, 0);
    costs!(meter, visitor, "getHealth", none() => 200, 0);
    costs!(meter, visitor, "getOpenapi", none() => 200, 0);
    costs!(meter, visitor, "getOpenapi30", none() => 200, 0);

    // A user of a client organization has no agency.
    let stranger = api.user(client, "owner");
    for operation in operations_where(|operation| operation.in_agency()) {
        api.proxy().take_requests();
        let answer = operation.send(&stranger, &Names::absent()).await;
        meter.check(&operation.id, "org_acme", (403, 0), &answer);
    }

    // The ends.
    costs!(meter, owner, "deletePortalDomain", id(label) => 204, 2);
    costs!(meter, owner, "deletePortalDomain", id(domain_id) => 204, 2);
    costs!(meter, owner, "deletePortalDomain", id(domain_id) => 404, 1);
    costs!(meter, owner, "deleteClientOrg", id(client) => 204, 2);
    costs!(meter, owner, "deleteClientOrg", id(client) => 404, 1);

    let [succeeded, refused] = meter.met;
    let all: BTreeSet<_> = operations()
        .iter()
        .map(|operation| operation.id.clone())
        .collect();
    assert_eq!(succeeded, all);
    let can_be_refused = operations_where(|operation| !operation.problems.is_empty());
    let can_be_refused: BTreeSet<_> = can_be_refused
        .iter()
        .map(|operation| operation.id.clone())
        .collect();
    assert_eq!(refused, can_be_refused);
}

#[tokio::test]
async fn the_overview_costs_the_same_for_any_number_of_clients() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let mut overviews = Vec::new();
    for count in [0, 40] {
        join_all((0..count).map(|index| owner.client(["One", "Two"][index % 2]))).await;
        api.proxy().take_requests();
        let overview = owner.overview().await;
        assert_eq!(overview["clientCount"], count);
        overviews.push(api.proxy().take_requests());
    }
    let [first, second] = overviews.try_into().unwrap();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].body, second[0].body);
    // The agency, the counters and a domain are read at most, and none of them is a client's.
    assert_eq!(first[0].body["Limit"], 2 + u64::from(CLIENT_SHARDS));
    let bounds = &first[0].body["ExpressionAttributeValues"];
    let (from, to) = (
        bounds[":from"]["S"].as_str().unwrap(),
        bounds[":to"]["S"].as_str().unwrap(),
    );
    assert!(from < to && to < "CLIENT#");
}

/// Only a new proof needs to know the holder of the name.
#[tokio::test]
async fn a_check_reads_the_holder_of_the_name_only_if_its_domain_is_proven() {
    let api = Api::build(System::builder().at(START).counted()).await;
    let agencies = [api.agency("org_holder").await, api.agency("org_newcomer").await];
    let holder = agencies[0].custom_domain("portal.acme.test").await;
    let count = async |domain: &Value| {
        api.proxy().take_counts();
        api.verify(domain).await;
        api.proxy().take_counts().values().sum::<usize>()
    };
    assert_eq!(count(&holder).await, 4, "a miss");
    api.dns.set_zone(&cname(&holder)).unwrap();
    assert_eq!(count(&holder).await, 6, "a first proof, and its certificate");
    assert_eq!(count(&holder).await, 4, "a renewal");
    let newcomer = agencies[1].custom_domain("portal.acme.test").await;
    let both = [txt(&holder), txt(&newcomer)].concat();
    api.dns.set_zone(&both).unwrap();
    assert_eq!(count(&newcomer).await, 6, "a name that is held");
    // The token in the CNAME might be that of another domain of the newcomer.
    let both = [cname(&holder), txt(&newcomer)].concat();
    api.dns.set_zone(&both).unwrap();
    assert_eq!(count(&newcomer).await, 7, "and one more for the token");
    api.dns.set_zone(&cname(&newcomer)).unwrap();
    assert_eq!(count(&newcomer).await, 7, "a move, and its certificate");
}
