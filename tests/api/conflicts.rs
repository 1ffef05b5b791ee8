//! Writes that meet one another, and writes whose answers are lost: each takes effect once or not at all.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures::future::{join, join_all};
use http::Method;
use local::{fault::Fault, system::System};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Answer, Api, User};

const TRANSACTION: &str = "TransactWriteItems";

/// Every kind of write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Write {
    Enable,
    PutBranding,
    PutConfig,
    CreateClient,
    CreateClientWithKey,
    UpdateClient,
    RenameClient,
    DeleteClient,
    CreateSubdomain,
    CreateCustomDomain,
    DeleteSubdomain,
    DeleteCustomDomain,
    Verify,
}

const WRITES: [Write; 13] = [
    Write::Enable,
    Write::PutBranding,
    Write::PutConfig,
    Write::CreateClient,
    Write::CreateClientWithKey,
    Write::UpdateClient,
    Write::RenameClient,
    Write::DeleteClient,
    Write::CreateSubdomain,
    Write::CreateCustomDomain,
    Write::DeleteSubdomain,
    Write::DeleteCustomDomain,
    Write::Verify,
];

impl Write {
    /// A new agency in which the write can be done, and the path of what it is done to.
    async fn prepare<'a>(self, api: &'a Api) -> (User<'a>, String) {
        let label = label();
        let owner = api.user(&format!("org_{label}"), "owner");
        if self == Self::Enable {
            return (owner, "/agency/enable".to_owned());
        }
        owner.post("/agency/enable", Value::Null).await.expect(200);
        let clients = "/agency/clients".to_owned();
        let domains = "/agency/portal-domains".to_owned();
        let id = |resource: &Value| resource["id"].as_str().unwrap().to_owned();
        let path = match self {
            Self::Enable => unreachable!(),
            Self::PutBranding => "/agency/branding".to_owned(),
            Self::PutConfig => "/agency/portal-config".to_owned(),
            Self::CreateClient | Self::CreateClientWithKey => clients,
            Self::UpdateClient | Self::RenameClient | Self::DeleteClient => {
                format!("{clients}/{}", id(&owner.client("Old").await))
            }
            Self::CreateSubdomain | Self::CreateCustomDomain => domains,
            Self::DeleteSubdomain => format!("{domains}/{}", id(&owner.subdomain(&label).await)),
            Self::DeleteCustomDomain | Self::Verify => {
                let domain = owner.custom_domain(&format!("{label}.acme.com")).await;
                let records = domain["records"].as_array().unwrap();
                let proof = records
                    .iter()
                    .find(|record| record["purpose"] == "ownership")
                    .unwrap();
                let (name, value) = (proof["name"].as_str().unwrap(), proof["value"].as_str().unwrap());
                api.dns.set_zone(&format!("{name}. TXT \"{value}\"\n")).unwrap();
                match self {
                    Self::Verify => format!("{domains}/{}/verify", id(&domain)),
                    _ => format!("{domains}/{}", id(&domain)),
                }
            }
        };
        (owner, path)
    }

    async fn perform(self, user: &User<'_>, path: &str) -> Answer {
        match self {
            Self::Enable | Self::Verify => user.post(path, Value::Null).await,
            Self::PutBranding => user.put(path, json!({"primaryColor": "#123456"})).await,
            Self::PutConfig => user.put(path, json!({"featureTerminal": true})).await,
            Self::CreateClient => user.post(path, json!({"name": "New", "slug": "new"})).await,
            Self::CreateClientWithKey => {
                let headers = [("idempotency-key", "key")];
                user.call(Method::POST, path, &headers, Some(json!({"name": "New"})))
                    .await
            }
            Self::UpdateClient => user.patch(path, json!({"name": "New"})).await,
            Self::RenameClient => user.patch(path, json!({"slug": "new"})).await,
            Self::CreateSubdomain => user.post(path, json!({"subdomain": label()})).await,
            Self::CreateCustomDomain => {
                user.post(path, json!({"customDomain": format!("{}.acme.com", label())}))
                    .await
            }
            Self::DeleteClient | Self::DeleteSubdomain | Self::DeleteCustomDomain => user.delete(path).await,
        }
    }

    /// The status, the audit entry, and what it changes of the numbers of clients and domains.
    fn effect(self) -> (u16, &'static str, i64, i64) {
        match self {
            Self::Enable => (200, "agency.enabled", 0, 0),
            Self::PutBranding => (200, "branding.updated", 0, 0),
            Self::PutConfig => (200, "portal-config.updated", 0, 0),
            Self::CreateClient | Self::CreateClientWithKey => (201, "client.created", 1, 0),
            Self::UpdateClient | Self::RenameClient => (200, "client.updated", 0, 0),
            Self::DeleteClient => (204, "client.deleted", -1, 0),
            Self::CreateSubdomain | Self::CreateCustomDomain => (201, "domain.created", 0, 1),
            Self::DeleteSubdomain | Self::DeleteCustomDomain => (204, "domain.deleted", 0, -1),
            Self::Verify => (200, "domain.verified", 0, 0),
        }
    }

    /// Whether it reads before it writes.
    fn reads(self) -> bool {
        use Write as W;
        matches!(
            self,
            W::PutBranding
                | W::PutConfig
                | W::UpdateClient
                | W::RenameClient
                | W::DeleteClient
                | W::DeleteSubdomain
                | W::DeleteCustomDomain
        )
    }

    /// Performs it on a system that is broken in the way of `faults`: it succeeds, and has one effect.
    async fn survives(self, api: &Api, what: &str, faults: impl IntoIterator<Item = Fault>) {
        let (owner, path) = self.prepare(api).await;
        let before = numbers(&owner).await;
        for fault in faults {
            api.inject(fault);
        }
        let answer = self.perform(&owner, &path).await;
        let (status, action, clients, domains) = self.effect();
        assert_eq!(answer.status.as_u16(), status, "{self:?}, {what}: {answer:?}");
        assert_eq!(answer.header("idempotency-replayed"), None, "{self:?}, {what}");
        assert_eq!(api.proxy().pending(), [""; 0], "{self:?}, {what}");
        let after = numbers(&owner).await;
        assert_eq!(after.0, before.0 + clients, "{self:?}, {what}");
        assert_eq!(after.1, before.1 + domains, "{self:?}, {what}");
        assert_eq!(after.2, before.2 + 1, "{self:?}, {what}");
        assert_eq!(owner.audit().await[0]["action"], action, "{self:?}, {what}");
        self.stands(&owner, &path, &answer).await;
    }

    /// What was answered is what can be read.
    async fn stands(self, owner: &User<'_>, path: &str, answer: &Answer) {
        match self {
            Self::DeleteClient | Self::DeleteSubdomain | Self::DeleteCustomDomain => {
                owner.get(path).await.problem(404, "not-found");
            }
            Self::Enable => {
                owner.get("/agency/overview").await.expect(200);
            }
            Self::PutBranding | Self::PutConfig => {
                let read = owner.get(path).await;
                assert_eq!(read.json(), answer.json());
                assert_eq!(read.header("etag"), answer.header("etag"));
            }
            Self::UpdateClient | Self::RenameClient => {
                let client = answer.json();
                assert_eq!(owner.get(path).await.json(), client);
                let slug = client["slug"].as_str().unwrap();
                let page = owner.get(&format!("/agency/clients?slug={slug}")).await.json();
                assert_eq!(page["items"], json!([client]));
            }
            Self::Verify => {
                assert_eq!(answer.json()["status"], "verified");
                let path = path.strip_suffix("/verify").unwrap();
                assert_eq!(owner.get(path).await.json(), answer.json());
            }
            _ => {
                let location = answer.header("location").unwrap();
                assert_eq!(owner.get(location).await.json(), answer.json());
            }
        }
    }
}

/// A label that nobody has.
fn label() -> String {
    format!("x{}", Uuid::new_v4().simple())
}

/// The numbers of clients, domains and audit entries. The first two are counted twice: as the overview says, and by
/// hand.
async fn numbers(owner: &User<'_>) -> (i64, i64, i64) {
    let overview = owner.get("/agency/overview").await;
    if overview.status == 403 {
        return (0, 0, 0);
    }
    let overview = overview.json();
    let count = async |path: &str| {
        let list = owner.get(path).await.expect(200);
        list["items"].as_array().unwrap().len() as i64
    };
    let clients = overview["clientCount"].as_i64().unwrap();
    let domains = &overview["portalDomains"];
    let sum: i64 = ["verified", "pending", "failing", "failed"]
        .iter()
        .map(|status| domains[status].as_i64().unwrap())
        .sum();
    assert_eq!(clients, count("/agency/clients").await);
    assert_eq!(sum, count("/agency/portal-domains").await);
    assert_eq!(domains["total"], sum);
    (clients, sum, count("/agency/audit").await)
}

#[tokio::test]
async fn a_write_that_meets_others_is_tried_again_and_has_one_effect() {
    let api = Api::counted().await;
    for write in WRITES {
        for times in [1, 3] {
            let fault = Fault::conflict().on(TRANSACTION).times(times);
            write.survives(&api, "conflicts", [fault]).await;
        }
    }
    let fault = Fault::conflict().on("UpdateItem").times(2);
    Write::Verify
        .survives(&api, "conflicts of the slot", [fault])
        .await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_a_success_with_one_effect() {
    let api = Api::counted().await;
    for write in WRITES {
        let lost = || Fault::lose_answer().on(TRANSACTION);
        write.survives(&api, "lost", [lost()]).await;
        // The repetition then is a call of its own, so that the table cannot know it for one.
        let conflict = Fault::conflict().on(TRANSACTION);
        write
            .survives(&api, "lost, then a conflict", [lost(), conflict])
            .await;
        if write.reads() {
            let lost = Fault::lose_answer().when(|action, _| action != TRANSACTION);
            write.survives(&api, "lost read", [lost]).await;
        }
    }
    let lost = Fault::lose_answer().on(TRANSACTION).times(2);
    Write::CreateClient.survives(&api, "lost twice", [lost]).await;
    let lost = Fault::lose_answer().on("UpdateItem");
    Write::Verify.survives(&api, "lost slot", [lost]).await;
}

#[tokio::test]
async fn a_lost_request_throttling_and_a_fault_of_the_database_are_tried_again() {
    let api = Api::counted().await;
    for write in WRITES {
        for (what, fault) in [
            ("lost request", Fault::lose_request()),
            ("throttled", Fault::throttle()),
            ("internal error", Fault::internal_error()),
        ] {
            write.survives(&api, what, [fault.on(TRANSACTION)]).await;
        }
        if write.reads() {
            let fault = Fault::throttle().when(|action, _| action != TRANSACTION);
            write.survives(&api, "throttled read", [fault]).await;
        }
    }
}

#[tokio::test]
async fn a_check_that_changes_nothing_is_written_once_although_its_answer_is_lost() {
    // The first update takes the slot for the check, the second one is its result.
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
        let path = format!("/agency/portal-domains/{}", domain["id"].as_str().unwrap());
        faults.into_iter().for_each(|fault| api.inject(fault));
        let checked = owner
            .post(&format!("{path}/verify"), Value::Null)
            .await
            .expect(200);
        assert_eq!(checked["status"], "pending");
        assert_eq!(checked["check"]["attempts"], 1);
        assert_eq!(owner.get(&path).await.expect(200), checked);
        assert_eq!(numbers(&owner).await, (0, 1, 2));
        assert_eq!(api.proxy().pending(), [""; 0]);
    }
}

#[tokio::test]
async fn conflicts_that_never_end_are_503_in_time_and_nothing_is_written() {
    for write in WRITES {
        let api = Api::build(System::builder().counted().patience(Duration::from_millis(30))).await;
        let (owner, path) = write.prepare(&api).await;
        let before = numbers(&owner).await;
        api.inject(Fault::conflict().on(TRANSACTION).times(100_000));
        let since = Instant::now();
        let answer = write.perform(&owner, &path).await;
        let problem = answer.problem(503, "unavailable");
        assert!(since.elapsed() < Duration::from_secs(5), "{write:?}");
        assert!(
            answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1,
            "{write:?}"
        );
        assert!(!problem.to_string().contains("onflict"), "{problem}");
        assert_eq!(numbers(&owner).await, before, "{write:?}");
    }
}

#[tokio::test]
async fn an_if_match_is_no_reason_to_call_ones_own_write_stale() {
    for (path, body) in [
        ("/agency/branding", json!({"primaryColor": "#123456"})),
        ("/agency/portal-config", json!({"featureTerminal": true})),
    ] {
        let api = Api::counted().await;
        let owner = api.agency("org_acme").await;
        let tag = owner.get(path).await.header("etag").unwrap().to_owned();
        api.inject(Fault::lose_answer().on(TRANSACTION));
        api.inject(Fault::conflict().on(TRANSACTION));
        let headers = [("if-match", tag.as_str())];
        let answer = owner.call(Method::PUT, path, &headers, Some(body.clone())).await;
        answer.expect(200);
        assert_eq!(owner.get(path).await.header("etag"), answer.header("etag"));
        let answer = owner.call(Method::PUT, path, &headers, Some(body)).await;
        answer.problem(412, "stale");
        assert_eq!(numbers(&owner).await, (0, 0, 2));
        assert_eq!(api.proxy().pending(), [""; 0]);
    }
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_says_not_found_to_nobody_but_the_next() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("One").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    api.inject(Fault::lose_answer().on(TRANSACTION));
    owner.delete(&path).await.expect(204);
    owner.delete(&path).await.problem(404, "not-found");
    assert_eq!(numbers(&owner).await, (0, 0, 3));
}

#[tokio::test]
async fn reads_are_tried_again() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("One").await;
    let user = api.user(client["id"].as_str().unwrap(), "member");
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    for fault in [
        Fault::throttle,
        Fault::internal_error,
        Fault::lose_answer,
        Fault::lose_request,
    ] {
        for path in [
            &path,
            "/agency/overview",
            "/agency/clients",
            "/agency/clients?slug=one",
        ] {
            api.inject(fault());
            owner.get(path).await.expect(200);
        }
        api.inject(fault().times(2));
        user.get("/portal/context").await.expect(200);
    }
    assert_eq!(api.proxy().pending(), [""; 0]);
}

#[tokio::test]
async fn a_database_that_only_fails_is_503_and_tells_nothing_of_itself() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    for fault in [Fault::throttle(), Fault::internal_error(), Fault::lose_request()] {
        api.inject(fault.times(4));
        let answer = owner.get("/agency/overview").await;
        let problem = answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        let text = problem.to_string().to_lowercase();
        for word in ["dynamo", "throttl", "table", "aws", "unknown error", "127.0.0.1"] {
            assert!(!text.contains(word), "{text}");
        }
        assert_eq!(api.proxy().pending(), [""; 0]);
    }
    owner.get("/agency/overview").await.expect(200);
}

#[tokio::test]
async fn keys_that_a_batch_leaves_unprocessed_are_asked_for_again() {
    let api = Api::build(System::builder().counted().patience(Duration::from_millis(200))).await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("One").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    api.proxy().take_counts();
    api.inject(Fault::unprocessed());
    assert_eq!(owner.get(&path).await.expect(200), client);
    let requests = api.proxy().take_requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.body["RequestItems"][api.table()]["ConsistentRead"], true);
    }
    api.inject(Fault::unprocessed());
    let missing = "/agency/clients/cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
    owner.get(missing).await.problem(404, "not-found");
    api.inject(Fault::unprocessed());
    let stranger = api.user("org_other", "owner");
    stranger.get(&path).await.problem(403, "agency-not-enabled");
    assert_eq!(api.proxy().pending(), [""; 0]);
}

#[tokio::test]
async fn of_32_clients_who_want_one_slug_one_gets_it() {
    for conflicts in [0, 24] {
        let api = Api::counted().await;
        let owner = api.agency("org_acme").await;
        if conflicts > 0 {
            api.inject(Fault::conflict().on(TRANSACTION).times(conflicts));
        }
        let answers = join_all((0..32).map(|index| {
            let body = json!({"name": format!("Client {index}"), "slug": "acme"});
            let owner = &owner;
            async move { owner.post("/agency/clients", body).await }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert_eq!((won.len(), lost.len()), (1, 31));
        for answer in lost {
            answer.problem(409, "slug-taken");
        }
        assert_eq!(numbers(&owner).await, (1, 0, 2));
        let page = owner.get("/agency/clients?slug=acme").await.json();
        assert_eq!(page["items"], json!([won[0].json()]));
    }
}

#[tokio::test]
async fn of_32_clients_who_want_a_slug_each_all_get_theirs() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on(TRANSACTION).times(24));
    let answers = join_all((0..32).map(|index| {
        let body = json!({"name": "Client", "slug": format!("client-{index}")});
        let owner = &owner;
        async move { owner.post("/agency/clients", body).await }
    }))
    .await;
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.expect(201)["slug"], format!("client-{index}"));
    }
    assert_eq!(numbers(&owner).await, (32, 0, 33));
}

#[tokio::test]
async fn of_32_clients_of_one_name_each_gets_a_slug_of_its_own() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on(TRANSACTION).times(8));
    let clients = join_all((0..32).map(|_| owner.client("Acme"))).await;
    let slugs: BTreeSet<_> = clients
        .iter()
        .map(|client| client["slug"].as_str().unwrap())
        .collect();
    assert_eq!(slugs.len(), 32);
    assert!(slugs.contains("acme") && slugs.contains("acme-2"));
    assert_eq!(numbers(&owner).await, (32, 0, 33));
}

#[tokio::test]
async fn changes_and_deletions_of_one_client_at_once_end_with_it_gone() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    let changes = join_all((0..8).map(|index| {
        let body = json!({"name": format!("Name {index}"), "slug": format!("slug-{index}")});
        let (owner, path) = (&owner, &path);
        async move { owner.patch(path, body).await }
    }));
    let deletions = join_all((0..4).map(|_| owner.delete(&path)));
    let (changes, deletions) = join(changes, deletions).await;
    let mut changed = 0;
    for answer in &changes {
        match answer.status.as_u16() {
            200 => changed += 1,
            _ => drop(answer.problem(404, "not-found")),
        }
    }
    let mut deleted = 0;
    for answer in &deletions {
        match answer.status.as_u16() {
            204 => deleted += 1,
            _ => drop(answer.problem(404, "not-found")),
        }
    }
    assert_eq!(deleted, 1);
    assert_eq!(numbers(&owner).await, (0, 0, 3 + changed));
    assert_eq!(owner.audit().await[0]["action"], "client.deleted");
    for slug in (0..8)
        .map(|index| format!("slug-{index}"))
        .chain(["acme".to_owned()])
    {
        let body = json!({"name": "Next", "slug": slug});
        owner.post("/agency/clients", body).await.expect(201);
    }
}

#[tokio::test]
async fn changes_of_one_client_at_once_all_take_effect_one_after_another() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    let client = owner.client("Acme").await;
    let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
    api.inject(Fault::conflict().on(TRANSACTION).times(4));
    let answers = join_all((0..8).map(|index| {
        let body = match index % 2 {
            0 => json!({"name": format!("Name {index}")}),
            _ => json!({"slug": format!("slug-{index}")}),
        };
        let (owner, path) = (&owner, &path);
        async move { owner.patch(path, body).await }
    }))
    .await;
    answers.iter().for_each(|answer| drop(answer.expect(200)));
    // Each entry begins where the one before it ended.
    let (mut name, mut slug) = (json!("Acme"), json!("acme"));
    for entry in owner.audit().await.iter().rev().skip(2) {
        for (property, value) in [("name", &mut name), ("slug", &mut slug)] {
            if let Some(before) = entry["before"].get(property) {
                assert_eq!(before, value);
                *value = entry["after"][property].clone();
            }
        }
    }
    let last = owner.get(&path).await.expect(200);
    assert_eq!((&last["name"], &last["slug"]), (&name, &slug));
    let slug = slug.as_str().unwrap();
    let page = owner.get(&format!("/agency/clients?slug={slug}")).await.json();
    assert_eq!(page["items"], json!([last]));
    for index in [1, 3, 5, 7].map(|index| format!("slug-{index}")) {
        let page = owner.get(&format!("/agency/clients?slug={index}")).await.json();
        assert_eq!(
            page["items"].as_array().unwrap().len(),
            usize::from(index == slug)
        );
    }
    assert_eq!(numbers(&owner).await, (1, 0, 10));
}

#[tokio::test]
async fn of_two_clients_who_change_to_one_slug_at_once_one_gets_it() {
    let api = Api::start().await;
    let owner = api.agency("org_acme").await;
    let clients = [owner.client("One").await, owner.client("Two").await];
    let answers = join_all(clients.iter().map(|client| {
        let path = format!("/agency/clients/{}", client["id"].as_str().unwrap());
        let owner = &owner;
        async move { owner.patch(&path, json!({"slug": "wanted"})).await }
    }))
    .await;
    let winner = answers.iter().position(|answer| answer.status == 200).unwrap();
    let loser = 1 - winner;
    answers[loser].problem(409, "slug-taken");
    let look_up = async |slug: &Value| {
        let path = format!("/agency/clients?slug={}", slug.as_str().unwrap());
        owner.get(&path).await.json()["items"].clone()
    };
    assert_eq!(look_up(&json!("wanted")).await, json!([answers[winner].json()]));
    assert_eq!(look_up(&clients[loser]["slug"]).await, json!([clients[loser]]));
    assert_eq!(look_up(&clients[winner]["slug"]).await, json!([]));
    assert_eq!(numbers(&owner).await, (2, 0, 4));
}

#[tokio::test]
async fn enabling_at_once_makes_one_agency() {
    let api = Api::counted().await;
    let owner = api.user("org_acme", "owner");
    api.inject(Fault::conflict().on(TRANSACTION).times(4));
    let answers = join_all((0..8).map(|_| owner.post("/agency/enable", Value::Null))).await;
    for answer in &answers {
        assert_eq!(answer.expect(200), answers[0].json());
    }
    assert_eq!(numbers(&owner).await, (0, 0, 1));
}

#[tokio::test]
async fn settings_that_are_put_at_once_are_all_kept() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    api.inject(Fault::conflict().on(TRANSACTION).times(4));
    let settings = [
        "featureBackups",
        "featureDatabases",
        "featureDomains",
        "featureFileEditor",
        "featureLogs",
        "featureMonitoring",
        "featureOdooShell",
        "featureTerminal",
    ];
    let before = owner.get("/agency/portal-config").await.json();
    let answers = join_all(settings.map(|setting| {
        let body = json!({setting: !before[setting].as_bool().unwrap()});
        let owner = &owner;
        async move { owner.put("/agency/portal-config", body).await }
    }))
    .await;
    let tags: BTreeSet<_> = answers.iter().map(|answer| answer.header("etag")).collect();
    assert_eq!(tags.len(), 8);
    let after = owner.get("/agency/portal-config").await.json();
    for setting in settings {
        assert_eq!(after[setting], !before[setting].as_bool().unwrap(), "{setting}");
    }
    assert_eq!(numbers(&owner).await, (0, 0, 9));
}

#[tokio::test]
async fn of_eight_who_put_what_they_have_seen_one_is_not_stale() {
    let api = Api::counted().await;
    let owner = api.agency("org_acme").await;
    for path in ["/agency/branding", "/agency/portal-config"] {
        let tag = owner.get(path).await.header("etag").unwrap().to_owned();
        api.inject(Fault::conflict().on(TRANSACTION).times(4));
        let answers = join_all((0..8).map(|_| {
            let (owner, tag) = (&owner, &tag);
            async move {
                let headers = [("if-match", tag.as_str())];
                owner.call(Method::PUT, path, &headers, Some(json!({}))).await
            }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 7));
        for answer in lost {
            answer.problem(412, "stale");
        }
    }
    assert_eq!(numbers(&owner).await, (0, 0, 3));
}

#[tokio::test]
async fn twenty_equal_creations_among_conflicts_and_lost_answers_make_one_resource() {
    for (path, body) in [
        ("/agency/clients", json!({"name": "Acme"})),
        ("/agency/portal-domains", json!({"subdomain": "acme"})),
    ] {
        let api = Api::counted().await;
        let owner = api.agency("org_acme").await;
        api.inject(Fault::lose_answer().on(TRANSACTION).times(4));
        api.inject(Fault::conflict().on(TRANSACTION).times(12));
        let headers = [("idempotency-key", "key")];
        let create = || owner.call(Method::POST, path, &headers, Some(body.clone()));
        let answers = join_all((0..20).map(|_| create())).await;
        for answer in &answers {
            assert_eq!(answer.expect(201), answers[0].json());
        }
        let fresh = |answer: &&Answer| answer.header("idempotency-replayed").is_none();
        assert_eq!(answers.iter().filter(fresh).count(), 1);
        let (clients, domains, entries) = numbers(&owner).await;
        assert_eq!((clients + domains, entries), (1, 2));
    }
}
