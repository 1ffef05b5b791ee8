//! The agencies that the requests are about, and the requests.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    error::Error,
    iter,
    time::Duration,
};

use http::{
    Method, Request as HttpRequest, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    Result,
    operations::{self, OPERATIONS},
    process::{self, ServerProcess},
};

/// Requests about one agency follow each other at a twentieth of the rate, so that few of them conflict.
const AGENCIES: usize = 20;
/// What each queue has at first. A queue is used up if the creations are late by so many requests of an operation.
const RESERVE: usize = 40;
/// How much of an unexpected response is printed, in bytes.
const ERROR_LENGTH: usize = 500;
/// The longest wait for a response.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The server closes a connection that is idle for 30 s. A request must not meet that moment.
const POOL_TIMEOUT: Duration = Duration::from_secs(15);

/// The running system with its agencies, and an HTTP client.
pub struct LoadedSystem {
    http: Client<HttpConnector, String>,
    origin: String,
    routes: Vec<(Method, String)>,
    round: Vec<usize>,
    agencies: Vec<LoadedAgency>,
    state: RefCell<LoadState>,
}

/// An agency, with what stays during the run.
struct LoadedAgency {
    org: String,
    token: String,
    /// A client, and a subdomain with the host that redirects to it.
    client: String,
    domain: String,
    host: String,
    old_host: String,
    /// The token of the setup link of a custom domain.
    setup: String,
}

#[derive(Default)]
struct LoadState {
    /// Requests sent.
    count: usize,
    /// Requests sent, for each operation.
    counts: BTreeMap<usize, usize>,
    /// Each queue has what one operation takes and another one adds.
    clients: VecDeque<Resource>,
    domains: VecDeque<Resource>,
    to_verify: VecDeque<Resource>,
    to_link: VecDeque<Resource>,
    linked: VecDeque<Resource>,
    to_unlink: VecDeque<Resource>,
    errors: Vec<String>,
}

/// The id of a client or a domain, or the token of its setup link, and its agency.
struct Resource {
    agency: usize,
    id: String,
    setup: String,
}

/// A request that is ready to be sent.
pub struct MixRequest {
    operation: usize,
    agency: usize,
    /// The number of the operation's request.
    number: usize,
    /// What it takes out of a queue.
    resource: Option<Resource>,
    /// Whether that queue is empty.
    lacks_resource: bool,
}

impl LoadedSystem {
    /// Creates the agencies and what the first requests take.
    pub async fn create(api: &ServerProcess) -> Result<Self> {
        let mut http = Client::builder(TokioExecutor::new());
        http.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_TIMEOUT);
        http.retry_canceled_requests(false); // A request that is lost is an error.
        let mut system = Self {
            http: http.build_http(),
            origin: format!("http://{}", api.api),
            routes: Vec::new(),
            round: operations::round(),
            agencies: Vec::new(),
            state: RefCell::default(),
        };
        let (_, document) = system.call(Method::GET, "/openapi.json", None, None).await?;
        system.routes = operations::routes(&serde_json::from_slice(&document)?)?;
        for number in 0..AGENCIES {
            let agency = system.create_agency(number).await?;
            system.agencies.push(agency);
        }
        system.fill_queues().await;
        Ok(system)
    }

    async fn create_agency(&self, number: usize) -> Result<LoadedAgency> {
        let org = format!("org_load_{number}");
        let token = process::token(&org)?;
        let send = async |method: Method, path: &str, body: Value| -> Result<Value> {
            let (status, response) = self.call(method, path, Some(&token), Some(&body)).await?;
            match status {
                200 | 201 => Ok(serde_json::from_slice(&response)?),
                _ => Err(format!("{path}: {status} {}", String::from_utf8_lossy(&response)).into()),
            }
        };
        let post = async |path: &str, body: Value| send(Method::POST, path, body).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        post("/agency/enable", Value::Null).await?;
        let client = post("/agency/clients", json!({"name": "Client"})).await?;
        let subdomain = |label: &str| json!({"subdomain": format!("{label}-{number}")});
        let domain = post("/agency/portal-domains", subdomain("load")).await?;
        let old = post("/agency/portal-domains", subdomain("old")).await?;
        let custom = json!({"customDomain": format!("portal.load{number}.test")});
        let custom = post("/agency/portal-domains", custom).await?;
        let link = format!("/agency/portal-domains/{}/setup-link", text(&custom["id"]));
        let link = post(&link, json!({})).await?;
        let path = format!("/agency/portal-domains/{}", text(&old["id"]));
        let redirect = json!({"redirectTo": domain["id"]});
        send(Method::PATCH, &path, redirect).await?;
        Ok(LoadedAgency {
            client: text(&client["id"]),
            domain: text(&domain["id"]),
            host: text(&domain["hostname"]),
            old_host: text(&old["hostname"]),
            setup: setup_token(&link),
            org,
            token,
        })
    }

    /// Fills the queues by the operations that add to them.
    async fn fill_queues(&self) {
        for (id, times) in [
            ("createClientOrg", RESERVE),
            // A third of the domains goes to each of the queues of verifyPortalDomain, createSetupLink and deletePortalDomain.
            ("createPortalDomain", 9 * RESERVE),
            ("createSetupLink", 2 * RESERVE),
            ("verifySetup", RESERVE),
        ] {
            let operations = OPERATIONS.iter().enumerate();
            for (operation, _) in operations.filter(|(_, operation)| operation.id == id) {
                for _ in 0..times {
                    self.prepare(operation).send(self).await;
                }
            }
        }
    }

    /// The share of requests with methods that write.
    pub fn share_of_writes(&self) -> f64 {
        let is_write = |operation: &&usize| self.routes[**operation].0 != Method::GET;
        self.round.iter().filter(is_write).count() as f64 / self.round.len() as f64
    }

    /// The next request of the mix.
    pub fn next(&self) -> MixRequest {
        let mut state = self.state.borrow_mut();
        let operation = self.round[state.count % self.round.len()];
        state.count += 1;
        drop(state);
        self.prepare(operation)
    }

    fn prepare(&self, operation: usize) -> MixRequest {
        let mut state = self.state.borrow_mut();
        let count = state.counts.entry(operation).or_default();
        let number = *count;
        *count += 1;
        let queue = match OPERATIONS[operation].id {
            "deleteClientOrg" => Some(&mut state.clients),
            "deletePortalDomain" => Some(&mut state.domains),
            "verifyPortalDomain" => Some(&mut state.to_verify),
            "createSetupLink" => Some(&mut state.to_link),
            "verifySetup" => Some(&mut state.linked),
            "deleteSetupLink" => Some(&mut state.to_unlink),
            _ => None,
        };
        let taken = queue.map(VecDeque::pop_front);
        let lacks_resource = matches!(taken, Some(None));
        let resource = taken.flatten();
        MixRequest {
            operation,
            agency: resource
                .as_ref()
                .map_or(number % self.agencies.len(), |resource| resource.agency),
            number,
            resource,
            lacks_resource,
        }
    }

    /// The errors since the last call.
    pub fn take_errors(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().errors)
    }

    /// Returns the status, and the body or the target of a redirect.
    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(body.map(Value::to_string).unwrap_or_default())?;
        let exchange = async {
            let response = self.http.request(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            let content = match parts.status {
                StatusCode::PERMANENT_REDIRECT => parts.headers.get(LOCATION).map(|to| to.as_bytes()),
                _ => Some(&*body),
            };
            Ok::<_, Box<dyn Error>>((parts.status.as_u16(), content.unwrap_or_default().to_vec()))
        };
        match timeout(TIME_LIMIT, exchange).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let causes = iter::successors(Some(&*error), |&error| error.source());
                let causes = causes.map(ToString::to_string).collect::<Vec<_>>();
                Err(causes.join(": ").into())
            }
            Err(_) => Err("no response in 30 s".into()),
        }
    }
}

impl MixRequest {
    /// Its place in [`OPERATIONS`].
    pub fn operation(&self) -> usize {
        self.operation
    }

    /// Returns whether the response is the expected one.
    pub async fn send(self, system: &LoadedSystem) -> bool {
        let operation = &OPERATIONS[self.operation];
        let agency = &system.agencies[self.agency];
        let (method, template) = &system.routes[self.operation];
        let (path, body) = self.target(operation.id, agency, template);
        let expected = self.fill(operation.content, agency);
        let token = template.starts_with("/agency") || operation.id == "getPortalContext";
        if self.lacks_resource {
            let error = format!(
                "{}: the requests that create what it takes are late",
                operation.id
            );
            system.state.borrow_mut().errors.push(error);
            return false;
        }
        let sent = system
            .call(
                method.clone(),
                &path,
                token.then_some(&*agency.token),
                body.as_ref(),
            )
            .await;
        let error = match sent {
            Ok((status, content)) if status == operation.status && has(&content, &expected) => {
                self.keep(operation.id, &content, &mut system.state.borrow_mut());
                return true;
            }
            Ok((status, content)) => {
                let start = &content[..content.len().min(ERROR_LENGTH)];
                format!("{status} {}", String::from_utf8_lossy(start))
            }
            Err(error) => error.to_string(),
        };
        let error = format!("{} {method} {path}: {error}", operation.id);
        system.state.borrow_mut().errors.push(error);
        false
    }

    /// Sets the variables of a path or of the expected content.
    fn fill(&self, template: &str, agency: &LoadedAgency) -> String {
        let own = self.resource.as_ref();
        let id = |kept| own.map_or(kept, |resource| &resource.id);
        template
            .replace("{clientOrgId}", id(&agency.client))
            .replace("{domainId}", id(&agency.domain))
            .replace("{token}", own.map_or(&agency.setup, |resource| &resource.setup))
            .replace("{host}", &agency.host)
            .replace("{org}", &agency.org)
            .replace("{number}", &self.number.to_string())
    }

    /// The path and the body.
    fn target(&self, id: &str, agency: &LoadedAgency, template: &str) -> (String, Option<Value>) {
        let number = self.number;
        let mut path = self.fill(template, agency);
        match id {
            "getPortalContext" | "getPublicBranding" | "getThemeCss" => {
                path += &format!("?host={}", agency.host)
            }
            "checkTls" => path += &format!("?domain={}", agency.host),
            "redirectHost" => path += &format!("?host={}", agency.old_host),
            "getSetupRecords" => path += "?format=zone",
            "listAuditEntries" | "listClientOrgs" | "listPortalDomains" => path += "?limit=20",
            _ => {}
        }
        let body = match id {
            "putBranding" | "putClientBranding" => json!({
                "portalName": format!("Portal {number}"),
                "primaryColor": "#1a73e8",
                "logoUrl": "https://cdn.acme.com/logo.svg",
                "customCss": ".login-card { border-radius: 1rem }",
            }),
            "putPortalConfig" | "putClientPortalConfig" => {
                json!({"featureTerminal": number.is_multiple_of(2)})
            }
            "createClientOrg" => json!({"name": format!("Client {number}"), "metadata": {"plan": "gold"}}),
            "updateClientOrg" => json!({"name": format!("Client {number}")}),
            "createPortalDomain" if number % 3 == 2 => json!({"subdomain": format!("run-{number}")}),
            "createPortalDomain" => json!({"customDomain": format!("portal.run{number}.test")}),
            "updatePortalDomain" => json!({"primary": true}),
            "createSetupLink" => json!({"days": 7}),
            _ => return (path, None),
        };
        (path, Some(body))
    }

    /// Puts what the response names into the queue of the operation that takes it.
    fn keep(self, id: &str, response: &[u8], state: &mut LoadState) {
        let agency = self.agency;
        let json = || serde_json::from_slice::<Value>(response).unwrap_or_default();
        let created = || Resource {
            agency,
            id: json()["id"].as_str().unwrap_or_default().to_owned(),
            setup: String::new(),
        };
        match (id, self.resource) {
            ("createClientOrg", _) => state.clients.push_back(created()),
            ("createPortalDomain", _) => match self.number % 3 {
                0 => state.to_verify.push_back(created()),
                1 => state.to_link.push_back(created()),
                _ => state.domains.push_back(created()),
            },
            ("createSetupLink", Some(resource)) => state.linked.push_back(Resource {
                setup: setup_token(&json()),
                ..resource
            }),
            ("verifySetup", Some(resource)) => state.to_unlink.push_back(resource),
            ("verifyPortalDomain" | "deleteSetupLink", Some(resource)) => state.domains.push_back(resource),
            _ => {}
        }
    }
}

/// Whether a response has this content. It has none if none is expected.
fn has(content: &[u8], expected: &str) -> bool {
    match expected {
        "" => content.is_empty(),
        _ => String::from_utf8_lossy(content).contains(expected),
    }
}

fn setup_token(link: &Value) -> String {
    let url = link["url"].as_str().unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default().to_owned()
}
