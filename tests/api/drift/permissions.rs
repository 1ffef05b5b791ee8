//! Permissions: each role allows what its function requests of the table, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, body::Body};
use http::{Method, Request};
use local::{
    fault::{Fault, Request as Sent},
    system::System,
};
use serde_json::{Value, json};
use shared::http::service;
use tower::ServiceExt;

use crate::harness::{
    Answer, Api, DAY, MINUTE, START, cname, events, id,
    template::{functions, template},
    txt,
};

/// An action on the table, or on an index of it.
type Permission = (String, Option<String>);

fn permissions(sent: Vec<Sent>) -> BTreeSet<Permission> {
    let actions = |sent: Sent| {
        let index = sent.index().map(str::to_owned);
        let actions = sent.permissions().into_iter();
        actions.map(move |action| (action, index.clone()))
    };
    sent.into_iter().flat_map(actions).collect()
}

/// What the role of each function allows on the table.
fn allowed(template: &Value) -> BTreeMap<String, BTreeSet<Permission>> {
    let list = |value: &Value| match value {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    };
    let resources = &template["Resources"];
    functions(template)
        .into_iter()
        .map(|(name, function)| {
            let role = function["Properties"]["Role"]["GetAtt"].as_str().unwrap();
            let role = &resources[role.strip_suffix(".Arn").unwrap()];
            let mut permissions = BTreeSet::new();
            for policy in role["Properties"]["Policies"].as_array().unwrap() {
                for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
                    assert_eq!(statement["Effect"], "Allow");
                    for action in list(&statement["Action"]) {
                        let action = action.as_str().unwrap();
                        assert!(!action.contains('*'), "{name}: {action}");
                        let Some(action) = action.strip_prefix("dynamodb:") else {
                            continue;
                        };
                        let resource = statement["Resource"].to_string();
                        assert!(!resource.contains("table/*"), "{name}: {resource}");
                        let mut indexes: Vec<_> = resource
                            .split("/index/")
                            .skip(1)
                            .map(|rest| rest.split('"').next().unwrap().to_owned())
                            .collect();
                        indexes.dedup();
                        assert!(indexes.len() < 2, "{name}: {resource}");
                        let index = indexes.pop();
                        permissions.insert((action.to_owned(), index));
                    }
                }
            }
            (name, permissions)
        })
        .collect()
}

/// One function of a system, called by users.
pub struct FunctionPermissions<'a> {
    system: &'a System,
    router: Router,
    name: &'a str,
}

impl<'a> FunctionPermissions<'a> {
    pub fn new(system: &'a System, name: &'a str) -> Self {
        let edge = service(events::routes(&system.app, name), system.app.clone());
        Self {
            system,
            router: Router::new().fallback_service(edge),
            name,
        }
    }

    async fn call(
        &self,
        org: &str,
        method: Method,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(
                "authorization",
                format!("Bearer {}", self.system.token(org, "owner")),
            )
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = Answer::read(path.to_owned(), response).await;
        (
            answer.status.as_u16(),
            serde_json::from_str(&answer.text).unwrap_or_default(),
        )
    }

    pub async fn get(&self, org: &str, path: &str) -> (u16, Value) {
        self.call(org, Method::GET, path, Value::Null, &[]).await
    }

    pub async fn post(&self, org: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(org, Method::POST, path, body, &[]).await
    }
}

/// Uses a system, and records which function requested what.
struct PermissionRecorder {
    seen: BTreeMap<String, BTreeSet<Permission>>,
}

impl PermissionRecorder {
    fn note(&mut self, system: &System, function: &str) {
        let seen = permissions(system.proxy().take_requests());
        self.seen.entry(function.to_owned()).or_default().extend(seen);
    }

    async fn replay(&mut self) {
        let system = events::build(System::builder().counted()).await;
        events::replay(&system, |step, _, _| {
            self.note(&system, events::function(step));
        })
        .await;
    }

    /// What the events alone do not reach: rejections, retries, other organizations, DNS.
    async fn explore(&mut self) {
        let builder = System::builder().at(START).counted();
        let system = builder.set("MAX_DOMAINS", "4").start().await;
        let function = |name| FunctionPermissions::new(&system, name);
        let (agency, branding, clients) = (function("agency"), function("branding"), function("clients"));
        let (portal, domains) = (function("portal"), function("domains"));
        for name in ["agency", "branding", "clients", "portal", "domains"] {
            system.app.warm().await;
            self.note(&system, name);
        }
        for org in ["org_a", "org_a", "org_b"] {
            agency.post(org, "/agency/enable", json!({})).await;
        }
        agency.get("org_a", "/agency/audit?limit=1").await;
        self.note(&system, "agency");

        let put = |colour: &str| json!({"primaryColor": colour});
        for headers in [&[][..], &[("if-match", "\"stale\"")], &[("if-match", "*")]] {
            branding
                .call("org_a", Method::PUT, "/agency/branding", put("#000"), headers)
                .await;
        }
        self.note(&system, "branding");

        let (_, client) = clients
            .post("org_a", "/agency/clients", json!({"name": "One"}))
            .await;
        let client_id = client["id"].as_str().unwrap().to_owned();
        let path = format!("/agency/clients/{client_id}");
        for (name, slug) in [("One", None), ("Two", Some("one")), ("Two", Some("two"))] {
            let body = json!({"name": name, "slug": slug});
            clients.post("org_a", "/agency/clients", body).await;
        }
        for body in [json!({"name": "A"}), json!({"name": "A"}), json!({"name": "B"})] {
            let key = [("idempotency-key", "k")];
            clients
                .call("org_a", Method::POST, "/agency/clients", body, &key)
                .await;
        }
        for body in [
            json!({"slug": "two"}),
            json!({"slug": "new"}),
            json!({"name": "New"}),
        ] {
            clients.call("org_a", Method::PATCH, &path, body, &[]).await;
        }
        let (_, page) = clients.get("org_a", "/agency/clients?limit=1").await;
        let cursor = page["nextCursor"].as_str().unwrap();
        clients
            .get("org_a", &format!("/agency/clients?cursor={cursor}"))
            .await;
        clients.get("org_a", "/agency/clients?slug=new").await;
        clients.get("org_a", "/agency/clients?slug=none").await;
        clients.get("org_b", &path).await;
        self.note(&system, "clients");

        portal.get(&client_id, "/portal/context").await;
        portal
            .get("cli_0193575b-8c00-7000-8000-000000000001", "/portal/context")
            .await;
        portal.get("org_none", "/portal/context").await;
        for host in ["none.example.test", "x.portal.localhost"] {
            portal
                .get("org_a", &format!("/portal/branding?host={host}"))
                .await;
        }
        let stale = [("if-match", "\"stale\"")];
        portal
            .call(
                "org_a",
                Method::PUT,
                "/agency/portal-config",
                json!({"featureLogs": false}),
                &stale,
            )
            .await;
        self.note(&system, "portal");

        self.domains(&system, &domains).await;
        clients
            .call("org_a", Method::DELETE, &path, Value::Null, &[])
            .await;
        clients
            .call("org_a", Method::DELETE, &path, Value::Null, &[])
            .await;
        self.note(&system, "clients");
    }

    /// A name that is proven, kept from another agency, moved, lost and deleted; a label that is taken.
    async fn domains(&mut self, system: &System, domains: &FunctionPermissions<'_>) {
        let path = "/agency/portal-domains";
        let custom = json!({"customDomain": "portal.acme.test"});
        let mut held = Vec::new();
        for org in ["org_a", "org_b"] {
            let (status, domain) = domains.post(org, path, custom.clone()).await;
            assert_eq!(status, 201, "{domain}");
            domains.post(org, path, custom.clone()).await;
            held.push((org, format!("{path}/{}", domain["id"].as_str().unwrap()), domain));
        }
        let [a, b] = [&held[0].2, &held[1].2];
        let zones = [
            String::new(),
            txt(a),
            txt(a) + &txt(b),
            txt(b),
            cname(b),
            cname(a),
            String::new(),
        ];
        for (step, zone) in zones.iter().enumerate() {
            system.dns.set_zone(zone).unwrap();
            // A domain is checked once in 5 s.
            system.advance(Duration::from_secs(5));
            for (org, path, _) in &held {
                let verify = format!("{path}/verify");
                if step == 1 {
                    system.inject(Fault::conflict().on("TransactWriteItems"));
                }
                domains.post(org, &verify, Value::Null).await;
                domains.post(org, &verify, Value::Null).await;
            }
        }
        for label in ["one", "two", "three", "four"] {
            domains.post("org_a", path, json!({"subdomain": label})).await;
        }
        let (_, list) = domains.get("org_a", &format!("{path}?limit=1")).await;
        let cursor = list["nextCursor"].as_str().unwrap();
        let (_, list) = domains.get("org_a", &format!("{path}?cursor={cursor}")).await;
        for domain in list["items"].as_array().unwrap() {
            let one = format!("{path}/{}", domain["id"].as_str().unwrap());
            domains.post("org_a", &format!("{one}/verify"), Value::Null).await;
            domains
                .call("org_a", Method::DELETE, &one, Value::Null, &[])
                .await;
            domains
                .call("org_a", Method::DELETE, &one, Value::Null, &[])
                .await;
        }
        for org in ["org_b", "org_a"] {
            domains.post(org, path, json!({"subdomain": "one"})).await;
        }
        for _ in 0..2 {
            let body = json!({"subdomain": "five"});
            domains
                .call("org_a", Method::POST, path, body, &[("idempotency-key", "k")])
                .await;
        }
        for (org, path, _) in &held {
            domains.call(org, Method::DELETE, path, Value::Null, &[]).await;
        }
        self.note(system, "domains");
    }

    /// Sweeps that prove, renew, miss, move, fail, and meet items that cannot be read or written.
    async fn sweep(&mut self) {
        let api = Api::build(System::builder().at(START).counted()).await;
        let custom = json!({"customDomain": "portal.acme.test"});
        let mut domains = Vec::new();
        for org in ["org_a", "org_b"] {
            let owner = api.agency(org).await;
            domains.push(
                owner
                    .post("/agency/portal-domains", custom.clone())
                    .await
                    .expect(201),
            );
        }
        let [a, b] = &domains[..] else {
            panic!("two domains")
        };
        let zones = [
            String::new(),
            txt(a),
            txt(a),
            String::new(),
            txt(a) + &txt(b),
            txt(b),
            cname(a),
            cname(b),
            String::new(),
        ];
        for zone in &zones {
            api.dns.set_zone(zone).unwrap();
            for fault in [Fault::conflict(), Fault::throttle(), Fault::internal_error()] {
                api.inject(fault.when(|action, _| action.starts_with("Transact") || action == "PutItem"));
            }
            api.proxy().take_requests();
            for _ in 0..3 {
                api.advance(DAY + 10 * MINUTE);
                api.reverify().await;
            }
            self.note(&api, "reverify");
        }
        let (sk, unreadable) = (format!("DOMAIN#{}", id(b)), AttributeValue::N("7".to_owned()));
        api.set_attribute("org_b", &sk, "routing", unreadable).await;
        api.advance(DAY + MINUTE);
        assert_eq!(api.reverify().await.unreadable, 1);
        self.note(&api, "reverify");
    }

    /// Pages of hosts, and events that are refused.
    async fn hosts(&mut self) {
        let api = Api::counted().await;
        let owner = api.agency("org_a").await;
        for label in ["one", "two"] {
            owner.subdomain(label).await;
        }
        api.proxy().take_requests();
        assert_eq!(api.hosts(1).await.len(), 2);
        api.list_hosts(json!({"cursor": ""})).await.unwrap_err();
        self.note(&api, "hosts");
    }

    /// Each write with each fault.
    async fn break_writes(&mut self) {
        let faults = [
            Fault::conflict,
            Fault::throttle,
            Fault::internal_error,
            Fault::lose_answer,
            Fault::lose_request,
        ];
        for fault in faults {
            let system = System::builder().counted().start().await;
            let writes = [
                ("agency", Method::POST, "/agency/enable", json!({})),
                (
                    "branding",
                    Method::PUT,
                    "/agency/branding",
                    json!({"footerText": "x"}),
                ),
                (
                    "portal",
                    Method::PUT,
                    "/agency/portal-config",
                    json!({"featureLogs": false}),
                ),
                ("clients", Method::POST, "/agency/clients", json!({"name": "One"})),
                (
                    "domains",
                    Method::POST,
                    "/agency/portal-domains",
                    json!({"subdomain": "one"}),
                ),
                (
                    "clients",
                    Method::PATCH,
                    "/agency/clients/{}",
                    json!({"name": "Two", "slug": "two"}),
                ),
                ("clients", Method::DELETE, "/agency/clients/{}", Value::Null),
                (
                    "domains",
                    Method::DELETE,
                    "/agency/portal-domains/{}",
                    Value::Null,
                ),
            ];
            let mut ids = BTreeMap::new();
            for (name, method, path, body) in writes {
                let function = FunctionPermissions::new(&system, name);
                let path = path.replace("{}", ids.get(name).map_or("", String::as_str));
                system.inject(fault().when(|action, _| action.ends_with("Items") || action == "PutItem"));
                let (status, answer) = function.call("org_a", method, &path, body, &[]).await;
                assert!(
                    status < 300,
                    "{path} {fault:?}: {status} {answer}",
                    fault = fault()
                );
                assert_eq!(system.proxy().pending(), [""; 0], "{path}");
                if let Some(id) = answer["id"].as_str() {
                    ids.insert(function.name, id.to_owned());
                }
                self.note(&system, name);
            }
        }
    }
}

#[tokio::test]
async fn every_role_allows_exactly_what_its_function_requests() {
    let mut watch = PermissionRecorder {
        seen: BTreeMap::new(),
    };
    watch.replay().await;
    watch.explore().await;
    watch.break_writes().await;
    watch.sweep().await;
    watch.hosts().await;
    assert_eq!(
        watch.seen,
        allowed(&template()),
        "seen, and allowed in template.yaml"
    );
}
