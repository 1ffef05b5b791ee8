//! The function `hosts`: the list of all hosts that are served, for edges that poll.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};
use shared::{
    models::{
        domain::Domain,
        hostname::Hostname,
        id::{DomainId, OrgId},
        time::Timestamp,
    },
    store::{Cursor, DomainRecord, PageRequest},
};

use crate::harness::{Api, CLIENTS, DAY, DOMAINS, START, User, cname, id, logs::Lines, path, property, txt};

const NAME: &str = "portal.acme.test";

/// A system whose clock stands still, with a proxy in front of the table.
async fn counted() -> Api {
    Api::build(System::builder().at(START).counted()).await
}

fn names(hosts: &[Value]) -> Vec<&str> {
    hosts
        .iter()
        .filter_map(|host| host["hostname"].as_str())
        .collect()
}

/// The status and the routing of the one host, or `None` if there is none.
async fn listed(api: &Api) -> Option<(String, String)> {
    let hosts = api.hosts(10).await;
    assert!(hosts.len() < 2, "{hosts:?}");
    let text = |host: &Value, name: &str| host[name].as_str().unwrap().to_owned();
    let host = hosts.first()?;
    assert_eq!(host["hostname"], NAME);
    Some((text(host, "status"), text(host, "routing")))
}

fn serving(status: &str, routing: &str) -> Option<(String, String)> {
    Some((status.to_owned(), routing.to_owned()))
}

/// The entries of the index, with all that it has.
async fn entries(api: &Api) -> Vec<HashMap<String, AttributeValue>> {
    let scan = api.client.scan().table_name(api.table()).index_name("hosts");
    scan.send().await.unwrap().items.unwrap()
}

/// Writes the item of a new subdomain, without the API.
async fn put(api: &Api, org: &str, hostname: &str) {
    let now = Timestamp::from_millis(START);
    let org: OrgId = org.parse().unwrap();
    let hostname: Hostname = hostname.parse().unwrap();
    let domain = Domain::subdomain(DomainId::new(now), org, hostname, now);
    let item = DomainRecord::new(domain).item().unwrap();
    let put = api.client.put_item().table_name(api.table());
    put.set_item(Some(item)).send().await.unwrap();
}

async fn client_domain(owner: &User<'_>, client: &Value, label: &str) -> Value {
    let body = json!({"subdomain": label, "clientOrgId": id(client)});
    owner.post(DOMAINS, body).await.expect(201)
}

#[tokio::test]
async fn pages_have_the_hosts_of_all_agencies_and_clients_by_name_and_each_is_one_query() {
    let api = counted().await;
    let (a, b) = (api.agency("org_a").await, api.agency("org_b").await);
    let client = a.client("Globex").await;
    for (owner, label) in [(&b, "bravo"), (&a, "zeta"), (&a, "a-b"), (&b, "ab")] {
        owner.subdomain(label).await;
    }
    client_domain(&a, &client, "globex").await;
    let expected = ["a-b", "ab", "bravo", "globex", "zeta"].map(|label| format!("{label}.portal.localhost"));
    for limit in 1..=6 {
        // What is not served does not count, however much there is.
        a.custom_domain(&format!("claim{limit}.acme.test")).await;
        api.proxy().take_requests();
        let hosts = api.hosts(limit).await;
        assert_eq!(names(&hosts), expected);
        let requests = api.proxy().take_requests();
        assert_eq!(requests.len(), 5_usize.div_ceil(limit.into()), "of limit {limit}");
        for request in requests {
            assert_eq!((&*request.action, request.index()), ("Query", Some("hosts")));
            assert_eq!(request.body["Limit"], limit + 1);
        }
    }
    let globex = &api.hosts(10).await[3];
    assert_eq!(
        *globex,
        json!({
            "hostname": "globex.portal.localhost",
            "clientOrgId": client["id"],
            "status": "verified",
            "routing": "routed",
        })
    );
    assert_eq!(api.hosts(10).await[4]["clientOrgId"], Value::Null);
}

#[tokio::test]
async fn an_empty_list_is_one_page() {
    let api = Api::start().await;
    let page = api.list_hosts(json!({})).await;
    assert_eq!(page, Ok(json!({"items": [], "nextCursor": null})));
}

#[tokio::test]
async fn a_page_has_a_thousand_hosts_by_default_and_is_one_query_also_with_the_longest_names() {
    let api = counted().await;
    let (org, label) = ("o".repeat(64), "x".repeat(63));
    let count = usize::from(PageRequest::MAX) + 1;
    for index in 0..count {
        let name = format!("{index:0>60}.{label}.{label}.{label}");
        assert_eq!(name.len(), 252);
        put(&api, &org, &name).await;
    }
    api.proxy().take_requests();
    let page = api.list_hosts(json!({})).await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), count - 1);
    assert!(page["nextCursor"].as_str().unwrap().len() <= 512);
    let next = property("cursor", page["nextCursor"].clone());
    let last = api.list_hosts(next).await.unwrap();
    assert_eq!(last["items"].as_array().unwrap().len(), 1);
    assert_eq!(last["nextCursor"], Value::Null);
    assert_eq!(api.proxy().take_counts()["Query"], 2);
}

#[tokio::test]
async fn a_host_is_in_the_list_from_its_proof_until_its_domain_fails_or_is_deleted() {
    let api = counted().await;
    let owner = api.agency("org_a").await;
    let domain = owner.custom_domain(NAME).await;
    assert_eq!(listed(&api).await, None, "pending");
    assert!(entries(&api).await.is_empty());
    let check = async |zone: &str| {
        api.dns.set_zone(zone).unwrap();
        api.sweep_when_due(&domain).await["status"].clone()
    };
    assert_eq!(check(&txt(&domain)).await, "verified");
    assert_eq!(listed(&api).await, serving("verified", "elsewhere"));
    assert_eq!(check(&cname(&domain)).await, "verified");
    assert_eq!(listed(&api).await, serving("verified", "routed"));
    assert_eq!(check("").await, "failing");
    let (status, _) = listed(&api).await.unwrap();
    assert_eq!(status, "failing");
    while api.sweep_when_due(&domain).await["status"] == "failing" {}
    assert_eq!(api.now(&domain).await["status"], "failed");
    assert_eq!(listed(&api).await, None, "failed");
    assert!(entries(&api).await.is_empty());
    assert_eq!(check(&cname(&domain)).await, "verified");
    assert_eq!(listed(&api).await, serving("verified", "routed"));
    api.owner_of(&domain).remove(&domain).await;
    assert_eq!(listed(&api).await, None, "deleted");
}

#[tokio::test]
async fn a_host_that_moves_is_in_the_list_once_with_its_new_client() {
    let api = counted().await;
    let holder = api.agency("org_holder").await.custom_domain(NAME).await;
    let owner = api.agency("org_newcomer").await;
    let client = owner.client("Globex").await;
    let body = json!({"customDomain": NAME, "clientOrgId": id(&client)});
    let newcomer = owner.post(DOMAINS, body).await.expect(201);
    api.dns.set_zone(&cname(&holder)).unwrap();
    assert_eq!(api.verify(&holder).await["status"], "verified");
    assert_eq!(api.hosts(10).await[0]["clientOrgId"], Value::Null);
    // A record of the newcomer moves the name at once.
    api.dns.set_zone(&cname(&newcomer)).unwrap();
    assert_eq!(api.verify(&newcomer).await["status"], "verified");
    let hosts = api.hosts(10).await;
    assert_eq!((hosts.len(), &hosts[0]["clientOrgId"]), (1, &client["id"]));
    assert_eq!(entries(&api).await.len(), 1);

    for client in [&Value::Null, &client["id"]] {
        let body = json!({"clientOrgId": client});
        owner.patch(&path(&newcomer), body).await.expect(200);
        let hosts = api.hosts(10).await;
        assert_eq!((hosts.len(), &hosts[0]["clientOrgId"]), (1, client));
    }
}

#[tokio::test]
async fn a_check_that_renews_changes_the_domain_and_not_its_entry() {
    let api = counted().await;
    let owner = api.agency("org_a").await;
    let domain = owner.verified_domain(NAME).await;
    let sk = format!("DOMAIN#{}", id(&domain));
    let before = (api.items("org_a", &sk).await, entries(&api).await);
    api.advance(2 * DAY);
    assert_eq!(api.reverify().await.verified, 1);
    let owner = api.owner_of(&domain);
    owner
        .patch(&path(&domain), property("primary", true))
        .await
        .expect(200);
    let after = (api.items("org_a", &sk).await, entries(&api).await);
    assert_ne!(after.0, before.0);
    assert_eq!(after.1, before.1);
    let mut attributes: Vec<_> = after.1[0].keys().map(String::as_str).collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HOST", "HOSTS", "PK", "SK", "routing", "status"]);
}

#[tokio::test]
async fn a_name_with_two_entries_is_in_the_list_once() {
    let api = Api::stopped().await;
    for (org, label) in [
        ("org_a", "one"),
        ("org_b", "one"),
        ("org_a", "two"),
        ("org_b", "two"),
    ] {
        put(&api, org, &format!("{label}.portal.localhost")).await;
    }
    assert_eq!(entries(&api).await.len(), 4);
    for limit in 1..=5 {
        let hosts = api.hosts(limit).await;
        assert_eq!(
            names(&hosts),
            ["one.portal.localhost", "two.portal.localhost"],
            "{limit}"
        );
    }
}

#[tokio::test]
async fn a_page_that_dynamodb_ends_early_is_short_and_not_the_last() {
    let api = counted().await;
    let owner = api.agency("org_a").await;
    for label in ["one", "two", "six"] {
        owner.subdomain(label).await;
    }
    for rows in 1..3 {
        api.inject(Fault::end_page(rows));
        let page = api.list_hosts(json!({})).await.unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), rows);
        let rest = api
            .list_hosts(property("cursor", page["nextCursor"].clone()))
            .await;
        let rest = rest.unwrap();
        assert_eq!(rest["items"].as_array().unwrap().len(), 3 - rows);
        assert_eq!(rest["nextCursor"], Value::Null);
    }
}

#[tokio::test]
async fn a_cursor_of_something_else_is_an_error_and_no_request_to_the_table() {
    let api = counted().await;
    let owner = api.agency("org_a").await;
    for name in ["One", "Two"] {
        owner.client(name).await;
        owner.subdomain(&name.to_lowercase()).await;
    }
    let first = api.list_hosts(json!({"limit": 1})).await.unwrap();
    let real = first["nextCursor"].as_str().unwrap();
    let of_list = owner.get(&format!("{CLIENTS}?limit=1")).await.expect(200);
    let of_domains = owner.get(&format!("{DOMAINS}?limit=1")).await.expect(200);
    api.proxy().take_requests();
    let refused = async |cursor: &str| {
        let answer = api.list_hosts(json!({ "cursor": cursor })).await;
        let message = "invalid-cursor: The cursor does not belong to this list.";
        assert_eq!(answer, Err(message.to_owned()), "{cursor}");
    };
    for cursor in [
        "",
        "planted-cursor",
        of_list["nextCursor"].as_str().unwrap(),
        of_domains["nextCursor"].as_str().unwrap(),
        &real[1..],
        &format!("{real}A"),
        &format!("{real}="),
        &real.to_uppercase(),
        &"A".repeat(513),
        &"A".repeat(100_000),
        &Cursor::encode("other", "one.portal.localhost"),
        // A caller can compute the checksum.
        &Cursor::encode("hosts", ""),
        &Cursor::encode("hosts", "-"),
        &Cursor::encode("hosts", "\u{10FFFF}"),
        &Cursor::encode("hosts", &"a.".repeat(128)),
    ] {
        refused(cursor).await;
    }
    let domains = owner.get(&format!("{DOMAINS}?cursor={real}")).await;
    domains.problem(400, "invalid-cursor");
    assert_eq!(api.proxy().count(), 0);

    // The host after which a page begins need not be served any more.
    let gone = Cursor::encode("hosts", "p.portal.localhost");
    let rest = api.list_hosts(property("cursor", gone)).await.unwrap();
    assert_eq!(names(rest["items"].as_array().unwrap()), ["two.portal.localhost"]);
}

#[tokio::test]
async fn an_event_that_is_refused_makes_no_request_and_is_not_in_the_log() {
    let api = counted().await;
    let lines = Lines::collect();
    for event in [
        json!(["planted-event"]),
        json!({"limit": "planted-limit"}),
        json!({"limit": 1001}),
        json!({"cursor": ["planted-cursor"]}),
        json!({"planted-name": 1}),
    ] {
        let message = api.list_hosts(event).await.unwrap_err();
        assert!(message.starts_with("invalid-event: "), "{message}");
    }
    assert_eq!(api.proxy().count(), 0);
    let lines = lines.end();
    let logged = lines.iter().filter(|line| line["message"] == "hosts not listed");
    assert_eq!(logged.filter(|line| line["code"] == "invalid-event").count(), 5);
}

#[tokio::test]
async fn an_entry_with_values_of_a_later_version_is_in_the_list_as_it_is() {
    let api = Api::stopped().await;
    let owner = api.agency("org_a").await;
    let domain = owner.subdomain("one").await;
    owner.subdomain("two").await;
    let sk = format!("DOMAIN#{}", id(&domain));
    for (name, value) in [
        ("clientOrgId", "sub/7"),
        ("status", "paused"),
        ("routing", "sideways"),
    ] {
        let value = AttributeValue::S(value.to_owned());
        api.set_attribute("org_a", &sk, name, value).await;
    }
    let hosts = api.hosts(10).await;
    assert_eq!(names(&hosts), ["one.portal.localhost", "two.portal.localhost"]);
    assert_eq!(
        hosts[0],
        json!({
            "hostname": "one.portal.localhost",
            "clientOrgId": "sub/7",
            "status": "paused",
            "routing": "sideways",
        })
    );
}

#[tokio::test]
async fn a_fault_of_the_table_and_an_unreadable_entry_are_errors_with_their_cause_in_the_log() {
    let api = counted().await;
    let domain = api.agency("org_a").await.subdomain("one").await;
    api.inject(Fault::internal_error().times(2));
    assert_eq!(api.hosts(10).await.len(), 1, "the SDK tries again");
    api.inject(Fault::internal_error().times(4));
    let lines = Lines::collect();
    let unavailable = api.list_hosts(json!({})).await.unwrap_err();
    assert_eq!(
        unavailable,
        "unavailable: The service is temporarily unavailable. Try again."
    );
    api.assert_faults_met();
    let sk = format!("DOMAIN#{}", id(&domain));
    let other = AttributeValue::S("one_portal".to_owned());
    api.set_attribute("org_a", &sk, "HOST", other).await;
    let internal = api.list_hosts(json!({})).await.unwrap_err();
    assert_eq!(internal, "internal: The server had an internal error.");
    let lines = lines.end();
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    let [first, second] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(first["message"], "DynamoDB is unavailable");
    let cause = second["error"].as_str().unwrap();
    assert!(cause.contains("one_portal"), "{cause}");
}
