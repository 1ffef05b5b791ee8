//! Writes that conflict with others, and writes whose responses are lost: each takes effect once or not at all.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use http::Method;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};
use shared::models::time::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::harness::{
    Answer, Api, BRANDING, CLIENTS, DOMAINS, START, User, cname, id,
    operations::{Names, Operation, operations_where},
    path, property,
};

const TRANSACTION: &str = "TransactWriteItems";
const HOUR_MS: i64 = 3_600_000;

/// A write: an operation, and how it differs from the document's example.
#[derive(Clone, Debug)]
struct Write {
    operation: &'static Operation,
    body: Option<Value>,
    key: bool,
    /// Of a subdomain rather than of a custom domain.
    subdomain: bool,
}

/// Every write, in all its kinds.
fn writes() -> Vec<Write> {
    let mut writes = Vec::new();
    for operation in operations_where(|operation| !operation.reads() && !operation.public) {
        let write = Write {
            operation,
            body: operation.body.clone(),
            key: false,
            subdomain: false,
        };
        let name = || write.body.as_ref().unwrap()["name"].clone();
        match operation.id.as_str() {
            "createPortalDomain" | "deletePortalDomain" => writes.push(Write {
                subdomain: true,
                ..write.clone()
            }),
            "updateClientOrg" => {
                let more = json!({"externalId": "one", "suspended": true});
                for body in [property("name", name()), more] {
                    writes.push(Write {
                        body: Some(body),
                        ..write.clone()
                    });
                }
            }
            _ => {}
        }
        if operation.takes("header", "idempotency-key") {
            writes.push(Write {
                key: true,
                ..write.clone()
            });
        }
        writes.push(write);
    }
    assert!(writes.len() > 12);
    writes
}

/// An unused label.
fn label() -> String {
    format!("x{}", Uuid::new_v4().simple())
}

impl Write {
    /// A new agency that can do the write, and the resources that it names.
    async fn prepare<'a>(&self, api: &'a Api) -> (User<'a>, Names) {
        let label = label();
        let owner = api.user(&format!("org_{label}"), "owner");
        let mut names = Names::absent();
        if !self.operation.has_problem("agency-not-enabled") {
            return (owner, names);
        }
        owner.post("/agency/enable", Value::Null).await.expect(200);
        if self.operation.names_a_resource() {
            let domain = match self.subdomain {
                true => owner.subdomain(&label).await,
                false => owner.custom_domain(&format!("{label}.acme.com")).await,
            };
            if !self.subdomain {
                api.dns.set_zone(&cname(&domain)).unwrap();
            }
            names.domain = id(&domain).to_owned();
            names.client = id(&owner.client("Old").await).to_owned();
            if self.operation.id == "deleteSetupLink" {
                let link = self.operation.uri(&names);
                owner.post(&link, json!({})).await.expect(201);
            }
        }
        (owner, names)
    }

    async fn perform(&self, user: &User<'_>, names: &Names) -> Answer {
        let (method, uri) = (self.operation.method.clone(), self.operation.uri(names));
        let headers: &[_] = if self.key {
            &[("idempotency-key", "key")]
        } else {
            &[]
        };
        let body = match self.subdomain && self.body.is_some() {
            true => Some(property("subdomain", label())),
            false => self.body.clone(),
        };
        user.call(method, &uri, headers, body).await
    }

    /// What it adds to the numbers of clients, domains and audit entries.
    fn effect(&self) -> Numbers {
        let change = match &self.operation.method {
            _ if self.is_of_a_setup_link() => 0,
            &Method::DELETE => -1,
            _ => i64::from(self.operation.creates()),
        };
        let of = |path| i64::from(self.operation.path.starts_with(path)) * change;
        (of(CLIENTS), of(DOMAINS), 1)
    }

    fn is_of_a_setup_link(&self) -> bool {
        self.operation.path.ends_with("/setup-link")
    }

    /// Whether it reads before it writes.
    fn reads_first(&self) -> bool {
        let checks_dns = self.operation.path.ends_with("/verify");
        let names_what_it_changes = matches!(self.operation.method.as_str(), "PUT" | "PATCH" | "DELETE");
        names_what_it_changes && !checks_dns
    }

    /// Performs it with these faults: it succeeds, and has one effect.
    async fn assert_survives(&self, api: &Api, faults: impl IntoIterator<Item = Fault>) {
        let (owner, names) = self.prepare(api).await;
        let before = numbers(&owner).await;
        let faults: Vec<_> = faults.into_iter().collect();
        let what = format!("{} {faults:?}", self.operation.id);
        faults.into_iter().for_each(|fault| api.inject(fault));
        let answer = self.perform(&owner, &names).await;
        assert_eq!(
            answer.status.as_u16(),
            self.operation.success,
            "{what}: {answer:?}"
        );
        assert!(!answer.is_replay(), "{what}");
        api.assert_faults_met();
        let effect = self.effect();
        let after = (before.0 + effect.0, before.1 + effect.1, before.2 + effect.2);
        assert_eq!(numbers(&owner).await, after, "{what}");
        let newest = owner.audit().await.swap_remove(0);
        assert_eq!(
            newest["requestId"].as_str(),
            answer.header("x-request-id"),
            "{what}"
        );
        self.assert_readable(&owner, &names, &answer).await;
    }

    /// What the response says can be read.
    async fn assert_readable(&self, owner: &User<'_>, names: &Names, answer: &Answer) {
        let uri = self.operation.uri(names);
        match self.operation.method {
            // The API shows it once.
            _ if self.is_of_a_setup_link() => {}
            Method::DELETE => drop(owner.get(&uri).await.problem(404, "not-found")),
            Method::POST => {
                let location = answer.header("location");
                let path = location.or(uri.strip_suffix("/verify"));
                match path {
                    Some(path) => assert_eq!(owner.get(path).await.json(), answer.json()),
                    None => drop(owner.get("/agency/overview").await.expect(200)),
                }
            }
            _ => {
                let read = owner.get(&uri).await;
                assert_eq!(read.json(), answer.json());
                assert_eq!(read.header("etag"), answer.header("etag"));
            }
        }
        if let Some(slug) = answer
            .text
            .contains("slug")
            .then(|| answer.json()["slug"].clone())
        {
            let found = owner.by_slug(slug.as_str().unwrap()).await;
            assert_eq!(found, json!([answer.json()]));
        }
    }
}

/// The numbers of clients, domains and audit entries. The first two are counted twice, by the overview and here.
type Numbers = (i64, i64, i64);

async fn numbers(owner: &User<'_>) -> Numbers {
    let overview = owner.get("/agency/overview").await;
    if overview.status == 403 {
        return (0, 0, 0);
    }
    let overview = overview.json();
    let clients = owner.list(CLIENTS).await;
    let suspended = clients.iter().filter(|client| !client["suspendedAt"].is_null());
    assert_eq!(overview["suspendedClientCount"], suspended.count());
    let (clients, domains) = (clients.len(), owner.list(DOMAINS).await.len());
    assert_eq!(overview["clientCount"], clients);
    let counts = overview["portalDomains"].as_object().unwrap();
    let statuses = ["verified", "pending", "failing", "failed"];
    let sum: u64 = statuses
        .iter()
        .map(|status| counts[*status].as_u64().unwrap())
        .sum();
    assert_eq!((&counts["total"], sum), (&json!(domains), domains as u64));
    (clients as i64, domains as i64, owner.audit().await.len() as i64)
}

#[tokio::test]
async fn a_write_that_conflicts_with_others_is_retried_and_has_one_effect() {
    let api = Api::counted().await;
    for write in writes() {
        for times in [1, 3] {
            let fault = Fault::conflict().on(TRANSACTION).times(times);
            write.assert_survives(&api, [fault]).await;
        }
        if write.operation.path.ends_with("/verify") {
            for action in ["UpdateItem", "PutItem"] {
                let fault = Fault::conflict().on(action).times(2);
                write.assert_survives(&api, [fault]).await;
            }
        }
    }
}

#[tokio::test]
async fn a_write_whose_response_is_lost_succeeds_with_one_effect() {
    let api = Api::counted().await;
    for write in writes() {
        let lost = || Fault::lose_answer().on(TRANSACTION);
        write.assert_survives(&api, [lost()]).await;
        write.assert_survives(&api, [lost().times(2)]).await;
        // The retry is a request of its own, so that the table cannot recognize it.
        let conflict = Fault::conflict().on(TRANSACTION);
        write.assert_survives(&api, [lost(), conflict]).await;
        if write.reads_first() {
            let lost = Fault::lose_answer().when(|action, _| action != TRANSACTION);
            write.assert_survives(&api, [lost]).await;
        }
        if write.operation.path.ends_with("/verify") {
            for action in ["UpdateItem", "PutItem"] {
                let lost = Fault::lose_answer().on(action);
                write.assert_survives(&api, [lost]).await;
            }
        }
        if write.operation.method == Method::DELETE && !write.is_of_a_setup_link() {
            // The next one is told that there is nothing any more.
            let (owner, names) = write.prepare(&api).await;
            api.inject(lost());
            write.perform(&owner, &names).await.expect(204);
            write.perform(&owner, &names).await.problem(404, "not-found");
        }
    }
}

#[tokio::test]
async fn a_write_survives_a_lost_request_a_throttled_one_and_an_internal_error() {
    let api = Api::counted().await;
    for write in writes() {
        for fault in [Fault::lose_request(), Fault::throttle(), Fault::internal_error()] {
            write.assert_survives(&api, [fault.on(TRANSACTION)]).await;
        }
        if write.reads_first() {
            let fault = Fault::throttle().when(|action, _| action != TRANSACTION);
            write.assert_survives(&api, [fault]).await;
        }
    }
}

#[tokio::test]
async fn a_write_that_never_succeeds_is_503_in_time_and_changes_nothing() {
    let faults: [fn() -> Fault; 2] = [Fault::conflict, Fault::internal_error];
    for write in writes() {
        for fault in faults {
            let api = Api::build(
                System::builder()
                    .counted()
                    .retry_budget(Duration::from_millis(30)),
            )
            .await;
            let (owner, names) = write.prepare(&api).await;
            let before = numbers(&owner).await;
            api.inject(fault().on(TRANSACTION).times(100_000));
            let since = Instant::now();
            let answer = write.perform(&owner, &names).await;
            let problem = answer.problem(503, "unavailable");
            assert!(since.elapsed() < Duration::from_secs(5), "{write:?}");
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 1);
            assert!(!problem.to_string().contains("onflict"), "{problem}");
            assert_eq!(numbers(&owner).await, before, "{write:?}");
        }
    }
}

/// A machine's clock may be behind that of the machine that wrote before.
#[tokio::test]
async fn a_write_is_later_than_the_write_that_it_replaces() {
    for write in writes() {
        let replaces = write.operation.names_a_resource() || write.operation.method == Method::PUT;
        if !replaces {
            continue;
        }
        let api = Api::build(System::builder().at(START + HOUR_MS)).await;
        let (owner, names) = write.prepare(&api).await;
        let before = owner.audit().await;
        let org = owner.overview().await["organizationId"].clone();
        api.set_clock(START);
        let owner = api.user(org.as_str().unwrap(), "owner");
        let answer = write.perform(&owner, &names).await;
        assert_eq!(answer.status.as_u16(), write.operation.success, "{answer:?}");
        let audit = owner.audit().await;
        assert_eq!(audit[1..], before, "{write:?}");
        assert_eq!(audit[0]["requestId"].as_str(), answer.header("x-request-id"));
        let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(time(&audit[0]["at"]).millis() >= START + HOUR_MS, "{write:?}");
        if write.operation.success == 200 {
            let updated = time(&answer.json()["updatedAt"]);
            assert!(updated.millis() >= START + HOUR_MS, "{answer:?}");
        }
    }
}

/// A process reads the clock anew in each attempt, because another process may have written since the first one.
#[tokio::test]
async fn a_write_that_is_tried_again_is_later_than_that_of_another_process_in_the_same_second() {
    let slow = Api::build(System::builder().at(START).counted()).await;
    let fast = Api::build(System::builder().at(START).set("TABLE_NAME", slow.table())).await;
    let fast_owner = fast.agency("org_acme").await;
    let slow_owner = slow.user("org_acme", "owner");
    let client = fast_owner.client("Old").await;
    let other_client = fast_owner.client("Other").await;
    let domain = fast_owner.custom_domain("portal.acme.com").await;
    let writes = [
        (
            Method::PATCH,
            path(&client),
            ["Fast", "Slow"].map(|name| json!({"name": name})),
        ),
        (
            Method::PATCH,
            path(&domain),
            [&client, &other_client].map(|client| json!({"clientOrgId": id(client)})),
        ),
        (
            Method::PUT,
            BRANDING.to_owned(),
            ["Fast", "Slow"].map(|name| json!({"portalName": name})),
        ),
    ];
    for (second, (method, uri, [first, last])) in (1..).zip(writes) {
        let start = START + second * 1000;
        slow.set_clock(start + 100);
        fast.set_clock(start + 400);
        let conflict = Arc::new(Notify::new());
        let at_conflict = {
            let conflict = conflict.clone();
            move |_: &str, _: &Value| {
                conflict.notify_one();
                true
            }
        };
        slow.inject(Fault::conflict().on(TRANSACTION).when(at_conflict));
        let mut slow_write = pin!(slow_owner.call(method.clone(), &uri, &[], Some(last)));
        tokio::select! {
            answer = &mut slow_write => panic!("no transaction: {answer:?}"),
            () = conflict.notified() => {}
        }
        let fast_answer = fast_owner.call(method, &uri, &[], Some(first)).await;
        slow.set_clock(start + 500);
        let slow_answer = slow_write.await;
        for answer in [&slow_answer, &fast_answer] {
            assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
        }
        // Entries are in the order of their IDs, which have the time in milliseconds. Other times are in seconds.
        let audit = fast_owner.audit().await;
        let requests = [&audit[0]["requestId"], &audit[1]["requestId"]].map(Value::as_str);
        let expected = [&slow_answer, &fast_answer].map(|answer| answer.header("x-request-id"));
        assert_eq!(requests, expected, "{uri}");
    }
}

/// The network can delay an attempt until its conditions hold again. So the response must not say that the write did not take
/// effect.
#[tokio::test]
async fn a_refusal_after_an_attempt_without_a_response_is_503() {
    let limits = [("MAX_CLIENTS", "2"), ("MAX_DOMAINS", "2")];
    let named = |name: &str| json!({"name": name});
    for (method, list, body, code) in [
        (
            Method::POST,
            CLIENTS,
            json!({"name": "Late", "slug": "taken"}),
            "slug-taken",
        ),
        (Method::POST, CLIENTS, named("Taken"), ""),
        (Method::PATCH, "", json!({"slug": "taken"}), "slug-taken"),
        (
            Method::PATCH,
            "",
            json!({"externalId": "taken"}),
            "external-id-taken",
        ),
        (
            Method::POST,
            DOMAINS,
            json!({"subdomain": "taken"}),
            "hostname-taken",
        ),
        (
            Method::POST,
            DOMAINS,
            json!({"customDomain": "portal.acme.com"}),
            "hostname-taken",
        ),
        (Method::POST, CLIENTS, named("Third"), "limit-reached"),
        (
            Method::POST,
            DOMAINS,
            json!({"subdomain": "third"}),
            "limit-reached",
        ),
    ] {
        let builder = limits
            .iter()
            .filter(|_| code == "limit-reached")
            .fold(System::builder().counted(), |builder, (name, value)| {
                builder.set(name, *value)
            });
        let api = Api::build(builder).await;
        let owner = api.agency("org_acme").await;
        let taken = json!({"name": "Taken", "externalId": "taken"});
        let (first, taken) = (
            owner.client("First").await,
            owner.post(CLIENTS, taken).await.expect(201),
        );
        let label = owner.subdomain("taken").await;
        let custom = owner.custom_domain("portal.acme.com").await;
        let own = path(&first);
        let uri = if list.is_empty() { own.as_str() } else { list };

        let refused = owner.call(method.clone(), uri, &[], Some(body.clone())).await;
        match code {
            // Another slug is made of the name.
            "" => drop(refused.expect(201)),
            code => drop(refused.problem(409, code)),
        }
        let count = numbers(&owner).await;
        api.inject(Fault::delay().on(TRANSACTION));
        let answer = owner.call(method.clone(), uri, &[], Some(body)).await;
        answer.problem(503, "unavailable");
        api.assert_faults_met();
        assert_eq!(numbers(&owner).await, count, "{uri} {code}");

        // It takes effect in the end, as one write. (A client for which there was no room when it was sent never does.)
        let late = i64::from((list, code) != (CLIENTS, "limit-reached"));
        let others = [&taken, &label, &custom].into_iter();
        for resource in others.chain((code == "limit-reached").then_some(&first)) {
            owner.remove(resource).await;
        }
        let count = numbers(&owner).await;
        api.proxy().deliver_delayed().await.unwrap();
        assert_eq!(numbers(&owner).await.2, count.2 + late, "{uri} {code}");
    }
}

#[tokio::test]
async fn a_write_that_replaces_another_version_cannot_take_effect_late() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("One").await;
    api.inject(Fault::delay().on(TRANSACTION));
    let path = path(&client);
    owner.patch(&path, property("name", "Two")).await.expect(200);
    owner.patch(&path, property("name", "Three")).await.expect(200);
    api.proxy().deliver_delayed().await.unwrap();
    let now = owner.get(&path).await.expect(200);
    assert_eq!(now["name"], "Three");
    assert_eq!(numbers(&owner).await, (1, 0, 4));
}

#[tokio::test]
async fn creations_of_one_agency_whose_transactions_overlap_all_succeed() {
    // The number of retries depends on the load of the machine.
    let builder = System::builder().counted().retry_budget(Duration::from_secs(13));
    let api = Api::build(builder).await;
    let owner = api.agency("org_acme").await;
    api.proxy().make_transactions_last(8..=20);
    let answers = join_all((0..40).map(|_| owner.post(CLIENTS, json!({"name": "Acme"})))).await;
    for answer in answers {
        answer.expect(201);
    }
    assert_eq!(numbers(&owner).await, (40, 0, 41));
}

#[tokio::test]
async fn a_check_that_changes_nothing_is_written_once_although_its_response_is_lost() {
    // The first update is for the rate limit, the second one writes the result.
    const UPDATE: &str = "UpdateItem";
    for faults in [
        vec![Fault::conflict().on(UPDATE).after(1)],
        vec![Fault::lose_answer().on(UPDATE).after(1)],
        vec![
            Fault::lose_answer().on(UPDATE).after(1),
            Fault::conflict().on(UPDATE),
        ],
    ] {
        let api = Api::counted().await;
        let owner = api.agency("org_acme").await;
        let domain = owner.custom_domain("portal.acme.com").await;
        faults.into_iter().for_each(|fault| api.inject(fault));
        let checked = owner.verify(&domain).await.expect(200);
        assert_eq!(checked["status"], "pending");
        assert_eq!(checked["check"]["attempts"], 1);
        assert_eq!(api.now(&domain).await, checked);
        assert_eq!(numbers(&owner).await, (0, 1, 2));
        api.assert_faults_met();
    }
}
