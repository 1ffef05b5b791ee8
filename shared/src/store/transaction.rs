//! One DynamoDB transaction: its writes, their conditions, and the conditions that failed.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    config::{Builder, retry::RetryConfig},
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
        error::TransactionCanceledException,
    },
};

use super::{Error, Item, Store, WriteId, keys::Key, sdk_error};

/// The role of an item in a transaction, to tell which condition failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The audit entry, with a new id. If it already exists, this transaction has taken effect before, and its response
    /// was lost.
    AuditEntry,
    /// The idempotency record.
    Idempotency,
    /// The agency.
    Agency,
    /// The counter of the agency's clients in one of its shards.
    Counter,
    /// The resource.
    Resource,
    /// The resource, on condition that no other domain redirects to it.
    UntargetedResource,
    /// The client to which a domain is given.
    Client,
    /// The former primary domain.
    FormerPrimary,
    /// The domain that was set as the primary one of a portal.
    Primary,
    /// The domain that another one redirects to.
    RedirectTarget,
    /// The copy of a client under its slug.
    Slug,
    /// The copy of a client under its external id.
    ExternalId,
    /// The copy of a client under its name.
    ClientName,
    /// A client, on condition that it has no domains.
    ClientWithoutDomains,
    /// The agency's claim on a host name.
    Name,
    /// The holder of a host name.
    Holder,
    /// Another agency's domain that holds the same host name.
    HolderDomain,
}

impl Part {
    /// Whether a condition on this part that failed once fails for ever: write ids and deleted clients do not come back, and an
    /// idempotency record outlives every request.
    fn is_final(self) -> bool {
        match self {
            Self::AuditEntry
            | Self::Idempotency
            | Self::Resource
            | Self::Client
            | Self::FormerPrimary
            | Self::HolderDomain => true,
            Self::Agency
            | Self::Counter
            | Self::Primary
            | Self::RedirectTarget
            | Self::UntargetedResource
            | Self::Slug
            | Self::ExternalId
            | Self::ClientName
            | Self::ClientWithoutDomains
            | Self::Name
            | Self::Holder => false,
        }
    }
}

/// The condition of a write. If it fails, [`Refused::by`] finds it by its part.
pub(super) struct Condition {
    part: Part,
    expression: &'static str,
    values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(super) fn new(
        part: Part,
        expression: &'static str,
        values: impl Into<Vec<(&'static str, AttributeValue)>>,
    ) -> Self {
        Self {
            part,
            expression,
            values: values.into(),
        }
    }

    /// The item does not exist.
    pub(super) fn absent(part: Part) -> Self {
        Self::new(part, "attribute_not_exists(PK)", [])
    }

    /// The item is unchanged since it was read (optimistic locking).
    pub(super) fn unchanged(part: Part, write_id: WriteId) -> Self {
        Self::new(part, "writeId = :unchanged", [(":unchanged", text(write_id))])
    }

    /// The expression and all values for the SDK. DynamoDB rejects an empty map of values.
    pub(super) fn split(condition: Option<Self>, mut values: Item) -> (Option<String>, Option<Item>) {
        let expression = condition.map(|condition| {
            let names = condition.values.into_iter();
            values.extend(names.map(|(name, value)| (name.to_owned(), value)));
            condition.expression.to_owned()
        });
        (expression, Some(values).filter(|values| !values.is_empty()))
    }
}

pub(super) enum Commit {
    /// All writes took effect.
    Done,
    /// No write took effect, because conditions failed.
    Refused(Refused),
}

/// The conditions that failed, each with the existing item (empty if there is none).
pub(super) struct Refused(Vec<(Part, Item)>);

impl Refused {
    /// Reads the cancellation reasons, one for each write.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the transaction conflicted with another write or was throttled; [`Error::Internal`] for
    /// any other reason.
    fn read(cancelled: &TransactionCanceledException, parts: &[Option<Part>]) -> Result<Self, Error> {
        let mut refused = Vec::new();
        for (reason, part) in cancelled.cancellation_reasons().iter().zip(parts) {
            match reason.code() {
                None | Some("None") => {}
                Some("ConditionalCheckFailed") => {
                    let existing = reason.item().cloned().unwrap_or_default();
                    refused.extend(part.map(|part| (part, existing)));
                }
                Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                    return Err(Error::Conflict);
                }
                Some(code) => return Err(Error::internal(format!("transaction cancelled: {code}"))),
            }
        }
        if refused.is_empty() {
            let message = cancelled.message().unwrap_or("no reason");
            return Err(Error::internal(format!("transaction cancelled: {message}")));
        }
        Ok(Self(refused))
    }

    /// The existing item, if the condition of `part` failed.
    pub(super) fn by(&self, part: Part) -> Option<&Item> {
        self.0.iter().find(|(of, _)| *of == part).map(|(_, item)| item)
    }

    fn is_final(&self) -> bool {
        self.0.iter().any(|(part, _)| part.is_final())
    }
}

pub(super) struct Transaction<'a> {
    store: &'a Store,
    items: Vec<TransactWriteItem>,
    /// The part of each item's condition.
    parts: Vec<Option<Part>>,
}

/// Whether a failed attempt may still take effect: no response came, or one that does not tell (status 5xx).
fn may_take_effect(failure: &SdkError<TransactWriteItemsError>) -> bool {
    match failure {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
        _ => true,
    }
}

impl<'a> Transaction<'a> {
    /// How often a transaction is sent again after a fault of DynamoDB or of the network, as often as the SDK would.
    const MAX_RETRIES: u32 = 3;

    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            items: Vec::new(),
            parts: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, item: Item, condition: Option<Condition>) -> Result<(), Error> {
        let (condition, values) = self.guard(condition, Item::new());
        let put = Put::builder()
            .table_name(&self.store.table)
            .set_item(Some(item))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(Error::internal)?;
        self.items.push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    pub(super) fn delete(&mut self, key: Key, condition: Option<Condition>) -> Result<(), Error> {
        let (condition, values) = self.guard(condition, Item::new());
        let delete = Delete::builder()
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .set_condition_expression(condition)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(Error::internal)?;
        self.items
            .push(TransactWriteItem::builder().delete(delete).build());
        Ok(())
    }

    pub(super) fn update(
        &mut self,
        key: Key,
        update: &AttributeUpdate,
        condition: Option<Condition>,
    ) -> Result<(), Error> {
        let (condition, values) = self.guard(condition, update.values.clone());
        let update = Update::builder()
            .table_name(&self.store.table)
            .set_key(Some(key.item()))
            .update_expression(&update.expression)
            .set_condition_expression(condition)
            .set_expression_attribute_names(Some(update.names.clone()))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(Error::internal)?;
        self.items
            .push(TransactWriteItem::builder().update(update).build());
        Ok(())
    }

    /// Records the part of the next write's condition, and splits the condition for the SDK.
    fn guard(&mut self, condition: Option<Condition>, values: Item) -> (Option<String>, Option<Item>) {
        self.parts
            .push(condition.as_ref().map(|condition| condition.part));
        Condition::split(condition, values)
    }

    /// Sends the transaction. After a conflict or a fault it is sent again with the same ids, so that its audit entry shows
    /// whether an earlier attempt took effect although its response was lost.
    ///
    /// # Errors
    /// [`Error::Conflict`] and [`Error::Unavailable`] if conflicts or faults last until the retries end.
    /// [`Error::Unanswered`] if an attempt got no response: it may be delayed, and take effect even if a condition fails now.
    pub(super) async fn commit(self, retry: &mut Retry) -> Result<Commit, Error> {
        let mut faults = 0;
        let mut is_unanswered = false;
        loop {
            let failure = match self.send().await {
                Ok(()) => return Ok(Commit::Done),
                Err(failure) => failure,
            };
            is_unanswered |= may_take_effect(&failure);
            let error = match self.outcome(failure) {
                Ok(Commit::Refused(refused)) if is_unanswered && !refused.is_final() => {
                    let reason = "a condition failed after an attempt without a response";
                    return Err(Error::Unanswered(reason.into()));
                }
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let wait = match error {
                Error::Conflict => retry.wait().await,
                Error::Unavailable(_) if faults < Self::MAX_RETRIES => {
                    faults += 1;
                    retry.wait().await.map_err(|_| error)
                }
                error => Err(error),
            };
            match wait {
                Ok(()) => {}
                Err(Error::Unavailable(source)) if is_unanswered => return Err(Error::Unanswered(source)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends the transaction once. The SDK would hide from [`Self::commit`] that an attempt got no response.
    async fn send(&self) -> Result<(), SdkError<TransactWriteItemsError>> {
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let call = self
            .store
            .client
            .transact_write_items()
            .set_transact_items(Some(self.items.clone()))
            .customize()
            .config_override(once);
        call.send().await.map(drop)
    }

    /// The meaning of a failed attempt.
    fn outcome(&self, failure: SdkError<TransactWriteItemsError>) -> Result<Commit, Error> {
        let cancelled = match failure.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled,
            _ => return Err(sdk_error(failure)),
        };
        let refused = Refused::read(cancelled, &self.parts)?;
        if refused.by(Part::AuditEntry).is_some() {
            return Ok(Commit::Done);
        }
        Ok(Commit::Refused(refused))
    }
}

/// A change of some attributes of an item. Names are escaped, because some are reserved words.
#[derive(Default)]
pub(super) struct AttributeUpdate {
    pub(super) expression: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl AttributeUpdate {
    /// Sets or removes the attributes that differ between the items, and those of `always`. Another write may change the others
    /// meanwhile.
    pub(super) fn between(before: &Item, after: &Item, always: &[&str]) -> Self {
        let names: BTreeSet<_> = before.keys().chain(after.keys()).map(String::as_str).collect();
        let differ = |name: &&str| !always.contains(name) && before.get(*name) != after.get(*name);
        let names: Vec<_> = names
            .into_iter()
            .filter(differ)
            .chain(always.iter().copied())
            .collect();
        Self::from_item(&names, after)
    }

    /// Sets each of `names` to its value in `item`, and removes the attributes that `item` does not have.
    pub(super) fn from_item(names: &[&str], item: &Item) -> Self {
        let mut update = Self::default();
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        for name in names {
            update.names.insert(format!("#{name}"), (*name).to_owned());
            match item.get(*name) {
                Some(value) => {
                    update.values.insert(format!(":{name}"), value.clone());
                    set.push(format!("#{name} = :{name}"));
                }
                None => remove.push(format!("#{name}")),
            }
        }
        for (verb, parts) in [("SET", set), ("REMOVE", remove)] {
            if !parts.is_empty() {
                update.expression += &format!("{verb} {} ", parts.join(", "));
            }
        }
        update
    }

    /// The same update, which also adds to a counter that it does not set.
    #[must_use]
    pub(super) fn and_add(mut self, counter: &str, change: i64) -> Self {
        self.expression += &format!("ADD #{counter} :{counter}");
        self.names.insert(format!("#{counter}"), counter.to_owned());
        self.values.insert(format!(":{counter}"), number(change));
        self
    }

    /// Adds to counters.
    pub(super) fn add(counters: &[(&str, i64)]) -> Self {
        let parts: Vec<_> = counters
            .iter()
            .map(|(name, _)| format!("#{name} :{name}"))
            .collect();
        Self {
            expression: format!("ADD {}", parts.join(", ")),
            names: counters
                .iter()
                .map(|(name, _)| (format!("#{name}"), (*name).to_owned()))
                .collect(),
            values: counters
                .iter()
                .map(|(name, change)| (format!(":{name}"), number(*change)))
                .collect(),
        }
    }
}

/// Backoff with full jitter, for writes that conflict with other writes or that meet a fault.
#[derive(Debug)]
pub struct Retry {
    until: Instant,
    tries: u32,
    most: u32,
}

impl Retry {
    const FIRST_MS: u64 = 50;
    const LONGEST_MS: u64 = 1000;

    /// No attempt starts after the deadline `until`.
    pub fn until(until: Instant) -> Self {
        Self {
            until,
            tries: 0,
            most: u32::MAX,
        }
    }

    /// Limits the number of attempts, including the first.
    #[must_use]
    pub fn up_to(self, tries: u32) -> Self {
        Self { most: tries, ..self }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the deadline would pass, [`Error::Conflict`] after the last attempt.
    pub async fn wait(&mut self) -> Result<(), Error> {
        let longest = (Self::FIRST_MS << self.tries.min(10)).min(Self::LONGEST_MS);
        self.tries += 1;
        if self.tries >= self.most {
            return Err(Error::Conflict);
        }
        let wait = Duration::from_millis(u64::from(crate::random::below(longest as u32 + 1)));
        if Instant::now() + wait > self.until {
            return Err(Error::Unavailable(
                "write conflicts lasted until the deadline".into(),
            ));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

pub(super) fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

pub(super) fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}
