//! The table. It is entered through a tenant, and every key of it is in [`keys`].
//!
//! Each change is one transaction or one conditional write: what it changes, what must be unique, the counters, the
//! audit entry and the record of an idempotency key take effect together or not at all.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::query::builders::QueryFluentBuilder,
    types::{AttributeValue, KeysAndAttributes},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    auth::{Principal, Tenant},
    models::{
        audit::{Action, Actor, ActorType, AuditEntry, Target, TargetType},
        id::{AuditId, OrgId},
        time::Timestamp,
    },
};

mod agency;
mod clients;
mod domains;
mod due;
mod idempotency;
pub mod keys;
mod page;
mod portal;
mod settings;
mod transaction;

pub use domains::{Author, Change, Checked, DomainRecord, Holder};
pub use due::{DueKey, DueLookup};
pub use idempotency::{Created, IdempotencyKey};
pub use page::{Cursor, Page, PageRequest};
pub use settings::IfMatch;
pub use transaction::Retry;

use keys::Key;
use transaction::{Condition, Part, Transaction, number, text};

/// An item of the table.
pub type Item = HashMap<String, AttributeValue>;

type Result<T> = std::result::Result<T, Error>;

/// How long an audit entry is kept.
const AUDIT_RETENTION: Duration = Duration::from_secs(400 * 24 * 3600);

/// No try of a write begins later than this after its request; a call that is under way then takes 4 s at most, and so
/// ends within the 14 s of a request.
const PATIENCE: Duration = Duration::from_millis(9_500);

/// The version of the items' form.
const SCHEMA: i64 = 1;

/// The table.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    table: String,
    patience: Duration,
}

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user and for whom they act.
    pub principal: Principal,
    /// The request.
    pub request_id: String,
    /// The time of the request.
    pub now: Timestamp,
    /// When the request came, by the clock that measures how long it takes.
    pub since: Instant,
}

/// The table as one agency sees it: nothing here can name another one's items.
#[derive(Debug, Clone, Copy)]
pub struct Agency<'a> {
    store: &'a Store,
    /// The agency's organization.
    pub org: &'a OrgId,
    /// Who asks.
    pub caller: &'a Caller,
}

impl Store {
    /// The table of this name.
    pub fn new(client: Client, table: String) -> Self {
        Self {
            client,
            table,
            patience: PATIENCE,
        }
    }

    /// The same with another patience: how long a write that keeps meeting others is tried again.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// For a write of the system that may meet others.
    pub fn retry(&self) -> Retry {
        self.retry_since(Instant::now())
    }

    /// For a write that may meet others, of a request that came then.
    pub fn retry_since(&self, request: Instant) -> Retry {
        self.retry_until(self.deadline(request))
    }

    /// For a write of which no attempt starts after `deadline`.
    pub fn retry_until(&self, deadline: Instant) -> Retry {
        Retry::new(deadline)
    }

    /// When the last attempt of a write may start, for a request that arrived at `request`.
    pub fn deadline(&self, request: Instant) -> Instant {
        request + self.patience
    }

    /// The table as the caller's agency sees it.
    ///
    /// # Errors
    /// [`Error::NotEnabled`] where the caller acts for a client organization.
    pub fn agency<'a>(&'a self, caller: &'a Caller) -> Result<Agency<'a>> {
        match &caller.principal.tenant {
            Tenant::Agency(org) => Ok(Agency {
                store: self,
                org,
                caller,
            }),
            Tenant::Client(_) | Tenant::Nobody => Err(Error::NotEnabled),
        }
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

    /// Items of one batch, 100 at most, strongly consistent, in any order; what does not exist is missing.
    async fn batch(&self, mut wanted: Vec<Item>) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(wanted.len());
        let mut retry = self.retry();
        loop {
            let asked = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut wanted)))
                .consistent_read(true)
                .build()
                .map_err(Error::internal)?;
            let call = self.client.batch_get_item().request_items(&self.table, asked);
            let answer = call.send().await.map_err(sdk_error)?;
            let found = answer.responses.into_iter().flat_map(HashMap::into_values);
            items.extend(found.flatten());
            wanted = answer
                .unprocessed_keys
                .into_iter()
                .flat_map(HashMap::into_values)
                .flat_map(|asked| asked.keys)
                .collect();
            if wanted.is_empty() {
                return Ok(items);
            }
            // DynamoDB may leave keys of a batch unprocessed, and then says so.
            retry.wait().await?;
        }
    }

    /// A strongly consistent query of an agency's items between two sort keys.
    fn query(&self, org: &OrgId, bounds: (&str, &str)) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .key_condition_expression("PK = :pk AND SK BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(keys::partition(org)))
            .expression_attribute_values(":from", text(bounds.0))
            .expression_attribute_values(":to", text(bounds.1))
            .consistent_read(true)
    }

    /// The first items of such a query.
    async fn between(&self, org: &OrgId, bounds: (&str, &str), limit: i32) -> Result<Vec<Item>> {
        let call = self.query(org, bounds).limit(limit);
        Ok(call.send().await.map_err(sdk_error)?.items.unwrap_or_default())
    }
}

impl Agency<'_> {
    fn retry(&self) -> Retry {
        self.store.retry_since(self.caller.since)
    }

    fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self.store)
    }

    /// The agency's own item and another of its items, strongly consistent and in one request. Not in one
    /// transaction, which writes would disturb: the agency's item only tells that agency mode is enabled.
    ///
    /// # Errors
    /// [`Error::NotEnabled`], then [`Error::NotFound`].
    async fn item(&self, key: Key) -> Result<Item> {
        let agency = keys::agency(self.org);
        let wanted = vec![agency.clone().item(), key.item()];
        let (mut enabled, mut found) = (false, None);
        for item in self.store.batch(wanted).await? {
            if item.get(keys::SK) == Some(&text(&agency.sk)) {
                enabled = true;
            } else {
                found = Some(item);
            }
        }
        if enabled {
            found.ok_or(Error::NotFound)
        } else {
            Err(Error::NotEnabled)
        }
    }

    /// Adds the audit entry of a user's write to its transaction.
    fn audit(&self, transaction: &mut Transaction<'_>, record: Record) -> Result<()> {
        let by = Author::User(self.caller);
        audit(transaction, self.org, by, self.caller.now, record)
    }
}

/// Adds the audit entry of a write to its transaction, for the log of `org`.
fn audit(
    transaction: &mut Transaction<'_>,
    org: &OrgId,
    by: Author<'_>,
    now: Timestamp,
    record: Record,
) -> Result<()> {
    let (kind, user, request_id) = match by {
        Author::User(caller) => (
            ActorType::User,
            Some(caller.principal.user.clone()),
            Some(caller.request_id.clone()),
        ),
        Author::System => (ActorType::System, None, None),
    };
    let entry = AuditEntry {
        id: AuditId::new(now),
        at: now,
        actor: Actor { kind, id: user },
        action: record.action,
        target: Target {
            kind: record.target.0,
            id: record.target.1,
        },
        request_id,
        before: record.before,
        after: record.after,
    };
    let mut item = item(keys::audit(org, entry.id), "audit", &entry)?;
    let expires = entry.at + AUDIT_RETENTION;
    item.insert(keys::TTL.to_owned(), number(expires.seconds()));
    for (name, value) in record.flat {
        item.insert(name.to_owned(), text(value));
    }
    transaction.put(Part::Receipt, item, Condition::absent())
}

/// What an audit entry tells of a write.
struct Record {
    action: Action,
    target: (TargetType, String),
    before: Option<serde_json::Value>,
    after: Option<serde_json::Value>,
    /// Strings beside the entry by which the table's stream can be filtered.
    flat: Vec<(&'static str, String)>,
}

/// A resource as it is stored, with the id of the write that left it so.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored<T> {
    #[serde(flatten)]
    value: T,
    write_id: String,
}

impl<T> Stored<T> {
    fn new(value: T) -> Self {
        Self {
            value,
            write_id: Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A value as an item. Each item tells what it is and in which version of its form.
fn item(key: Key, entity: &str, value: &impl Serialize) -> Result<Item> {
    let mut item: Item = serde_dynamo::to_item(value).map_err(Error::internal)?;
    item.extend(key.item());
    item.insert("entity".to_owned(), text(entity));
    item.insert("schema".to_owned(), number(SCHEMA));
    Ok(item)
}

/// An item as a value.
fn parse<T: DeserializeOwned>(item: Item) -> Result<T> {
    let entity = item.get("entity").cloned();
    // Not in the words of serde, which may quote what the item says: errors go to the log.
    serde_dynamo::from_item(item).map_err(|_| match entity {
        Some(AttributeValue::S(entity)) => Error::internal(format!("an item cannot be read as {entity}")),
        _ => Error::internal("an item does not tell what it is"),
    })
}

/// Why the table did not do as it was asked. It knows no HTTP.
#[derive(Debug)]
pub enum Error {
    /// The organization has not enabled agency mode.
    NotEnabled,
    /// The agency has no such resource.
    NotFound,
    /// Nobody serves a portal there, or to this organization.
    NoPortal,
    /// The resource is not any more what the caller has seen.
    Stale,
    /// Another client of the agency has the slug.
    SlugTaken,
    /// The name is not to be had.
    HostnameTaken,
    /// The agency has as many domains as it may have.
    LimitReached,
    /// The domain was checked just now.
    TooSoon(Duration),
    /// The idempotency key was used with another body.
    IdempotencyMismatch,
    /// The cursor is none of this list.
    InvalidCursor,
    /// Another write was under way, or came first. Inside the store it is tried again.
    Conflict,
    /// DynamoDB did not answer, or not in time.
    Unavailable(Source),
    /// A fault of ours, or an item that cannot be read.
    Internal(Source),
}

/// What lies behind an error. Clients never see it.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(source) | Self::Internal(source) => source.fmt(f),
            other => fmt::Debug::fmt(other, f),
        }
    }
}

impl std::error::Error for Error {}

/// What a failed call means. The SDK has tried again what is worth it.
fn sdk_error<E, R>(failure: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    let conflict = failure.code() == Some("TransactionConflictException");
    let passing = match &failure {
        SdkError::ServiceError(service) => matches!(
            service.err().code(),
            Some(
                "ProvisionedThroughputExceededException"
                    | "ThrottlingException"
                    | "RequestLimitExceeded"
                    | "InternalServerError"
                    | "ServiceUnavailable"
                    | "TransactionInProgressException"
            ) | None
        ),
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    };
    if conflict {
        Error::Conflict
    } else if passing {
        Error::Unavailable(failure.into())
    } else {
        Error::Internal(failure.into())
    }
}
