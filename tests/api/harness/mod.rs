//! How tests talk to the API: as a user, through the real router, with a table of their own.

pub mod edge;
pub mod events;
pub mod logs;
pub mod operations;
pub mod relay;
pub mod template;

use std::{collections::HashMap, fmt, ops::Deref, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use lambda_runtime::{Context, LambdaEvent};
use local::system::{Builder, System};
use serde_json::{Value, json};
use shared::models::{folded::FoldedName, time::Timestamp};
use url::form_urlencoded;

/// When a system that is built [`at`](Builder::at) this time starts: 2027-01-15T08:00:00Z, in milliseconds.
pub const START: i64 = 1_800_000_000_000;
pub const MINUTE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Well-formed ids of no resource.
pub const NO_CLIENT: &str = "cli_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
pub const NO_DOMAIN: &str = "dom_019aa1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

pub const CLIENTS: &str = "/agency/clients";
pub const DOMAINS: &str = "/agency/portal-domains";
pub const BRANDING: &str = "/agency/branding";
pub const CONFIG: &str = "/agency/portal-config";
pub const CONTEXT: &str = "/portal/context";

/// The header of a body that is JSON.
pub const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A system and what tests need of it.
pub struct Api {
    pub system: System,
}

impl Deref for Api {
    type Target = System;

    fn deref(&self) -> &System {
        &self.system
    }
}

impl Api {
    pub async fn start() -> Self {
        Self::build(System::builder()).await
    }

    /// With a proxy in front of the table that records requests and injects faults.
    pub async fn counted() -> Self {
        Self::build(System::builder().counted()).await
    }

    /// With a clock that stands still at [`START`].
    pub async fn stopped() -> Self {
        Self::build(System::builder().at(START)).await
    }

    /// With these environment variables.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let builder = System::builder();
        let set = |builder: Builder, (name, value): &(&str, &str)| builder.set(name, *value);
        Self::build(variables.iter().fold(builder, set)).await
    }

    pub async fn build(builder: Builder) -> Self {
        logs::watch();
        Self {
            system: builder.start().await,
        }
    }

    /// A user of an organization.
    pub fn user(&self, org: &str, role: &str) -> User<'_> {
        self.with_token(self.token(org, role))
    }

    /// A user with this token.
    pub fn with_token(&self, token: impl Into<String>) -> User<'_> {
        User {
            api: self,
            token: Some(token.into()),
        }
    }

    /// A user without a token.
    pub fn visitor(&self) -> User<'_> {
        User {
            api: self,
            token: None,
        }
    }

    /// The owner of an organization, which enables agency mode.
    pub async fn agency(&self, org: &str) -> User<'_> {
        let owner = self.user(org, "owner");
        owner.post("/agency/enable", Value::Null).await.expect(200);
        owner
    }

    /// The owner of the agency that has this resource, with a token of now.
    pub fn owner_of(&self, resource: &Value) -> User<'_> {
        self.user(resource["agencyId"].as_str().unwrap(), "owner")
    }

    /// Invokes the function `hosts`, and returns its page or the message of its error.
    pub async fn list_hosts(&self, event: Value) -> Result<Value, String> {
        let event = LambdaEvent::new(event, Context::default());
        let page = ::hosts::handle(&self.app, event).await;
        page.map(|page| json!(page)).map_err(|error| error.to_string())
    }

    /// All hosts that the function `hosts` lists, in pages of this limit.
    pub async fn hosts(&self, limit: u16) -> Vec<Value> {
        let (mut hosts, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let event = json!({"limit": limit, "cursor": cursor});
            let mut page = self.list_hosts(event).await.unwrap();
            let items = page["items"].as_array_mut().unwrap();
            assert!(items.len() <= limit.into());
            hosts.append(items);
            cursor = page["nextCursor"].take();
            if cursor.is_null() {
                return hosts;
            }
        }
    }

    /// Whether the public operations answer for this host, and the list of hosts has it.
    pub async fn serves(&self, hostname: &str) -> bool {
        let visitor = self.visitor();
        let mut statuses = Vec::new();
        for path in ["tls-check?domain", "theme.css?host", "branding?host"] {
            let response = visitor.get(&format!("/portal/{path}={hostname}")).await;
            statuses.push(response.status.as_u16());
        }
        assert!(statuses == [200; 3] || statuses == [404; 3], "{statuses:?}");
        let serves = statuses[0] == 200;
        let hosts = self.hosts(1000).await;
        let listed = hosts.iter().filter(|host| host["hostname"] == hostname);
        assert_eq!(listed.count(), usize::from(serves), "{hostname} in {hosts:?}");
        serves
    }

    /// The items of an agency whose sort keys begin with this, oldest first.
    pub async fn items(&self, org: &str, prefix: &str) -> Vec<HashMap<String, AttributeValue>> {
        let text = |text: String| AttributeValue::S(text);
        let query = self
            .client
            .query()
            .table_name(self.table())
            .key_condition_expression("PK = :pk AND begins_with(SK, :sk)")
            .expression_attribute_values(":pk", text(format!("A#{org}")))
            .expression_attribute_values(":sk", text(prefix.to_owned()));
        query.send().await.unwrap().items.unwrap()
    }

    /// All items of the table.
    pub async fn all_items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self.client.scan().table_name(self.table()).into_paginator();
        scan.items().send().collect::<Result<_, _>>().await.unwrap()
    }

    /// The client is as in this response in all items that have the whole client, and in its membership.
    pub async fn assert_copies(&self, client: &Value) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let owner = self.owner_of(client);
        assert_eq!(owner.get(&path(client)).await.expect(200), *client);
        let id = id(client);
        let folded = FoldedName::new(client["name"].as_str().unwrap());
        let mut expected = vec![
            format!("CLIENT#{id}"),
            format!("SLUG#{}", client["slug"].as_str().unwrap()),
            format!("NAMED#{}\u{1F}{id}", folded.as_str()),
        ];
        expected.extend(text(&client["externalId"]).map(|id| format!("EXTERNAL#{id}")));
        expected.sort();
        let (mut keys, mut contents, mut memberships) = (Vec::new(), Vec::new(), 0);
        for mut item in self.all_items().await {
            let attribute = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
            if attribute("entity").as_deref() == Some("membership")
                && attribute("PK") == Some(format!("C#{id}"))
            {
                memberships += 1;
                for name in ["name", "slug", "suspendedAt", "agencyId"] {
                    assert_eq!(attribute(name), text(&client[name]), "{name}");
                }
            }
            let is_copy = attribute("entity").as_deref() == Some("client");
            if is_copy && attribute("id").as_deref() == Some(id) {
                keys.push(attribute("SK").unwrap());
                item.remove("SK");
                contents.push(item);
            }
        }
        keys.sort();
        assert_eq!((keys, memberships), (expected, 1));
        assert!(
            contents.iter().all(|content| *content == contents[0]),
            "{contents:#?}"
        );
    }

    /// Nothing of the client is left but the audit log and what `Idempotency-Key` needs.
    pub async fn assert_no_copies(&self, client: &Value) {
        let id = id(client);
        for item in self.all_items().await {
            let entity = item["entity"].as_s().unwrap();
            let tells = format!("{item:?}").contains(id);
            assert!(
                !tells || matches!(entity.as_str(), "audit" | "idempotency"),
                "{item:?}"
            );
        }
    }

    /// Sets an attribute of an agency's item, without the API.
    pub async fn set_attribute(&self, org: &str, sk: &str, name: &str, value: AttributeValue) {
        let update = self.client.update_item().table_name(self.table());
        update
            .key("PK", AttributeValue::S(format!("A#{org}")))
            .key("SK", AttributeValue::S(sk.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
    }

    /// All injected faults were met.
    #[track_caller]
    pub fn assert_faults_met(&self) {
        assert_eq!(self.proxy().pending(), [""; 0]);
    }

    /// The domain as it is now.
    pub async fn now(&self, domain: &Value) -> Value {
        self.owner_of(domain).get(&path(domain)).await.expect(200)
    }

    /// Checks a domain six seconds later: a domain is checked once in five seconds.
    pub async fn verify(&self, domain: &Value) -> Value {
        self.advance(Duration::from_secs(6));
        self.owner_of(domain).verify(domain).await.expect(200)
    }

    /// Lets time pass until the domain is due, and sweeps.
    pub async fn sweep_when_due(&self, domain: &Value) -> Value {
        let next = self.now(domain).await["check"]["nextCheckAt"].clone();
        let next: Timestamp = next.as_str().unwrap().parse().unwrap();
        self.advance(next.since(self.app.clock.now()) + Duration::from_secs(1));
        self.reverify().await;
        self.now(domain).await
    }
}

/// A sender of requests.
#[derive(Clone)]
pub struct User<'a> {
    pub api: &'a Api,
    token: Option<String>,
}

impl User<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, &[], Some(body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// A request with a JSON body, unless `headers` name another type.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut all = headers.to_vec();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            all.extend(JSON);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &all, body).await
    }

    /// A request with any body and headers.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        self.raw_bytes(method, path, &headers, body).await
    }

    /// The same, with header values that need not be text.
    pub async fn raw_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &[u8])],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Any request. A response that the operation does not document fails the test.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (path, method) = (request.uri().path().to_owned(), request.method().clone());
        let answer = Answer::read(path, self.api.system.send(request).await).await;
        operations::assert_documented(&method, &answer);
        answer
    }

    /// Creates a client and returns it.
    pub async fn client(&self, name: &str) -> Value {
        self.post(CLIENTS, json!({"name": name})).await.expect(201)
    }

    /// Creates a client with this slug and returns it.
    pub async fn client_with_slug(&self, name: &str, slug: &str) -> Value {
        let body = json!({"name": name, "slug": slug});
        self.post(CLIENTS, body).await.expect(201)
    }

    /// Creates a setup link of a domain and returns it.
    pub async fn setup_link(&self, domain: &Value) -> Value {
        let link = format!("{}/setup-link", path(domain));
        self.post(&link, json!({})).await.expect(201)
    }

    /// Creates a custom domain and returns it.
    pub async fn custom_domain(&self, hostname: &str) -> Value {
        let body = json!({"customDomain": hostname});
        self.post(DOMAINS, body).await.expect(201)
    }

    /// Creates a subdomain and returns it.
    pub async fn subdomain(&self, label: &str) -> Value {
        self.post(DOMAINS, json!({"subdomain": label})).await.expect(201)
    }

    /// Creates a custom domain and proves it with its `CNAME` record, the only record that DNS then has.
    pub async fn verified_domain(&self, hostname: &str) -> Value {
        let domain = self.custom_domain(hostname).await;
        self.api.dns.set_zone(&cname(&domain)).unwrap();
        let domain = self.verify(&domain).await.expect(200);
        assert_eq!(domain["status"], "verified", "{domain}");
        domain
    }

    pub async fn verify(&self, domain: &Value) -> Answer {
        self.post(&format!("{}/verify", path(domain)), Value::Null).await
    }

    /// Deletes a client or a domain.
    pub async fn remove(&self, resource: &Value) {
        self.delete(&path(resource)).await.expect(204);
    }

    pub async fn overview(&self) -> Value {
        self.get("/agency/overview").await.expect(200)
    }

    /// The first page of a list.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        self.get(path).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// The client that has this slug, if there is one.
    pub async fn by_slug(&self, slug: &str) -> Value {
        self.find(&format!("slug={slug}")).await
    }

    /// The clients that a query finds, which must fit one page.
    pub async fn find(&self, query: &str) -> Value {
        let page = self.get(&format!("{CLIENTS}?{query}")).await.expect(200);
        assert_eq!(page["nextCursor"], Value::Null);
        page["items"].clone()
    }

    /// The client that has this external id, if there is one.
    pub async fn by_external_id(&self, id: &Value) -> Value {
        self.find(&format!("externalId={}", encoded(id.as_str().unwrap())))
            .await
    }

    /// The audit log, newest first.
    pub async fn audit(&self) -> Vec<Value> {
        self.list("/agency/audit").await
    }

    /// The actions of the audit log, newest first.
    pub async fn actions(&self) -> Vec<String> {
        let text = |entry: &Value| entry["action"].as_str().unwrap().to_owned();
        self.audit().await.iter().map(text).collect()
    }
}

/// A response.
pub struct Answer {
    pub path: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {:?} {}",
            self.path, self.status, self.headers, self.text
        )
    }
}

impl Answer {
    pub async fn read(path: String, response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            path,
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The `ETag`, which must be a strong one.
    #[track_caller]
    pub fn etag(&self) -> String {
        let tag = self.header("etag").unwrap_or_else(|| panic!("no ETag: {self:?}"));
        assert!(
            tag.len() > 8 && tag.starts_with('"') && tag.ends_with('"'),
            "{tag} is not a strong ETag"
        );
        tag.to_owned()
    }

    /// What tells this response from another: all but the request's id and its path.
    pub fn fingerprint(&self) -> (u16, Vec<(String, String)>, String) {
        let request_id = self.header("x-request-id").unwrap();
        let headers = self.headers.iter().filter(|(name, _)| *name != "x-request-id");
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let mut headers: Vec<_> = headers.map(text).collect();
        headers.sort();
        let body = self.text.replace(request_id, "<id>");
        let body = body.replace(&format!("\"{}\"", self.path), "\"<path>\"");
        (self.status.as_u16(), headers, body)
    }

    pub fn is_replay(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, which must come with this status. `null` if there is none.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The problem, which must have this code and the form of every problem.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"));
        assert_eq!(problem["instance"], self.path);
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"].as_str(), self.status.canonical_reason());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(
            problem.get("errors").is_some(),
            code == "invalid-body",
            "{self:?}"
        );
        problem
    }

    /// The validation errors of a body, sorted: pointer and code of each.
    #[track_caller]
    pub fn faults(&self) -> Vec<(String, String)> {
        let problem = self.problem(422, "invalid-body");
        let mut faults = Vec::new();
        for fault in problem["errors"].as_array().unwrap() {
            assert_eq!(fault.as_object().unwrap().len(), 3, "{fault}");
            let text = |name: &str| fault[name].as_str().unwrap().to_owned();
            assert!(!text("detail").is_empty());
            faults.push((text("pointer"), text("code")));
        }
        faults.sort();
        faults
    }

    /// The validation errors, which must be these.
    #[track_caller]
    pub fn expect_faults(&self, expected: &[(&str, &str)]) {
        let faults = self.faults();
        let faults: Vec<_> = faults.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(faults, expected, "{self:?}");
    }
}

/// A text as the value of a parameter.
pub fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

pub fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

/// The path of a client or a domain.
pub fn path(resource: &Value) -> String {
    let id = id(resource);
    let list = if id.starts_with("cli_") { CLIENTS } else { DOMAINS };
    format!("{list}/{id}")
}

/// The path of a client's own branding.
pub fn branding_of(client: &Value) -> String {
    format!("{}/branding", path(client))
}

/// The path of a client's own portal configuration.
pub fn config_of(client: &Value) -> String {
    format!("{}/portal-config", path(client))
}

/// An object with one property.
pub fn property(name: &str, value: impl Into<Value>) -> Value {
    json!({ name: value.into() })
}

/// The line of a zone file that has the domain's record of this type.
fn record(domain: &Value, kind: &str) -> String {
    let records = domain["records"].as_array().unwrap();
    let record = records.iter().find(|record| record["type"] == kind).unwrap();
    let text = |name: &str| record[name].as_str().unwrap();
    match kind {
        "TXT" => format!("{}. TXT \"{}\"\n", text("name"), text("value")),
        _ => format!("{}. {kind} {}.\n", text("name"), text("value")),
    }
}

pub fn txt(domain: &Value) -> String {
    record(domain, "TXT")
}

pub fn cname(domain: &Value) -> String {
    record(domain, "CNAME")
}

/// The token in the domain's records.
pub fn token(domain: &Value) -> &str {
    let value = domain["records"][0]["value"].as_str().unwrap();
    value.strip_prefix("agency-verification=").unwrap()
}

/// The token of a setup link.
pub fn setup_token(link: &Value) -> &str {
    let (_, token) = link["url"].as_str().unwrap().rsplit_once('/').unwrap();
    token
}

/// The code of the domain's problem, or `none`.
pub fn problem_code(domain: &Value) -> &str {
    domain["check"]["problem"]["code"].as_str().unwrap_or("none")
}

/// The status of a domain, and the code of its problem.
pub fn standing(domain: &Value) -> (&str, &str) {
    (domain["status"].as_str().unwrap(), problem_code(domain))
}

/// The codes of all findings.
pub fn finding_codes(domain: &Value) -> Vec<&str> {
    let findings = domain["check"]["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}
