//! The system that is fuzzed: the real router, and a table that returns to the same items before each input.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest};
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use local::system::System;
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z, in milliseconds. Only a step of an input moves the clock.
const START: i64 = 1_800_000_000_000;
/// The agency that sends most requests, one that sends some, and one that has not enabled agency mode.
pub const AGENCY: &str = "org_acme";
pub const OTHER: &str = "org_zeta";
pub const NEW: &str = "org_new";
/// A text in each resource of [`OTHER`] that no request has.
pub const MARK: &str = "zetamark";

/// `PK` and `SK`.
pub type Key = (String, String);
/// The items of the table by their keys.
pub type Items = BTreeMap<Key, HashMap<String, AttributeValue>>;

/// The sender of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub org: String,
    pub role: &'static str,
    /// `None`: no token.
    pub token: Option<String>,
}

pub struct World {
    pub system: System,
    pub users: Vec<User>,
    /// Ids of clients and domains, and tokens of setup links: those of [`AGENCY`] first.
    pub clients: Vec<String>,
    pub domains: Vec<String>,
    pub links: Vec<String>,
    pub hosts: Vec<String>,
    seed: Items,
    /// The items as they are now.
    pub items: Items,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `null` if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl World {
    pub async fn start() -> Self {
        let system = System::builder()
            .at(START)
            .set("PORTAL_FEATURES", "invoices=true,reports=false")
            .set("MAX_DOMAINS", "7")
            .set("MAX_CLIENTS", "5")
            .start()
            .await;
        let user = |org: &str, role| User {
            org: org.to_owned(),
            role,
            token: Some(system.token(org, role)),
        };
        let no_token = |token: Option<&str>| User {
            org: String::new(),
            role: "none",
            token: token.map(str::to_owned),
        };
        let mut users = vec![
            user(AGENCY, "owner"),
            user(AGENCY, "admin"),
            user(AGENCY, "member"),
            user(OTHER, "owner"),
            user(NEW, "owner"),
            no_token(None),
            no_token(Some("e30.e30.e30")),
        ];
        let mut world = Self {
            users: users.clone(),
            system,
            clients: Vec::new(),
            domains: Vec::new(),
            links: Vec::new(),
            hosts: Vec::new(),
            seed: Items::new(),
            items: Items::new(),
        };
        for (owner, word) in [(&users[0], "acme"), (&users[3], MARK)] {
            world.fill(owner, word).await;
        }
        let client = world.clients[0].clone();
        users.insert(
            3,
            User {
                token: Some(world.system.token(&client, "owner")),
                org: client,
                role: "owner",
            },
        );
        world.users = users;
        world.items = world.scan().await;
        world.seed = world.items.clone();
        world
    }

    /// Gives an agency one of everything.
    async fn fill(&mut self, owner: &User, word: &str) {
        self.create(owner, Method::POST, "/agency/enable", Value::Null)
            .await;
        let branding = json!({"footerText": word, "primaryColor": "#123abc", "portalName": word});
        self.create(owner, Method::PUT, "/agency/branding", branding)
            .await;
        for name in ["one", "two"] {
            let client = json!({"name": format!("{word} {name}"), "externalId": format!("{word}-{name}"), "metadata": {"word": word}});
            let client = self.create(owner, Method::POST, "/agency/clients", client).await;
            self.clients.push(id(&client));
        }
        let client = self.clients[self.clients.len() - 2].clone();
        let path = format!("/agency/clients/{client}/branding");
        self.create(owner, Method::PUT, &path, json!({"portalName": word}))
            .await;
        for body in [
            json!({"customDomain": format!("portal.{word}.test")}),
            json!({"subdomain": format!("{word}-sub")}),
            json!({"subdomain": format!("{word}-old")}),
            json!({"customDomain": format!("client.{word}.test"), "clientOrgId": client}),
        ] {
            let domain = self
                .create(owner, Method::POST, "/agency/portal-domains", body)
                .await;
            self.domains.push(id(&domain));
            self.hosts.push(domain["hostname"].as_str().unwrap().to_owned());
        }
        let [custom, new, old] = [4, 3, 2].map(|back| self.domains[self.domains.len() - back].clone());
        let redirect = json!({"redirectTo": new});
        self.create(
            owner,
            Method::PATCH,
            &format!("/agency/portal-domains/{old}"),
            redirect,
        )
        .await;
        let link = format!("/agency/portal-domains/{custom}/setup-link");
        let link = self.create(owner, Method::POST, &link, json!({})).await;
        self.links.push(link_token(&link).unwrap());
    }

    async fn create(&self, owner: &User, method: Method, path: &str, body: Value) -> Value {
        let headers = [("content-type", b"application/json".to_vec())];
        let answer = self
            .send(owner, method, path, &headers, body.to_string().into_bytes())
            .await
            .unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.json());
        answer.json()
    }

    /// Sends a request. `None`: HTTP cannot express it.
    pub async fn send(
        &self,
        user: &User,
        method: Method,
        uri: &str,
        headers: &[(&str, Vec<u8>)],
        body: Vec<u8>,
    ) -> Option<Answer> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = &user.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_bytes(value).ok()?,
            );
        }
        let response = self.system.send(request.body(Body::from(body)).ok()?).await;
        let (parts, body) = response.into_parts();
        Some(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        })
    }

    /// All items of the table.
    pub async fn scan(&self) -> Items {
        let scan = self
            .system
            .client
            .scan()
            .table_name(self.system.table())
            .into_paginator();
        let items: Vec<_> = scan.items().send().collect::<Result<_, _>>().await.unwrap();
        items.into_iter().map(|item| (key(&item), item)).collect()
    }

    /// Returns to the items and to the time of the start.
    pub async fn reset(&mut self) {
        self.system.set_clock(START);
        self.items = self.scan().await;
        let mut requests = Vec::new();
        for (key, item) in &self.seed {
            if self.items.get(key) != Some(item) {
                let put = PutRequest::builder()
                    .set_item(Some(item.clone()))
                    .build()
                    .unwrap();
                requests.push(WriteRequest::builder().put_request(put).build());
            }
        }
        for (pk, sk) in self.items.keys().filter(|key| !self.seed.contains_key(key)) {
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let delete = DeleteRequest::builder()
                .key("PK", text(pk))
                .key("SK", text(sk))
                .build()
                .unwrap();
            requests.push(WriteRequest::builder().delete_request(delete).build());
        }
        for batch in requests.chunks(25) {
            let write = self.system.client.batch_write_item();
            let sent = write
                .request_items(self.system.table(), batch.to_vec())
                .send()
                .await
                .unwrap();
            assert!(sent.unprocessed_items.unwrap_or_default().is_empty());
        }
        self.items = self.seed.clone();
    }
}

fn key(item: &HashMap<String, AttributeValue>) -> Key {
    let text = |name: &str| item[name].as_s().unwrap().clone();
    (text("PK"), text("SK"))
}

pub fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

/// The token in a setup link.
pub fn link_token(link: &Value) -> Option<String> {
    Some(link["url"].as_str()?.rsplit_once('/')?.1.to_owned())
}
