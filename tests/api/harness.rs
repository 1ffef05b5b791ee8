//! How tests speak to the API: as a user, through the real router, to a table of their own.

use std::{fmt, ops::Deref};

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use local::system::{Builder, System};
use serde_json::{Value, json};

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

    /// With a proxy before the table that counts requests and breaks them.
    pub async fn counted() -> Self {
        Self::build(System::builder().counted()).await
    }

    pub async fn build(builder: Builder) -> Self {
        Self {
            system: builder.start().await,
        }
    }

    /// A user of an organization.
    pub fn user(&self, org: &str, role: &str) -> User<'_> {
        User {
            api: self,
            token: Some(self.token(org, role)),
        }
    }

    /// A user whose token is given.
    pub fn with_token(&self, token: impl Into<String>) -> User<'_> {
        User {
            api: self,
            token: Some(token.into()),
        }
    }

    /// Somebody without a token.
    pub fn visitor(&self) -> User<'_> {
        User {
            api: self,
            token: None,
        }
    }

    /// The owner of an organization that has enabled agency mode.
    pub async fn agency(&self, org: &str) -> User<'_> {
        let owner = self.user(org, "owner");
        owner.post("/agency/enable", Value::Null).await.expect(200);
        owner
    }
}

/// Somebody who sends requests.
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
            all.push(("content-type", "application/json"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &all, body).await
    }

    /// A request with whatever body and headers.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Any request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let path = request.uri().path().to_owned();
        let (parts, body) = self.api.system.send(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            path,
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Creates a client and returns it.
    pub async fn client(&self, name: &str) -> Value {
        self.post("/agency/clients", json!({"name": name}))
            .await
            .expect(201)
    }

    /// Creates a domain and returns it.
    pub async fn custom_domain(&self, hostname: &str) -> Value {
        self.post("/agency/portal-domains", json!({"customDomain": hostname}))
            .await
            .expect(201)
    }

    /// Creates a subdomain and returns it.
    pub async fn subdomain(&self, label: &str) -> Value {
        self.post("/agency/portal-domains", json!({"subdomain": label}))
            .await
            .expect(201)
    }

    /// The audit log, newest first.
    pub async fn audit(&self) -> Vec<Value> {
        self.get("/agency/audit").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .clone()
    }
}

/// What came back.
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
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, which must come with this status. `null` where there is none.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The problem, which must be this one and in the form that every problem has.
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

    /// The faults of a body: pointer and code of each.
    #[track_caller]
    pub fn faults(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let problem = self.problem(422, "invalid-body");
        let faults = problem["errors"].as_array().unwrap();
        faults
            .iter()
            .map(|fault| (text(&fault["pointer"]), text(&fault["code"])))
            .collect()
    }
}

/// An operation of the OpenAPI document.
#[derive(Debug, Clone)]
pub struct Operation {
    pub id: String,
    pub method: Method,
    /// With its parameters in braces.
    pub path: String,
    /// Needs no token.
    pub public: bool,
    pub has_body: bool,
}

/// Every operation of the document.
pub fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                public: operation["security"] == json!([{}]),
                has_body: operation.get("requestBody").is_some(),
            });
        }
    }
    operations
}
