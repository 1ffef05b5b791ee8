//! The clients of the API: they send operations at once, lose connections, give up, and try again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use local::token;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    history::Attempt,
    http::{self, HttpRequest, HttpResponse},
    operations::{self, AGENCIES, Known, TrialOperation},
};

/// How long a client waits for the response to a request: the API's own limit of 14 s, and 4 s for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(18);
/// How often a client sends an operation.
const ATTEMPTS: usize = 4;
/// How often [`Load::prepare`] sends an operation.
const PREPARING_ATTEMPTS: usize = 20;
/// How long a client waits between attempts, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 20..300;

/// The clients and what they saw.
pub struct Load {
    seed: u64,
    /// The processes of the API.
    addresses: Vec<SocketAddr>,
    /// How many operations are sent. The first ones are those of [`Self::prepare`].
    operations: usize,
    next: AtomicUsize,
    stopped: AtomicBool,
    ticks: AtomicU64,
    known: Mutex<Known>,
    history: Mutex<Vec<Attempt>>,
}

/// The source of the choices with this number. `seed` is the trial's.
pub fn rng(seed: u64, number: u64) -> SmallRng {
    // Seeds that differ in one bit give unrelated sequences (SplitMix64).
    SmallRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number)
}

impl Load {
    pub fn new(seed: u64, addresses: Vec<SocketAddr>, operations: usize) -> Self {
        Self {
            seed,
            addresses,
            operations,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
            known: Mutex::default(),
            history: Mutex::default(),
        }
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// What the clients have seen until now.
    pub fn history(&self) -> Vec<Attempt> {
        lock(&self.history).clone()
    }

    /// Ends [`Self::work`] before all operations have been sent.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Makes [`Self::work`] possible again after [`Self::stop`].
    pub fn resume(&self) {
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// Enables each agency and gives it a subdomain that no other operation names, so that it always has a primary domain.
    ///
    /// # Errors
    /// The API refuses it, or fails again and again.
    pub async fn prepare(&self) -> Result<(), String> {
        for (agency, org) in AGENCIES.iter().enumerate() {
            for id in ["enableAgency", "createPortalDomain"] {
                let number = self.next.fetch_add(1, Ordering::SeqCst);
                let mut rng = rng(self.seed, number as u64);
                let mut operation = operations::make(id, agency, number, &mut rng, &Known::default());
                if id == "createPortalDomain" {
                    operation.request.body = Some(json!({"subdomain": format!("home-{}", &org[4..])}));
                    operation.idempotency_key = Some(format!("home-{org}"));
                    let key = ("idempotency-key", format!("home-{org}"));
                    operation.request.headers = vec![key];
                }
                self.until_acknowledged(&operation, number, &mut rng).await?;
            }
        }
        Ok(())
    }

    async fn until_acknowledged(
        &self,
        operation: &TrialOperation,
        number: usize,
        rng: &mut SmallRng,
    ) -> Result<(), String> {
        for attempt in 0..PREPARING_ATTEMPTS {
            let actor = format!("op-{number}.{attempt}");
            match self.attempt(operation, actor, rng).await {
                Some(response) if response.status < 300 => return Ok(()),
                Some(response) if response.status < 500 => {
                    return Err(format!("{}: {} {}", operation.id, response.status, response.body));
                }
                _ => tokio::time::sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await,
            }
        }
        Err(format!(
            "{}: no success in {PREPARING_ATTEMPTS} attempts",
            operation.id
        ))
    }

    /// Sends operations until all have been sent or the load is stopped. Several of these run at once.
    pub async fn work(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.operations {
                return;
            }
            let mut rng = rng(self.seed, number as u64);
            let operation = operations::choose(number, &mut rng, &self.known());
            for attempt in 0..ATTEMPTS {
                let actor = format!("op-{number}.{attempt}");
                let response = self.attempt(&operation, actor, &mut rng).await;
                match response {
                    Some(response) if response.status < 500 => {
                        self.learn(&operation, &response);
                        break;
                    }
                    _ if !operation.may_be_repeated() || rng.random_bool(0.2) => break,
                    _ => tokio::time::sleep(Duration::from_millis(rng.random_range(PAUSE_MS))).await,
                }
            }
        }
    }

    /// Sends an operation once.
    async fn attempt(
        &self,
        operation: &TrialOperation,
        actor: String,
        rng: &mut SmallRng,
    ) -> Option<HttpResponse> {
        let address = self.addresses[rng.random_range(0..self.addresses.len())];
        // Some clients give up early. The API then ends the request wherever it is.
        let gives_up_early = rng.random_bool(0.02);
        let patience = match gives_up_early {
            true => Duration::from_millis(rng.random_range(1..60)),
            false => PATIENCE,
        };
        let (start, since) = (self.tick(), Instant::now());
        let response = self.send(address, operation, &actor, patience).await;
        let attempt = Attempt {
            actor,
            operation: operation.clone(),
            start,
            end: self.tick(),
            took: since.elapsed(),
            gives_up_early,
            response: response.clone(),
        };
        lock(&self.history).push(attempt);
        response
    }

    /// Sends the request of an operation. `patience` is for each request, of which a list has several.
    async fn send(
        &self,
        address: SocketAddr,
        operation: &TrialOperation,
        actor: &str,
        patience: Duration,
    ) -> Option<HttpResponse> {
        let send = async |request: &HttpRequest| {
            let sent = tokio::time::timeout(patience, http::send(address, request));
            sent.await.ok()?.ok()
        };
        let mut request = operation.request.clone();
        let org = AGENCIES[operation.agency];
        let token = token::sign(org, "owner", actor, OffsetDateTime::now_utc(), token::TTL);
        request.headers.push(("authorization", format!("Bearer {token}")));
        let mut response = send(&request).await?;
        // All pages of a list are one response.
        let mut items = response.body["items"].as_array().cloned();
        while let (Some(items), Some(next)) = (&mut items, response.body["nextCursor"].as_str()) {
            let path = &operation.request.path;
            request.path = format!("{path}&cursor={next}");
            response = send(&request).await?;
            items.extend(response.body["items"].as_array().cloned().unwrap_or_default());
        }
        if let Some(items) = items
            && response.status == 200
        {
            response.body = json!({ "items": items });
        }
        Some(response)
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// Remembers what the response tells, for later operations.
    fn learn(&self, operation: &TrialOperation, response: &HttpResponse) {
        if response.status >= 300 {
            return;
        }
        let known = &mut *self.known();
        let own = &mut known.agencies[operation.agency];
        let body = &response.body;
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        match operation.id {
            "createClientOrg" => own.clients.push(id),
            "createPortalDomain" => {
                let hostname = body["hostname"].as_str().unwrap_or_default().to_owned();
                let proof = proof(&body["records"]);
                if !proof.is_empty() {
                    known
                        .proofs
                        .entry(hostname)
                        .or_default()
                        .insert(id.clone(), proof);
                }
                own.domains.push(id);
            }
            "deleteClientOrg" => own.clients.retain(|id| *id != operation.target),
            "deletePortalDomain" => {
                own.domains.retain(|id| *id != operation.target);
                let claims: &mut BTreeMap<_, BTreeMap<_, _>> = &mut known.proofs;
                claims
                    .values_mut()
                    .for_each(|claims| drop(claims.remove(&operation.target)));
            }
            "createSetupLink" => {
                let token = body["url"].as_str().and_then(|url| url.rsplit_once('/'));
                own.links.extend(token.map(|(_, token)| token.to_owned()));
            }
            _ => {}
        }
        if let Some(tag) = response.header("etag") {
            own.tags.insert(operation.request.path.clone(), tag.to_owned());
        }
    }
}

/// The records of a custom domain as lines of a zone file.
fn proof(records: &Value) -> String {
    let line = |record: &Value| {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        match record["type"].as_str() {
            Some("TXT") => format!("{}. TXT \"{}\"\n", text("name"), text("value")),
            Some("CNAME") => format!("{}. CNAME {}.\n", text("name"), text("value")),
            _ => String::new(),
        }
    };
    records.as_array().into_iter().flatten().map(line).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
