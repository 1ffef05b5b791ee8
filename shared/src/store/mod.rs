//! The DynamoDB table. Callers enter it through their tenant. All keys are in [`keys`].
//!
//! Each change is one transaction or one conditional write. The resource, the unique names, the counters, the audit
//! entry and the idempotency record change together or not at all.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    config::Intercept,
    error::{ProvideErrorMetadata, SdkError},
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, KeysAndAttributes},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    app::Clock,
    auth::{Principal, Tenant},
    models::{
        audit::{Action, Actor, ActorType, AuditEntry, AuditTarget, TargetType},
        domain::Domain,
        fields::FieldError,
        id::{AuditId, OrgId},
        time::Timestamp,
    },
};

mod agency;
mod clients;
mod domain_update;
mod domains;
mod due;
mod hosts;
mod idempotency;
pub mod keys;
mod page;
mod portal;
mod settings;
mod setup;
mod transaction;

pub use domains::{Arrival, Author, Change, Checked, DomainRecord, Hold, LABEL_KEPT, changes_counters};
pub use due::{DueKey, DueLookup};
pub use hosts::ServingHost;
pub use idempotency::{Created, IdempotencyKey};
pub use page::{Cursor, Page, PageRequest};
pub use settings::IfMatch;
pub use setup::SetupDomain;
pub use transaction::Retry;

use keys::Key;
use transaction::{Condition, Part, Transaction, number, text};

/// An item of the table.
pub type Item = HashMap<String, AttributeValue>;

type Result<T> = std::result::Result<T, Error>;

const AUDIT_RETENTION: Duration = Duration::from_secs(400 * 24 * 3600);

/// The time from the start of a request during which writes are retried. A retry that begins at its end reads, which takes 4 s at
/// most, and sends a transaction, which takes 1.5 s, and so ends within the request's limit of 14 s.
const RETRY_BUDGET: Duration = Duration::from_secs(8);

/// The time limit of the read that opens the first connection.
const WARM: Duration = Duration::from_secs(1);

/// The version of the items' schema.
const SCHEMA: i64 = 1;

/// The table.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    table: String,
    retry_budget: Duration,
}

/// The author of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user and the tenant.
    pub principal: Principal,
    /// The request's id.
    pub request_id: String,
    /// The time of the request.
    pub now: Timestamp,
    /// The clock, for writes that are attempted again.
    pub clock: Clock,
    /// The start of the request on the monotonic clock.
    pub since: Instant,
}

impl Caller {
    /// The arrival of the request.
    pub fn arrival(&self) -> Arrival {
        Arrival {
            now: self.now,
            since: self.since,
        }
    }
}

/// The part of the table that belongs to one agency. Its methods cannot name another agency's items.
#[derive(Debug, Clone, Copy)]
pub struct Agency<'a> {
    store: &'a Store,
    /// The agency's organization.
    pub org: &'a OrgId,
    /// The author of the request.
    pub caller: &'a Caller,
}

impl Store {
    /// A store on this table.
    pub fn new(client: Client, table: String) -> Self {
        Self {
            client,
            table,
            retry_budget: RETRY_BUDGET,
        }
    }

    /// Sets the time during which conflicting writes are retried.
    #[must_use]
    pub fn with_retry_budget(self, retry_budget: Duration) -> Self {
        Self { retry_budget, ..self }
    }

    /// Lets this interceptor read the requests to the table.
    #[must_use]
    pub fn with_interceptor(self, interceptor: impl Intercept + 'static) -> Self {
        let config = self.client.config().to_builder().interceptor(interceptor);
        Self {
            client: Client::from_conf(config.build()),
            ..self
        }
    }

    /// When the last attempt of a write may start, for a request that arrived at `request`.
    pub fn deadline(&self, request: Instant) -> Instant {
        request + self.retry_budget
    }

    /// The caller's agency.
    ///
    /// # Errors
    /// [`Error::NotEnabled`] if the caller acts for a client organization.
    pub fn agency<'a>(&'a self, caller: &'a Caller) -> Result<Agency<'a>> {
        match &caller.principal.tenant {
            Tenant::Agency(org) => Ok(Agency {
                store: self,
                org,
                caller,
            }),
            Tenant::Client(_) | Tenant::NoOrganization => Err(Error::NotEnabled),
        }
    }

    /// Opens the connection to DynamoDB by reading an item that does not exist, for at most a second.
    pub async fn warm(&self) {
        // The first request reports an error of the table.
        let _ = tokio::time::timeout(WARM, self.batch([keys::absent()])).await;
    }

    /// One item, strongly consistent.
    async fn get(&self, key: Key) -> Result<Option<Item>> {
        let call = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .consistent_read(true);
        Ok(call.send().await.map_err(sdk_error)?.item)
    }

    /// The items of at most 100 keys, strongly consistent, by their key. Items that do not exist are left out. A key may be there twice.
    async fn batch(&self, keys: impl IntoIterator<Item = Key>) -> Result<HashMap<Key, Item>> {
        // DynamoDB rejects a batch that has a key twice.
        let distinct: HashSet<_> = keys.into_iter().collect();
        let mut wanted: Vec<_> = distinct.into_iter().map(Key::item).collect();
        let mut items = HashMap::with_capacity(wanted.len());
        let mut retry = Retry::until(self.deadline(Instant::now()));
        loop {
            let asked = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut wanted)))
                .consistent_read(true)
                .build()
                .map_err(Error::internal)?;
            let call = self.client.batch_get_item().request_items(&self.table, asked);
            let answer = call.send().await.map_err(sdk_error)?;
            // Both maps have at most one entry: that of the table.
            let found = answer.responses.into_iter().flatten();
            let found = found.flat_map(|(_, items)| items);
            items.extend(found.filter_map(|item| Some((Key::of(&item)?, item))));
            let unprocessed = answer.unprocessed_keys.into_iter().flatten();
            wanted = unprocessed.flat_map(|(_, asked)| asked.keys).collect();
            if wanted.is_empty() {
                return Ok(items);
            }
            // DynamoDB may return some keys of a batch unprocessed, under load or over 16 MB.
            retry.wait().await?;
        }
    }

    /// The items of these keys, strongly consistent, in one request. A key may be there twice.
    async fn read<const N: usize>(&self, keys: [Key; N]) -> Result<[Option<Item>; N]> {
        let found = self.batch(keys.iter().cloned()).await?;
        Ok(keys.map(|key| found.get(&key).cloned()))
    }

    /// A strongly consistent query of a partition's items between two sort keys.
    fn query(&self, pk: String, bounds: (&str, &str)) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("PK = :pk AND SK BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":from", text(bounds.0))
            .expression_attribute_values(":to", text(bounds.1))
            .consistent_read(true)
    }

    /// The first `limit` items of a partition between two sort keys, strongly consistent.
    async fn between(&self, pk: String, bounds: (&str, &str), limit: u8) -> Result<Vec<Item>> {
        let call = self.query(pk, bounds).limit(limit.into());
        let (mut rows, _) = rows(call, limit.into()).await?;
        rows.truncate(limit.into());
        Ok(rows)
    }
}

/// The rows of a query, and whether there can be more. DynamoDB may end a page at any time, even before its first row, so the query
/// goes on until it has at least `enough` rows.
async fn rows(query: QueryFluentBuilder, enough: usize) -> Result<(Vec<Item>, bool)> {
    let mut rows = Vec::new();
    let mut next = query.clone();
    loop {
        let answer = next.send().await.map_err(sdk_error)?;
        rows.extend(answer.items.unwrap_or_default());
        match answer.last_evaluated_key {
            Some(last) if rows.len() < enough => next = query.clone().set_exclusive_start_key(Some(last)),
            last => return Ok((rows, last.is_some())),
        }
    }
}

impl Agency<'_> {
    fn retry(&self) -> Retry {
        Retry::until(self.store.deadline(self.caller.since))
    }

    fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self.store)
    }

    /// A write that replaces this version. The clock is read anew, because an earlier attempt may have taken seconds.
    fn write_after<T>(&self, before: &Stored<T>) -> WriteId {
        before.write_id.next(self.caller.clock.now())
    }

    /// An item of the agency, strongly consistent. The same request reads the agency's own item, to tell whether agency
    /// mode is enabled. A transactional read would conflict with writes, and is not needed.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], then [`Error::NotFound`].
    async fn item(&self, key: Key) -> Result<Item> {
        let [agency, found] = self.store.read([keys::agency(self.org), key]).await?;
        agency.ok_or(Error::NotEnabled)?;
        found.ok_or(Error::NotFound)
    }

    /// Adds an audit entry of the caller to the transaction.
    fn audit(&self, transaction: &mut Transaction<'_>, write: WriteId, record: Record) -> Result<()> {
        audit(transaction, self.org, (Author::User(self.caller), write), record)
    }
}

/// Adds an audit entry to the transaction, in the log of `org`.
fn audit(
    transaction: &mut Transaction<'_>,
    org: &OrgId,
    (by, write): (Author<'_>, WriteId),
    record: Record,
) -> Result<()> {
    let (kind, caller) = match by {
        Author::User(caller) => (ActorType::User, Some(caller)),
        Author::System => (ActorType::System, None),
    };
    let entry = AuditEntry {
        id: write,
        at: write.time(),
        actor: Actor {
            kind,
            id: caller.map(|caller| caller.principal.user.clone()),
        },
        action: record.action,
        target: record.target,
        request_id: caller.map(|caller| caller.request_id.clone()),
        before: record.before,
        after: record.after,
    };
    let mut item = item(keys::audit(org, entry.id), "audit", &entry)?;
    item.insert(
        keys::TTL.to_owned(),
        number((entry.at + AUDIT_RETENTION).seconds()),
    );
    // For the pipe to the event bus, which knows strings only and no optional attributes. An empty string is none.
    let (from, to) = record.transition;
    for (name, value) in [
        ("organizationId", org.as_str()),
        ("clientOrgId", &record.client),
        ("hostname", &record.hostname),
        ("from", from),
        ("to", to),
    ] {
        item.insert(name.to_owned(), text(value));
    }
    transaction.put(item, Some(Condition::absent(Part::AuditEntry)))
}

/// A resource before and after a change.
type Changes = (Option<serde_json::Value>, Option<serde_json::Value>);

/// The content of an audit entry.
struct Record {
    action: Action,
    target: AuditTarget,
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
    /// The client that the resource is or belongs to, else empty.
    client: String,
    /// Of a domain, else empty.
    hostname: String,
    /// The old and the new status of a domain, if it changed, else empty.
    transition: (&'static str, &'static str),
}

impl Record {
    fn new(action: Action, id: impl ToString, (before, after): Changes) -> Self {
        let kind = match action {
            Action::AgencyEnabled => TargetType::Agency,
            Action::BrandingUpdated => TargetType::Branding,
            Action::PortalConfigUpdated => TargetType::PortalConfig,
            Action::ClientCreated
            | Action::ClientUpdated
            | Action::ClientDeleted
            | Action::ClientBrandingUpdated
            | Action::ClientPortalConfigUpdated => TargetType::Client,
            Action::DomainCreated
            | Action::DomainUpdated
            | Action::DomainDeleted
            | Action::SetupLinkCreated
            | Action::SetupLinkDeleted
            | Action::DomainPending
            | Action::DomainVerified
            | Action::DomainFailing
            | Action::DomainFailed => TargetType::Domain,
        };
        let id = id.to_string();
        let client = match kind {
            TargetType::Client => id.clone(),
            _ => String::new(),
        };
        Self {
            action,
            target: AuditTarget { kind, id },
            before,
            after,
            client,
            hostname: String::new(),
            transition: ("", ""),
        }
    }

    fn of_domain(action: Action, domain: &Domain, changes: Changes) -> Self {
        Self {
            client: domain.client_org_id.map(|id| id.to_string()).unwrap_or_default(),
            hostname: domain.hostname.to_string(),
            ..Self::new(action, domain.id, changes)
        }
    }
}

/// The id of a write: that of its audit entry, if it has one. It tells the time of the write, and sorts after the one that it
/// replaces.
type WriteId = AuditId;

/// A stored resource with the id of its last write, for optimistic locking.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored<T> {
    #[serde(flatten)]
    value: T,
    write_id: WriteId,
}

impl<T> Stored<T> {
    fn new(value: T, write_id: WriteId) -> Self {
        Self { value, write_id }
    }
}

/// Serializes an item, with its entity type and schema version.
fn item(key: Key, entity: &str, value: &impl Serialize) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(value).map_err(Error::internal)?;
    item.extend(key.item());
    item.insert("entity".to_owned(), text(entity));
    item.insert("schema".to_owned(), number(SCHEMA));
    Ok(item)
}

/// Deserializes an item.
fn parse<T: DeserializeOwned>(item: Item) -> Result<T> {
    let entity = item.get("entity").cloned();
    let schema = item
        .get("schema")
        .and_then(|schema| schema.as_n().ok()?.parse().ok());
    if let Some(schema) = schema.filter(|schema: &i64| *schema > SCHEMA) {
        return Err(Error::Unreadable(format!(
            "item has schema {schema}, but this version reads up to {SCHEMA}: a newer version wrote it"
        )));
    }
    // Errors are logged. serde's message is dropped, because it may quote stored data.
    serde_dynamo::from_item(item).map_err(|_| match entity {
        Some(AttributeValue::S(entity)) => Error::Unreadable(format!("item cannot be parsed as {entity}")),
        _ => Error::Unreadable("item has no entity type".to_owned()),
    })
}

/// The error of a table operation. It is independent of HTTP.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organization has not enabled agency mode.
    #[error("agency mode is not enabled")]
    NotEnabled,
    /// The agency does not have this resource.
    #[error("resource not found")]
    NotFound,
    /// No agency serves a portal on this host name or to this organization.
    #[error("portal not found")]
    NoPortal,
    /// The host name is that of another agency's portal, or of another client's.
    #[error("the host name belongs to another portal")]
    WrongPortal,
    /// The resource has changed since the version in `If-Match`.
    #[error("the If-Match tag is stale")]
    Stale,
    /// Other domains redirect to the domain.
    #[error("other domains redirect to the domain")]
    RedirectTarget,
    /// What is stored does not allow these values of the body.
    #[error("the stored data do not allow the body")]
    Invalid(Vec<FieldError>),
    /// The caller's client organization is suspended.
    #[error("the client is suspended")]
    ClientSuspended,
    /// Another client of the agency has the slug.
    #[error("the slug is taken")]
    SlugTaken,
    /// Another client of the agency has the external id.
    #[error("the external id is taken")]
    ExternalIdTaken,
    /// The client has domains of its own.
    #[error("the client has domains")]
    ClientHasDomains,
    /// The host name is claimed, held or kept for another domain.
    #[error("the host name is taken")]
    HostnameTaken,
    /// The agency has the maximum number of clients or of domains.
    #[error("the limit is reached")]
    LimitReached,
    /// The last check of the domain was too recent, or the agency made too many. Retry after this time.
    #[error("rate limited for {} ms", .0.as_millis())]
    TooSoon(Duration),
    /// The idempotency key was used before with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyMismatch,
    /// The cursor was not issued for this list.
    #[error("the cursor is invalid")]
    InvalidCursor,
    /// Another write was in progress or came first. The store retries it.
    #[error("write conflict")]
    Conflict,
    /// DynamoDB did not respond in time, or throttled the request.
    #[error(transparent)]
    Unavailable(BoxError),
    /// DynamoDB did not respond to a write, which may have taken effect or may still do so.
    #[error(transparent)]
    Unanswered(BoxError),
    /// An item that cannot be parsed.
    #[error("{0}")]
    Unreadable(String),
    /// A bug, or a permission that is missing.
    #[error(transparent)]
    Internal(BoxError),
}

/// The cause of an error. Clients never see it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }
}

/// Classifies a failed call. The SDK has already retried transient failures, except those of transactions.
fn sdk_error<E>(failure: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = failure.raw_response().map(|response| response.status());
    match failure.code() {
        Some("TransactionConflictException") => Error::Conflict,
        Some(
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TransactionInProgressException",
        ) => Error::Unavailable(failure.into()),
        // Whatever its code: DynamoDB has more than its documentation lists.
        _ if status.is_some_and(|status| status.is_server_error()) => Error::Unavailable(failure.into()),
        None if !matches!(failure, SdkError::ConstructionFailure(_)) => Error::Unavailable(failure.into()),
        _ => Error::Internal(failure.into()),
    }
}
