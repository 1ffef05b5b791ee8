//! Tenants do not see each other. What is asked comes from the OpenAPI document, so that a new operation is asked too;
//! one whose request cannot be made up here fails every test.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use local::system::System;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, User};

/// An operation of the document.
struct Operation {
    id: String,
    method: Method,
    path: String,
    parameters: Vec<Value>,
    has_body: bool,
    public: bool,
    /// The codes of its problems.
    codes: BTreeSet<String>,
}

/// Whose resources a request names.
#[derive(Clone)]
struct Names {
    client: String,
    domain: String,
    host: String,
}

impl Operation {
    /// Every operation that the system has, reads first and deletions last.
    async fn all(api: &Api) -> Vec<Self> {
        let document = api.visitor().get("/docs/openapi.json").await.expect(200);
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap().values();
                let examples = responses.filter_map(|response| {
                    response["content"]["application/problem+json"]["examples"].as_object()
                });
                operations.push(Self {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase().parse().unwrap(),
                    path: path.clone(),
                    parameters: operation["parameters"].as_array().cloned().unwrap_or_default(),
                    has_body: operation.get("requestBody").is_some(),
                    public: operation.get("security").is_some(),
                    codes: examples.flat_map(|examples| examples.keys().cloned()).collect(),
                });
            }
        }
        assert!(operations.len() >= 21, "{}", operations.len());
        let rank = |operation: &Self| {
            (
                operation.method != Method::GET,
                operation.method == Method::DELETE,
            )
        };
        operations.sort_by_key(rank);
        operations
    }

    fn in_agency(&self) -> bool {
        self.path.starts_with("/agency/")
    }

    fn names_a_resource(&self) -> bool {
        self.path.contains('{')
    }

    /// Its path with these ids and with what it requires of the query.
    fn uri(&self, names: &Names) -> String {
        let mut path = self.path.clone();
        let mut query = Vec::new();
        for parameter in &self.parameters {
            let name = parameter["name"].as_str().unwrap();
            match (parameter["in"].as_str().unwrap(), name) {
                ("path", "clientOrgId") => path = path.replace("{clientOrgId}", &names.client),
                ("path", "domainId") => path = path.replace("{domainId}", &names.domain),
                ("query", "host" | "domain") => query.push(format!("{name}={}", names.host)),
                (_, other) => assert!(parameter["required"] != true, "{}: what is {other}?", self.id),
            }
        }
        assert!(!path.contains('{'), "{}: {path}", self.id);
        match query.is_empty() {
            true => path,
            false => format!("{path}?{}", query.join("&")),
        }
    }

    /// A body that fits.
    fn body(&self) -> Option<Value> {
        self.has_body.then(|| match &*self.id {
            "createClient" => json!({"name": "Made by the test"}),
            "updateClient" => json!({"name": "Renamed by the test"}),
            "putBranding" => json!({"footerText": "Put by the test"}),
            "putPortalConfig" => json!({"featureLogs": false}),
            "createPortalDomain" => json!({"customDomain": "made-by-the-test.acme.test"}),
            other => panic!("this test knows no body of {other}"),
        })
    }

    async fn send(&self, user: &User<'_>, names: &Names) -> Answer {
        user.call(self.method.clone(), &self.uri(names), &[], self.body())
            .await
    }
}

/// What tells one answer from another: all but the request's id, and its path if that is to be forgotten.
fn words(answer: &Answer) -> (u16, BTreeMap<String, String>, String) {
    let mut headers: BTreeMap<_, _> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let request_id = headers.remove("x-request-id").unwrap();
    let instance = answer.json()["instance"].as_str().unwrap().to_owned();
    let text = answer
        .text
        .replace(&request_id, "<id>")
        .replace(&format!("\"{instance}\""), "\"<path>\"");
    (answer.status.as_u16(), headers, text)
}

/// An agency with something of everything, and all that would tell of it.
struct Tenant<'a> {
    owner: User<'a>,
    names: Names,
    marks: Vec<String>,
}

impl<'a> Tenant<'a> {
    async fn new(api: &'a Api, org: &str, word: &str) -> Self {
        let owner = api.agency(org).await;
        let branding = json!({
            "footerText": format!("{word} footer"), "primaryColor": "#123abc", "fromEmail": format!("{word}@acme.test"),
        });
        let branding = owner.put("/agency/branding", branding).await.expect(200);
        owner
            .put("/agency/portal-config", json!({"featureTerminal": true}))
            .await
            .expect(200);
        let client = owner.client(&format!("{word} client")).await;
        let custom = owner.custom_domain(&format!("{word}.acme.test")).await;
        let subdomain = owner.subdomain(&format!("{word}-sub")).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut marks = vec![org.to_owned(), word.to_owned()];
        marks.extend([&branding["id"], &client["id"], &custom["id"], &subdomain["id"]].map(text));
        marks.push(text(&custom["records"][0]["value"]));
        Self {
            names: Names {
                client: text(&client["id"]),
                domain: text(&custom["id"]),
                host: text(&subdomain["hostname"]),
            },
            owner,
            marks,
        }
    }

    /// Everything that it sees.
    async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for path in [
            "/agency/overview",
            "/agency/branding",
            "/agency/portal-config",
            "/agency/clients",
            "/agency/portal-domains",
            "/agency/audit",
            "/portal/context",
        ] {
            all.push(self.owner.get(path).await.expect(200));
        }
        all
    }
}

fn nobodys() -> Names {
    Names {
        client: "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".to_owned(),
        domain: "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".to_owned(),
        host: "nobodys-sub.portal.localhost".to_owned(),
    }
}

#[tokio::test]
async fn what_is_anothers_is_not_found_in_the_words_of_what_never_was() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let globex = Tenant::new(&api, "org_globex", "globexword").await;
    let before = acme.everything().await;
    let mut asked = 0;
    for operation in Operation::all(&api).await {
        if !operation.names_a_resource() {
            continue;
        }
        asked += 1;
        let foreign = operation.send(&globex.owner, &acme.names).await;
        foreign.problem(404, "not-found");
        let never = operation.send(&globex.owner, &nobodys()).await;
        assert_eq!(words(&foreign), words(&never), "{}", operation.id);
        assert!(operation.codes.contains("not-found"), "{}", operation.id);
        // The right id in the wrong place is no id either.
        let swapped = Names {
            client: globex.names.domain.clone(),
            domain: globex.names.client.clone(),
            host: globex.names.host.clone(),
        };
        let swapped = operation.send(&globex.owner, &swapped).await;
        assert_eq!(words(&swapped), words(&never), "{}", operation.id);
    }
    assert_eq!(asked, 6);
    assert_eq!(acme.everything().await, before, "nothing of it has changed");
}

#[tokio::test]
async fn no_answer_to_one_tenant_tells_of_another() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let globex = Tenant::new(&api, "org_globex", "globexword").await;
    // Organizations whose ids are nearly the same.
    let near = Tenant::new(&api, "org_acm", "nearword").await;
    let case = Tenant::new(&api, "ORG_ACME", "caseword").await;
    let clients = [
        api.user(&globex.names.client, "owner"),
        api.user(&near.names.client, "member"),
    ];
    let before = acme.everything().await;
    for operation in Operation::all(&api).await {
        for tenant in [&globex, &near, &case] {
            // Its own resources, so that it sees as much as can be seen.
            let answer = operation.send(&tenant.owner, &tenant.names).await;
            assert!(answer.status.as_u16() < 500, "{answer:?}");
            let text = format!("{:?} {}", answer.headers, answer.text);
            for mark in &acme.marks {
                assert!(
                    !text.contains(mark.as_str()),
                    "{} tells {mark}: {text}",
                    operation.id
                );
            }
        }
        for client in &clients {
            let answer = operation.send(client, &nobodys()).await;
            for mark in &acme.marks {
                assert!(
                    !answer.text.contains(mark.as_str()),
                    "{} tells {mark}",
                    operation.id
                );
            }
        }
    }
    assert_eq!(acme.everything().await, before, "nothing of it has changed");
}

#[tokio::test]
async fn a_client_sees_nothing_that_is_the_agencys_own_business() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let other = acme.owner.client("Other client").await;
    let answer = api.user(&acme.names.client, "owner").get("/portal/context").await;
    let context = answer.expect(200);
    assert_eq!(
        context["organization"],
        json!({
            "id": acme.names.client, "role": "client", "name": "acmeword client", "slug": "acmeword-client",
        })
    );
    for secret in [
        "org_acme",
        "Other client",
        other["id"].as_str().unwrap(),
        &acme.names.domain,
        "brd_",
        "edAt",
    ] {
        assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
    }
}

#[tokio::test]
async fn without_a_token_only_public_operations_answer() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let before = acme.everything().await;
    let mut public = BTreeSet::new();
    for operation in Operation::all(&api).await {
        let visitor = api.visitor();
        let answer = operation.send(&visitor, &acme.names).await;
        if operation.public {
            answer.expect_success();
            public.insert(operation.id);
            continue;
        }
        answer.problem(401, "missing-token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(operation.codes.contains("missing-token"), "{}", operation.id);
        // Before anything else is looked at.
        let never = operation.send(&visitor, &nobodys()).await;
        assert_eq!(words(&never), words(&answer), "{}", operation.id);
        let uri = operation.uri(&acme.names);
        let rubbish = visitor
            .raw(operation.method.clone(), &uri, &[("content-type", "x")], "{")
            .await;
        assert_eq!(words(&rubbish), words(&answer), "{}", operation.id);
        let query = format!("{uri}?limit=0&cursor=&slug=");
        let odd = visitor.call(operation.method.clone(), &query, &[], None).await;
        assert_eq!(words(&odd), words(&answer), "{}", operation.id);
    }
    let expected = ["checkTls", "getHealth", "getPublicBranding", "getThemeCss"];
    assert_eq!(public, expected.map(str::to_owned).into());
    assert_eq!(acme.everything().await, before);
}

impl Answer {
    #[track_caller]
    fn expect_success(&self) {
        assert!(self.status.is_success(), "{self:?}");
    }
}

#[tokio::test]
async fn a_member_reads_and_neither_writes_nor_audits() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let before = acme.everything().await;
    for operation in Operation::all(&api).await {
        let closed = operation.method != Method::GET || operation.id == "listAuditEntries";
        assert_eq!(
            operation.codes.contains("role-too-low"),
            closed,
            "{}",
            operation.id
        );
        for role in ["member", "", "Owner", "superadmin", "owner,admin"] {
            let member = api.user("org_acme", role);
            let answer = operation.send(&member, &acme.names).await;
            if !closed {
                answer.expect_success();
                continue;
            }
            answer.problem(403, "role-too-low");
            // Before the body and the state are looked at, and whether the resource exists.
            let never = operation.send(&member, &nobodys()).await;
            assert_eq!(words(&never), words(&answer), "{}", operation.id);
            let uri = operation.uri(&acme.names);
            let rubbish = member
                .raw(operation.method.clone(), &uri, &[("content-type", "x")], "{")
                .await;
            assert_eq!(words(&rubbish), words(&answer), "{}", operation.id);
            let stranger = operation.send(&api.user("org_nobody", role), &acme.names).await;
            assert_eq!(words(&stranger), words(&answer), "{}", operation.id);
        }
    }
    assert_eq!(acme.everything().await, before);
}

#[tokio::test]
async fn a_client_organizations_user_is_nobodys_agency() {
    let api = Api::build(System::builder().set("AUTH_CLIENT_CLAIM", "client")).await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let deleted = acme.owner.client("Deleted").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    acme.owner
        .delete(&format!("/agency/clients/{deleted}"))
        .await
        .expect(204);
    let by_claim = |client: Value| {
        let now = api.app.clock.now().seconds();
        api.with_token(local::token::encode_claims(&json!({
            "iss": local::environment::ISSUER, "aud": local::environment::AUDIENCE, "sub": "user_1",
            "org_id": "org_acme", "role": "owner", "exp": now + 600, "client": client,
        })))
    };
    let users = [
        api.user(&acme.names.client, "owner"),
        api.user(&nobodys().client, "owner"),
        api.user(&deleted, "owner"),
        by_claim(json!(acme.names.client)),
        by_claim(json!(nobodys().client)),
        by_claim(json!("org_acme")),
        by_claim(json!(7)),
    ];
    let before = acme.everything().await;
    let mut asked = 0;
    for operation in Operation::all(&api)
        .await
        .iter()
        .filter(|operation| operation.in_agency())
    {
        asked += 1;
        let code = if operation.id == "enableAgency" {
            "client-organization"
        } else {
            "agency-not-enabled"
        };
        assert!(operation.codes.contains(code), "{}", operation.id);
        let mut all = BTreeSet::new();
        for user in &users {
            for names in [&acme.names, &nobodys()] {
                let answer = operation.send(user, names).await;
                answer.problem(403, code);
                all.insert(words(&answer));
            }
        }
        assert_eq!(all.len(), 1, "{}", operation.id);
        if operation.method != Method::GET {
            for id in [&acme.names.client, &nobodys().client] {
                operation
                    .send(&api.user(id, "member"), &acme.names)
                    .await
                    .problem(403, "role-too-low");
            }
        }
    }
    assert_eq!(asked, 17);
    assert_eq!(acme.everything().await, before);
    let context = async |user: &User<'_>| user.get("/portal/context").await;
    assert_eq!(
        context(&users[0]).await.expect(200)["organization"]["role"],
        "client"
    );
    assert_eq!(
        context(&users[3]).await.expect(200)["organization"]["id"],
        acme.names.client
    );
    for user in [&users[1], &users[2], &users[4], &users[5], &users[6]] {
        context(user).await.problem(404, "no-portal");
    }
}

#[tokio::test]
async fn an_organization_that_is_no_agency_gets_nothing_but_enable() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let stranger = api.user("org_stranger", "owner");
    let operations = Operation::all(&api).await;
    let agency = operations
        .iter()
        .filter(|operation| operation.in_agency() && operation.id != "enableAgency");
    let mut asked = 0;
    for operation in agency {
        asked += 1;
        let foreign = operation.send(&stranger, &acme.names).await;
        foreign.problem(403, "agency-not-enabled");
        let never = operation.send(&stranger, &nobodys()).await;
        assert_eq!(words(&foreign), words(&never), "{}", operation.id);
    }
    assert_eq!(asked, 16);
    stranger
        .get("/agency/clients?slug=acmeword-client")
        .await
        .problem(403, "agency-not-enabled");
    stranger
        .get("/agency/clients?slug=No%20Slug")
        .await
        .problem(403, "agency-not-enabled");
    stranger.get("/portal/context").await.problem(404, "no-portal");
    // Refusals have made nothing.
    stranger.post("/agency/enable", Value::Null).await.expect(200);
    assert_eq!(stranger.audit().await.len(), 1);
    let overview = stranger.get("/agency/overview").await.expect(200);
    assert_eq!(
        (&overview["clientCount"], &overview["portalDomains"]["total"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_cursor_is_its_tenants_and_its_lists_own() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let globex = Tenant::new(&api, "org_globex", "globexword").await;
    acme.owner.client("Second").await;
    let operations = Operation::all(&api).await;
    let lists: Vec<_> = operations
        .iter()
        .filter(|operation| operation.codes.contains("invalid-cursor"))
        .collect();
    let mut cursors = BTreeMap::new();
    for list in &lists {
        let page = acme
            .owner
            .get(&format!("{}?limit=1", list.path))
            .await
            .expect(200);
        cursors.insert(&list.path, page["nextCursor"].as_str().unwrap().to_owned());
    }
    assert_eq!(cursors.len(), 3);
    for list in &lists {
        let nonsense = globex.owner.get(&format!("{}?cursor=nonsense", list.path)).await;
        nonsense.problem(400, "invalid-cursor");
        for (path, cursor) in &cursors {
            let uri = format!("{}?cursor={cursor}", list.path);
            let foreign = globex.owner.get(&uri).await;
            assert_eq!(words(&foreign), words(&nonsense), "{uri}");
            let own = acme.owner.get(&uri).await;
            assert_eq!(own.status, if **path == list.path { 200 } else { 400 }, "{uri}");
            for stranger in ["org_stranger", &acme.names.client] {
                api.user(stranger, "owner")
                    .get(&uri)
                    .await
                    .problem(400, "invalid-cursor");
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_that_somebody_made_up_stays_within_its_list() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let made_up = |from: &str, sk: &str| {
        let sha256 = digest::digest(&digest::SHA256, format!("org_acme\n{from}\n{sk}").as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode([&sha256.as_ref()[..12], sk.as_bytes()].concat())
    };
    let page = acme.owner.get("/agency/audit?limit=1").await.expect(200);
    let real = page["nextCursor"].as_str().unwrap();
    let newest = format!("LOG#{}", page["items"][0]["id"].as_str().unwrap());
    assert_eq!(made_up("LOG#", &newest), real, "this is how they are made");
    for (path, from) in [
        ("clients", "CLIENT#"),
        ("portal-domains", "DOMAIN#"),
        ("audit", "LOG#"),
    ] {
        for sk in [
            "",
            "#",
            "#3AGENCY",
            "A",
            "IDEM#",
            "NAME#a",
            "SLUG#a",
            "TOKEN#",
            "Z",
            "\u{10ffff}",
            &from[..3],
        ] {
            let uri = format!("/agency/{path}?cursor={}", made_up(from, sk));
            acme.owner.get(&uri).await.problem(400, "invalid-cursor");
        }
    }
}

#[tokio::test]
async fn idempotency_keys_are_the_tenants_and_the_operations_own() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let key = [("idempotency-key", "shared-key")];
    let operations = Operation::all(&api).await;
    let creations: Vec<_> = operations
        .iter()
        .filter(|operation| operation.codes.contains("idempotency-mismatch"))
        .collect();
    assert_eq!(creations.len(), 2);
    let mut ids = BTreeSet::new();
    for creation in &creations {
        for user in [&acme, &globex] {
            let first = user
                .call(Method::POST, &creation.path, &key, creation.body())
                .await;
            assert_eq!(first.header("idempotency-replayed"), None);
            let again = user
                .call(Method::POST, &creation.path, &key, creation.body())
                .await;
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
            assert_eq!(again.expect(201), first.expect(201));
            ids.insert(first.json()["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.len(), 4);
    // Another body under another tenant's key is no mismatch.
    let body = json!({"name": "Something else"});
    let third = api.agency("org_third").await;
    third
        .call(Method::POST, "/agency/clients", &key, Some(body.clone()))
        .await
        .expect(201);
    acme.call(Method::POST, "/agency/clients", &key, Some(body))
        .await
        .problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn an_etag_tells_nothing_across_tenants() {
    let api = Api::start().await;
    let acme = api.agency("org_acme").await;
    let globex = api.agency("org_globex").await;
    let tags = async |user: &User<'_>| {
        let mut tags = Vec::new();
        for path in ["/agency/branding", "/agency/portal-config", "/portal/context"] {
            let answer = user.get(path).await;
            answer.expect(200);
            tags.push(answer.header("etag").unwrap().to_owned());
        }
        tags
    };
    let unequal = async || {
        for (ours, theirs) in tags(&acme).await.iter().zip(tags(&globex).await) {
            assert_ne!(*ours, theirs);
        }
    };
    unequal().await;
    for user in [&acme, &globex] {
        user.put("/agency/branding", json!({"footerText": "The same"}))
            .await
            .expect(200);
        user.put("/agency/portal-config", json!({"featureLogs": false}))
            .await
            .expect(200);
    }
    unequal().await;
    let theirs = tags(&globex).await;
    for (path, tag) in ["/agency/branding", "/agency/portal-config", "/portal/context"]
        .iter()
        .zip(&theirs)
    {
        acme.call(Method::GET, path, &[("if-none-match", tag)], None)
            .await
            .expect(200);
        if path.starts_with("/agency") {
            let put = acme
                .call(Method::PUT, path, &[("if-match", tag)], Some(json!({})))
                .await;
            put.problem(412, "stale");
        }
    }
}

#[tokio::test]
async fn the_tenant_comes_from_the_token_alone() {
    let api = Api::start().await;
    let acme = Tenant::new(&api, "org_acme", "acmeword").await;
    let globex = Tenant::new(&api, "org_globex", "globexword").await;
    let before = acme.everything().await;
    let headers = [
        ("x-org-id", "org_acme"),
        ("x-organization-id", "org_acme"),
        ("x-amzn-oidc-data", "org_acme"),
        ("x-forwarded-user", "org_acme"),
        ("host", "acmeword-sub.portal.localhost"),
        ("cookie", "org_id=org_acme"),
    ];
    let query = "?org_id=org_acme&organizationId=org_acme&agencyId=org_acme";
    for path in [
        "/agency/overview",
        "/agency/branding",
        "/agency/portal-config",
        "/agency/audit",
        "/portal/context",
    ] {
        let plain = globex.owner.get(path).await.expect(200);
        let with = globex
            .owner
            .call(Method::GET, &format!("{path}{query}"), &headers, None)
            .await
            .expect(200);
        assert_eq!(with, plain);
    }
    // A resource of another's, sent back as if it were one's own.
    let theirs = acme.owner.get("/agency/branding").await.expect(200);
    let put = globex
        .owner
        .put("/agency/branding", theirs.clone())
        .await
        .expect(200);
    assert_eq!(put["organizationId"], "org_globex");
    assert_ne!(put["id"], theirs["id"]);
    for property in ["agencyId", "organizationId"] {
        let body = json!({"name": "Planted", property: "org_acme"});
        let answer = globex.owner.post("/agency/clients", body).await;
        assert_eq!(
            answer.faults(),
            [(format!("/{property}"), "unknown-property".to_owned())]
        );
    }
    assert_eq!(acme.everything().await, before);
}
